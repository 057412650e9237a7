"""The pages: who may see them, what they say, what a form does, and how many queries it takes."""

from __future__ import annotations

import json
import re
from html import escape

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from decisions import services
from decisions.domain.examples import EXAMPLES
from decisions.forms import UseCaseForm
from decisions.models import Decision, RoiAnalysis, UseCase
from foundation.teams.models import AuditEvent
from foundation.teams.testing import assert_route_guarded

pytestmark = pytest.mark.django_db

TEAM_PAGES = ("use-case-list", "use-case-create")
ROW_PAGES = ("use-case-detail", "use-case-edit", "use-case-archive", "decision-preview", "roi-create")
NUMBERED = ("decision-detail", "decision-export", "roi-detail", "roi-cash-flow")


def url(name: str, *args: object) -> str:
    return reverse(f"decisions:{name}", args=args)


def form_of(use_case: UseCase, **changes: object) -> dict[str, object]:
    """What the browser would send from the form as it stands, with `changes`."""
    form = UseCaseForm.of(use_case)
    data = {}
    for name in form.fields:
        value = form[name].value()
        if value is True:
            data[name] = "on"
        elif value not in (False, None):
            data[name] = value
    return {**data, **changes}


@pytest.fixture
def answered(editor, use_case):
    services.decide(actor=editor, use_case=use_case)
    services.analyse_roi(actor=editor, use_case=use_case)
    return use_case


@pytest.mark.parametrize("name", [*TEAM_PAGES, *ROW_PAGES, *NUMBERED])
def test_every_page_serves_whom_its_route_says(client, team, answered, outsider, viewer, editor, name):
    args = (team.slug,) if name in TEAM_PAGES else (answered.pk,) if name in ROW_PAGES else (answered.pk, 1)
    methods = ("POST",) if name == "use-case-archive" else ("GET", "POST")
    assert_route_guarded(
        client, url(name, *args), outsider=outsider, viewer=viewer, editor=editor, methods=methods
    )


@pytest.mark.parametrize("who", ["editor", "viewer"])
def test_u02_every_page_has_exactly_one_primary_button(request, client_for, team, editor, answered, who):
    client = client_for(request.getfixturevalue(who))
    blank = UseCase.objects.create(team=team, name="blank")
    away = services.archive_use_case(actor=editor, use_case=UseCase.objects.create(team=team, name="away"))
    pages = [
        url("use-case-list", team.slug),
        url("stuck"),
        url("use-case-list", team.slug) + "?show=archived",
    ]
    pages += [url(n, row.pk) for row in (answered, blank) for n in ("use-case-detail", "decision-preview")]
    pages += [url("use-case-detail", away.pk), url("decision-preview", away.pk)]
    pages += [url("decision-detail", answered.pk, 1), url("roi-detail", answered.pk, 1)]
    if who == "editor":
        pages += [
            url("use-case-create", team.slug),
            url("use-case-edit", blank.pk),
            url("roi-create", blank.pk),
        ]
    for page in pages:
        html = client.get(page).content.decode()
        n = len(re.findall(r'class="btn[^"]*\bprimary\b', html))
        assert n == 1, page


def test_u07_an_empty_list_says_what_why_and_one_action(client_for, editor, team):
    html = client_for(editor).get(url("use-case-list", team.slug)).content.decode()
    assert "Begin with what you want a model to do" in html
    assert html.count("btn primary") == 1


def test_a_use_case_begins_with_three_answers_and_a_double_press_makes_one(client_for, editor, team):
    client = client_for(editor)
    page = client.get(url("use-case-create", team.slug)).content.decode()
    press = re.search(r'name="press" value="(\w+)"', page).group(1)
    data = {"name": "Tickets", "description": "Sort them.", "task_kind": "classify", "press": press}
    first = client.post(url("use-case-create", team.slug), data)
    second = client.post(url("use-case-create", team.slug), data)
    use_case = UseCase.objects.get()
    assert first.url == second.url == url("use-case-edit", use_case.pk)


def test_s79_an_example_starts_with_all_its_facts(client_for, editor, team):
    client = client_for(editor)
    for example in EXAMPLES:
        page = client.get(url("use-case-create", team.slug), {"from": example.key}).content.decode()
        assert escape(example.name) in page
    data = {"name": "Ours", "description": "", "task_kind": "answer", "example": "support", "press": "a"}
    response = client.post(url("use-case-create", team.slug), data)
    use_case = UseCase.objects.get()
    assert response.url == url("decision-preview", use_case.pk)
    assert use_case.has_knowledge_base


def test_a_taken_name_comes_back_at_its_field_with_what_was_typed(client_for, editor, team, use_case):
    data = {"name": "support", "description": "mine", "task_kind": "write", "press": "b"}
    response = client_for(editor).post(url("use-case-create", team.slug), data)
    assert response.status_code == 422
    html = response.content.decode()
    assert "already" in html
    assert "mine" in html


def test_changing_the_answers_leads_to_the_answer_and_saves_every_kind_of_field(
    client_for, editor, viewer, use_case
):
    data = form_of(
        use_case,
        data_quality="low",
        expected_gain="12.5",
        prompt_solves_it="no",
        labels="billing: an invoice\nother",
        value_per_improved="0.0274",
        rate_rag_monthly="0",
        owner=str(viewer.pk),
    )
    response = client_for(editor).post(url("use-case-edit", use_case.pk), data)
    assert response.url == url("decision-preview", use_case.pk)
    use_case.refresh_from_db()
    assert use_case.data_quality == "low"
    assert use_case.owner == viewer
    assert str(use_case.expected_gain) == "0.1250"
    assert use_case.prompt_solves_it is False
    assert use_case.labels[0] == {"name": "billing", "definition": "an invoice"}
    assert use_case.value_per_improved_microusd == 27_400
    assert use_case.rates["rag"] == {"monthly_microusd": 0}
    # Rates that stayed as the example set them are still the team's own.
    assert use_case.rates["prompt_engineering"] == {"per_request_microusd": 5_000}


def test_the_form_sent_back_unchanged_changes_nothing(client_for, editor, team, use_case):
    client_for(editor).post(url("use-case-edit", use_case.pk), form_of(use_case))
    use_case.refresh_from_db()
    assert use_case.version == 1


def test_u31_two_people_editing_see_the_conflict_and_lose_nothing(client_for, editor, use_case):
    client = client_for(editor)
    mine = form_of(use_case, volume_per_day="77")
    services.update_use_case(actor=editor, use_case=use_case, version=1, volume_per_day=99)
    response = client.post(url("use-case-edit", use_case.pk), mine)
    html = response.content.decode()
    assert response.status_code == 409
    assert "<ins>77</ins>" in html
    assert "<del>99</del>" in html
    use_case.refresh_from_db()
    assert use_case.volume_per_day == 99
    # Sent again, on the version now seen, mine is saved knowingly.
    again = {**mine, "version": re.search(r'name="version" value="(\d+)"', html).group(1)}
    assert client.post(url("use-case-edit", use_case.pk), again).status_code == 302
    use_case.refresh_from_db()
    assert use_case.volume_per_day == 77


def test_u31_what_only_the_other_changed_is_taken_over_and_not_put_back(client_for, editor, use_case):
    client = client_for(editor)
    page = client.get(url("use-case-edit", use_case.pk))
    begun = page.context["begun"]
    assert escape(begun) in page.content.decode()
    mine = form_of(use_case, volume_per_day="77", requires_citations="on", begun=begun)
    services.update_use_case(
        actor=editor,
        use_case=use_case,
        version=1,
        volume_per_day=99,
        data_quality="low",
        domain_specific=False,
    )
    response = client.post(url("use-case-edit", use_case.pk), mine)
    html = response.content.decode()
    # Both changed the volume: that is the conflict. Quality and domain are the other's, citations mine.
    assert response.context["differing"] == [("Requests a day", "77", "99")]
    assert response.context["theirs"] == [("Data quality", "low"), ("A domain of its own", "no")]
    assert "taken over into the form below" in html
    again = {k: v for k, v in response.context["form"].data.items() if k != "csrfmiddlewaretoken"}
    assert client.post(url("use-case-edit", use_case.pk), again).status_code == 302
    use_case.refresh_from_db()
    assert (use_case.volume_per_day, use_case.data_quality) == (77, "low")
    assert (use_case.requires_citations, use_case.domain_specific) == (True, False)
    # Large figures that differ in their last digit differ.
    use_case = services.update_use_case(
        actor=editor, use_case=use_case, version=use_case.version, volume_per_day=12_345_678
    )
    late = form_of(use_case, volume_per_day="12345679", version="1", begun="{}")
    assert ("Requests a day", "12345679", "12345678") in client.post(
        url("use-case-edit", use_case.pk), late
    ).context["differing"]
    # Nonsense in the hidden field only means that nobody knows what the form began with.
    odd = form_of(use_case, volume_per_day="5", version="1", begun="{]")
    assert client.post(url("use-case-edit", use_case.pk), odd).status_code == 409


def test_a_form_that_came_back_with_a_wrong_figure_undoes_nothing_that_others_saved(
    client_for, editor, use_case
):
    client = client_for(editor)
    begun = client.get(url("use-case-edit", use_case.pk)).context["begun"]
    services.update_use_case(actor=editor, use_case=use_case, version=1, data_quality="low")
    wrong = form_of(UseCase.objects.get(), version="1", data_quality="high", begun=begun, volume_per_day="-3")
    back = client.post(url("use-case-edit", use_case.pk), wrong)
    assert (back.status_code, back.context["begun"]) == (422, begun)
    # Corrected and sent as it came back: the other's quality is taken over, in the open.
    mended = {**wrong, "begun": back.context["begun"], "volume_per_day": "77"}
    joined = client.post(url("use-case-edit", use_case.pk), mended)
    assert joined.status_code == 409
    assert joined.context["theirs"] == [("Data quality", "low")]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"name": " "}, "required"),
        ({"volume_per_day": "-3"}, "greater than or equal to 0"),
        ({"volume_per_day": "a lot"}, "whole number"),
        ({"output_schema": "{"}, "This is not JSON: line 1"),
        ({"output_schema": "[]"}, "JSON object"),
        ({"labels": "a\na"}, "stands there twice"),
        ({"expected_gain": "400"}, "less than or equal to 100"),
        ({"rate_rag_setup": "-1"}, "greater than or equal to 0"),
        ({"owner": "999999"}, "not one of the available choices"),
    ],
)
def test_wrong_input_is_a_sentence_at_the_field_and_the_last_good_answers_stay(
    client_for, editor, use_case, changes, words
):
    response = client_for(editor).post(url("use-case-edit", use_case.pk), form_of(use_case, **changes))
    assert response.status_code == 422
    assert words in response.content.decode()
    use_case.refresh_from_db()
    assert use_case.version == 1


def test_nothing_is_saved_until_somebody_presses_and_twice_is_once(client_for, editor, use_case):
    client = client_for(editor)
    client.get(url("decision-preview", use_case.pk))
    assert not Decision.objects.exists()
    for _ in range(2):
        response = client.post(url("decision-preview", use_case.pk), {"note": "agreed"})
        assert response.url == url("use-case-detail", use_case.pk)
    assert Decision.objects.count() == 1


def test_the_decision_page_shows_every_factor_the_tree_the_matrix_and_the_book(client_for, viewer, answered):
    html = client_for(viewer).get(url("decision-detail", answered.pk, 1)).content.decode()
    for words in (
        "RAG and fine-tuning tie at 1.00, and both are needed",
        "of 1.40 raw",
        "Specialised behaviour",
        "Does a good prompt solve it?",
        "500 good examples or more",
        "Works with 3 to 5 examples",
        "6 to 12 weeks",
        "The book answers RAG",
        "These facts hold fine-tuning back",
        "Hybrid = Fine-tuning plus what retrieval adds",
    ):
        assert words in html, words


def test_the_export_is_the_whole_answer_as_a_file(client_for, viewer, answered):
    response = client_for(viewer).get(url("decision-export", answered.pk, 1))
    assert response["Content-Disposition"] == f'attachment; filename="decision-{answered.pk}-1.json"'
    data = json.loads(response.content)
    assert data["recommendation"] == "hybrid"
    assert data["inputs"]["facts"]["volume_per_day"] == 5_000
    assert data["result"]["verdict"]["margin"] is None


def test_s20_the_return_says_never_shows_four_checks_and_where_it_turns(client_for, viewer, answered):
    html = client_for(viewer).get(url("roi-detail", answered.pk, 1)).content.decode()
    for words in (
        "Never",
        "Month 1",
        "four checks",
        "$0.0274",
        "0.82%",
        "−25.0 months",
        "458,333",
        "$127,600.00",
    ):
        assert words in html, words


def test_a_return_is_worked_out_from_dollars_and_per_cent(client_for, editor, use_case):
    data = {
        "monthly_volume": "300000",
        "current_cost": "0.004",
        "fine_tuned_cost": "0.002",
        "setup_cost": "3000",
        "training_cost": "0",
        "monthly_maintenance": "500",
        "quality_improvement": "25",
        "value_per_improved": "0.5",
        "horizon_months": "12",
        "note": "",
    }
    response = client_for(editor).post(url("roi-create", use_case.pk), data)
    analysis = RoiAnalysis.objects.get()
    assert response.url == url("roi-detail", use_case.pk, 1)
    assert analysis.result["total_value_microusd"] == 448_200_000_000
    bad = client_for(editor).post(
        url("roi-create", use_case.pk), {**data, "horizon_months": "0", "current_cost": "-1"}
    )
    assert bad.status_code == 422
    assert RoiAnalysis.objects.count() == 1


def test_the_cash_flow_is_a_csv_in_dollars(client_for, viewer, answered):
    lines = client_for(viewer).get(url("roi-cash-flow", answered.pk, 1)).content.decode().splitlines()
    assert lines[0] == "month,cost_alone_usd,with_quality_usd"
    assert lines[1] == "0,-5000.00,-5000.00"
    assert lines[13] == "12,-7400.00,127600.00"


def test_archiving_puts_it_away_and_restoring_brings_it_back(client_for, editor, team, use_case):
    client = client_for(editor)
    client.post(url("use-case-archive", use_case.pk))
    link = f'href="{url("use-case-detail", use_case.pk)}"'
    assert link not in client.get(url("use-case-list", team.slug)).content.decode()
    assert link in client.get(url("use-case-list", team.slug) + "?show=archived").content.decode()
    assert "archived" in client.get(url("use-case-detail", use_case.pk)).content.decode()
    assert client.get(url("use-case-edit", use_case.pk)).status_code == 409
    client.post(url("use-case-archive", use_case.pk), {"restore": "1"})
    assert link in client.get(url("use-case-list", team.slug)).content.decode()


def test_what_strangers_wrote_is_text(client_for, editor, team):
    nasty = "<script>alert(1)</script>"
    use_case = services.create_use_case(
        actor=editor, team=team, name=nasty, description=nasty, labels=[{"name": nasty, "definition": nasty}]
    )
    services.decide(actor=editor, use_case=use_case, note=nasty)
    services.record_evidence(use_case=use_case, kind="other_kind", value=nasty, source=nasty)
    client = client_for(editor)
    for page in (
        url("use-case-list", team.slug),
        url("use-case-detail", use_case.pk),
        url("use-case-edit", use_case.pk),
        url("decision-detail", use_case.pk, 1),
        url("roi-create", use_case.pk),
    ):
        html = client.get(page).content.decode()
        assert nasty not in html
        assert "style=" not in html


def test_u05_a_search_answers_with_the_rows_alone(client_for, editor, team, use_case):
    client = client_for(editor)
    whole = client.get(url("use-case-list", team.slug), {"q": "supp"})
    part = client.get(url("use-case-list", team.slug), {"q": "supp"}, headers={"HX-Request": "true"})
    assert "HX-Request" in whole["Vary"]
    assert "<html" in whole.content.decode()
    assert part.content.decode().lstrip().startswith('<section id="use-cases"')
    nothing = client.get(url("use-case-list", team.slug), {"q": "zzz"}).content.decode()
    assert "No use case of that name" in nothing


def test_the_list_pages_by_fifty(client_for, editor, team):
    UseCase.objects.bulk_create(UseCase(team=team, name=f"case {n}") for n in range(60))
    client = client_for(editor)
    first = client.get(url("use-case-list", team.slug)).content.decode()
    assert "case 59" in first
    assert "case 9<" not in first
    after = re.search(r"after=(\d+)", first).group(1)
    assert "case 9<" in client.get(url("use-case-list", team.slug), {"after": after}).content.decode()
    for nonsense in ("-1", "x", "9" * 30):
        assert client.get(url("use-case-list", team.slug), {"after": nonsense}).status_code == 200


def test_pages_ask_at_most_fifteen_queries_at_two_sizes(client_for, editor, team, answered):
    client = client_for(editor)
    pages = [
        url("use-case-list", team.slug),
        url("use-case-detail", answered.pk),
        url("decision-detail", answered.pk, 1),
        url("decision-preview", answered.pk),
        url("roi-detail", answered.pk, 1),
    ]
    counts = []
    for size in (1, 40):
        for n in range(size):
            other = services.create_use_case(actor=editor, team=team, name=f"{size}-{n}")
            services.decide(actor=editor, use_case=other)
            services.record_evidence(
                use_case=answered, kind="measured_gain", value=n / 100, source=f"{size} {n}"
            )
        row = []
        for page in pages:
            client.get(page)
            with CaptureQueriesContext(connection) as queries:
                assert client.get(page).status_code == 200
            row.append(len(queries))
        counts.append(row)
    assert counts[0] == counts[1]
    assert max(counts[1]) <= 15, dict(zip(pages, counts[1], strict=True))


def test_the_palette_finds_a_use_case_by_its_words(rf, editor, outsider, use_case):
    from decisions.search import find

    request = rf.get("/")
    request.user = editor
    assert [found.label for found in find(request, "sup ort", 5)] == ["Support"]
    request.user = outsider
    assert list(find(request, "support", 5)) == []


def test_the_admin_shows_every_table_and_changes_no_saved_answer(client, editor, answered, admin_user):
    admin_user.is_staff = admin_user.is_superuser = True
    admin_user.save()
    client.force_login(admin_user)
    services.record_evidence(use_case=answered, kind="measured_gain", value=0.1, source="x")
    for model in ("usecase", "decision", "roianalysis", "evidence"):
        assert client.get(reverse(f"admin:decisions_{model}_changelist")).status_code == 200
    decision = Decision.objects.get()
    change = reverse("admin:decisions_decision_change", args=[decision.pk])
    assert client.get(change).status_code == 200
    assert client.post(change, {"headline": "mine"}).status_code == 403
    assert client.post(reverse("admin:decisions_decision_delete", args=[decision.pk])).status_code == 403


def test_every_change_is_on_the_record(client_for, editor, team, answered):
    verbs = set(AuditEvent.objects.of(team).values_list("verb", flat=True))
    assert {"use_case.created", "decision.saved", "roi.saved"} <= verbs
