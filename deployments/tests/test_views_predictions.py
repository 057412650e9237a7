"""The browser of predictions: what each filter finds, who may see it, and rows on their way to a dataset."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest
from django.urls import reverse

from datasets import services as datasets
from datasets.domain.pii import mask_pii
from datasets.models import Content, Example, Import
from deployments import predictions as browser
from deployments.models import Feedback, Prediction
from deployments.predictions import Filters, found, page_of
from deployments.services.judged import add_to_dataset, not_in
from deployments.tests.test_services_rollouts import id_at
from foundation.files import store
from foundation.teams.errors import BadInput
from foundation.teams.models import AuditEvent
from foundation.teams.testing import assert_route_guarded

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 3, 9, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def own_files(settings, tmp_path):
    settings.FILES_DIR = tmp_path / "files"


def ask(endpoint, text, *, predicted="billing", arm="baseline", at=NOW, said=(), kept=True):
    rng = random.Random(f"{text}{at}{arm}")
    p = Prediction.objects.create(
        id=id_at(at, rng), team_id=endpoint.team_id, endpoint=endpoint, version=endpoint.baseline, arm=arm, at=at,
        status=200, predicted=predicted, prompt_text=text if kept else "", answer_text=predicted, sticky_hash="c1",
    )  # fmt: skip
    for minutes, (label, correct) in enumerate(said):
        moment = at + timedelta(minutes=minutes)
        Feedback.objects.create(
            id=id_at(moment, rng), team_id=endpoint.team_id, endpoint=endpoint, prediction=p, at=moment,
            label=label, is_correct=correct,
        )  # fmt: skip
    return p


@pytest.fixture
def asked(endpoint):
    return {
        "right": ask(endpoint, "my invoice is wrong", said=[("billing", None)]),
        "wrong": ask(endpoint, "where is my parcel", said=[("delivery", None)]),
        "corrected": ask(endpoint, "it never came", said=[("billing", None), ("delivery", None)]),
        "said so": ask(endpoint, "thank you", said=[("", True)]),
        "silent": ask(endpoint, "hello", predicted="delivery", arm="candidate"),
        "old": ask(endpoint, "long ago", at=NOW - timedelta(days=3)),
    }


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, {"right", "wrong", "corrected", "said so", "silent", "old"}),
        ({"arm": "candidate"}, {"silent"}),
        ({"label": "DELIVERY"}, {"silent"}),
        ({"feedback": "any"}, {"right", "wrong", "corrected", "said so"}),
        ({"feedback": "none"}, {"silent", "old"}),
        # The newest word counts: "corrected" was called right first and wrong later.
        ({"feedback": "right"}, {"right", "said so"}),
        ({"feedback": "wrong"}, {"wrong", "corrected"}),
        ({"since": "2026-03-07"}, {"right", "wrong", "corrected", "said so", "silent"}),
        ({"until": "2026-03-06"}, {"old"}),
        ({"until": "9999-12-31", "since": "2026-03-07", "arm": "candidate"}, {"silent"}),
        ({"since": "2026-03-09", "until": "2026-03-09", "feedback": "wrong"}, {"wrong", "corrected"}),
        ({"arm": "nonsense", "since": "2026-99-99", "feedback": "'"}, {"right", "wrong", "corrected", "said so", "silent", "old"}),
    ],
    ids=lambda value: str(sorted(value)) if isinstance(value, set) else str(value),
)  # fmt: skip
def test_each_filter_finds_its_own(endpoint, asked, query, expected):
    names = {p.pk: name for name, p in asked.items()}
    assert {names[p.pk] for p in found(endpoint, Filters.read(query))} == expected


def test_answers_are_compared_as_words_and_never_as_patterns(endpoint):
    """Underscore and per cent are letters of a label; case and outer spaces do not matter, as in what counts as right."""
    ask(endpoint, "one", predicted="a_b", said=[("A_B ", None)])
    ask(endpoint, "two", predicted="axb", said=[("a_b", None)], at=NOW + timedelta(seconds=1))
    texts = [
        [p.prompt_text for p in found(endpoint, Filters(**query))]
        for query in ({"label": "A_b"}, {"label": "%"}, {"feedback": "right"}, {"feedback": "wrong"})
    ]
    assert texts == [["one"], [], ["one"], ["two"]]
    ask(endpoint, "three", predicted="Ärger")
    assert [p.prompt_text for p in found(endpoint, Filters(label="Ärger"))] == ["three"]


def test_what_no_index_knows_is_looked_for_among_the_newest_of_the_days(
    endpoint, monkeypatch, client_for, viewer
):
    monkeypatch.setattr(browser, "MOST", 2)
    for day in range(6):
        at = NOW + timedelta(days=day)
        said = [("billing", None)] if day % 2 else []
        ask(endpoint, f"day {day}", at=at, said=said)
    queries = {
        "answers": ({"label": "billing"}, ["day 5", "day 4"]),
        "older answers": ({"label": "billing", "until": "2026-03-11"}, ["day 2", "day 1"]),
        "right": ({"feedback": "right"}, ["day 5", "day 3"]),
        "judged before": ({"feedback": "any", "until": "2026-03-10"}, ["day 1"]),
        "not judged": ({"feedback": "none"}, ["day 4"]),
        "both": ({"feedback": "right", "label": "billing"}, ["day 5", "day 3"]),
        "neither": ({"arm": "baseline"}, [f"day {n}" for n in range(5, -1, -1)]),
    }
    seen = {
        name: [p.prompt_text for p in found(endpoint, Filters(**asked))]
        for name, (asked, _) in queries.items()
    }
    assert seen == {name: expected for name, (_, expected) in queries.items()}
    page = client_for(viewer).get(
        reverse("deployments:prediction-list", args=[endpoint.pk]), {"feedback": "right"}
    )
    assert b"among the newest 2 judgements" in page.content


def test_pages_follow_each_other_without_a_gap(endpoint):
    made = [ask(endpoint, f"text {i}", at=NOW + timedelta(seconds=i)) for i in range(60)]
    first, cursor = page_of(endpoint, Filters())
    second, end = page_of(endpoint, Filters(), after=str(cursor))
    assert [r["p"].pk for r in first + second] == [p.pk for p in reversed(made)] and end is None
    assert page_of(endpoint, Filters(), after="no key")[0]


@pytest.fixture
def dataset(use_case, team, editor):
    made = datasets.create_dataset(actor=editor, team=team, use_case=use_case, name="Tickets")
    blob = store.put(team=team, stream=b'{"prompt":"x","label":"y"}\n', name="a.jsonl", kind="import")
    source = Import.objects.create(team=team, dataset=made, blob=blob, name="a", state="done")
    content = Content.objects.create(
        team=team, digest=b"1" * 32, prompt="Where is my PARCEL?!", completion="delivery"
    )
    Example.objects.create(
        team=team, dataset=made, source=source, line=1, content=content, label="delivery", state="active"
    )
    return made


def test_judged_rows_are_staged_once_masked_and_never_what_the_dataset_holds(
    endpoint, asked, dataset, editor
):
    again = ask(endpoint, "My invoice is wrong!", at=NOW + timedelta(hours=1), said=[("billing", None)])
    mail = ask(
        endpoint, "write to a.b@example.org please", said=[("billing", None)], at=NOW + timedelta(hours=2)
    )
    unkept = ask(endpoint, "no text", said=[("billing", None)], kept=False, at=NOW + timedelta(hours=3))
    chosen = [p.pk for p in (*asked.values(), again, mail, unkept)]
    added = add_to_dataset(actor=editor, endpoint=endpoint, dataset=dataset, predictions=chosen)
    # 9 chosen. Unknown: silent, old, unkept = 3. Judged 6: "wrong" stands in the dataset, "right" and "again" are one text.
    assert (added.n_rows, added.n_unknown, added.n_held) == (4, 3, 2)
    made = added.import_
    assert (made.state, made.source, made.skip_bad_rows) == ("draft", "feedback", True)
    text = store.path(made.blob).read_text()
    assert "example.org" not in text and mask_pii("write to a.b@example.org please") in text
    shown = datasets.preview(import_=made)
    assert shown.n_good == 4 and set(shown.labels) == {"billing", "delivery"}
    assert AuditEvent.objects.filter(verb="predictions.added_to_dataset").count() == 1
    assert Example.objects.filter(dataset=dataset).count() == 1, "nothing counts before the import is started"


def test_nothing_left_to_add_says_why(endpoint, asked, dataset, editor, team, make_version):
    for chosen, word in (([], "Choose"), ([asked["silent"].pk], "no known right answer")):
        with pytest.raises(BadInput, match=word):
            add_to_dataset(actor=editor, endpoint=endpoint, dataset=dataset, predictions=chosen)
    assert not_in(dataset, []) == []


def test_the_pages(
    client, client_for, endpoint, asked, dataset, outsider, viewer, editor, django_assert_max_num_queries
):
    home = reverse("deployments:prediction-list", args=[endpoint.pk])
    one = reverse("deployments:prediction-detail", args=[asked["wrong"].pk])
    say = reverse("deployments:prediction-feedback", args=[asked["silent"].pk])
    add = reverse("deployments:prediction-add", args=[endpoint.pk])
    for url, methods in ((home, ("GET",)), (one, ("GET",)), (say, ("POST",)), (add, ("POST",))):
        assert_route_guarded(client, url, outsider=outsider, viewer=viewer, editor=editor, methods=methods)
    client_for(editor).get(home)  # the team, the session
    with django_assert_max_num_queries(15):
        seen = client_for(editor).get(home, {"feedback": "wrong"}).content.decode()
    assert "where is my parcel" in seen and "my invoice is wrong" not in seen
    assert "Add all that fit" not in client_for(viewer).get(home).content.decode()
    assert "right answer: <b>delivery</b>" in client_for(viewer).get(one).content.decode()
    client_for(editor).post(say, {"label": "billing"})
    assert Feedback.objects.get(prediction=asked["silent"]).label == "billing"
    assert AuditEvent.objects.filter(verb="feedback.given").count() == 1
    done = client_for(editor).post(add, {"which": "all", "feedback": "wrong", "dataset": dataset.pk})
    made = Import.objects.latest("pk")
    assert done.status_code == 302 and done.url == reverse("datasets:import-detail", args=[made.pk])
    refused = client_for(editor).post(add, {"which": "chosen", "prediction": ["x"], "dataset": dataset.pk})
    assert refused.status_code >= 400 and b"Choose predictions" in refused.content
    other = client_for(editor).post(
        add, {"which": "chosen", "prediction": [str(asked["wrong"].pk)], "dataset": ""}
    )
    assert other.status_code >= 400


@pytest.mark.parametrize(
    "typed", ["²", "9" * 5000, "-1", "x"], ids=["a small two", "too long", "minus", "a letter"]
)
def test_a_dataset_that_is_no_number_is_a_sentence(client_for, editor, endpoint, dataset, typed):
    add = reverse("deployments:prediction-add", args=[endpoint.pk])
    refused = client_for(editor).post(add, {"which": "all", "dataset": typed})
    assert 400 <= refused.status_code < 500 and b"Choose a dataset of this use case" in refused.content


def test_letters_beyond_ascii_have_no_case_either(endpoint):
    right = ask(endpoint, "one", predicted="ÉTÉ", said=[("été ", None)])
    wrong = ask(endpoint, "two", predicted="ÉTÉ", said=[("Ete", None)])
    plain = ask(endpoint, "three", predicted=" Été")
    assert {p.pk for p in found(endpoint, Filters(label="été"))} == {right.pk, wrong.pk, plain.pk}
    assert [p.pk for p in found(endpoint, Filters(feedback="right"))] == [right.pk]
    assert [p.pk for p in found(endpoint, Filters(feedback="wrong"))] == [wrong.pk]
