"""Work by the clock: each slot once, whoever asks; a broken row delays nobody."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction
from django.urls import reverse
from django.utils import timezone

from foundation.jobs import chores, clock, crontabs, schedules
from foundation.jobs.chores import Chore, register_chores
from foundation.jobs.models import Job, Schedule, ScheduleSlot
from foundation.jobs.tests.kinds import Squares
from foundation.teams.errors import BadInput
from foundation.teams.models import AuditEvent
from foundation.teams.testing import assert_route_guarded

pytestmark = pytest.mark.django_db


@pytest.fixture
def schedule(team, admin_user):
    return schedules.create_schedule(
        actor=admin_user, team=team, name="Nightly", kind="test.squares", interval_s=60, recipe={"n": 2}
    )


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("0 0 31 2 *", id="31 February never comes"),
        pytest.param("0 0 30,31 2 *", id="nor does the 30th"),
        pytest.param("*/0 * * * *", id="every zeroth minute"),
        pytest.param("60 * * * *", id="minute 60"),
        pytest.param("* * * *", id="four parts"),
        pytest.param("* * * * * *", id="six parts"),
        pytest.param("", id="nothing"),
        pytest.param("* " * 500_000, id="a million characters"),
        pytest.param("a b c d e", id="letters"),
        pytest.param("0 0 1 * 1", id="a day of the month and of the week"),
        pytest.param("0 0 * * 8", id="an eighth day of the week"),
        pytest.param("1-0-5 * * * *", id="a crooked range"),
        pytest.param("٣ * * * *\x00", id="other digits and a NUL"),
    ],
)
def test_t08_an_impossible_crontab_is_refused_when_saving(text, team):
    with pytest.raises(BadInput) as refused:
        schedules.create_schedule(actor=None, team=team, name="x", kind="test.squares", crontab=text)
    assert refused.value.field == "crontab"
    assert len(str(refused.value)) < 400
    assert not Schedule.objects.exists()


@pytest.mark.parametrize("seconds", [0, 4, -1])
def test_an_interval_that_is_too_short_is_refused(seconds, team):
    with pytest.raises(BadInput):
        schedules.create_schedule(actor=None, team=team, name="x", kind="test.squares", interval_s=seconds)


def test_a_good_crontab_names_its_next_five_runs(team):
    runs = schedules.check(Schedule(team=team, name="x", kind="test.squares", crontab="30 6 * * mon"))
    assert len(runs) == 5
    assert {(run.hour, run.minute, run.isoweekday()) for run in runs} == {(6, 30, 1)}


def test_one_timing_is_given_not_both_nor_none(team):
    for crontab, interval in (("* * * * *", 60), ("", None)):
        with pytest.raises(BadInput):
            schedules.create_schedule(
                actor=None, team=team, name="x", kind="test.squares", crontab=crontab, interval_s=interval
            )
    with pytest.raises(IntegrityError), transaction.atomic():
        Schedule.objects.create(team=team, name="x", kind="test.squares")


def test_a_due_slot_starts_one_job_however_many_clocks_ask(schedule, finish):
    now = schedule.counts_from + timedelta(seconds=61)
    assert [schedules.start_due(now=now) for _ in range(3)] == [1, 0, 0]
    job = Job.objects.get()
    assert (job.kind, job.title, job.created_by) == ("test.squares", "Nightly", None)
    assert ScheduleSlot.objects.get().job == job
    assert finish(job).state == "succeeded"
    assert schedules.start_due(now=now + timedelta(seconds=60)) == 1


def test_a_slot_another_clock_took_in_this_very_moment_starts_nothing(schedule, monkeypatch):
    # Both clocks have asked; the other one's slot is written between our look and our insert.
    slot = schedule.counts_from + timedelta(seconds=60)
    real = schedules.due_slots

    def late_look(table, now):
        found = real(table, now)
        ScheduleSlot.objects.get_or_create(schedule=schedule, slot=slot)
        return found

    monkeypatch.setattr(schedules, "due_slots", late_look)
    assert schedules.start_due(now=slot + timedelta(seconds=1)) == 0
    assert not Job.objects.exists()


def test_a_missed_slot_runs_once_and_is_marked_late(schedule):
    assert schedules.start_due(now=schedule.counts_from + timedelta(hours=3, seconds=90)) == 1
    # 180 slots of a minute were missed; the last of them began 30 s ago, so it is not late itself.
    assert not ScheduleSlot.objects.get().late
    schedules.start_due(now=schedule.counts_from + timedelta(hours=6))
    Schedule.objects.filter(pk=schedule.pk).update(interval_s=3600)
    assert schedules.start_due(now=schedule.counts_from + timedelta(hours=9, minutes=20)) == 1
    late = ScheduleSlot.objects.order_by("-slot").first()
    assert late.late
    assert late.job.title == "Nightly (late)"


def test_t08_a_corrupt_row_delays_nobody_and_says_what_is_wrong(schedule, team):
    for name, crontab in (("31 February", "0 0 31 2 *"), ("nonsense", "☃ * * * *"), ("zero", "*/0 * * * *")):
        Schedule.objects.bulk_create([Schedule(team=team, name=name, kind="test.squares", crontab=crontab)])
    Schedule.objects.bulk_create([Schedule(team=team, name="a gone kind", kind="test.gone", interval_s=30)])
    assert schedules.start_due(now=timezone.now() + timedelta(seconds=70)) == 1
    troubled = dict(Schedule.objects.exclude(trouble="").values_list("name", "trouble"))
    assert set(troubled) == {"31 February", "nonsense", "zero", "a gone kind"}
    assert Job.objects.count() == 1


def test_a_changed_timing_counts_from_now(schedule, admin_user):
    Schedule.objects.filter(pk=schedule.pk).update(counts_from=timezone.now() - timedelta(days=2))
    schedule.refresh_from_db()
    schedules.change_schedule(actor=admin_user, schedule=schedule, enabled=False)
    assert schedules.start_due() == 0
    schedules.change_schedule(actor=admin_user, schedule=schedule, enabled=True)
    assert schedules.start_due() == 0
    event = AuditEvent.objects.filter(verb="schedule.changed").first()
    assert event.fields == ["enabled"]


def test_old_slots_are_pruned(schedule):
    start = schedule.counts_from
    ScheduleSlot.objects.bulk_create(
        ScheduleSlot(schedule=schedule, slot=start + timedelta(minutes=n))
        for n in range(schedules.SLOTS_KEPT + 7)
    )
    assert schedules.prune_slots() == 7
    assert ScheduleSlot.objects.count() == schedules.SLOTS_KEPT


def test_chores_run_by_the_clock_and_a_failing_one_is_noted(monkeypatch):
    ran = []
    monkeypatch.setattr(chores, "_chores", {})

    def fail():
        raise RuntimeError("the broom broke")

    register_chores(
        [Chore("test.sweep", "Sweep", 30, lambda: ran.append(1)), Chore("test.fail", "Fail", 30, fail)]
    )
    monkeypatch.setattr(clock, "_chores_are_written", False)
    clock.tick()
    clock.tick()
    assert Schedule.objects.filter(team=None).count() == 2
    clock.tick(now=timezone.now() + timedelta(seconds=40))
    clock.tick(now=timezone.now() + timedelta(seconds=41))
    assert ran == [1]
    assert ScheduleSlot.objects.get(schedule__kind="test.fail").error == "RuntimeError: the broom broke"


def test_a_part_of_the_tick_that_fails_delays_no_other(monkeypatch, schedule):
    monkeypatch.setattr(clock.claiming, "sweep", lambda **_: 1 / 0)
    clock.tick(now=schedule.counts_from + timedelta(seconds=61))
    assert Job.objects.count() == 1


def test_pages_of_schedules_are_guarded(client, schedule, team, outsider, viewer, editor, admin_user):
    for name, args in (
        ("schedule-list", [team.slug]),
        ("schedule-new", [team.slug]),
        ("schedule-edit", [schedule.pk]),
        ("schedule-delete", [schedule.pk]),
    ):
        url = reverse(f"jobs:{name}", args=args)
        assert_route_guarded(client, url, outsider=outsider, viewer=viewer, editor=editor, admin=admin_user)


def test_an_admin_writes_changes_and_deletes_a_schedule(client_for, admin_user, team, monkeypatch):
    monkeypatch.setattr(Squares, "schedulable", True)
    client = client_for(admin_user)
    new = reverse("jobs:schedule-new", args=[team.slug])
    assert client.get(new).content.decode().count("btn primary") == 1
    bad = client.post(new, {"name": "N", "kind": "test.squares", "crontab": "0 0 31 2 *", "unit": "60"})
    assert bad.status_code == 422
    assert "never" in bad.content.decode()
    both = client.post(
        new, {"name": "N", "kind": "test.squares", "every": "2", "unit": "60", "crontab": "* * * * *"}
    )
    assert "not both" in both.content.decode()
    made = client.post(
        new,
        {
            "name": "N",
            "kind": "test.squares",
            "every": "2",
            "unit": "3600",
            "enabled": "on",
            "recipe": '{"n": 1}',
        },
    )
    assert made.status_code == 302
    schedule = Schedule.objects.get()
    assert (schedule.interval_s, schedule.recipe, schedule.enabled) == (7200, {"n": 1}, True)
    edit = reverse("jobs:schedule-edit", args=[schedule.pk])
    page = client.get(edit).content.decode()
    assert 'value="2"' in page
    assert client.post(edit, {"name": "M", "crontab": "30 6 * * 1", "unit": "60"}).status_code == 302
    schedule.refresh_from_db()
    assert (schedule.name, schedule.crontab, schedule.interval_s, schedule.enabled) == (
        "M",
        "30 6 * * 1",
        None,
        False,
    )
    assert "M" in client.get(reverse("jobs:schedule-list", args=[team.slug])).content.decode()
    assert client.post(reverse("jobs:schedule-delete", args=[schedule.pk])).status_code == 302
    assert not Schedule.objects.exists()


def test_a_schedule_of_the_portal_itself_has_no_page(client_for, admin_user):
    schedule = Schedule.objects.create(team=None, name="x", kind="x", interval_s=60)
    admin_user.is_superuser = True
    admin_user.save()
    assert client_for(admin_user).get(reverse("jobs:schedule-edit", args=[schedule.pk])).status_code == 404


def test_crontab_parts_are_read_as_sets():
    read = crontabs.parse("*/15 8-10 * * 1,3")
    assert sorted(read.minutes) == [0, 15, 30, 45]
    assert sorted(read.hours) == [8, 9, 10]
    assert sorted(read.weekdays) == [1, 3]
