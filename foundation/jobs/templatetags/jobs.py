"""What pages ask about a job that its row does not say."""

from __future__ import annotations

from django import template

from foundation.jobs.domain.states import FINAL, JobState
from foundation.jobs.errors import UnknownKind
from foundation.jobs.kinds import get_kind
from foundation.jobs.models import Job
from foundation.ui import formats

register = template.Library()


@register.simple_tag
def when_cancelled(job: Job) -> str:
    """{% when_cancelled job as words %}: what stays of a job that a person cancels, and when it stops."""
    try:
        stays = get_kind(job.kind).when_cancelled
    except UnknownKind:
        stays = "This portal does not know such work any more."
    return f"{stays} It stops within 10 seconds, and nothing new is charged after that."


@register.simple_tag
def counted(job: Job) -> str:
    """{% counted job as unit %}: what "3 of 10" counts, with the blank before it; empty where it counts nothing now."""
    if job.total <= 1 or job.failed or job.skipped or job.status in (JobState.PLANNING, *FINAL):
        return ""
    try:
        word = get_kind(job.kind).counted
    except UnknownKind:
        return ""
    return f" {word}" if word else ""


@register.simple_tag
def finding_value(value: object) -> str:
    """{% finding_value value %}: one value of what came out, as people read it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return formats.grouped(value) if isinstance(value, int | float) else str(value)[:300]
