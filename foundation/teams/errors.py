"""The words for what can go wrong: every error people may read is one plain sentence."""

from __future__ import annotations

from django.core.exceptions import PermissionDenied

from foundation.ui.errors import PlainError


class PortalError(PlainError):
    """Base of errors whose text is shown to people as it is."""

    status = 400


class NotAllowed(PortalError, PermissionDenied):
    """The person is known but may not do this. Django's own handler answers 403 to it as well."""

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


class LastAdmin(Conflict):
    """A team must keep one admin."""

    def __init__(self) -> None:
        super().__init__("This is the team's last admin. Make somebody else an admin first.")


class BadInvitation(PortalError):
    """The invitation cannot be used: unknown, used, revoked or too old."""

    status = 410
