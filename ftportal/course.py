"""What a stage of the lifecycle is given and what it answers. Knows no stage."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from foundation.jobs.models import Job
from foundation.teams.errors import PortalError
from foundation.teams.models import Team, User


class Stuck(PortalError):
    """A stage cannot go on; the sentence says why."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """The stage's work is under way."""

    note: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """The stage is done; `finding` is what a person reads, `facts` are the ids and figures later stages use."""

    finding: str
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Course:
    """One run of the lifecycle: who, where, the recipe it was started with, and the facts of the stages so far."""

    team: Team
    actor: User | None
    recipe: Mapping[str, Any]
    facts: dict[str, Any]

    def row(self, model: Any, name: str) -> Any:
        """The row whose id an earlier stage wrote down under `name`."""
        return model.objects.of(self.team).get(pk=self.facts[name])


def state_of(job: Job | None, doing: str) -> Waiting | None:
    """None when `job` ended well, Waiting while it runs. Raises Stuck with its own sentence when it failed."""
    if job is None:
        return None
    job.refresh_from_db()
    if job.status.value == "paused":
        raise Stuck(f"{job.title} is paused: {job.error or job.step or 'somebody has to decide'}")
    if not job.status.is_final:
        return Waiting(job.step or doing)
    if job.status.value != "succeeded":
        raise Stuck(f"{job.title}: {job.error or job.status.label.lower()}")
    return None


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the course: its title and the function that is asked until it is done."""

    key: str
    title: str
    ask: Callable[[Course], Found | Waiting]
