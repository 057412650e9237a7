"""Carrying a job on: plan it, run what is claimed, finish it, settle it. One worker at a time holds the job itself.

What a claimed batch does is `running.py`. Nothing here knows Celery, a broker or a page; doing any of it twice changes
nothing.
"""

from __future__ import annotations

import contextlib
import logging
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from foundation.jobs import claiming, owners, rowwriter
from foundation.jobs.claiming import FREE, lease_length, rows
from foundation.jobs.domain.retrying import GiveUp, after_error
from foundation.jobs.domain.states import FINAL, ItemState, JobState
from foundation.jobs.errors import LeaseLost, UnknownKind
from foundation.jobs.kinds import Kind, get_kind
from foundation.jobs.models import Job
from foundation.jobs.running import Ticker, can_beat_in_a_thread, fail, run_claim, sentence
from foundation.teams.errors import PortalError

log = logging.getLogger("foundation.jobs")

# A worker that has not let go this long after a cancel loses its leases: quiet within 10 s.
CANCEL_GRACE = timedelta(seconds=8)
# Rows written in one transaction while planning, so that the lock on SQLite is held for under 40 ms.
PLAN_SLICE = 500
CONTROL_ATTEMPTS = 3


class Control:
    """The lease on the job itself, held while planning, finishing or settling."""

    def __init__(self, job: Job, token: str) -> None:
        self.job = job
        self.token = token
        self._renewed_at = time.monotonic()

    def mine(self, *states: JobState) -> Any:
        """The job's row while it is ours and in one of these states."""
        return Job.objects.filter(pk=self.job.pk, lease_token=self.token, state__in=[s.value for s in states])

    def beat(self) -> None:
        """Prolong the lease when a third of it has passed."""
        if time.monotonic() - self._renewed_at >= lease_length().total_seconds() / 3:
            Job.objects.filter(pk=self.job.pk, lease_token=self.token).update(
                lease_until=timezone.now() + lease_length()
            )
            self._renewed_at = time.monotonic()

    def give_back(self, **changes: Any) -> None:
        """Let go of the job."""
        Job.objects.filter(pk=self.job.pk, lease_token=self.token).update(**FREE, **changes)


def take_control(job: Job, *states: JobState) -> Control | None:
    """The job's own lease, or None when somebody else holds it or it is not due."""
    now = timezone.now()
    token = uuid.uuid4().hex
    taken = (
        Job.objects.filter(pk=job.pk, state__in=[s.value for s in states])
        .filter(Q(lease_until__isnull=True) | Q(lease_until__lt=now))
        .filter(Q(control_after__isnull=True) | Q(control_after__lte=now))
        .update(
            lease_token=token,
            lease_until=now + lease_length(),
            lease_owner=owners.this_process(),
            control_attempts=F("control_attempts") + 1,
            control_after=None,
        )
    )
    if not taken:
        return None
    job.refresh_from_db()
    return Control(job, token)


def _controlled(
    control: Control, what: str, act: Callable[[], None], *, threaded: bool, give_up: Callable[[str], None]
) -> None:
    """Run `act` under the job's lease; a sentence ends it, another error is tried three times."""
    job = control.job
    if job.control_attempts > CONTROL_ATTEMPTS:
        give_up(f"poison: the worker died {CONTROL_ATTEMPTS} times while {what}")
        control.give_back(control_attempts=0)
        return
    try:
        with Ticker(control.beat, threaded=threaded):
            act()
    except LeaseLost:
        return
    except Exception as error:
        log.warning("job %s (%s): %s failed", job.pk, job.kind, what, exc_info=True)
        verdict = after_error(
            job.control_attempts, CONTROL_ATTEMPTS, sentence(error), definite=isinstance(error, PortalError)
        )
        if isinstance(verdict, GiveUp):
            give_up(verdict.reason)
            control.give_back(control_attempts=0)
        else:
            control.give_back(control_after=timezone.now() + timedelta(seconds=verdict.seconds))
        return
    control.give_back(control_attempts=0)


def _plan(control: Control, kind: Kind) -> None:
    """Write one chunk of items; the cursor moves in the transaction that completes the chunk."""
    job = control.job
    if job.plan_cursor is None:
        control.mine(JobState.PLANNING).update(state=JobState.QUEUED)
        return
    plan = kind.plan(job, job.plan_cursor)
    items = list(plan.items)
    for offset, item in enumerate(items):
        item.job = job
        if item.position is None:
            item.position = job.total + offset
    slices = [items[at : at + PLAN_SLICE] for at in range(0, len(items), PLAN_SLICE)] or [[]]
    ready = [rowwriter.inserts(kind.item_model, part) for part in slices]
    for part in ready[:-1]:
        # A crash between slices writes the same places again, which changes nothing.
        with transaction.atomic():
            part.write()
        control.beat()
    with transaction.atomic():
        ready[-1].write()
        changes: dict[str, Any] = {"plan_cursor": plan.next_cursor, "total": job.total + len(items)}
        if plan.next_cursor is None:
            changes |= {
                "state": JobState.QUEUED,
                "total": rows(kind.item_model).filter(job_id=job.pk).count(),
            }
        if not control.mine(JobState.PLANNING).filter(plan_cursor=job.plan_cursor).update(**changes):
            transaction.set_rollback(True)


def _finish(control: Control, kind: Kind) -> None:
    job = control.job
    if job.failed and (kind.all_or_nothing or not job.done + job.skipped):
        fail(job, _commonest_error(job, kind))
        return
    if job.state == JobState.QUEUED:
        # Nothing was planned, or all was settled before a retry found anything: it runs for an instant.
        control.mine(JobState.QUEUED).update(
            state=JobState.RUNNING, started_at=job.started_at or timezone.now()
        )
        job.state = JobState.RUNNING.value
    result = kind.finish(job)
    changes: dict[str, Any] = {
        "state": JobState.SUCCEEDED,
        "finished_at": timezone.now(),
        "step": "",
        "error": "",
    }
    if result is not None:
        changes["result"] = result
    control.mine(JobState.RUNNING).update(**changes)


def _commonest_error(job: Job, kind: Kind) -> str:
    reasons: dict[str, int] = {}
    failed = rows(kind.item_model).filter(job_id=job.pk, state=ItemState.FAILED).order_by("position")
    for reason in failed.values_list("error", flat=True)[:200]:
        reasons[reason] = reasons.get(reason, 0) + 1
    if not reasons:
        return "Every item failed."
    reason = max(reasons, key=lambda text: reasons[text])
    return reason if job.total <= 1 else f"{job.failed} of {job.total} items failed. Most often: {reason}"


def try_to_cancel(job: Job, *, now: datetime | None = None) -> bool:
    """Turn `cancelling` into `cancelled` once nobody works on it, or the grace is over. Returns whether it did."""
    now = now or timezone.now()
    out_of_patience = job.cancel_asked_at is None or now - job.cancel_asked_at >= CANCEL_GRACE
    with contextlib.suppress(UnknownKind):
        kind = get_kind(job.kind)
        busy = rows(kind.item_model).filter(job_id=job.pk, state=ItemState.RUNNING, lease_until__gte=now)
        controlled = Job.objects.filter(pk=job.pk, lease_until__gte=now).exclude(lease_token="")
        if not out_of_patience and (busy.exists() or controlled.exists()):
            return False
        claiming.break_leases(job, kind)
    return bool(
        Job.objects.filter(pk=job.pk, state=JobState.CANCELLING).update(
            state=JobState.CANCELLED, finished_at=now, settled_at=None, step="", control_attempts=0, **FREE
        )
    )


@dataclass(frozen=True, slots=True)
class Hooks:
    """What the floor above the loop adds: telling people at the end, calling more workers once all is planned."""

    tell_people: Callable[[Job], None] = lambda job: None
    planned: Callable[[Job], None] = lambda job: None


def _settle(control: Control, hooks: Hooks) -> None:
    """What follows a final state: clean up, then tell people in the transaction that marks the job settled."""
    job = control.job
    if job.settled_at is not None:
        # Somebody settled it between our look and our lease.
        return
    if job.status in (JobState.FAILED, JobState.CANCELLED):
        with contextlib.suppress(UnknownKind):
            get_kind(job.kind).abandoned(job)
    with transaction.atomic():
        if control.mine(job.status).filter(settled_at__isnull=True).update(settled_at=timezone.now()):
            hooks.tell_people(job)


def step(job: Job, *, threaded: bool, hooks: Hooks) -> bool:
    """Do the next thing a job needs. Returns whether anything was done."""
    state = job.status
    if state is JobState.PAUSED:
        return False
    if state.is_final:
        if job.settled_at is not None:
            return False
        control = take_control(job, *FINAL)
        if control is None:
            return False
        _controlled(
            control,
            "cleaning up",
            partial(_settle, control, hooks),
            threaded=threaded,
            give_up=partial(_give_up_settling, control),
        )
        return True
    if state is JobState.CANCELLING:
        return try_to_cancel(job)
    try:
        kind = get_kind(job.kind)
    except UnknownKind as error:
        return fail(job, str(error))
    if state is JobState.PLANNING:
        control = take_control(job, JobState.PLANNING)
        if control is None:
            return False
        _controlled(
            control,
            "planning",
            partial(_plan, control, kind),
            threaded=threaded,
            give_up=partial(_fail_mine, control),
        )
        if Job.objects.filter(pk=job.pk, state=JobState.QUEUED).exists():
            hooks.planned(job)
        return True
    held = claiming.claim(job, kind)
    if held is not None:
        run_claim(held, threaded=threaded)
        return True
    if rows(kind.item_model).filter(job_id=job.pk, state__in=[ItemState.QUEUED, ItemState.RUNNING]).exists():
        return False
    control = take_control(job, JobState.QUEUED, JobState.RUNNING)
    if control is None:
        return False
    _controlled(
        control,
        "finishing",
        partial(_finish, control, kind),
        threaded=threaded,
        give_up=partial(_fail_mine, control),
    )
    return True


def _fail_mine(control: Control, reason: str) -> None:
    fail(control.job, reason)


def _give_up_settling(control: Control, reason: str) -> None:
    log.error("job %s: could not be cleaned up: %s", control.job.pk, reason)
    control.mine(*FINAL).update(settled_at=timezone.now())


def advance(
    job_id: int,
    *,
    budget_s: float,
    hooks: Hooks,
    threaded: bool | None = None,
    on_step: Callable[[int], None] | None = None,
) -> bool:
    """Carry one job on until it has nothing to do now, or the budget is spent. Returns whether more is to do.

    `on_step` hears the job's id at every step that did something.
    """
    if threaded is None:
        threaded = can_beat_in_a_thread()
    deadline = time.monotonic() + budget_s
    while True:
        job = Job.objects.select_related("team", "created_by").filter(pk=job_id).first()
        if job is None or not step(job, threaded=threaded, hooks=hooks):
            return False
        if on_step is not None:
            on_step(job_id)
        if time.monotonic() >= deadline:
            return True
