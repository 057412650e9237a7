"""Pages of training and evaluating: who sees them, what they say, how many queries they need."""

from __future__ import annotations

import json

import pytest
from django.db import connection as database
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from datasets.training import lifecycle as train_stage
from evaluations import lifecycle, services
from evaluations.models import Candidate, Comparison, Evaluation, TestLook
from foundation.teams.testing import assert_route_guarded

MOST_QUERIES = 15
BOTH = ["floor:majority", "floor:nearest"]


@pytest.fixture
def story(editor, version, use_case, idle):
    """A decided comparison on validation rows and a claim on test rows."""
    floors = services.ensure_baselines(actor=editor, use_case=use_case, version=version)
    comparison = services.start_evaluations(actor=editor, version=version, candidates=floors)
    claim = services.start_claim(
        actor=editor, version=version, candidates=floors, reason="The pilot team starts on Monday."
    )
    idle()
    comparison.refresh_from_db()
    claim.refresh_from_db()
    return comparison, claim


def pages(use_case, version, comparison):
    evaluation = comparison.baseline
    return {
        "home": reverse("evaluations:home", args=[use_case.team.slug]),
        "list": reverse("evaluations:evaluation-list", args=[use_case.pk]),
        "form": reverse("evaluations:evaluation-new", args=[version.pk]),
        "evaluation": reverse("evaluations:evaluation-detail", args=[evaluation.pk]),
        "comparison": reverse("evaluations:comparison-detail", args=[comparison.pk]),
        "candidate": reverse("evaluations:candidate-detail", args=[evaluation.candidate_id]),
        "new candidate": reverse("evaluations:candidate-new", args=[use_case.pk]),
        "runs": reverse("training:run-list", args=[use_case.pk]),
        "new run": reverse("training:run-new", args=[version.pk]),
    }


def test_every_page_serves_the_team_and_nobody_else(
    story, use_case, version, client, editor, viewer, outsider
):
    for url in pages(use_case, version, story[0]).values():
        assert_route_guarded(client, url, outsider=outsider, viewer=viewer, editor=editor)
    for name in ("evaluation-retry", "evaluation-open", "comparison-create"):
        url = reverse(f"evaluations:{name}", args=[story[0].baseline_id])
        assert_route_guarded(client, url, outsider=outsider, viewer=viewer, editor=editor)
    url = reverse("evaluations:comparison-open", args=[story[1].pk])
    assert_route_guarded(client, url, outsider=outsider, viewer=viewer, editor=editor)


def test_pages_need_few_queries_at_both_of_two_sizes(
    story, use_case, version, make_version, client_for, editor, idle
):
    client = client_for(editor)
    first = {}
    for name, url in pages(use_case, version, story[0]).items():
        client.get(url)
        with CaptureQueriesContext(database) as seen:
            response = client.get(url)
        assert response.status_code == 200, name
        assert response.content.count(b'class="btn primary"') == 1, name
        first[name] = len(seen)
    large = make_version(train=300, validation=400)
    floors = services.ensure_baselines(actor=editor, use_case=use_case, version=large)
    comparison = services.start_evaluations(actor=editor, version=large, candidates=floors)
    for _ in range(3):
        services.start_evaluation(actor=editor, version=large, candidate=floors[0], fresh=True)
    idle(120)
    comparison.refresh_from_db()
    for name, url in pages(use_case, large, comparison).items():
        with CaptureQueriesContext(database) as seen:
            assert client.get(url).status_code == 200, name
        assert len(seen) <= MOST_QUERIES, (name, len(seen), [q["sql"][:90] for q in seen])
        assert len(seen) <= first[name] + 1, (name, first[name], len(seen))


def test_the_comparison_says_its_finding_first_and_then_the_interval(story, client_for, viewer):
    page = (
        client_for(viewer).get(reverse("evaluations:comparison-detail", args=[story[0].pk])).content.decode()
    )
    assert story[0].result["finding"]["headline"] in page.replace("&quot;", '"').replace("&#x27;", "'")
    assert page.index('class="finding"') < page.index("p, Holm")
    assert "n = 60" in page
    assert "How computed" in page
    assert "Regressions" in page


def test_rows_are_filtered_by_the_address_and_come_as_a_part(story, client_for, viewer):
    client = client_for(viewer)
    url = reverse("evaluations:comparison-detail", args=[story[0].pk])
    part = client.get(f"{url}?show=better", headers={"HX-Request": "true"}).content.decode()
    assert part.lstrip().startswith('<section class="card" id="rows"')
    worse = client.get(f"{url}?show=worse", headers={"HX-Request": "true"}).content.decode()
    assert worse != part
    for odd in ("show=x", "after=1e999|3", "after=a|b", "candidate=999999999999999999999", "label=%00"):
        assert client.get(f"{url}?{odd}").status_code == 200


def test_rows_can_be_paged_without_loss(story, client_for, viewer):
    evaluation = story[0].baseline
    url = reverse("evaluations:evaluation-detail", args=[evaluation.pk])
    client, seen, after = client_for(viewer), [], ""
    for _ in range(10):
        response = client.get(url, {"show": "", "after": after})
        seen += [card["row"].pk for card in response.context["page"].rows]
        after = response.context["page"].cursor
        if not after:
            break
    assert len(seen) == len(set(seen)) == 60


def test_sealed_rows_are_closed_until_somebody_opens_them_with_a_reason(story, client_for, editor, viewer):
    claim = story[1]
    url = reverse("evaluations:comparison-detail", args=[claim.pk])
    client = client_for(editor)
    page = client.get(url)
    assert page.context["page"] is None
    assert "Ticket 1" not in page.content.decode()
    export = client.get(reverse("evaluations:comparison-export", args=[claim.pk, "json"]))
    assert json.loads(export.content)["rows"] == "sealed"
    open_url = reverse("evaluations:comparison-open", args=[claim.pk])
    client.post(open_url, {"reason": "short"})
    assert not TestLook.objects.filter(kind="rows").exists()
    client.post(open_url, {"reason": "A customer complains about row 12."})
    look = TestLook.objects.get(kind="rows")
    assert (look.by, look.comparison_id) == (editor, claim.pk)
    assert client.get(url).context["page"].rows is not None
    # opened for one person, not for the team
    assert client_for(viewer).get(url).context["page"] is None


def test_exports_are_whole_and_safe(story, client_for, viewer):
    client = client_for(viewer)
    as_csv = client.get(reverse("evaluations:comparison-export", args=[story[0].pk, "csv"]))
    assert "attachment" in as_csv["Content-Disposition"]
    assert as_csv.content.decode().count("\n") == 61
    as_json = json.loads(
        client.get(reverse("evaluations:comparison-export", args=[story[0].pk, "json"])).content
    )
    assert len(as_json["rows"]) == 60
    assert as_json["seed"] == story[0].seed
    assert client.get(reverse("evaluations:comparison-export", args=[story[0].pk, "exe"])).status_code == 404


def test_the_form_starts_floors_that_have_no_row_yet(version, client_for, editor, idle):
    client = client_for(editor)
    url = reverse("evaluations:evaluation-new", args=[version.pk])
    given = {"candidates": ["floor:majority", "floor:nearest"], "split": "validation", "scorers": ["label"]}
    response = client.post(url, given)
    comparison = Comparison.objects.get()
    assert response.url == reverse("evaluations:comparison-detail", args=[comparison.pk])
    assert Candidate.objects.count() == 2
    waiting = client.get(response.url).content.decode()
    assert "Waiting for its evaluations" in waiting
    idle()
    assert client.get(response.url).status_code == 200


@pytest.mark.parametrize(
    ("change", "words"),
    [
        pytest.param({"candidates": []}, "Choose at least one", id="nobody"),
        pytest.param(
            {"split": "test", "candidates": BOTH}, "Say in a sentence", id="a claim without a sentence"
        ),
        pytest.param({"sample": "0"}, "greater than or equal to 1", id="a sample of nothing"),
        pytest.param({"judge": "on"}, "No model is connected", id="nobody to judge"),
        pytest.param({"candidates": ["candidate:999"]}, "valid choice", id="another team's candidate"),
    ],
)
def test_a_wrong_form_comes_back_with_a_sentence(version, client_for, editor, change, words):
    url = reverse("evaluations:evaluation-new", args=[version.pk])
    given = {"candidates": ["floor:majority"], "split": "validation", "scorers": ["label"], **change}
    response = client_for(editor).post(url, given)
    assert response.status_code == 422
    assert words in response.content.decode()
    assert not Evaluation.objects.exists()


def test_strangers_text_is_only_text(story, client_for, viewer):
    evaluation = story[0].baseline
    attack = '<script>alert(1)</script><img src=x hx-get="/">'
    content = evaluation.results.first().content
    content.prompt = attack
    content.save()
    evaluation.results.update(output=attack, score=0.0)
    page = (
        client_for(viewer)
        .get(reverse("evaluations:evaluation-detail", args=[evaluation.pk]))
        .content.decode()
    )
    assert attack not in page
    assert "&lt;script&gt;" in page


def test_the_training_form_keeps_what_was_wrong(version, client_for, editor):
    url = reverse("training:run-new", args=[version.pk])
    response = client_for(editor).post(url, {"backend": "local-classifier", "c_values": "many"})
    assert response.status_code == 422
    assert "not a list of numbers" in response.content.decode()
    hosted = client_for(editor).get(f"{url}?backend=hosted").content.decode()
    assert "No hosted provider is connected" in hosted
    assert "0.0001" in hosted  # S47: the chapter's learning rate


def test_stages_say_where_a_use_case_stands(story, use_case, editor):
    from decisions.services import create_use_case

    empty = create_use_case(actor=editor, team=use_case.team, name="Empty")
    with CaptureQueriesContext(database) as seen:
        found = lifecycle.states([use_case, empty])
    assert len(seen) <= 5
    assert found[empty.pk].state == "later"
    assert "test rows, look 1" in found[use_case.pk].headline
    trained = train_stage.states([use_case, empty])
    assert (trained[use_case.pk].state, trained[use_case.pk].action) == ("next", "Train a model")
