"""What a person may do about people. `check_can_x` raises a sentence, `can_x` answers for templates."""

from __future__ import annotations

from collections.abc import Iterable

from foundation.teams.domain.roles import Role
from foundation.teams.domain.scopes import Scope, scopes_for
from foundation.teams.errors import BadInput, NotAllowed
from foundation.teams.models import ApiToken, Team, User


def can_create_team(user: User, teams: Iterable[tuple[Team, Role]]) -> bool:
    """Whether `user`, with these teams and roles, may make a new team.

    Not everybody: a team may spend on the portal's own model connection.
    """
    return user.is_superuser or any(role >= Role.ADMIN for _, role in teams)


def check_can_create_team(user: User, teams: Iterable[tuple[Team, Role]]) -> None:
    """Raises NotAllowed unless `user` may make a new team."""
    if not can_create_team(user, teams):
        raise NotAllowed("Only an admin of a team can make another team. Ask one of yours.")


def check_can_give_scope(role: Role, scope: Scope) -> None:
    """Raises BadInput when a token would be able to do more than its maker."""
    if scope not in scopes_for(role):
        raise BadInput(
            f"Your role here is {role.label.lower()}, so your tokens can only read.", field="scope"
        )


def can_revoke_token(user: User, role: Role | None, token: ApiToken) -> bool:
    """Whether `user` may revoke `token`: their own, or any as a team admin."""
    return token.user_id == user.pk or (role is not None and role >= Role.ADMIN)


def check_can_revoke_token(user: User, role: Role | None, token: ApiToken) -> None:
    """Raises NotAllowed unless `user` may revoke `token`."""
    if not can_revoke_token(user, role, token):
        raise NotAllowed("This is somebody else's token. A team admin can revoke it.")
