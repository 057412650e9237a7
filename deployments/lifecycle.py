"""What the rail says about shipping and watching. Neither is built yet: the stages say so, and what they will need."""

from __future__ import annotations

from decisions.lifecycle import Stage, StageState
from decisions.models import UseCase

SHIP_LATER = StageState(
    "later",
    "Will need a candidate that beat its baseline on test rows",
    blocker="Shipping will need a candidate that beat its baseline on sealed test rows, and an approver's word.",
)
WATCH_LATER = StageState(
    "later",
    "Will need a shipped version and its predictions",
    blocker="Watching will need a shipped version, its predictions, and feedback on some of them.",
)


def ship_states(use_cases: list[UseCase]) -> dict[int, StageState]:
    """The state of Ship for each use case, by its id."""
    return {use_case.pk: SHIP_LATER for use_case in use_cases}


def watch_states(use_cases: list[UseCase]) -> dict[int, StageState]:
    """The state of Watch for each use case, by its id."""
    return {use_case.pk: WATCH_LATER for use_case in use_cases}


STAGES = (Stage("ship", "Ship", ship_states), Stage("watch", "Watch", watch_states))
