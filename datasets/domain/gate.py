"""May this many rows become a version? Blocked below 500 unless somebody says why; warned below 2,000 (S41)."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

BLOCKED_BELOW = 500
WARNED_BELOW = 2000
FOLDS = 5


class Gate(StrEnum):
    """What the size allows."""

    OPEN = "open"
    WARNED = "warned"
    OVERRIDDEN = "overridden"
    BLOCKED = "blocked"


@dataclass(frozen=True, slots=True)
class SizeGate:
    """The answer, in words, with the number of folds worth offering (0: none needed)."""

    state: Gate
    n_rows: int
    sentence: str
    folds: int
    override_reason: str = ""

    @property
    def is_blocked(self) -> bool:
        """Whether freezing must wait."""
        return self.state is Gate.BLOCKED

    def as_json(self) -> dict[str, Any]:
        """Plain values for a JSON column."""
        return asdict(self)


def size_gate(n_rows: int, *, override_reason: str = "") -> SizeGate:
    """What `n_rows` training rows allow. A reason of at least 10 characters lifts the block and is kept."""
    reason = override_reason.strip()
    if n_rows == 0:
        return SizeGate(Gate.BLOCKED, 0, "There are no rows yet. Import a file first.", 0)
    if n_rows < BLOCKED_BELOW:
        few = f"{n_rows:,} rows are fewer than {BLOCKED_BELOW}: a test on them says little"
        if len(reason) >= 10:
            return SizeGate(
                Gate.OVERRIDDEN,
                n_rows,
                f"{few}. Frozen all the same, with the reason on the record.",
                FOLDS,
                reason,
            )
        return SizeGate(
            Gate.BLOCKED,
            n_rows,
            f"{few}. Add rows, or write why these are enough (10 characters or more).",
            FOLDS,
        )
    if n_rows < WARNED_BELOW:
        return SizeGate(
            Gate.WARNED,
            n_rows,
            f"{n_rows:,} rows are fewer than {WARNED_BELOW:,}: expect wide intervals. "
            f"Cross-validation with {FOLDS} folds uses every row for testing once.",
            FOLDS,
        )
    return SizeGate(Gate.OPEN, n_rows, f"{n_rows:,} rows are enough for a split of their own.", 0)
