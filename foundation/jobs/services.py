"""What people and the clock may ask of long work: start, cancel, pause, resume, retry, run until idle."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.db import IntegrityError, models, transaction
from django.db.models import F, Min
from django.urls import reverse
from django.utils import timezone

from foundation.jobs import carrying, claiming, doorbell, within
from foundation.jobs.claiming import rows
from foundation.jobs.domain.states import ItemState, JobState, states_before
from foundation.jobs.errors import UnknownKind
from foundation.jobs.kinds import get_kind, item_models
from foundation.jobs.models import Job
from foundation.teams import audit
from foundation.teams.errors import Conflict
from foundation.teams.models import Team, User
from foundation.teams.notices import notify


def start_job(
    *,
    actor: User | None,
    team: Team,
    kind: str,
    title: str,
    recipe: Mapping[str, Any],
    subject: models.Model | None = None,
    url: str = "",
    cap_microusd: int | None = None,
    dedupe_key: str = "",
) -> Job:
    """The job, written and on its way; with a `dedupe_key` in use, the job that already has it.

    One transaction; the doorbell rings after commit and off this thread, so no page waits for a broker.
    Raises: UnknownKind when nobody registered `kind`.
    """
    known_kind = get_kind(kind)
    fields: dict[str, Any] = {
        "team": team,
        "kind": kind,
        "title": title[:300],
        "recipe": dict(recipe),
        "url": url,
        "cap_microusd": cap_microusd,
        "dedupe_key": dedupe_key,
        "created_by": actor,
        "part_of_id": within.current_job(),
        "retryable": (not known_kind.all_or_nothing)
        if known_kind.retryable is None
        else known_kind.retryable,
    }
    if subject is not None:
        fields |= {"subject_type": subject._meta.label_lower, "subject_id": subject.pk}
    if dedupe_key and (known := _with_key(team, dedupe_key)):
        return known
    try:
        with transaction.atomic():
            job = Job.objects.create(**fields)
            audit.record(actor=actor, team=team, verb="job.started", target=job, note=kind)
            _announce(job)
    except IntegrityError:
        known = _with_key(team, dedupe_key) if dedupe_key else None
        if known is None:
            raise
        return known
    return job


def _with_key(team: Team, dedupe_key: str) -> Job | None:
    stands_in_no_way = [JobState.FAILED.value, JobState.CANCELLED.value]
    return Job.objects.filter(team=team, dedupe_key=dedupe_key).exclude(state__in=stands_in_no_way).first()


def cancel_job(*, actor: User | None, job: Job) -> Job:
    """The job, `cancelling` at once and `cancelled` within 10 s; at once too when nobody works on it.

    What it started and is still open is cancelled with it. What stays of it is the kind's to say. Cancelling a finished
    job changes nothing.
    """
    before = [state.value for state in states_before(JobState.CANCELLING)]
    with transaction.atomic():
        moved = Job.objects.filter(pk=job.pk, state__in=before).update(
            state=JobState.CANCELLING, cancel_asked_at=timezone.now(), control_attempts=0, control_after=None
        )
        if moved:
            audit.record(actor=actor, team=job.team, verb="job.cancelled", target=job)
            _announce(job)
    job.refresh_from_db()
    if moved and carrying.try_to_cancel(job):
        job.refresh_from_db()
    for part in Job.objects.filter(part_of=job, state__in=before) if moved else ():
        cancel_job(actor=actor, job=part)
    return job


def pause_job(*, actor: User | None, job: Job) -> Job:
    """The job, paused: what runs now is finished, nothing new begins. Raises Conflict when it has ended."""
    before = [state.value for state in states_before(JobState.PAUSED)]
    with transaction.atomic():
        moved = Job.objects.filter(pk=job.pk, state__in=before).update(state=JobState.PAUSED)
        if moved:
            audit.record(actor=actor, team=job.team, verb="job.paused", target=job)
    job.refresh_from_db()
    if not moved and job.status is not JobState.PAUSED:
        raise Conflict(f"“{job.title}” is {job.status.label.lower()} and cannot be paused.")
    return job


def resume_job(*, actor: User | None, job: Job) -> Job:
    """The job, going on from where it was paused. Raises Conflict when it is not paused."""
    with transaction.atomic():
        paused = Job.objects.filter(pk=job.pk, state=JobState.PAUSED)
        moved = paused.filter(plan_cursor__isnull=True).update(state=JobState.QUEUED) or paused.update(
            state=JobState.PLANNING
        )
        if moved:
            audit.record(actor=actor, team=job.team, verb="job.resumed", target=job)
            _announce(job)
    job.refresh_from_db()
    if not moved and job.status.is_final:
        raise Conflict(
            f"“{job.title}” is {job.status.label.lower()} and cannot go on. Retry it or start it again."
        )
    return job


def retry_failed(*, actor: User | None, job: Job) -> Job:
    """The job, queued again with only its failed items (or its failed planning or finish) to do.

    Raises: Conflict when nothing failed, when it is all or nothing, or when a newer job does the same already.
    """
    kind = get_kind(job.kind)
    if not job.retryable:
        raise Conflict(
            f"“{job.title}” is all or nothing and left nothing behind. Start it again from its page."
        )
    if not job.can_be_retried:
        raise Conflict(f"“{job.title}” has nothing that failed.")
    failed = rows(kind.item_model).filter(job_id=job.pk, state=ItemState.FAILED)
    while True:
        # In slices, so that no lock is held for long; the job itself is set going last.
        pks = list(failed.values_list("pk", flat=True)[:1000])
        if not pks:
            break
        with transaction.atomic():
            n = failed.filter(pk__in=pks).update(state=ItemState.QUEUED, attempts=0, error="", due_at=None)
            Job.objects.filter(pk=job.pk).update(failed=F("failed") - n)
    target = JobState.QUEUED if job.plan_cursor is None else JobState.PLANNING
    before = [state.value for state in states_before(target) if state.is_final]
    try:
        with transaction.atomic():
            moved = Job.objects.filter(pk=job.pk, state__in=before).update(
                state=target,
                error="",
                finished_at=None,
                settled_at=None,
                cancel_asked_at=None,
                control_attempts=0,
                control_after=None,
            )
            if moved:
                audit.record(actor=actor, team=job.team, verb="job.retried", target=job)
                _announce(job)
    except IntegrityError:
        raise Conflict("The same work was started again meanwhile. Look at the newer job.") from None
    job.refresh_from_db()
    return job


def _announce(job: Job) -> None:
    """Ring for the job once its transaction is committed."""
    transaction.on_commit(lambda: doorbell.ring(job))


def _tell_people(job: Job) -> None:
    """The line in the inbox of whoever started a job. Called once, in the transaction that settles the job."""
    if job.created_by is None or job.status is JobState.CANCELLED:
        return
    failed = job.status is JobState.FAILED
    if job.part_of_id and not failed:
        # One line for the whole is enough; only a part that failed speaks for itself.
        return
    with contextlib.suppress(UnknownKind):
        if get_kind(job.kind).quiet and not failed:
            return
    counts = f"{job.done:,} done, {job.failed:,} failed" if job.failed else f"{job.done:,} done"
    notify(
        team=job.team,
        users=[job.created_by],
        title=f"{job.title}: {'failed' if failed else 'done'}",
        # "1 done" says no more than the title does.
        body=job.error if failed else f"{counts}." if job.total > 1 else "",
        url=job.url or page_of(job),
    )


def page_of(job: Job) -> str:
    """The address of a job's own page."""
    return reverse("jobs:job-detail", args=[job.pk])


def _more_hands(job: Job) -> None:
    """Planning is done: ring for the further workers this job can use; this one goes on by itself."""
    job.refresh_from_db()
    kind = get_kind(job.kind)
    doorbell.ring(job, min(kind.parallel, math.ceil(job.total / kind.batch_size)) - 1)


HOOKS = carrying.Hooks(tell_people=_tell_people, planned=_more_hands)


def work_on(job_id: int, *, turn_s: float) -> None:
    """Carry one job on for about `turn_s` seconds, then ring for whoever goes on with it."""
    steps: list[int] = []
    more = carrying.advance(job_id, budget_s=turn_s, hooks=HOOKS, on_step=steps.append)
    if not steps:
        # Whoever did nothing rings for nobody: else every ring would found a line of rings of its own.
        return
    job = Job.objects.filter(pk=job_id).first()
    if job is None:
        return
    if more:
        doorbell.ring(job)
    elif (wait_s := _seconds_to_due(job)) is not None and wait_s <= 2 * settings.JOBS_TICK_S:
        doorbell.ring(job, after_s=wait_s)


def _seconds_to_due(job: Job) -> float | None:
    """Seconds until something of this job that waits is due; None when nothing waits."""
    if job.status.is_final or job.status is JobState.PAUSED:
        return None
    instants = [job.control_after]
    with contextlib.suppress(UnknownKind):
        waiting = rows(get_kind(job.kind).item_model).filter(
            job_id=job.pk, state=ItemState.QUEUED, due_at__isnull=False
        )
        instants.append(waiting.aggregate(at=Min("due_at"))["at"])
    known = [at for at in instants if at is not None]
    return max(0.05, (min(known) - timezone.now()).total_seconds()) if known else None


def unfinished_ids() -> list[int]:
    """Jobs a worker may carry on now, and ended ones that are not settled, oldest first."""
    ids = set(Job.objects.active().values_list("pk", flat=True))
    ids |= set(Job.objects.unsettled().values_list("pk", flat=True)[:200])
    return sorted(ids)


def run_until_idle(max_seconds: float = 60.0) -> bool:
    """Carry on every job in this process, without a broker, until nothing is left to do.

    Returns whether that was reached within `max_seconds`. For tests, commands and a machine without a worker.
    """
    deadline = time.monotonic() + max_seconds
    while True:
        claiming.sweep()
        ids = unfinished_ids()
        if not ids:
            return True
        steps: list[int] = []
        for job_id in ids:
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            carrying.advance(job_id, budget_s=left, hooks=HOOKS, on_step=steps.append)
        if not steps:
            if time.monotonic() >= deadline:
                return False
            time.sleep(min(0.2, _seconds_to_next()))


def _seconds_to_next() -> float:
    """Seconds until a waiting item is due; a short while when others hold the leases."""
    now = timezone.now()
    instants = [
        rows(model).filter(state=ItemState.QUEUED, due_at__isnull=False).aggregate(at=Min("due_at"))["at"]
        for model in item_models()
    ]
    instants.append(Job.objects.filter(control_after__isnull=False).aggregate(at=Min("control_after"))["at"])
    waits = [(at - now).total_seconds() for at in instants if at is not None]
    return max(0.01, min(waits, default=0.2))
