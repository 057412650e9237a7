"""Judging through batches: a quote at half the price, one submission whatever dies, unscored rows with their reason."""

from __future__ import annotations

import pytest
from django.urls import reverse

from datasets import judging_jobs, services
from datasets.models import Finding, Judgement, QualityRun
from datasets.services import judging
from datasets.tests.conftest import jsonl, tickets
from foundation.jobs.models import Job, Shard
from foundation.jobs.services import cancel_job, run_until_idle
from foundation.llm.models import Budget, RemoteBatch
from foundation.llm.testing.stub_upstream import StubUpstream
from foundation.llm.tests.conftest import make_connection
from foundation.teams.errors import BadInput

pytestmark = pytest.mark.django_db


@pytest.fixture
def filled(dataset, bring_in):
    bring_in(dataset, jsonl(tickets(40)))
    return dataset


@pytest.fixture
def stub(team):
    with StubUpstream(latency_ms=1) as running:
        make_connection(team, running.url)
        yield running


def start(editor, dataset, **more):
    more = {"how": "all", "in_batches": True, **more}
    return services.start_quality(actor=editor, dataset=dataset, **more)


def test_a_whole_dataset_is_judged_in_one_batch_under_its_quote(filled, editor, stub):
    ids = judging.sample(filled, how="all")
    at_once = services.quote(dataset=filled, example_ids=ids).bound_microusd
    half = services.quote(dataset=filled, example_ids=ids, in_batches=True).bound_microusd
    assert at_once // 4 <= half <= at_once // 4 + len(ids)  # no repair, and half the price
    run = start(editor, filled)
    assert run_until_idle(30)
    run.refresh_from_db()
    run.job.refresh_from_db()
    assert (run.n_sample, run.n_scored, run.in_batches) == (40, 40, True)
    assert (stub.stats()["batches"], stub.calls) == (1, 0)
    assert 0 < run.job.spent_microusd <= run.job.cap_microusd == half
    budget = Budget.objects.get(scope=f"job:{run.job_id}")
    assert (budget.spent_microusd, budget.reserved_microusd) == (run.job.spent_microusd, 0)
    weak = Judgement.objects.filter(run=run, overall__lt=0.7)
    assert Finding.objects.get(run=filled.checks, rule="judged_weak").n_rows == weak.count() > 0


def test_killed_between_submitting_and_looking_nothing_is_submitted_again(filled, editor, stub):
    from foundation.jobs import carrying

    run = start(editor, filled)
    job = Job.objects.get(pk=run.job_id)
    kind_calls = []
    while not RemoteBatch.objects.exists():
        carrying.advance(job.pk, budget_s=0.01, hooks=carrying.Hooks(), on_step=kind_calls.append)
    # The worker died before its answer was written: the item is as if it had never been polled.
    Shard.objects.filter(job=job).update(state="queued", attempts=1, due_at=None, lease_token="")
    assert run_until_idle(30)
    run.refresh_from_db()
    assert (run.n_scored, stub.stats()["batches"]) == (40, 1)
    # and the whole job once more: nothing is asked, nothing is booked twice
    spent = Budget.objects.get(scope=f"job:{job.pk}").spent_microusd
    Shard.objects.filter(job=job).update(state="queued", attempts=0)
    Job.objects.filter(pk=job.pk).update(state="queued", finished_at=None, settled_at=None, done=0)
    before = list(Judgement.objects.filter(run=run).order_by("pk").values_list("overall", "unscored"))
    assert run_until_idle(30)
    assert list(Judgement.objects.filter(run=run).order_by("pk").values_list("overall", "unscored")) == before
    assert stub.stats()["batches"] == 1
    assert Budget.objects.get(scope=f"job:{job.pk}").spent_microusd == spent


def test_a_cap_below_the_bound_sends_nothing_and_says_so(filled, editor, stub):
    run = start(editor, filled, cap_microusd=10)
    assert run_until_idle(30)
    run.refresh_from_db()
    assert (run.n_scored, run.average, stub.stats()["batches"]) == (0, None, 0)
    assert all("could cost" in j.unscored for j in Judgement.objects.filter(run=run))
    assert Budget.objects.get(scope=f"job:{run.job_id}").spent_microusd == 0


def test_a_broken_reply_of_a_batch_is_unscored_and_never_zero(filled, editor, stub):
    stub.stub.script = [
        {"fault": "bad-answer", "contains": "Ticket 7:"},
        {"fault": "expired", "contains": "Ticket 8:"},
    ]
    run = start(editor, filled)
    assert run_until_idle(30)
    run.refresh_from_db()
    assert run.n_scored == 38
    reasons = list(Judgement.objects.filter(run=run, overall=None).values_list("unscored", flat=True))
    assert any("no second try" in reason for reason in reasons)
    assert any("24 hours" in reason for reason in reasons)


def test_cancelled_under_way_the_provider_is_told_and_what_was_not_asked_costs_nothing(filled, editor, stub):
    from foundation.jobs import carrying

    stub.stub.batches.looks = 1000
    run = start(editor, filled)
    job = Job.objects.get(pk=run.job_id)
    while not RemoteBatch.objects.exclude(remote_id="").exists():
        carrying.advance(job.pk, budget_s=0.01, hooks=carrying.Hooks())
    cancel_job(actor=editor, job=job)
    assert run_until_idle(30)
    assert stub.stub.batches.batches["msgbatch_stub_000001"]["cancelled"]
    budget = Budget.objects.get(scope=f"job:{job.pk}")
    assert budget.reserved_microusd > 0  # the provider is still at it
    assert judging_jobs.look_after_ended() == 1
    assert judging_jobs.look_after_ended() == 0
    budget.refresh_from_db()
    assert (budget.spent_microusd, budget.reserved_microusd) == (0, 0)
    run.refresh_from_db()
    assert (run.n_scored, run.average) == (0, None)


@pytest.mark.parametrize("is_known", [True, False])
def test_what_a_cancelled_judging_was_charged_for_is_found_and_counted_once(filled, editor, stub, is_known):
    from foundation.jobs import carrying

    stub.stub.batches.looks = 1000
    run = start(editor, filled)
    job = Job.objects.get(pk=run.job_id)
    while not RemoteBatch.objects.exclude(remote_id="").exists():
        carrying.advance(job.pk, budget_s=0.01, hooks=carrying.Hooks())
    if not is_known:  # as if the answer to the submission had been lost
        RemoteBatch.objects.update(remote_id="")
    cancel_job(actor=editor, job=job)
    assert run_until_idle(30)
    job.refresh_from_db()
    assert job.spent_microusd == 0
    # The cancel came too late: all was answered.
    stub.stub.batches.batches["msgbatch_stub_000001"] |= {"cancelled": False, "looks": 1000}
    assert [judging_jobs.look_after_ended() for _ in range(3)] == [1, 0, 0]
    job.refresh_from_db()
    budget = Budget.objects.get(scope=f"job:{job.pk}")
    assert job.spent_microusd == budget.spent_microusd > 0
    assert budget.reserved_microusd == 0


def test_killed_after_the_answers_were_written_the_cost_is_counted_all_the_same(filled, editor, stub):
    run = start(editor, filled)
    assert run_until_idle(30)
    spent = Budget.objects.get(scope=f"job:{run.job_id}").spent_microusd
    # as if the worker had died between the answers and its word of the cost
    Shard.objects.filter(job=run.job_id).update(state="queued", attempts=1, cost_microusd=0)
    Job.objects.filter(pk=run.job_id).update(
        state="queued", finished_at=None, settled_at=None, done=0, spent_microusd=0
    )
    assert run_until_idle(30)
    assert Job.objects.get(pk=run.job_id).spent_microusd == spent > 0


def test_only_edited_rows_are_asked_about_again(filled, editor, stub):
    first = start(editor, filled)
    assert run_until_idle(30)
    row = first.judgements.select_related("example__content").order_by("overall").first()
    services.edit_example(
        actor=editor, example=row.example, edition=row.example.edition,
        prompt=row.example.content.prompt + " Please help.", completion=row.example.content.completion,
    )  # fmt: skip
    first.refresh_from_db()
    # the kept answers gone: an unedited row keeps its verdict all the same
    from foundation.llm.models import CachedAnswer

    CachedAnswer.objects.all().delete()
    one_row = services.quote(
        dataset=filled, example_ids=judging.same_sample(first)[0], again=first
    ).bound_microusd
    second = services.start_quality(actor=editor, dataset=filled, again=first)
    assert second.job.cap_microusd == one_row
    assert run_until_idle(30)
    second.refresh_from_db()
    assert (second.n_scored, stub.calls, stub.stats()["batches"]) == (40, 1, 1)
    third = services.start_quality(actor=editor, dataset=filled, again=second, in_batches=True)
    assert run_until_idle(30)
    third.refresh_from_db()
    assert (third.n_scored, third.average, stub.stats()["batches"]) == (40, second.average, 1)


def test_samples_are_by_seed_stratified_plain_or_everything(filled, editor, stub):
    assert len(judging.sample(filled, size=9, how="sample")) == 9
    plain = judging.sample(filled, size=9, how="plain", seed="a")
    assert plain == judging.sample(filled, size=9, how="plain", seed="a")
    assert plain != judging.sample(filled, size=9, how="plain", seed="b")
    assert len(judging.sample(filled, how="all")) == 40
    with pytest.raises(BadInput, match="Choose one of the ways"):
        start(editor, filled, how="nothing")


def test_the_page_quotes_what_is_chosen_in_its_address(
    filled, editor, client_for, stub, django_assert_max_num_queries
):
    client = client_for(editor)
    url = reverse("datasets:quality-create", args=[filled.pk])
    client.get(url)
    with django_assert_max_num_queries(15):
        body = client.get(
            url, {"how": "all", "in_batches": "on", "model": "claude-sonnet-5-5"}
        ).content.decode()
    assert "40 rows with claude-sonnet-5-5, in batches" in " ".join(body.split())
    for value in ("9" * 30, "-1", "x", "0"):
        assert client.get(url, {"size": value, "how": value, "model": value}).status_code == 200
    answer = client.post(
        url, {"model": "claude-haiku-5-5", "how": "all", "size": "50", "in_batches": "on", "cap": "1"}
    )
    assert answer.status_code == 302
    assert QualityRun.objects.get().in_batches


def test_verdicts_are_written_one_short_statement_a_row(filled, editor, stub):
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    with CaptureQueriesContext(connection) as seen:
        run = start(editor, filled)
        assert run_until_idle(30)
    run.refresh_from_db()
    assert run.n_scored == 40
    # One statement with a CASE a field for all rows holds SQLite's lock some twenty times as long.
    assert not [
        q for q in seen.captured_queries if "datasets_judgement" in q["sql"] and "CASE WHEN" in q["sql"]
    ]
