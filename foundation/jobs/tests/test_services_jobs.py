"""A job from start to end in one process: counts, cost, failures, retries, cancel, pause."""

from __future__ import annotations

import asyncio

import pytest

from foundation.jobs import carrying, claiming, services
from foundation.jobs.concurrent import run_apart
from foundation.jobs.domain.states import ItemState, JobState
from foundation.jobs.errors import UnknownKind
from foundation.jobs.kinds import get_kind
from foundation.jobs.models import Job, Shard
from foundation.jobs.tests.kinds import new_ledger, noted
from foundation.teams.errors import Conflict
from foundation.teams.models import AuditEvent, Notice

pytestmark = pytest.mark.django_db


def test_all_items_are_done_once_and_paid_for_once(start, finish, team):
    ledger = new_ledger(team)
    job = finish(start(n=95, ledger=ledger.pk))
    # 95 items in plans of 40 and batches of 10, 3 micro-dollars each; 0² + … + 94² = 94·95·189/6.
    assert (job.state, job.total, job.done, job.failed, job.skipped) == ("succeeded", 95, 95, 0, 0)
    assert job.spent_microusd == 285
    assert job.result == {"sum": 94 * 95 * 189 // 6}
    assert Shard.objects.filter(job=ledger).count() == 95
    assert set(Shard.objects.filter(job=job).values_list("attempts", flat=True)) == {1}
    assert job.settled_at and job.finished_at and job.started_at


def test_a_job_of_nothing_succeeds(start, finish):
    job = finish(start(n=0))
    assert (job.state, job.total, job.result) == ("succeeded", 0, {"sum": 0})


def test_an_unknown_kind_is_refused_when_starting(team, editor):
    with pytest.raises(UnknownKind):
        services.start_job(actor=editor, team=team, kind="no.such", title="x", recipe={})


def test_a_kind_that_vanished_fails_its_jobs_in_one_sentence(start, finish):
    job = start(n=3)
    Job.objects.filter(pk=job.pk).update(kind="test.gone")
    job = finish(job)
    assert job.state == "failed"
    assert "test.gone" in job.error


def test_two_presses_are_one_job_and_a_failed_one_is_no_obstacle(start, finish):
    first = start(n=3, dedupe_key="score:1")
    assert start(n=3, dedupe_key="score:1").pk == first.pk
    finish(first)
    assert start(n=3, dedupe_key="score:1").pk == first.pk
    services.cancel_job(actor=None, job=(other := start(n=3, dedupe_key="score:2")))
    assert start(n=3, dedupe_key="score:2").pk != other.pk


def test_failed_and_skipped_items_are_counted_and_only_failed_ones_are_retried(start, finish, log, editor):
    job = finish(start(n=20, fail=[3, 4], skip=[5], log=log))
    assert (job.state, job.done, job.failed, job.skipped) == ("succeeded", 17, 2, 1)
    assert job.spent_microusd == 17 * 3 + 2
    Job.objects.filter(pk=job.pk).update(recipe={**job.recipe, "fail": [4]})
    job = finish(services.retry_failed(actor=editor, job=job))
    assert (job.state, job.done, job.failed, job.skipped) == ("succeeded", 18, 1, 1)
    assert sorted(noted(log, "ran"), key=int).count("3") == 2
    assert len(noted(log, "ran")) == 22
    assert AuditEvent.objects.filter(verb="job.retried", target_id=str(job.pk)).count() == 1


def test_when_every_item_fails_the_job_fails_with_the_commonest_reason(start, finish):
    job = finish(start(n=3, fail=[0, 1, 2]))
    assert job.state == "failed"
    assert job.error.startswith("3 of 3 items failed. Most often: ")


def test_retrying_what_did_not_fail_is_refused(start, finish, editor):
    job = finish(start(n=2))
    with pytest.raises(Conflict):
        services.retry_failed(actor=editor, job=job)


def test_retrying_beside_a_newer_equal_job_is_refused(start, finish, editor):
    old = finish(start(n=1, fail=[0], dedupe_key="k"))
    start(n=1, dedupe_key="k")
    with pytest.raises(Conflict):
        services.retry_failed(actor=editor, job=old)


def test_an_error_in_one_item_spares_the_others_and_is_tried_three_times(start, finish, log):
    job = finish(start(n=30, crash=[7], log=log), max_seconds=30)
    assert (job.state, job.done, job.failed) == ("succeeded", 29, 1)
    assert noted(log, "ran").count("7") == 3
    cursed = Shard.objects.get(job=job, key="7")
    assert (cursed.state, cursed.attempts, cursed.error) == ("failed", 3, "RuntimeError: number 7 is cursed")


def test_a_refusal_is_definite_once_the_item_is_alone(start, finish, log):
    job = finish(start(n=10, refuse=[2], log=log))
    assert (job.done, job.failed) == (9, 1)
    assert Shard.objects.get(job=job, key="2").error == "Number 2 may not be squared."
    assert noted(log, "ran").count("2") <= 2


def test_all_or_nothing_stops_at_the_first_failure_and_cleans_up_once(start, finish, log):
    job = finish(start("test.all_squares", n=60, fail=[12], log=log))
    assert (job.state, job.error) == ("failed", "12 is unlucky")
    assert len(noted(log, "ran")) < 60
    assert noted(log, "abandoned") == [str(job.pk)]
    with pytest.raises(Conflict):
        services.retry_failed(actor=None, job=job)


def test_planning_that_refuses_fails_the_job_with_its_sentence(start, finish):
    job = finish(start(n=3, plan_error="The file has no rows."))
    assert (job.state, job.error, job.total) == ("failed", "The file has no rows.", 0)


def test_planning_that_crashes_is_tried_three_times(start, finish, monkeypatch):
    monkeypatch.setattr("foundation.jobs.domain.retrying.PAUSES_S", (0.0, 0.0))
    job = finish(start(n=3, plan_crash="the disk is gone"))
    assert (job.state, job.error) == ("failed", "RuntimeError: the disk is gone")


def test_planning_that_kills_its_worker_is_poison_after_three_times(start, finish):
    job = start(n=3)
    # As three dead workers leave it behind.
    Job.objects.filter(pk=job.pk).update(control_attempts=3)
    job = finish(job)
    assert job.state == "failed"
    assert job.error.startswith("poison: ")


def test_planning_twice_from_the_same_cursor_writes_nothing_twice(start, finish):
    job = start(n=100)
    services.work_on(job.pk, turn_s=0)
    job.refresh_from_db()
    assert (job.plan_cursor, job.total, job.state) == (40, 40, "planning")
    # A worker that died after its rows and before its cursor.
    Job.objects.filter(pk=job.pk).update(plan_cursor=0, total=0)
    job = finish(job)
    assert (job.total, job.done) == (100, 100)


def test_finishing_that_refuses_fails_the_job_and_a_retry_finishes_it(start, finish, editor):
    job = finish(start(n=3, finish_error="There is no space left."))
    assert (job.state, job.error, job.done) == ("failed", "There is no space left.", 3)
    Job.objects.filter(pk=job.pk).update(recipe={"n": 3})
    job = finish(services.retry_failed(actor=editor, job=job))
    assert (job.state, job.done, job.error) == ("succeeded", 3, "")


def test_calls_at_once_are_answered_each(start, finish):
    job = finish(start("test.calls", n=30, fail=[4]))
    assert (job.state, job.done, job.failed) == ("succeeded", 29, 1)


def test_remote_work_is_polled_until_it_is_ready(start, finish, log):
    job = finish(start("test.parcel", log=log))
    assert job.state == "succeeded"
    assert len(noted(log, "poll")) == 3
    assert Shard.objects.get(job=job).result == {"arrived": True}


def test_cancelling_what_nobody_works_on_is_immediate(start, editor, finish, log):
    job = services.cancel_job(actor=editor, job=start(n=3, log=log))
    assert job.state == "cancelled"
    finish(job)
    assert noted(log, "ran") == []
    assert noted(log, "abandoned") == [str(job.pk)]
    assert services.cancel_job(actor=editor, job=job).state == "cancelled"


def test_cancelling_what_somebody_works_on_waits_for_them_but_not_for_long(start, editor):
    job = start(n=30)
    services.work_on(job.pk, turn_s=0)
    held = claiming.claim(Job.objects.get(pk=job.pk), get_kind(job.kind))
    job = services.cancel_job(actor=editor, job=job)
    assert job.state == "cancelling"
    assert not carrying.try_to_cancel(job)
    later = job.cancel_asked_at + carrying.CANCEL_GRACE
    assert carrying.try_to_cancel(job, now=later)
    # What the slow worker writes now changes nothing.
    assert held.rows().count() == 0


def test_a_paused_job_stands_still_and_goes_on(start, finish, editor):
    job = start(n=30)
    services.work_on(job.pk, turn_s=0)
    services.pause_job(actor=editor, job=job)
    assert finish(job).state == "paused"
    services.resume_job(actor=editor, job=job)
    job = finish(job)
    assert (job.state, job.done) == ("succeeded", 30)


def test_a_finished_job_can_be_neither_paused_nor_resumed(start, finish, editor):
    job = finish(start(n=1))
    for service in (services.pause_job, services.resume_job):
        with pytest.raises(Conflict):
            service(actor=editor, job=job)


def test_people_are_told_once_when_it_ends(start, finish, editor):
    job = finish(start(n=1, title="Score 1 row"))
    finish(job)
    assert list(Notice.objects.filter(user=editor).values_list("title", flat=True)) == ["Score 1 row: done"]


def test_what_a_job_starts_is_its_part_and_the_whole_speaks_for_both(start, finish, editor):
    job = finish(start(kind="test.whole", title="The whole", part={"n": 3}))
    (part,) = job.parts.all()
    assert (part.state, part.part_of_id, job.part_of_id) == ("succeeded", job.pk, None)
    assert list(Notice.objects.values_list("title", flat=True)) == ["The whole: done"]


def test_a_part_that_failed_speaks_for_itself(start, finish, editor):
    finish(start(kind="test.whole", title="The whole", part={"n": 3, "plan_error": "Nothing to square."}))
    titles = set(Notice.objects.values_list("title", flat=True))
    assert titles == {"The whole: done", "A part: failed"}


def test_cancelling_a_job_cancels_what_it_started(start, editor):
    job = start(kind="test.whole", part={"n": 3}, wait=True)
    services.work_on(job.pk, turn_s=0)
    services.work_on(job.pk, turn_s=0)
    part = job.parts.get()
    assert not part.is_finished
    services.cancel_job(actor=editor, job=job)
    part.refresh_from_db()
    assert part.state == "cancelled"
    verbs = AuditEvent.objects.filter(verb="job.cancelled").values_list("target_id", flat=True)
    assert {str(v) for v in verbs} == {str(job.pk), str(part.pk)}


def test_states_only_move_along_the_table():
    assert not JobState.CANCELLED.may_become(JobState.QUEUED)
    assert {state for state in JobState if state.is_final} == {
        JobState.CANCELLED,
        JobState.SUCCEEDED,
        JobState.FAILED,
    }
    assert ItemState.DONE.label == "Done"


def test_a_worker_that_looked_before_another_settled_the_job_tells_nobody_again(start, finish, editor):
    job = finish(start(n=1, title="Once"))
    # What the slower worker still holds in its hand: the row from before.
    stale = Job.objects.get(pk=job.pk)
    stale.settled_at = None
    carrying.step(stale, threaded=False, hooks=services.HOOKS)
    assert Notice.objects.filter(user=editor, title="Once: done").count() == 1


def test_a_coroutine_is_run_apart_from_a_loop_that_already_runs_here():
    async def inner():
        return "answered"

    async def outer():
        with pytest.raises(RuntimeError):
            asyncio.run(never := inner())
        never.close()
        return run_apart(inner())

    assert asyncio.run(outer()) == "answered"
