"""How a job looks to people: words and numbers for the templates, worked out from the row and the instant."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from foundation.jobs.domain.progress import pace, rate_in_words, share, time_left_in_words
from foundation.jobs.domain.states import JobState
from foundation.ui import formats

if TYPE_CHECKING:
    from foundation.jobs.models import Job

TONES = {
    JobState.RUNNING: "live",
    JobState.SUCCEEDED: "good",
    JobState.FAILED: "bad",
    JobState.PAUSED: "warn",
    JobState.CANCELLING: "warn",
}


@dataclass(frozen=True, slots=True)
class Look:
    """Everything the progress part of a page shows of a job."""

    tone: str
    percent: float
    failed_percent: float
    counts: str
    ahead: str
    step: str
    money: str
    kept: str
    shows_bar: bool
    polls: bool
    poll_after_s: int
    can_cancel: bool
    can_pause: bool
    can_resume: bool
    can_retry: bool
    retry_label: str


def look(job: Job, *, now: datetime) -> Look:
    """How the job looks at `now`."""
    state = job.status
    has_parts = job.part_total > 0
    done_share = share(
        settled=job.settled, total=job.total, part_done=job.part_done, part_total=job.part_total
    )
    settled = done_share * job.total if has_parts else float(job.settled)
    ahead = ""
    if state is JobState.RUNNING:
        speed = pace(
            settled=settled,
            total=float(job.total),
            from_settled=float(job.pace_from_done),
            from_at=job.pace_from_at,
            at=now if has_parts else job.pace_at,
            now=now,
        )
        # One long item says how far it is, not how many items a second it does.
        words = [] if job.total <= 1 else [rate_in_words(speed.per_second)]
        ahead = " · ".join(word for word in [*words, time_left_in_words(speed.eta_s)] if word)
    failed_share = job.failed / job.total if job.total else 0.0
    kept = ""
    if state is JobState.FAILED and job.done:
        kept = (
            f"{job.done:,} of {job.total:,} done are kept."
            if job.retryable
            else "It is all or nothing, so nothing of it is kept."
        )
    return Look(
        tone="warn" if state is JobState.SUCCEEDED and job.failed else TONES.get(state, ""),
        percent=100 * max(0.0, done_share - failed_share),
        failed_percent=100 * failed_share,
        counts=_counts(job),
        ahead=ahead,
        step="" if state.is_final else job.step,
        money=_money(job),
        kept=kept,
        shows_bar=job.total > 0 and state is not JobState.SUCCEEDED and not _is_one_piece(job),
        polls=not state.is_final,
        poll_after_s=5 if state is JobState.PAUSED else 1,
        can_cancel=state.may_become(JobState.CANCELLING),
        can_pause=state.may_become(JobState.PAUSED),
        can_resume=state is JobState.PAUSED,
        can_retry=job.can_be_retried,
        retry_label=f"Retry the {job.failed:,} that failed" if job.failed > 1 else "Retry what failed",
    )


def _is_one_piece(job: Job) -> bool:
    """Whether a share of what runs is not known: a bar would stand at nothing until all of it is done."""
    return job.total == 1 and not job.part_total and not job.settled and not job.status.is_final


def _counts(job: Job) -> str:
    state = job.status
    if state is JobState.PLANNING:
        return f"{job.total:,} planned so far" if job.total else "working out what is to be done"
    if job.part_total and job.total <= 1 and not state.is_final:
        return f"{job.part_done:,} of {job.part_total:,}"
    if _is_one_piece(job):
        return "in one piece" if state is JobState.RUNNING else ""
    parts = [f"{job.settled:,} of {job.total:,}"] if not state.is_final or job.settled < job.total else []
    if not parts:
        parts = [f"{job.done:,} done"]
    if job.failed:
        parts.append(f"{job.failed:,} failed")
    if job.skipped:
        parts.append(f"{job.skipped:,} skipped")
    return ", ".join(parts)


def _money(job: Job) -> str:
    if job.cap_microusd is None and not job.spent_microusd:
        return ""
    spent = formats.usd(job.spent_microusd)
    return (
        f"{spent} spent"
        if job.cap_microusd is None
        else f"{spent} of at most {formats.usd(job.cap_microusd)}"
    )
