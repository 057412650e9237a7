"""States of long work and the one table of which state may follow which. Knows no framework."""

from __future__ import annotations

from enum import StrEnum


class JobState(StrEnum):
    """Where a job stands. The last three are final; only a retry leads out of them."""

    PLANNING = "planning"
    QUEUED = "queued"
    RUNNING = "running"
    PAUSED = "paused"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"
    SUCCEEDED = "succeeded"
    FAILED = "failed"

    @property
    def label(self) -> str:
        """The word people read."""
        return LABELS[self]

    @property
    def is_final(self) -> bool:
        """Whether nothing more happens by itself."""
        return self in FINAL

    def may_become(self, other: JobState) -> bool:
        """Whether `other` may follow this state."""
        return other in FOLLOWERS[self]


LABELS = {
    JobState.PLANNING: "Planning",
    JobState.QUEUED: "Queued",
    JobState.RUNNING: "Running",
    JobState.PAUSED: "Paused",
    JobState.CANCELLING: "Cancelling",
    JobState.CANCELLED: "Cancelled",
    JobState.SUCCEEDED: "Done",
    JobState.FAILED: "Failed",
}

# Every arrow there is. A retry takes a finished job back to `queued`; resuming an unplanned job to `planning`.
FOLLOWERS: dict[JobState, frozenset[JobState]] = {
    JobState.PLANNING: frozenset({JobState.QUEUED, JobState.PAUSED, JobState.CANCELLING, JobState.FAILED}),
    JobState.QUEUED: frozenset(
        {JobState.RUNNING, JobState.PAUSED, JobState.CANCELLING, JobState.SUCCEEDED, JobState.FAILED}
    ),
    JobState.RUNNING: frozenset({JobState.PAUSED, JobState.CANCELLING, JobState.SUCCEEDED, JobState.FAILED}),
    JobState.PAUSED: frozenset({JobState.PLANNING, JobState.QUEUED, JobState.CANCELLING}),
    JobState.CANCELLING: frozenset({JobState.CANCELLED}),
    JobState.CANCELLED: frozenset(),
    JobState.SUCCEEDED: frozenset({JobState.QUEUED}),
    JobState.FAILED: frozenset({JobState.QUEUED, JobState.PLANNING}),
}

FINAL = frozenset({JobState.CANCELLED, JobState.SUCCEEDED, JobState.FAILED})
OPEN = frozenset(JobState) - FINAL
# States in which workers may take up something of the job by themselves.
ACTIVE = frozenset({JobState.PLANNING, JobState.QUEUED, JobState.RUNNING, JobState.CANCELLING})


class ItemState(StrEnum):
    """Where one work item stands."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    SKIPPED = "skipped"

    @property
    def label(self) -> str:
        """The word people read."""
        return self.value.capitalize()


def states_before(target: JobState) -> frozenset[JobState]:
    """The states from which `target` may be reached."""
    return frozenset(state for state, followers in FOLLOWERS.items() if target in followers)
