"""Leases: who claims, who has lost, what a late writer may still change (nothing)."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from foundation.jobs import carrying, claiming, clock, outcomes, owners, running, services
from foundation.jobs.errors import LeaseLost
from foundation.jobs.kinds import Kind, Outcome, Plan, get_kind, register_kinds
from foundation.jobs.models import Job, Shard, WorkItem
from foundation.jobs.tests.kinds import new_ledger, noted

pytestmark = pytest.mark.django_db


@pytest.fixture
def planned(start, team):
    """A job with 30 items in the queue, and its ledger."""
    job = start(n=30, ledger=new_ledger(team).pk)
    services.work_on(job.pk, turn_s=0)
    job.refresh_from_db()
    assert job.state == "queued"
    return job


def claim(job: Job):
    return claiming.claim(Job.objects.get(pk=job.pk), get_kind(job.kind))


def test_claiming_is_one_conditional_update_and_no_lock_is_asked_for(planned):
    with CaptureQueriesContext(connection) as asked:
        claim(planned)
    updates = [q["sql"] for q in asked if q["sql"].startswith('UPDATE "jobs_shard"')]
    assert len(updates) == 1
    assert "FOR UPDATE" not in updates[0]
    # PostgreSQL checks the outer condition again after waiting for a row: it must stand there itself.
    outer, depth = "", 0
    for sign in updates[0].split(" WHERE ", 1)[1].strip()[1:]:
        depth += {"(": 1, ")": -1}.get(sign, 0)
        outer += sign if depth == 0 else ""
    assert '"jobs_shard"."state" = ' in outer


def test_two_claims_never_share_an_item(planned):
    first, second = claim(planned), claim(planned)
    assert {i.pk for i in first.items}.isdisjoint({i.pk for i in second.items})
    assert [i.position for i in first.items] == list(range(10))
    claim(planned)
    assert claim(planned) is None


def test_nothing_is_claimed_from_a_paused_or_cancelled_job(planned):
    for state in ("paused", "cancelling", "cancelled", "failed"):
        Job.objects.filter(pk=planned.pk).update(state=state)
        assert claim(planned) is None


def test_a_late_writer_changes_no_row_no_counter_and_no_related_row(planned):
    slow = claim(planned)
    later = timezone.now() + timedelta(seconds=20)
    assert claiming.sweep(now=later) == 10
    quick = claim(planned)
    assert {i.pk for i in slow.items} == {i.pk for i in quick.items}
    answers = [Outcome(item, result={"square": 1}, cost_microusd=9) for item in slow.items]
    assert outcomes.write(slow, answers) == 0
    with pytest.raises(LeaseLost):
        claiming.start(slow, [slow.items[0].pk])
    assert claiming.renew(slow) == 0
    planned.refresh_from_db()
    assert (planned.done, planned.spent_microusd) == (0, 0)
    assert Shard.objects.filter(job_id=planned.recipe["ledger"]).count() == 0
    assert (
        outcomes.write(quick, [Outcome(i, result={"square": 2}, cost_microusd=1) for i in quick.items]) == 10
    )
    planned.refresh_from_db()
    assert (planned.done, planned.spent_microusd) == (10, 10)


def test_an_outcome_given_twice_is_written_once(planned):
    held = claim(planned)
    item = held.items[0]
    assert outcomes.write(held, [Outcome(item, cost_microusd=5), Outcome(item, cost_microusd=5)]) == 1
    assert outcomes.write(held, [Outcome(item, cost_microusd=5)]) == 0
    planned.refresh_from_db()
    assert (planned.done, planned.spent_microusd) == (1, 5)


def test_outcomes_related_rows_and_counters_are_one_transaction(planned, monkeypatch):
    held = claim(planned)
    monkeypatch.setattr(held.kind, "store", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        outcomes.write(held, [Outcome(item) for item in held.items])
    planned.refresh_from_db()
    assert planned.done == 0
    assert held.rows().count() == 10


def test_text_no_database_takes_is_made_plain(planned):
    held = claim(planned)
    outcomes.write(held, [Outcome.failure(held.items[0], "a\x00b\ud800c" + "x" * 900)])
    error = Shard.objects.get(pk=held.items[0].pk).error
    assert error.startswith("ab?c")
    assert len(error) == 500


def test_an_attempt_counts_when_the_item_is_taken_not_when_it_is_claimed(planned):
    run = running.Run(claim(planned))
    assert run.batch.peek()[3].attempts == 0
    assert len(run.batch) == 10
    started = iter(run.batch)
    next(started)
    counts = dict(Shard.objects.filter(job=planned).values_list("position", "attempts"))
    assert (counts[0], counts[1]) == (1, 0)
    assert run.batch[5].position == 5
    assert sum(Shard.objects.filter(job=planned).values_list("attempts", flat=True)) <= 4


def test_slow_items_are_started_one_by_one_and_fast_ones_some_at_a_time(planned, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(running.time, "monotonic", lambda: now[0])
    run = running.Run(claim(planned))
    run._asked_at = 1e9
    widths = []
    for _ in run.batch:
        widths.append(len(run.batch.marked))
        now[0] += 0.6
    assert widths == list(range(1, 11))
    run = running.Run(claim(planned))
    run._asked_at = 1e9
    widths = [len(run.batch.marked) for _ in run.batch]
    # Windows of 1, 2, 4 and the rest.
    assert widths == [1, 3, 3, 7, 7, 7, 7, 10, 10, 10]


def test_what_was_started_and_lost_comes_back_alone_and_what_was_not_in_a_batch(planned):
    held = claim(planned)
    claiming.start(held, [held.items[0].pk, held.items[1].pk])
    claiming.sweep(now=timezone.now() + timedelta(seconds=20))
    sizes = []
    while (more := claim(planned)) is not None:
        sizes.append([i.position for i in more.items])
    assert [len(size) for size in sizes] == [10, 10, 8, 1, 1]
    assert sizes[-2:] == [[0], [1]]


def test_three_lost_attempts_are_poison(planned, finish):
    for _ in range(3):
        Shard.objects.filter(job=planned).exclude(position=0).update(state="done")
        held = claim(planned)
        claiming.start(held, [held.items[0].pk])
        claiming.sweep(now=timezone.now() + timedelta(seconds=20))
    poison = Shard.objects.get(job=planned, position=0)
    assert (poison.state, poison.attempts) == ("failed", 3)
    assert poison.error == "poison: the worker died 3 times while doing this item"
    planned.refresh_from_db()
    assert planned.failed == 1


def test_leases_of_a_dead_process_on_this_machine_are_freed_at_once(planned):
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    child.wait()
    held = claim(planned)
    held.rows().update(lease_owner=f"{owners.host()}:{child.pid}:12345")
    assert claiming.sweep() == 10
    held = claim(planned)
    assert claiming.sweep() == 0
    # Another machine's process number says nothing here.
    held.rows().update(lease_owner=f"elsewhere/1:{child.pid}:12345")
    assert claiming.sweep() == 0


def test_a_number_given_to_another_process_does_not_pass_for_the_owner():
    assert not owners.is_dead(owners.this_process())
    assert owners.is_dead(f"{owners.host()}:{os.getpid()}:1")
    assert not owners.is_dead("nonsense")
    assert not owners.is_dead("")


def test_the_lease_on_a_job_itself_is_freed_too(planned):
    Job.objects.filter(pk=planned.pk).update(
        lease_token="x",
        lease_until=timezone.now() + timedelta(hours=1),
        lease_owner=f"{owners.host()}:999999999:1",
    )
    assert claiming.sweep() == 1
    planned.refresh_from_db()
    assert planned.lease_token == ""


def test_only_one_worker_at_a_time_plans_or_finishes(planned):
    Job.objects.filter(pk=planned.pk).update(state="planning", plan_cursor=0)
    planned.refresh_from_db()
    from foundation.jobs.domain.states import JobState

    first = carrying.take_control(planned, JobState.PLANNING)
    assert first is not None
    assert carrying.take_control(planned, JobState.PLANNING) is None
    first.give_back()
    assert carrying.take_control(planned, JobState.PLANNING) is not None


def test_as_many_doorbells_ring_as_workers_could_help(planned):
    now = timezone.now()
    fresh = Job.objects.get(pk=planned.pk)
    assert clock.rings_wanted(fresh, now=now) == 3
    claim(planned)
    assert clock.rings_wanted(Job.objects.get(pk=planned.pk), now=now) == 2
    Shard.objects.filter(job=planned).update(state="done")
    assert clock.rings_wanted(Job.objects.get(pk=planned.pk), now=now) == 1
    services.pause_job(actor=None, job=planned)
    assert clock.rings_wanted(Job.objects.get(pk=planned.pk), now=now) == 0


def test_a_batch_that_is_cancelled_gives_back_what_it_did_not_do(planned, editor, monkeypatch):
    real = running.Run.take

    def take(self, answer):
        real(self, answer)
        if answer.item.position == 3:
            services.cancel_job(actor=editor, job=planned)
            self._asked_at = -1e9

    monkeypatch.setattr(running.Run, "take", take)
    running.run_claim(claim(planned), threaded=False)
    done = Shard.objects.filter(job=planned, state="done")
    assert done.count() == 4
    assert set(Shard.objects.filter(job=planned, state="queued").values_list("attempts", flat=True)) == {0}
    planned.refresh_from_db()
    assert (planned.state, planned.done) == ("cancelling", 4)


def test_a_kind_that_forgets_an_item_is_not_offered_it_for_ever(team, start, finish, monkeypatch):
    kind = get_kind("test.squares")
    real = type(kind).run

    def forgetful(self, job, items, work):
        for outcome in real(self, job, items, work):
            if outcome.item.key != "1":
                yield outcome

    monkeypatch.setattr(type(kind), "run", forgetful)
    monkeypatch.setattr("foundation.jobs.domain.retrying.PAUSES_S", (0.0, 0.0))
    job = finish(start(n=3))
    assert (job.done, job.failed) == (2, 1)
    assert "without an answer" in Shard.objects.get(job=job, key="1").error


def test_a_kind_that_fails_before_its_first_item_ends(start, finish, monkeypatch):
    def broken(self, job, items, work):
        raise RuntimeError("no model here")
        yield

    monkeypatch.setattr(type(get_kind("test.squares")), "run", broken)
    monkeypatch.setattr("foundation.jobs.domain.retrying.PAUSES_S", (0.0, 0.0))
    job = finish(start(n=3))
    assert job.state == "failed"
    assert "no model here" in job.error


def test_a_kind_must_have_its_own_name_and_items_with_places():
    from django.core.exceptions import ImproperlyConfigured

    class Nameless(Kind):
        pass

    class Thief(Kind):
        name = "test.squares"

    class Placeless(Kind):
        name = "test.placeless"
        item_model = Job  # type: ignore[assignment]

    for cls in (Nameless, Thief, Placeless):
        with pytest.raises(ImproperlyConfigured):
            register_kinds([cls])
    assert issubclass(Shard, WorkItem)
    assert Plan([]).next_cursor is None


def test_a_child_process_reports_progress_and_ends_as_it_is_told(start, finish):
    good = finish(start("test.counting", to=3))
    assert good.state == "succeeded"
    assert Shard.objects.get(job=good).result == {"last": 3, "finished": True}
    bad = finish(start("test.counting", to=1, end="error"))
    assert (bad.state, bad.error) == ("failed", "ValueError: the loss is not a number")
    killed = finish(start("test.counting", to=1, end="killed"))
    assert killed.error.startswith("The system ended the process")


def test_a_child_that_is_deaf_to_the_request_is_ended_all_the_same(start, editor, log, monkeypatch):
    job = start("test.counting", to=500, pause_s=0.02, end="deaf", log=log)
    monkeypatch.setattr(type(get_kind("test.counting")), "grace_s", 0.3)
    real = running.Run.progress

    def progress(self, done, total, step=""):
        real(self, done, total, step)
        if done == 5:
            services.cancel_job(actor=editor, job=job)
            self._asked_at = -1e9

    monkeypatch.setattr(running.Run, "progress", progress)
    assert services.run_until_idle(20)
    job.refresh_from_db()
    assert job.state == "cancelled"
    assert len(noted(log, "count")) < 200


def test_a_claim_that_crosses_a_cancel_begins_nothing(planned, monkeypatch):
    # The cancel commits after the claim's statement has begun and before anybody could see the claim.
    real = claiming._mark_running

    def crossed(job, now):
        real(job, now)
        Job.objects.filter(pk=job.pk).update(state="cancelled")

    monkeypatch.setattr(claiming, "_mark_running", crossed)
    assert claim(planned) is None
    assert not Shard.objects.filter(job=planned, state="running").exists()


def test_the_clock_ends_a_cancel_whose_worker_died(planned, editor):
    held = claim(planned)
    services.cancel_job(actor=editor, job=planned)
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    child.wait()
    held.rows().update(lease_owner=f"{owners.host()}:{child.pid}:1")
    clock.tick()
    planned.refresh_from_db()
    assert planned.state == "cancelled"


def test_a_time_limit_is_said_in_words_and_a_traceback_never():
    from celery.exceptions import SoftTimeLimitExceeded

    assert running.sentence(SoftTimeLimitExceeded(900)).startswith("It took longer")
    assert running.sentence(ValueError("one\ntwo")) == "ValueError: one"
    assert running.sentence(ValueError()) == "ValueError"
