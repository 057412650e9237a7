"""When a schedule is due. Pure: sets of minutes and hours in, instants (UTC) out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

# A date that comes at all comes within 8 years: 29 February, across a century without one.
HORIZON_DAYS = 8 * 366
# A slot taken up this long after its instant is marked late.
LATE_AFTER = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Cron:
    """Every instant whose parts are in all five sets; weekdays count from 0 = Sunday. UTC."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]

    def on(self, day: date) -> bool:
        """Whether the day has any slot."""
        return day.month in self.months and day.day in self.days and day.isoweekday() % 7 in self.weekdays


@dataclass(frozen=True, slots=True)
class Every:
    """Every `seconds` from `start` on; `start` itself is no slot."""

    seconds: int
    start: datetime


Timing = Cron | Every


@dataclass(frozen=True, slots=True)
class Timetable:
    """A schedule as the clock sees it: its timing, since when it counts, and the last slot it had."""

    timing: Timing
    counts_from: datetime
    last_slot: datetime | None = None


@dataclass(frozen=True, slots=True)
class Slot:
    """An instant that is due; `late` when its time is over for more than a minute."""

    at: datetime
    late: bool = False


def due_slots(schedule: Timetable, now: datetime) -> tuple[Slot, ...]:
    """The slots to run at `now`: none, or the latest one not yet run.

    However many were missed, one run makes up for them, marked late. A clock set back runs nothing twice.
    """
    latest = last_before(schedule.timing, now)
    if latest is None or latest <= schedule.counts_from:
        return ()
    if schedule.last_slot is not None and latest <= schedule.last_slot:
        return ()
    return (Slot(latest, late=now - latest > LATE_AFTER),)


def next_runs(timing: Timing, now: datetime, n: int = 5) -> tuple[datetime, ...]:
    """The next `n` instants after `now`; fewer, or none, when the timing never comes."""
    found: list[datetime] = []
    for instant in _forward(timing, now):
        found.append(instant)
        if len(found) == n:
            break
    return tuple(found)


def last_before(timing: Timing, now: datetime) -> datetime | None:
    """The latest slot at or before `now`; None when there was none within the horizon."""
    now = now.astimezone(UTC)
    if isinstance(timing, Every):
        steps = int((now - timing.start).total_seconds() // timing.seconds)
        return timing.start + timedelta(seconds=steps * timing.seconds) if steps >= 1 else None
    for back in range(HORIZON_DAYS):
        day = (now - timedelta(days=back)).date()
        if not timing.on(day):
            continue
        for hour in sorted(timing.hours, reverse=True):
            for minute in sorted(timing.minutes, reverse=True):
                instant = datetime(day.year, day.month, day.day, hour, minute, tzinfo=UTC)
                if instant <= now:
                    return instant
    return None


def _forward(timing: Timing, now: datetime) -> Iterator[datetime]:
    now = now.astimezone(UTC)
    if isinstance(timing, Every):
        steps = max(0, int((now - timing.start).total_seconds() // timing.seconds))
        while True:
            steps += 1
            yield timing.start + timedelta(seconds=steps * timing.seconds)
    for ahead in range(HORIZON_DAYS):
        day = (now + timedelta(days=ahead)).date()
        if not timing.on(day):
            continue
        for hour in sorted(timing.hours):
            for minute in sorted(timing.minutes):
                instant = datetime(day.year, day.month, day.day, hour, minute, tzinfo=UTC)
                if instant > now:
                    yield instant
