"""The request as guarded views see it: for type hints only."""

from __future__ import annotations

from django.http import HttpRequest

from foundation.teams.domain.roles import Role
from foundation.teams.models import Team, User


class TeamRequest(HttpRequest):
    """A request by a signed-in person, in a team, with the role they have there."""

    user: User  # type: ignore[assignment]
    team: Team
    role: Role
