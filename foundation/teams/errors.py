"""The words for what can go wrong: every error people may read is one plain sentence."""

from __future__ import annotations


class PortalError(Exception):
    """Base of errors whose text is shown to people as it is."""

    status = 400


class NotAllowed(PortalError):
    """The person is known but may not do this."""

    status = 403


class Conflict(PortalError):
    """Somebody else changed it first, or it is already so."""

    status = 409


class BadInput(PortalError):
    """What was given cannot be used; `field` names the form field when there is one."""

    status = 400

    def __init__(self, text: str, *, field: str = "") -> None:
        super().__init__(text)
        self.field = field
