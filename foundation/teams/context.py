"""What every page knows about the person in front of it."""

from __future__ import annotations

from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from foundation.teams.domain.roles import Role
from foundation.teams.models import Notice, Team


def people(request: HttpRequest) -> dict[str, object]:
    """Template context: team, role, what the person may do, their teams, and how much is unread.

    On pages about no team (inbox, profile) `team` is the one last visited, so that the navigation still leads back.
    """
    user = getattr(request, "user", None)
    if user is None or not user.is_authenticated or not hasattr(request, "teams"):
        return {"team": None, "role": None, "can_edit": False, "can_approve": False, "can_admin": False, "teams": []}
    team, role = request.team, request.role
    if team is None:
        team, role = last_team(request)
    return {
        "team": team,
        "role": role,
        "can_edit": role is not None and role >= Role.EDITOR,
        "can_approve": role is not None and role >= Role.APPROVER,
        "can_admin": role is not None and role >= Role.ADMIN,
        "teams": [own for own, _ in request.teams],
        "unread_notices": SimpleLazyObject(lambda: Notice.objects.for_user(user).unread().count()),
    }


def last_team(request: HttpRequest) -> tuple[Team | None, Role | None]:
    """The team the person visited last, else the first of their own, else nothing."""
    last = request.session.get("team")
    for team, role in request.teams:
        if team.pk == last:
            return team, role
    if request.user.is_superuser:
        if last and (team := Team.objects.filter(pk=last).first()):
            return team, Role.ADMIN
        if not len(request.teams):
            return (team, Role.ADMIN) if (team := Team.objects.order_by("name").first()) else (None, None)
    return request.teams[0] if len(request.teams) else (None, None)
