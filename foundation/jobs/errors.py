"""What can go wrong with long work, in words."""

from __future__ import annotations

from foundation.teams.errors import PortalError


class UnknownKind(PortalError):
    """A job names a kind of work that nobody registered."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"This portal knows no work called “{name}”. It may have been renamed: start it again."
        )


class LeaseLost(Exception):
    """The work was taken over by somebody else: stop, what follows would not be kept."""
