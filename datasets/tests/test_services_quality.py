"""Judging a sample by a model: quote, cap, unscored rows, the one gate."""

from __future__ import annotations

import json

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from datasets import services
from datasets.errors import Blocked
from datasets.models import Judgement, QualityRun
from datasets.services import gating, judging, queueing
from datasets.tests.conftest import jsonl, tickets
from foundation.jobs.services import run_until_idle, start_job
from foundation.llm.testing.stub_upstream import StubUpstream
from foundation.llm.tests.conftest import make_connection
from foundation.teams.errors import BadInput

pytestmark = pytest.mark.django_db


@pytest.fixture
def filled(dataset, bring_in):
    bring_in(dataset, jsonl(tickets(90)))
    return dataset


def judge(editor, dataset, team, *, script=(), **more):
    with StubUpstream(latency_ms=1, script=list(script)) as stub:
        make_connection(team, stub.url)
        run = services.start_quality(actor=editor, dataset=dataset, **more)
        assert run_until_idle(60)
        calls = stub.calls
    run.refresh_from_db()
    return run, calls


def test_without_a_connection_there_is_no_quote_and_no_score(filled, editor, client_for, settings):
    settings.ANTHROPIC_API_KEY = ""
    assert services.quote(dataset=filled, example_ids=judging.sample(filled)) is None
    with pytest.raises(BadInput, match="No model is connected"):
        services.start_quality(actor=editor, dataset=filled)
    page = client_for(editor).get(reverse("datasets:quality-create", args=[filled.pk]))
    assert "No model is connected" in page.content.decode()


def test_a_sample_is_judged_under_its_quote(filled, editor, team, client_for):
    run, calls = judge(editor, filled, team)
    assert run.finished_at is not None
    assert (run.n_sample, run.n_scored, calls) == (50, 50, 50)
    assert 0 <= run.low <= run.average <= run.high <= 1
    run.job.refresh_from_db()
    assert 0 < run.job.spent_microusd <= run.job.cap_microusd
    # U30: the quote names what it will come to within 15%, beside what it can come to at most
    rows = [j.example_id for j in Judgement.objects.filter(run=run)]
    quoted = services.quote(dataset=filled, example_ids=rows, model=run.model)
    assert quoted.likely_microusd == pytest.approx(run.job.spent_microusd, rel=0.15)
    assert quoted.likely_microusd < quoted.bound_microusd
    labels = {j.example.label for j in Judgement.objects.filter(run=run).select_related("example")}
    assert labels == {"billing", "card", "login"}
    body = client_for(editor).get(reverse("datasets:quality-detail", args=[run.pk])).content.decode()
    assert run.model in body


def test_asking_for_a_quote_puts_the_choice_into_the_address_and_no_token(filled, editor, team, client_for):
    """The form went by GET: its tokens stood in the address, the history and the logs."""
    with StubUpstream(latency_ms=1) as stub:
        make_connection(team, stub.url)
        client, page = client_for(editor), reverse("datasets:quality-create", args=[filled.pk])
        form = client.get(page).context["form"]
        given = {"model": form.initial["model"], "how": "plain", "size": "7", "cap": "1"}
        secret = {"press": form["press"].value(), "csrfmiddlewaretoken": "s3cret", "quote": "1"}
        answer = client.post(page, {**given, **secret})
        assert answer.headers["Location"] == f"{page}?model={given['model']}&how=plain&size=7"
        shown = client.get(answer.headers["Location"])
        assert "for 7 rows" in shown.content.decode()
        assert shown.context["form"].initial["how"] == "plain"
        assert not filled.quality_runs.exists()
        writing = reverse("datasets:write", args=[filled.pk])
        answer = client.post(writing, {"labels": ["card", "login"], "rows_a_label": "3", **secret})
        assert answer.headers["Location"] == f"{writing}?labels=card&labels=login&rows_a_label=3"


def test_a_cap_of_nothing_leaves_every_row_unscored_with_its_reason(filled, editor, team):
    run, calls = judge(editor, filled, team, cap_microusd=0, size=10)
    assert calls == 0
    assert run.n_scored == 0
    assert run.average is None
    reasons = set(Judgement.objects.filter(run=run).values_list("unscored", flat=True))
    assert len(reasons) == 1
    assert reasons.pop()


def test_broken_replies_are_unscored_and_never_zero(filled, editor, team):
    run, calls = judge(editor, filled, team, script=[{"fault": "bad-answer"}], size=6)
    assert calls == 12  # each reply is asked for once more
    assert (run.n_scored, run.average) == (0, None)
    assert all(j.overall is None and "twice" in j.unscored for j in Judgement.objects.filter(run=run))


def test_the_same_sample_again_is_free_where_nothing_changed(filled, editor, team):
    with StubUpstream(latency_ms=1) as stub:
        make_connection(team, stub.url)
        first = services.start_quality(actor=editor, dataset=filled, size=8)
        assert run_until_idle(60)
        before = stub.calls
        judged = first.judgements.select_related("example__content").first()
        example = judged.example
        services.edit_example(
            actor=editor,
            example=example,
            edition=example.edition,
            prompt=example.content.prompt + " Please help me with it.",
            completion=example.content.completion,
        )
        first.refresh_from_db()
        second = services.start_quality(actor=editor, dataset=filled, again=first)
        assert run_until_idle(60)
        assert stub.calls == before + 1
    second.refresh_from_db()
    assert second.n_scored == 8


def test_a_low_average_stops_freezing_until_a_reason_is_written(filled, editor, team):
    run, _ = judge(editor, filled, team, size=20)
    type(run).objects.filter(pk=run.pk).update(average=0.65)
    assert {"size", "quality", "review"} == {b["rule"] for b in services.blockers(filled)}
    with pytest.raises(Blocked, match=r"Dataset quality too low: 0\.65"):
        services.start_freeze(actor=editor, dataset=filled)


def _finished(dataset, average, **more):
    from django.utils import timezone

    from datasets.models import QualityRun

    return QualityRun.objects.create(
        team=dataset.team, dataset=dataset, model="m", prompt_version="p", seed="s", average=average,
        finished_at=timezone.now(), **{"n_sample": 50, "n_scored": 50, **more},
    )  # fmt: skip


@pytest.mark.parametrize(
    "later",
    [
        {"average": None, "n_scored": 0},
        {"average": 0.9, "n_scored": 1},
        {"average": 0.9, "n_scored": 39},
        {"average": 0.9, "n_sample": 1, "n_scored": 1},
        {"average": 0.9, "how": "again"},
    ],
    ids=["cancelled", "one row", "39 of 50", "a sample of one", "asked again"],
)
def test_a_judging_that_says_little_lifts_no_gate(filled, later):
    _finished(filled, 0.5)
    run = _finished(filled, **later)
    assert "quality" in {b["rule"] for b in services.blockers(filled)}
    assert services.standing_judging(filled) != run
    _finished(filled, 0.8, n_scored=40)  # 80 % of 50
    assert "quality" not in {b["rule"] for b in services.blockers(filled)}


def test_rows_that_speak_to_their_judge_switch_no_gate_off(filled, editor, team):
    run, _ = judge(editor, filled, team, size=20)
    Judgement.objects.filter(run=run).update(overall=0.2)
    told = Judgement.objects.filter(run=run).order_by("pk").values_list("pk", flat=True)[:5]
    Judgement.objects.filter(pk__in=list(told)).update(suspicious=True)
    run = judging.finish_quality(job=run.job)
    # 20 answered, 5 of them not believed: 15 of 20 are 75 %, and the judging speaks all the same
    assert (run.n_scored, run.n_suspicious, run.n_answered) == (15, 5, 20)
    assert services.standing_judging(filled) == run
    assert "quality" in {b["rule"] for b in services.blockers(filled)}
    headline = filled.checks.findings.get(rule="judged_weak").headline
    assert headline == "20 of 20 judged rows are below 0.7"
    # five believed rows stop, and lift nothing
    _finished(filled, 0.9, n_sample=100, n_scored=5, n_suspicious=95)
    assert services.standing_judging(filled) == run
    worse = _finished(filled, 0.1, n_sample=100, n_scored=5, n_suspicious=95)
    assert services.standing_judging(filled) == worse


@pytest.mark.parametrize(
    "kinds",
    [
        pytest.param(
            (["contradictory"], ["wrong", "unclear"], ["other"], ["incomplete"]), id="by the kinds it names"
        ),
        pytest.param((None, None, None, None), id="by the words of a judge that named none"),
    ],
)
def test_a_row_called_contradictory_or_unclear_is_reported_whatever_its_score(filled, editor, team, kinds):
    run, _ = judge(editor, filled, team, size=20)
    short = {"issues": ["The answer is a little short."], "kinds": kinds[3]}
    Judgement.objects.filter(run=run).update(overall=0.9, **short)
    told = list(Judgement.objects.filter(run=run).order_by("pk")[:3])
    for row, overall, issue, named in zip(
        told,
        (0.75, 0.8, 0.3),
        ("The answer contradicts the question.", "The prompt is not entirely clear.", "It is rude."),
        kinds[:3],
        strict=True,
    ):
        Judgement.objects.filter(pk=row.pk).update(overall=overall, issues=[issue], kinds=named)
    judging.finish_quality(job=run.job)
    finding = filled.checks.findings.get(rule="judged_weak")
    assert finding.headline == (
        "1 of 20 judged rows is below 0.7, and 2 above it are called contradictory or unclear"
    )
    assert list(finding.rows.order_by("id").values_list("example_id", "note")) == [
        (told[2].example_id, "0.30: It is rude."),
        (told[0].example_id, "0.75: The answer contradicts the question."),
        (told[1].example_id, "0.80: The prompt is not entirely clear."),
    ]


def test_kinds_of_issues_are_kept_with_a_verdict_and_made_up_ones_are_not(filled, editor, team):
    said = '{"clarity": 1, "quality": 1, "relevance": 1, "completeness": 1, "overall": 0.9, "issues": ["Two meanings."]'
    script = [
        {"fault": "say", "nth": 1, "text": said + ', "kinds": ["unclear", "ambiguous"]}'},
        {"fault": "say", "nth": 2, "text": said + "}"},
    ]
    run, _ = judge(editor, filled, team, size=2, script=script)
    rows = Judgement.objects.filter(run=run).order_by("pk")
    assert {json.dumps(row.kinds) for row in rows} == {'["unclear"]', "null"}
    finding = filled.checks.findings.get(rule="judged_weak")
    assert list(finding.rows.values_list("example_id", flat=True)) == [
        row.example_id for row in rows if row.kinds == ["unclear"]
    ]


def test_judge_again_pressed_twice_is_one_paid_job(filled, editor, team, client_for):
    from datasets.models import QualityRun

    run, _ = judge(editor, filled, team)
    client = client_for(editor)
    page = client.get(reverse("datasets:quality-detail", args=[run.pk])).content.decode()
    press = page.split('name="press" value="')[1].split('"')[0]
    url = reverse("datasets:quality-again", args=[run.pk])
    first = client.post(url, {"press": press})
    # The first is over before the second press comes.
    assert run_until_idle(30)
    assert client.post(url, {"press": press})["Location"] == first["Location"]
    assert QualityRun.objects.count() == 2


def test_pages_show_the_judging_at_the_gate_and_link_the_newest(filled, editor, client_for):
    """The page once showed 0.93 of rows somebody had mended, while the gate stood shut on 0.55 of the sample."""
    at_gate = _finished(filled, 0.55)
    again = _finished(filled, 0.93, how="again", n_sample=3, n_scored=3)
    assert gating.judgings(filled) == (at_gate, again)
    client = client_for(editor)
    detail = client.get(reverse("datasets:dataset-detail", args=[filled.pk])).content.decode()
    card = detail[detail.index("Quality by a model") : detail.index("Versions</h2>")]
    report = client.get(reverse("datasets:report", args=[filled.pk])).content.decode()
    help_card = report[report.index("Quality too low: what to do") :]
    for part in (card, help_card):
        assert "0.55" in part
        assert "0.93 on average, does not count at the gate: it asked about rows that were mended" in part
        first, second = (
            part.index(reverse("datasets:quality-detail", args=[r.pk])) for r in (at_gate, again)
        )
        assert first != second
    assert "This one stands at the gate." in card
    newest = _finished(filled, 0.8)
    assert gating.judgings(filled) == (newest, None)
    QualityRun.objects.all().delete()
    assert gating.judgings(filled) == (None, None)
    waiting = QualityRun.objects.create(team=filled.team, dataset=filled, model="m", seed="s", n_sample=9)
    assert gating.judgings(filled) == (None, waiting)
    assert (
        "A model is looking at 9 rows"
        in client.get(reverse("datasets:dataset-detail", args=[filled.pk])).content.decode()
    )


def test_a_review_takes_weak_rows_of_the_judging_at_the_gate_too(filled, editor, team):
    at_gate = _finished(filled, 0.55)
    rows = list(filled.examples.order_by("pk")[:3])
    job = start_job(
        actor=editor,
        team=team,
        kind="datasets.quality",
        title="x",
        recipe={"run": at_gate.pk, "examples": []},
    )
    for run, row, score in ((at_gate, rows[0], 0.2), (at_gate, rows[1], 0.9)):
        Judgement.objects.create(
            run=run, job=job, position=row.pk, example=row, content_id=row.content_id, overall=score
        )
    again = _finished(filled, 0.9, how="again", n_sample=1, n_scored=1)
    Judgement.objects.create(
        run=again, job=job, position=0, example=rows[2], content_id=rows[2].content_id, overall=0.4
    )
    weak = [key for key, need in queueing.needed(filled, 50) if need == "low_score"]
    assert weak == [rows[0].pk, rows[2].pk]
    # mended since: what the model said of the old text is no reason any more
    services.edit_example(
        actor=editor, example=rows[0], edition=1, prompt="mended", completion=rows[0].content.completion
    )
    assert [key for key, need in queueing.needed(filled, 50) if need == "low_score"] == [rows[2].pk]


@pytest.mark.parametrize("in_batches", [False, True], ids=["at once", "in batches"])
def test_over_a_large_dataset_the_job_draws_the_sample_and_the_page_estimates(
    filled, editor, team, client_for, monkeypatch, in_batches
):
    expected = judging.sample(filled, size=20)
    monkeypatch.setattr(judging, "MOST_ROWS", 50)
    monkeypatch.setattr(judging, "PROBED", 10)
    url = reverse("datasets:quality-create", args=[filled.pk])
    with StubUpstream(latency_ms=1) as stub:
        make_connection(team, stub.url)
        client = client_for(editor)
        client.get(url, {"size": 20})
        with CaptureQueriesContext(connection) as asked:
            page = client.get(url, {"size": 20}).content.decode()
        assert "Told from the first and the newest rows" in page
        # 20 of the 90 rows at most in any answer: nothing goes over all of them
        of_rows = [
            q["sql"] for q in asked if "datasets_example" in q["sql"] or "datasets_content" in q["sql"]
        ]
        assert of_rows and all("LIMIT" in sql or " IN (" in sql for sql in of_rows), of_rows
        run = services.start_quality(actor=editor, dataset=filled, size=20, in_batches=in_batches)
        assert "examples" not in run.job.recipe
        assert run_until_idle(60)
    run.refresh_from_db()
    run.job.refresh_from_db()
    assert run.job.recipe["examples"] == expected  # the same rows and seed: the same sample, whoever draws it
    assert list(run.judgements.order_by("position").values_list("example_id", flat=True)) == expected
    assert (run.n_sample, run.n_scored) == (20, 20)
    assert run.job.spent_microusd <= run.job.cap_microusd
