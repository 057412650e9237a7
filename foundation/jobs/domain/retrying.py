"""When a failed or lost attempt is worth another. Pure."""

from __future__ import annotations

from dataclasses import dataclass

# Seconds before the second and every later attempt: a fault of the moment has passed, nobody waits for long.
PAUSES_S = (1.0, 5.0)


@dataclass(frozen=True, slots=True)
class Again:
    """Try again, in `seconds`."""

    seconds: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """No further attempt; `reason` is shown to people."""

    reason: str


def after_error(attempts: int, max_attempts: int, reason: str, *, definite: bool = False) -> Again | GiveUp:
    """What follows an attempt that raised an error. `definite`: the same would happen again."""
    if definite or attempts >= max_attempts:
        return GiveUp(reason)
    return Again(PAUSES_S[min(max(attempts, 1), len(PAUSES_S)) - 1])


def after_loss(attempts: int, max_attempts: int) -> Again | GiveUp:
    """What follows an attempt whose worker vanished. Attempts are counted when an item starts."""
    if attempts >= max_attempts:
        times = "once" if max_attempts == 1 else f"{max_attempts} times"
        return GiveUp(f"poison: the worker died {times} while doing this item")
    return Again(0.0)
