"""Who may do what while shipping. Roles are asked at the routes; here stands what depends on the act."""

from __future__ import annotations

from collections.abc import Mapping

from deployments.domain.canary import MOVES, Action
from deployments.models import Endpoint, Rollout
from foundation.teams.domain.roles import Role
from foundation.teams.errors import Conflict, NotAllowed
from foundation.teams.models import Membership, Team, User

NEEDS: Mapping[Action, Role] = {
    Action.PAUSE: Role.EDITOR,
    Action.ROLL_BACK: Role.EDITOR,
    Action.RESUME: Role.APPROVER,
    Action.STEP: Role.APPROVER,
    Action.PROMOTE: Role.APPROVER,
}


def check_four_eyes(*, team: Team, person: User | None, author: User | None, what: str) -> None:
    """Raises NotAllowed when somebody would wave through their own work although another approver is there.

    A team with one approver has nobody else to ask; the clock and the portal's own rules are not people.
    """
    if person is None or author is None or person.pk != author.pk:
        return
    others = Membership.objects.filter(team=team, role__gte=Role.APPROVER, user__is_active=True)
    if others.exclude(user=person).exists():
        raise NotAllowed(
            f"You {what} yourself, and this team has another approver: let them look at it and press."
        )


def check_can_switch(endpoint: Endpoint, role: Role, *, on: bool) -> None:
    """Raises NotAllowed: whoever may edit may stop an endpoint, but answering again is an approver's word."""
    if endpoint.archived_at is not None:
        raise Conflict("This endpoint is archived.")
    if on and role < Role.APPROVER:
        raise NotAllowed("Anybody who edits may stop an endpoint. Switching it on again needs an approver.")


def can_switch_on(role: Role | None) -> bool:
    """Whether the page offers to switch on."""
    return role is not None and role >= Role.APPROVER


def check_can_move(role: Role, action: Action) -> None:
    """Raises NotAllowed: whoever may edit may stop or take back a rollout; going on is an approver's word."""
    if role < NEEDS.get(action, Role.APPROVER):
        raise NotAllowed(
            f"To {action.value} a rollout you need to be an approver. Pausing and taking back need an editor."
        )


def can_move(role: Role | None, rollout: Rollout, action: Action) -> bool:
    """Whether the page offers this move now."""
    if role is None or action not in MOVES[rollout.phase] or role < NEEDS.get(action, Role.APPROVER):
        return False
    return action is not Action.STEP or rollout.step_index + 1 < len(rollout.step_rows)
