"""What every page knows about the person in front of it."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from foundation.teams.domain.roles import Role
from foundation.teams.models import Notice

_NOBODY = {
    "team": None,
    "role": None,
    "can_edit": False,
    "can_approve": False,
    "can_admin": False,
    "teams": [],
}


def people(request: HttpRequest) -> dict[str, object]:
    """Template context: team, role, what the person may do, their teams as (team, role), and what is unread.

    `unread_count` costs one query, and only where a page shows it.
    """
    user = getattr(request, "user", None)
    # The sign-in pages promise a letter only where one can be sent.
    said = {"email_is_set_up": settings.EMAIL_IS_SET_UP}
    if user is None or not user.is_authenticated or not hasattr(request, "teams"):
        return {**_NOBODY, **said}
    role = request.role
    return {
        **said,
        "team": request.team,
        "role": role,
        "can_edit": role is not None and role >= Role.EDITOR,
        "can_approve": role is not None and role >= Role.APPROVER,
        "can_admin": role is not None and role >= Role.ADMIN,
        "teams": request.teams,
        "unread_count": SimpleLazyObject(lambda: unread(request)),
    }


def unread(request: HttpRequest) -> int:
    """How many notices the person has not read; asked of the database once a request."""
    if not request.user.is_authenticated:
        return 0
    if not hasattr(request, "_unread_notices"):
        request._unread_notices = Notice.objects.visible_to(request.user).unread().count()
    return request._unread_notices
