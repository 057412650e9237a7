"""Schedules as pure rules: which slots are due, and when the next ones come."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from foundation.jobs.domain.timing import Cron, Every, Slot, Timetable, due_slots, last_before, next_runs

ALL = frozenset
HOURLY = Cron(ALL({0}), ALL(range(24)), ALL(range(1, 32)), ALL(range(1, 13)), ALL(range(7)))
MINUTELY = Cron(ALL(range(60)), ALL(range(24)), ALL(range(1, 32)), ALL(range(1, 13)), ALL(range(7)))
LEAP_DAY = Cron(ALL({0}), ALL({12}), ALL({29}), ALL({2}), ALL(range(7)))
NEVER = Cron(ALL({0}), ALL({0}), ALL({31}), ALL({2}), ALL(range(7)))
MONDAYS = Cron(ALL({30}), ALL({6}), ALL(range(1, 32)), ALL(range(1, 13)), ALL({1}))


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_a_slot_is_due_from_its_minute_on_and_once():
    table = Timetable(HOURLY, counts_from=at("2026-11-22 08:30"))
    assert due_slots(table, at("2026-11-22 08:59:59")) == ()
    assert due_slots(table, at("2026-11-22 09:00:03")) == (Slot(at("2026-11-22 09:00")),)
    again = Timetable(HOURLY, table.counts_from, last_slot=at("2026-11-22 09:00"))
    assert due_slots(again, at("2026-11-22 09:00:08")) == ()


def test_what_lies_before_the_beginning_is_history():
    assert due_slots(Timetable(HOURLY, counts_from=at("2026-11-22 09:00")), at("2026-11-22 09:10")) == ()


def test_missed_slots_are_made_up_for_once_and_marked_late():
    # Down from 09:30 to 12:20: 10:00, 11:00 and 12:00 were missed; one run, for 12:00, twenty minutes late.
    table = Timetable(HOURLY, at("2026-11-22 00:00"), last_slot=at("2026-11-22 09:00"))
    assert due_slots(table, at("2026-11-22 12:20")) == (Slot(at("2026-11-22 12:00"), late=True),)


def test_a_clock_set_back_runs_nothing_twice_and_one_set_forward_runs_once():
    table = Timetable(MINUTELY, at("2026-11-22 00:00"), last_slot=at("2026-11-22 09:00"))
    assert due_slots(table, at("2026-11-22 08:00")) == ()
    assert due_slots(table, at("2026-11-22 10:00:01")) == (Slot(at("2026-11-22 10:00")),)


@pytest.mark.parametrize("hours", [1, -1], ids=["spring", "autumn"])
def test_summer_time_changes_nothing_because_slots_are_instants(hours):
    # The same instant, written in two offsets, is the same slot.
    zone = timezone(timedelta(hours=2 + hours))
    now = datetime(2026, 3, 29, 3, 0, 5, tzinfo=zone)
    table = Timetable(MINUTELY, now - timedelta(hours=1))
    assert due_slots(table, now) == due_slots(table, now.astimezone(UTC))


def test_minutes_over_a_whole_day_are_each_due_exactly_once():
    now, last, seen = at("2026-03-29 00:00"), None, []
    start = now
    for _ in range(24 * 60 * 3):
        now += timedelta(seconds=20)
        for slot in due_slots(Timetable(MINUTELY, start, last), now):
            seen.append(slot.at)
            last = slot.at
    assert len(seen) == len(set(seen)) == 24 * 60


def test_the_next_runs_of_a_rare_date_are_found():
    assert [run.year for run in next_runs(LEAP_DAY, at("2026-01-01 00:00"), 2)] == [2028, 2032]
    # 2100 is no leap year: eight years lie between 2096 and 2104.
    assert next_runs(LEAP_DAY, at("2096-03-01 00:00"), 1) == (at("2104-02-29 12:00"),)


def test_a_date_that_never_comes_has_no_runs_and_is_never_due():
    assert next_runs(NEVER, at("2026-01-01 00:00")) == ()
    assert last_before(NEVER, at("2026-01-01 00:00")) is None


def test_weekdays_count_from_sunday():
    assert next_runs(MONDAYS, at("2026-11-22 12:00"), 2) == (at("2026-11-23 06:30"), at("2026-11-30 06:30"))
    assert last_before(MONDAYS, at("2026-11-22 12:00")) == at("2026-11-16 06:30")


def test_an_interval_is_counted_from_its_start():
    start = at("2026-11-22 08:00:10")
    every = Every(90, start)
    assert last_before(every, start + timedelta(seconds=89)) is None
    assert last_before(every, start + timedelta(seconds=200)) == start + timedelta(seconds=180)
    assert next_runs(every, start, 2) == (start + timedelta(seconds=90), start + timedelta(seconds=180))
    table = Timetable(every, start, last_slot=start + timedelta(seconds=90))
    assert due_slots(table, start + timedelta(seconds=185)) == (Slot(start + timedelta(seconds=180)),)
