"""The words for what can go wrong while preparing data."""

from __future__ import annotations

from foundation.teams.errors import BadInput, Conflict, PortalError


class UnusableFile(BadInput):
    """A file that cannot be read at all; the text says why and what to do."""


class NothingToDo(Conflict):
    """It is done already, or there is nothing it could be done to."""


class EditedMeanwhile(Conflict):
    """Somebody else changed the row after this person opened it."""

    def __init__(self, example: object, text: str = "") -> None:
        super().__init__(
            text or "Somebody else changed this row after you opened it. Look at their text, then save again."
        )
        self.example = example


class Blocked(PortalError):
    """A gate stands in the way; a reason on the record lifts it."""

    status = 409


class Sealed(PortalError):
    """Test rows are opened with a reason only."""

    status = 403

    def __init__(self, text: str = "") -> None:
        super().__init__(text or "Test rows are sealed. Open them with a reason first.")
