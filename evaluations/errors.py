"""The words for what can go wrong while evaluating."""

from __future__ import annotations

from foundation.teams.errors import BadInput, Conflict, NotAllowed


class SealedRows(NotAllowed):
    """Test rows are read only after somebody opened them with a reason."""

    def __init__(self) -> None:
        super().__init__(
            "These are sealed test rows. Open them with a reason first; the look is written down."
        )


class NotComparable(BadInput):
    """The evaluations do not stand on the same rows, or are not finished."""


class TestSplitNeedsReason(BadInput):
    """Test rows are for claims, and a claim says why."""

    __test__ = False

    def __init__(self) -> None:
        super().__init__(
            "Test rows are for the final claim only. Say in a sentence what you claim; the look is counted.",
            field="reason",
        )


class NotFinished(Conflict):
    """Figures are asked of something still under way."""


class WornOut(Conflict):
    """The test rows were looked at too often: a lucky result would pass for a better model."""
