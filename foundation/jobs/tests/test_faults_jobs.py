"""Real workers and a real queue, killed, frozen and wiped. Nothing accepted is lost, nothing is done twice.

Deadlines instead of sleeps; one worker serves several tests, because starting one takes longer than most of them.
"""

from __future__ import annotations

import os
import signal
import time
from collections import Counter

import pytest
from celery import current_app
from django.test import Client
from django.urls import reverse

from foundation.jobs import doorbell, services
from foundation.jobs.models import Job, Shard, WorkerSeen
from foundation.jobs.tests.kinds import new_ledger, noted
from foundation.jobs.tests.machinery import Portal, own_database, until
from foundation.teams.domain.roles import Role
from foundation.teams.models import Membership, Notice, Team, User

pytestmark = [pytest.mark.faults]


@pytest.fixture(scope="module")
def portal(django_db_blocker, tmp_path_factory):
    """Queue, clock and worker over a database of their own; this process writes to the same one."""
    folder = tmp_path_factory.mktemp("portal")
    with django_db_blocker.unblock(), own_database(folder) as environment:
        yield from _running(Portal(folder, environment))


def _running(machine: Portal):
    machine.queue.start()
    current_app.conf.update(broker_url=machine.queue.url)
    try:
        machine.clock()
        machine.worker()
        yield machine
    finally:
        machine.stop()


@pytest.fixture(autouse=True)
def rings(settings):
    settings.JOBS_DOORBELL = True
    settings.JOBS_TICK_S = 1


@pytest.fixture(scope="module")
def people(portal):
    team = Team.objects.create(slug="faults", name="Faults")
    user = User.objects.create_user("faults@example.org", "correct horse battery")
    Membership.objects.create(team=team, user=user, role=Role.EDITOR)
    return team, user


@pytest.fixture
def begin(people, tmp_path, portal):
    """Start a job that notes what it does and writes its effects to a ledger; the worker is up or coming up."""
    team, user = people
    portal.worker()

    def begin(kind: str = "test.squares", **recipe) -> Job:
        ledger = new_ledger(team)
        log = str(tmp_path / f"log-{ledger.pk}")
        return services.start_job(
            actor=user,
            team=team,
            kind=kind,
            title="Faults",
            recipe={"ledger": ledger.pk, "log": log, **recipe},
        )

    return begin


def settled(job: Job) -> int:
    return Job.objects.get(pk=job.pk).settled


def finished(job: Job, portal: Portal, seconds: float = 120) -> Job:
    """The job once it has ended and is settled."""
    try:
        until(
            lambda: portal.lives() and Job.objects.filter(pk=job.pk, settled_at__isnull=False).exists(),
            seconds,
            "the end of a job",
        )
    except AssertionError as error:
        row = Job.objects.get(pk=job.pk)
        items = Counter(Shard.objects.filter(job=job).values_list("state", flat=True))
        raise AssertionError(
            f"{error}: {row.state} {row.settled}/{row.total} {items}\n{portal.words()}"
        ) from None
    return Job.objects.get(pk=job.pk)


def effects(job: Job) -> Counter[str]:
    return Counter(Shard.objects.filter(job_id=job.recipe["ledger"]).values_list("key", flat=True))


def test_t01_killing_the_whole_worker_five_times_loses_and_doubles_nothing(begin, portal):
    job = begin(n=200, pause_s=0.02)
    kills = 0
    while kills < 5:
        mark = (kills + 1) * 25
        until(
            lambda mark=mark: portal.lives() and settled(job) >= mark, 90, f"{mark} items\n{portal.words()}"
        )
        portal.kill_worker()
        kills += 1
        portal.worker()
    job = finished(job, portal)
    assert (job.state, job.done, job.failed, job.spent_microusd) == ("succeeded", 200, 0, 600)
    assert Shard.objects.filter(job=job, state="done").count() == 200
    assert effects(job) == Counter({str(n): 1 for n in range(200)})
    assert job.result == {"sum": 199 * 200 * 399 // 6}
    assert Notice.objects.filter(url=services.page_of(job)).count() == 1
    assert max(Shard.objects.filter(job=job).values_list("attempts", flat=True)) <= 3


def test_t02_killing_the_working_child_five_times_loses_and_doubles_nothing(begin, portal):
    job = begin(n=100, pause_s=0.03)
    log = job.recipe["log"]
    seen = 0
    for _ in range(5):
        lines = until(lambda seen=seen: _ran_beyond(log, seen + 8), 90, "a child at work")
        os.kill(int(lines[-1].split()[3]), signal.SIGKILL)
        seen = len(lines)
    job = finished(job, portal)
    assert (job.state, job.done, job.failed, job.spent_microusd) == ("succeeded", 100, 0, 300)
    assert effects(job) == Counter({str(n): 1 for n in range(100)})


def _ran_beyond(log: str, n: int) -> list[str]:
    if not os.path.exists(log):
        return []
    with open(log) as lines:
        ran = [line for line in lines if line.startswith("ran ") and line.endswith("\n")]
    return ran if len(ran) > n else []


def test_t04_a_poisonous_item_is_tried_three_times_and_takes_nobody_with_it(begin, portal):
    job = finished(begin(n=100, kill=[50]), portal)
    assert (job.state, job.done, job.failed) == ("succeeded", 99, 1)
    assert noted(job.recipe["log"], "ran").count("50") == 3
    poison = Shard.objects.get(job=job, key="50")
    assert (poison.state, poison.attempts) == ("failed", 3)
    assert poison.error.startswith("poison: ")
    assert effects(job) == Counter({str(n): 1 for n in range(100) if n != 50})


def test_t03_an_item_longer_than_the_lease_runs_once_because_its_worker_speaks(begin, portal):
    # The lease of this portal is 3 s; nothing is yielded for longer than that.
    job = finished(begin(n=2, pause_s=5), portal)
    assert (job.state, job.done) == ("succeeded", 2)
    assert sorted(noted(job.recipe["log"], "ran")) == ["0", "1"]
    assert effects(job) == Counter({"0": 1, "1": 1})


def test_t09_a_cancel_is_acknowledged_at_once_and_quiet_within_ten_seconds(begin, portal, people):
    for share in (10, 50, 90):
        job = begin("test.calls", n=100, pause_s=0.2)
        until(lambda job=job, share=share: settled(job) >= share, 90, f"{share} %")
        asked = time.time()
        job = services.cancel_job(actor=people[1], job=job)
        assert time.time() - asked < 3
        assert job.state in ("cancelling", "cancelled")
        job = finished(job, portal, 30)
        assert job.state == "cancelled"
        assert (job.finished_at.timestamp() - asked) < 10
        # At 90 % the last ten may all have been in flight; what was sent is recorded.
        assert job.done < 100 or share == 90
        assert job.spent_microusd == 3 * job.done == 3 * sum(effects(job).values())
        calls = _times(job.recipe["log"], "call")
        assert max(calls) <= job.finished_at.timestamp()
        assert noted(job.recipe["log"], "abandoned") == [str(job.pk)]


def _times(log: str, word: str) -> list[float]:
    with open(log) as lines:
        return [float(line.split()[2]) for line in lines if line.startswith(f"{word} ")]


def test_a_child_process_is_supervised_ended_on_cancel_and_dies_with_its_worker(begin, portal, people):
    job = begin("test.counting", to=2000, pause_s=0.02)
    until(lambda: Job.objects.get(pk=job.pk).part_done > 0, 90, "progress")
    child = int(_pids(job.recipe["log"])[-1])
    portal.kill_worker()
    until(lambda: not os.path.exists(f"/proc/{child}") or _is_zombie(child), 10, "the child's end")
    portal.worker()
    until(lambda: len(set(_pids(job.recipe["log"]))) > 1, 90, "a second attempt")
    second = int(_pids(job.recipe["log"])[-1])
    services.cancel_job(actor=people[1], job=job)
    job = finished(job, portal, 30)
    assert job.state == "cancelled"
    until(lambda: not os.path.exists(f"/proc/{second}") or _is_zombie(second), 5, "the child's end")


def _pids(log: str) -> list[str]:
    if not os.path.exists(log):
        return []
    with open(log) as lines:
        return [line.split()[3] for line in lines if line.startswith("count ") and line.endswith("\n")]


def _is_zombie(pid: int) -> bool:
    with open(f"/proc/{pid}/stat") as stat:
        return stat.read().rpartition(")")[2].split()[0] == "Z"


def test_t22_a_broker_that_is_frozen_wiped_or_gone_holds_up_no_page_and_loses_no_job(begin, portal, people):
    until(lambda: WorkerSeen.objects.filter(role="worker").exists(), 90, "the worker")
    team, user = people
    client = Client()
    client.force_login(user)
    page = reverse("jobs:job-list", args=[team.slug])
    client.get(page)

    def start_quickly(**recipe) -> Job:
        began = time.monotonic()
        job = begin(**recipe)
        took = time.monotonic() - began
        # The doorbell gives up after a second: whoever waited for it would take longer than this.
        assert took < 0.9, f"starting took {took:.3f} s"
        began = time.monotonic()
        assert client.get(page).status_code == 200
        assert time.monotonic() - began < 0.9
        return job

    portal.queue.freeze()
    frozen = [start_quickly(n=20) for _ in range(3)]
    until(lambda: doorbell._bell.dropped > 0, 15, "the doorbell to give up")
    portal.queue.thaw()
    assert [finished(job, portal).state for job in frozen] == ["succeeded"] * 3

    wiped = [start_quickly(n=40, pause_s=0.02) for _ in range(3)]
    portal.queue.wipe()
    assert [finished(job, portal).state for job in wiped] == ["succeeded"] * 3

    portal.queue.kill()
    gone = [start_quickly(n=20) for _ in range(3)]
    portal.queue.start()
    assert [finished(job, portal).state for job in gone] == ["succeeded"] * 3
    for job in [*frozen, *wiped, *gone]:
        assert set(effects(job).values()) == {1}
        assert len(effects(job)) == job.recipe["n"]


def test_t06_a_job_whose_doorbell_was_never_rung_is_found_by_the_clock(begin, portal, settings):
    settings.JOBS_DOORBELL = False
    assert finished(begin(n=5), portal, 30).state == "succeeded"


def test_a_doorbell_brings_the_work_without_any_clock(begin, portal):
    until(lambda: WorkerSeen.objects.filter(role="worker").exists(), what="the worker")
    portal.stop_clock()
    assert finished(begin(n=1), portal).state == "succeeded"
    portal.clock()


def test_polled_work_is_asked_again_when_it_is_due_without_any_clock(begin, portal):
    until(lambda: WorkerSeen.objects.filter(role="worker").exists(), what="the worker")
    portal.stop_clock()
    job = finished(begin("test.parcel"), portal)
    assert (job.state, len(noted(job.recipe["log"], "poll"))) == ("succeeded", 3)
    portal.clock()


def test_worker_and_clock_are_seen(begin, portal):
    until(lambda: WorkerSeen.objects.filter(role="beat").exists(), 20, "the clock")
    worker = until(
        lambda: WorkerSeen.objects.filter(role="worker").order_by("-seen_at").first(), 20, "the worker"
    )
    assert worker.queues == "default, remote, training"
