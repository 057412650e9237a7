"""One tick: free what was lost, start what is due, ring for what waits. Each part alone; any number of ticks is safe."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from datetime import datetime

from django.utils import timezone

from foundation.jobs import carrying, chores, claiming, doorbell, presence, schedules, services
from foundation.jobs.claiming import rows
from foundation.jobs.domain.states import ItemState, JobState
from foundation.jobs.errors import UnknownKind
from foundation.jobs.kinds import get_kind
from foundation.jobs.models import Job, is_due

log = logging.getLogger("foundation.jobs")

# So many jobs are rung for at one tick; the next ones come when these are done.
JOBS_A_TICK = 200
_chores_are_written = False


def tick(*, now: datetime | None = None) -> None:
    """Everything the clock does. A part that fails is logged and delays no other part."""
    now = now or timezone.now()
    for part in (_sweep, _write_chores, _schedules, _ring):
        _alone(part, now)


def _alone(part: Callable[[datetime], object], now: datetime) -> None:
    try:
        part(now)
    except Exception:
        log.exception("a part of the tick failed: %s", part.__name__)


def _sweep(now: datetime) -> None:
    claiming.sweep(now=now)


def _write_chores(now: datetime) -> None:
    global _chores_are_written
    if not _chores_are_written:
        chores.write_schedules()
        _chores_are_written = True


def _schedules(now: datetime) -> None:
    schedules.start_due(now=now)


def _ring(now: datetime) -> None:
    for job_id in services.unfinished_ids()[:JOBS_A_TICK]:
        job = Job.objects.filter(pk=job_id).first()
        if job is None:
            continue
        if job.status is JobState.CANCELLING and carrying.try_to_cancel(job, now=now):
            # Its own queue may be busy for long, and a cancel takes effect within 10 s.
            job.refresh_from_db()
        doorbell.ring(job, rings_wanted(job, now=now))


def rings_wanted(job: Job, *, now: datetime) -> int:
    """How many workers could take up something of this job now, beyond those at work on it."""
    state = job.status
    if state is JobState.PAUSED or (state.is_final and job.settled_at is not None):
        return 0
    controlled = bool(job.lease_token) and job.lease_until is not None and job.lease_until >= now
    if controlled or (job.control_after is not None and job.control_after > now):
        return 0
    try:
        kind = get_kind(job.kind)
    except UnknownKind:
        return 1
    if state not in (JobState.QUEUED, JobState.RUNNING):
        return 1
    items = rows(kind.item_model).filter(job_id=job.pk)
    due = items.filter(is_due(now), state=ItemState.QUEUED)
    lost = due.filter(attempts__gt=0).count()
    fresh = due.filter(attempts=0)[: kind.batch_size * kind.parallel].count()
    running = items.filter(state=ItemState.RUNNING)
    if not lost and not fresh:
        # Nothing left to take: only the finish may be waiting.
        return 0 if running.exists() or items.filter(state=ItemState.QUEUED).exists() else 1
    batches = lost + math.ceil(fresh / kind.batch_size)
    at_work = running.values("lease_token").distinct().count()
    return max(0, min(batches, kind.parallel - at_work))


def keep_house() -> None:
    """The hourly tidying: old slots, processes long gone."""
    schedules.prune_slots()
    presence.forget_long_gone()
