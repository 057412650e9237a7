"""Who may do what to a job: the role and the state decide."""

from __future__ import annotations

from foundation.jobs.domain.states import JobState
from foundation.jobs.models import Job
from foundation.teams.domain.roles import Role


def _edits(role: Role | None) -> bool:
    return role is not None and role >= Role.EDITOR


def can_cancel(role: Role | None, job: Job) -> bool:
    """Whether a person of this role can stop the job now."""
    return _edits(role) and job.status.may_become(JobState.CANCELLING)


def can_pause(role: Role | None, job: Job) -> bool:
    """Whether a person of this role can pause the job now."""
    return _edits(role) and job.status.may_become(JobState.PAUSED)


def can_resume(role: Role | None, job: Job) -> bool:
    """Whether a person of this role can let the job go on."""
    return _edits(role) and job.status is JobState.PAUSED


def can_retry(role: Role | None, job: Job) -> bool:
    """Whether there is something failed that a person of this role can run again."""
    return _edits(role) and job.can_be_retried
