"""Long work for programs: list, look, cancel, retry."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.shortcuts import get_object_or_404
from ninja import Router, Schema

from foundation.jobs import services
from foundation.jobs.domain.states import JobState
from foundation.jobs.models import Job
from foundation.teams.errors import BadInput
from foundation.teams.requests import TeamRequest

router = Router(tags=["jobs"])


class JobOut(Schema):
    """A job as programs see it. Money in micro-dollars."""

    id: int
    kind: str
    title: str
    state: str
    step: str
    total: int
    done: int
    failed: int
    skipped: int
    cap_microusd: int | None
    spent_microusd: int
    error: str
    result: dict[str, Any]
    url: str
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


@router.get("/jobs", response=list[JobOut])
def list_jobs(request: TeamRequest, state: str = "", before: int | None = None, limit: int = 50) -> list[Job]:
    """Jobs of the team, newest first; `before` is the id the last page ended with."""
    found = Job.objects.of(request.team)
    if state:
        if state not in list(JobState):
            raise BadInput(f"state must be one of {', '.join(JobState)}.", field="state")
        found = found.filter(state=state)
    if before is not None:
        found = found.filter(pk__lt=before)
    return list(found[: max(1, min(limit, 200))])


@router.get("/jobs/{int:job_id}", response=JobOut)
def get_job(request: TeamRequest, job_id: int) -> Job:
    """One job."""
    return get_object_or_404(Job.objects.of(request.team), pk=job_id)


@router.post("/jobs/{int:job_id}/cancel", response=JobOut)
def cancel_job(request: TeamRequest, job_id: int) -> Job:
    """Stop a job; what is done is kept. Cancelling a finished one changes nothing."""
    job = get_object_or_404(Job.objects.of(request.team).select_related("team"), pk=job_id)
    return services.cancel_job(actor=request.user, job=job)


@router.post("/jobs/{int:job_id}/retry", response=JobOut)
def retry_job(request: TeamRequest, job_id: int) -> Job:
    """Run what failed again, and nothing else."""
    job = get_object_or_404(Job.objects.of(request.team).select_related("team"), pk=job_id)
    return services.retry_failed(actor=request.user, job=job)
