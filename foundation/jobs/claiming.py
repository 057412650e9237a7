"""Leases on work items: one conditional UPDATE takes, renews, starts, gives back. Right on every database.

A lease is a token with an end. Whoever writes later with a token that no longer stands changes no row.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, F, Q, QuerySet, Value
from django.db.models.functions import Coalesce
from django.utils import timezone

from foundation.jobs import owners
from foundation.jobs.domain.retrying import GiveUp, after_loss
from foundation.jobs.domain.states import ItemState, JobState
from foundation.jobs.errors import LeaseLost, UnknownKind
from foundation.jobs.kinds import Kind, get_kind, item_models
from foundation.jobs.models import Job, WorkItem, is_due

WORKABLE = (JobState.QUEUED.value, JobState.RUNNING.value)
FREE = {"lease_token": "", "lease_until": None, "lease_owner": ""}


def lease_length() -> timedelta:
    """How long a lease stands without renewal: 15 s unless JOBS_LEASE_S says otherwise."""
    return timedelta(seconds=float(getattr(settings, "JOBS_LEASE_S", 15)))


@dataclass(frozen=True, slots=True)
class Claim:
    """Items that are ours until the lease ends, and the token that proves it."""

    job: Job
    kind: Kind
    token: str
    items: list[Any]

    def rows(self) -> QuerySet[Any]:
        """The rows that are still ours and unfinished."""
        return rows(self.kind.item_model).filter(
            job_id=self.job.pk, state=ItemState.RUNNING, lease_token=self.token
        )


def rows(model: type[WorkItem]) -> QuerySet[Any]:
    """All rows of an item table, whatever its own manager hides."""
    return model._base_manager.all()


def claim(job: Job, kind: Kind, *, now: datetime | None = None) -> Claim | None:
    """Up to `kind.batch_size` fresh items, or one item that was lost or failed before; None when nothing is due.

    An item with an attempt behind it comes alone, so that a poisonous one takes nobody with it.
    """
    now = now or timezone.now()
    table = rows(kind.item_model)
    queued = table.filter(job_id=job.pk, state=ItemState.QUEUED).filter(is_due(now)).order_by("position")
    fresh = queued.filter(attempts=0)[: kind.batch_size]
    suspect = queued.filter(attempts__gt=0)[:1]
    token = uuid.uuid4().hex
    for chosen in (fresh, suspect):
        # Somebody else may take the same rows between choosing and updating; then choose again.
        for _ in range(5):
            taken = table.filter(
                # The condition stands on the updated table itself: PostgreSQL checks it again after waiting.
                Exists(Job.objects.filter(pk=job.pk, state__in=WORKABLE)),
                pk__in=chosen.values("pk"),
                state=ItemState.QUEUED,
            ).update(
                state=ItemState.RUNNING,
                lease_token=token,
                lease_until=now + lease_length(),
                lease_owner=owners.this_process(),
                due_at=None,
            )
            if taken or not chosen.exists():
                break
        if taken:
            _mark_running(job, now)
            items = list(
                table.filter(job_id=job.pk, state=ItemState.RUNNING, lease_token=token).order_by("position")
            )
            for item in items:
                item.job = job
            held = Claim(job, kind, token, items)
            if Job.objects.filter(pk=job.pk, state__in=WORKABLE).exists():
                return held
            # Cancelled in this very moment, before our claim could be seen: nothing of it may begin.
            give_back(held, [item.pk for item in items])
            return None
    return None


def _mark_running(job: Job, now: datetime) -> None:
    """The first claim after queueing starts the clock the rate is measured by."""
    moved = Job.objects.filter(pk=job.pk, state=JobState.QUEUED).update(
        state=JobState.RUNNING,
        started_at=Coalesce(F("started_at"), Value(now)),
        pace_from_at=now,
        pace_at=now,
        pace_from_done=F("done") + F("failed") + F("skipped"),
    )
    if moved:
        job.state = JobState.RUNNING.value


def renew(held: Claim, *, now: datetime | None = None) -> int:
    """How many unfinished rows are still ours, their lease prolonged."""
    return held.rows().update(lease_until=(now or timezone.now()) + lease_length())


def start(held: Claim, pks: Sequence[int]) -> None:
    """Count an attempt of these items, before they run. Raises LeaseLost when one is no longer ours."""
    if held.rows().filter(pk__in=pks).update(attempts=F("attempts") + 1) != len(pks):
        raise LeaseLost(f"{held.job.kind} lost items of job {held.job.pk}")


def give_back(
    held: Claim, pks: Iterable[int], *, uncount: Iterable[int] = (), due_at: datetime | None = None
) -> None:
    """Put unfinished items back in the queue; those in `uncount` were marked as started and never were."""
    pks, uncount = list(pks), list(uncount)
    if not pks:
        return
    mine = held.rows()
    if uncount:
        mine.filter(pk__in=uncount, attempts__gt=0).update(attempts=F("attempts") - 1)
    mine.filter(pk__in=pks).update(state=ItemState.QUEUED, due_at=due_at, **FREE)


def settle_failed(held: Claim, pks: Sequence[int], reason: str) -> int:
    """Mark unfinished items as failed, with the job's count, in one fenced transaction. Returns how many."""
    with transaction.atomic():
        n = held.rows().filter(pk__in=pks).update(state=ItemState.FAILED, error=reason[:500], **FREE)
        if n:
            Job.objects.filter(pk=held.job.pk).update(failed=F("failed") + n, pace_at=timezone.now())
    return n


def sweep(*, now: datetime | None = None) -> int:
    """Free every item whose lease ran out or whose owner on this machine is dead. Returns how many.

    An item whose attempts are used up is failed as poison. Safe to run anywhere, at any time, by anybody.
    """
    now = now or timezone.now()
    freed = 0
    for model in item_models():
        lost = _lost(model, now)
        if lost is None:
            continue
        for job_id, kind_name in rows(model).filter(lost).values_list("job_id", "job__kind").distinct():
            freed += _free(model, job_id, kind_name, lost)
    dead = _dead_owners(Job.objects.exclude(lease_token=""))
    if dead:
        freed += Job.objects.filter(lease_owner__in=dead).exclude(lease_token="").update(**FREE)
    return freed


def _dead_owners(leased: QuerySet[Any]) -> list[str]:
    here = leased.filter(lease_owner__startswith=f"{owners.host()}:")
    return [owner for owner in here.values_list("lease_owner", flat=True).distinct() if owners.is_dead(owner)]


def _lost(model: type[WorkItem], now: datetime) -> Q | None:
    running = rows(model).filter(state=ItemState.RUNNING)
    condition = Q(state=ItemState.RUNNING.value, lease_until__lt=now)
    dead = _dead_owners(running.order_by())
    if dead:
        condition |= Q(state=ItemState.RUNNING.value, lease_owner__in=dead)
    return condition if running.filter(condition).exists() else None


def _free(model: type[WorkItem], job_id: int, kind_name: str, lost: Q) -> int:
    try:
        max_attempts = get_kind(kind_name).max_attempts
    except UnknownKind:
        max_attempts = Kind.max_attempts
    mine = rows(model).filter(lost, job_id=job_id)
    freed = 0
    with transaction.atomic():
        verdict = after_loss(max_attempts, max_attempts)
        if isinstance(verdict, GiveUp):
            poisoned = mine.filter(attempts__gte=max_attempts).update(
                state=ItemState.FAILED, error=verdict.reason, **FREE
            )
            if poisoned:
                Job.objects.filter(pk=job_id).update(failed=F("failed") + poisoned, pace_at=timezone.now())
            freed += poisoned
        freed += mine.update(state=ItemState.QUEUED, due_at=None, **FREE)
    return freed


def break_leases(job: Job, kind: Kind) -> int:
    """Take every running item of a job from whoever holds it; what they write later changes nothing."""
    return (
        rows(kind.item_model)
        .filter(job_id=job.pk, state=ItemState.RUNNING)
        .update(state=ItemState.QUEUED, **FREE)
    )
