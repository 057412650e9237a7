"""Crontab texts, read by Celery's parser and handed on as plain sets. The only place that knows that parser."""

from __future__ import annotations

import re
from datetime import datetime

from celery.schedules import ParseException, crontab

from foundation.jobs.domain.timing import Cron, Every, Timetable, Timing, next_runs
from foundation.jobs.models import Schedule
from foundation.teams.errors import BadInput

LONGEST = 100
SHORTEST_INTERVAL_S = 5
# Celery's parser forgives more than people mean.
TERM = re.compile(r"(\*|[0-9]{1,2}(-[0-9]{1,2})?|[a-z]{3}(-[a-z]{3})?)(/[0-9]{1,2})?", re.ASCII)


def parse(text: str) -> Cron:
    """The crontab's sets. Five fields, in UTC. Raises BadInput with a sentence."""
    if len(text) > LONGEST:
        raise BadInput(
            f"A crontab has at most {LONGEST} characters, this one has {len(text):,}.", field="crontab"
        )
    parts = text.split()
    if len(parts) != 5:
        raise BadInput(
            "A crontab has five parts: minute, hour, day of month, month, day of week. "
            f"This one has {len(parts)}. For example 30 6 * * 1 is Monday at 06:30 UTC.",
            field="crontab",
        )
    minute, hour, day, month, weekday = parts
    if day != "*" and weekday != "*":
        # Some programs read both as "and", others as "or": nobody shall have to know which.
        raise BadInput(
            "Give a day of the month or a day of the week, not both; write * for the other.", field="crontab"
        )
    for part in parts:
        if not all(TERM.fullmatch(term) for term in part.split(",")):
            raise BadInput(
                f"“{part}” cannot be read in a crontab. Write *, a number, a range as 1-5, a step as */15, or several "
                "with commas.",
                field="crontab",
            )
    try:
        read = crontab(minute=minute, hour=hour, day_of_month=day, month_of_year=month, day_of_week=weekday)
        found = Cron(
            frozenset(read.minute),
            frozenset(read.hour),
            frozenset(read.day_of_month),
            frozenset(read.month_of_year),
            frozenset(read.day_of_week),
        )
    except (ParseException, ValueError, TypeError, KeyError, AttributeError) as error:
        raise BadInput(f"The crontab “{text}” cannot be read: {error}.", field="crontab") from None
    if not all((found.minutes, found.hours, found.days, found.months, found.weekdays)):
        raise BadInput(f"The crontab “{text}” leaves one of its parts empty.", field="crontab")
    return found


def timing_of(schedule: Schedule) -> Timing:
    """When the schedule is due, as the pure rules read it. Raises BadInput."""
    if schedule.crontab:
        return parse(schedule.crontab)
    if not schedule.interval_s or schedule.interval_s < SHORTEST_INTERVAL_S:
        raise BadInput(f"The interval must be at least {SHORTEST_INTERVAL_S} seconds.", field="interval_s")
    return Every(schedule.interval_s, schedule.counts_from)


def timetable_of(schedule: Schedule, last_slot: datetime | None) -> Timetable:
    """The schedule as `due_slots` wants it. Raises BadInput."""
    return Timetable(timing_of(schedule), schedule.counts_from, last_slot)


def coming_runs(schedule: Schedule, now: datetime, n: int = 5) -> tuple[datetime, ...]:
    """The next `n` instants. Raises BadInput when the timing cannot be read, or never comes."""
    runs = next_runs(timing_of(schedule), now, n)
    if not runs:
        raise BadInput(f"The crontab “{schedule.crontab}” names a date that never comes.", field="crontab")
    return runs
