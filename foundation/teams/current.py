"""The team somebody is working in, on pages whose address names none."""

from __future__ import annotations

from django.http import HttpRequest

from foundation.teams.domain.roles import Role
from foundation.teams.models import Team


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
            return (
                (team, Role.ADMIN) if (team := Team.objects.order_by("name", "pk").first()) else (None, None)
            )
    return request.teams[0] if len(request.teams) else (None, None)


def stay(request: HttpRequest) -> None:
    """Let a page about no team (inbox, profile, password) keep the team last visited, for its navigation."""
    if request.team is None and request.user.is_authenticated:
        request.team, request.role = last_team(request)
