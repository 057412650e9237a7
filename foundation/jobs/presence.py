"""Who was seen working: workers and beats leave a row, pages ask once in a while. Knows no broker."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import timedelta

from django.db import IntegrityError
from django.utils import timezone

from foundation.jobs.models import WorkerSeen

MISSING_AFTER = timedelta(seconds=30)
FORGET_AFTER = timedelta(days=1)
CACHED_S = 5.0

_process_began = time.monotonic()
_cached: tuple[float, Absence | None] | None = None


@dataclass(frozen=True, slots=True)
class Absence:
    """Who is missing, in one sentence for people."""

    sentence: str
    worker: bool
    beat: bool


def seen(name: str, role: str, queues: str = "") -> None:
    """Remember that a worker or beat is alive now."""
    now = timezone.now()
    fields = {"role": role, "seen_at": now, **({"queues": queues[:200]} if queues else {})}
    if WorkerSeen.objects.filter(name=name).update(**fields):
        return
    try:
        WorkerSeen.objects.create(name=name, **fields)
    except IntegrityError:
        # Somebody of the same name was a moment quicker.
        WorkerSeen.objects.filter(name=name).update(**fields)


def forget_long_gone() -> int:
    """Remove rows of processes not seen for a day. Returns how many."""
    return WorkerSeen.objects.filter(seen_at__lt=timezone.now() - FORGET_AFTER).delete()[0]


def absence() -> Absence | None:
    """Who has not been seen for 30 s, or None when all is well. One query, kept for 5 s in this process."""
    global _cached
    now = time.monotonic()
    if _cached is not None and now - _cached[0] < CACHED_S:
        return _cached[1]
    if now - _process_began < MISSING_AFTER.total_seconds():
        # Everything has just been started: give the others the time to come up.
        return None
    _cached = (now, _look())
    return _cached[1]


def forget_cached() -> None:
    """Make the next `absence()` look again."""
    global _cached
    _cached = None


def _look() -> Absence | None:
    since = timezone.now() - MISSING_AFTER
    roles = set(WorkerSeen.objects.filter(seen_at__gte=since).values_list("role", flat=True))
    worker, beat = WorkerSeen.Role.WORKER not in roles, WorkerSeen.Role.BEAT not in roles
    if worker and beat:
        return Absence(
            "No worker and no clock has been seen for 30 seconds: long work stands still.", True, True
        )
    if worker:
        return Absence("No worker has been seen for 30 seconds: long work stands still.", True, False)
    if beat:
        return Absence(
            "The clock (celery beat) has not been seen for 30 seconds: schedules stand still, long work starts late.",
            False,
            True,
        )
    return None
