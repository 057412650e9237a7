"""Who may do what while deciding. Roles are asked at the routes; here stands what depends on the row."""

from __future__ import annotations

from decisions.domain.approaches import Approach
from decisions.errors import Archived, NotYours, Stale
from decisions.models import Decision, UseCase
from foundation.teams.domain.roles import Role
from foundation.teams.models import Team, User

REFUSALS = (Archived, NotYours, Stale)


def check_can_change(use_case: UseCase) -> None:
    """Raises Archived when the use case is put away."""
    if use_case.is_archived:
        raise Archived


def can_change(use_case: UseCase) -> bool:
    """Whether its facts may be edited and new answers saved."""
    return not use_case.is_archived


def is_alone(team: Team) -> bool:
    """Whether one person is the whole team, so that nobody else could sign."""
    return team.memberships.filter(user__is_active=True).count() <= 1


def check_can_sign(user: User, decision: Decision, *, use_case: UseCase, today: Approach) -> None:
    """Raises Archived, Stale or NotYours, each with the sentence that says what to do instead.

    `today` is what the facts of now lead to.
    """
    check_can_change(use_case)
    if use_case.latest_decision_id != decision.pk:
        raise Stale(f"Decision {decision.number} is not the latest any more. Read the latest, and sign that.")
    if today.value != decision.recommendation:
        raise Stale(
            f"The facts have changed since decision {decision.number}: today they say {today.inline}. "
            "Have it decided anew before you sign."
        )
    if decision.author_id == user.pk and not is_alone(use_case.team):
        raise NotYours
    if decision.sign_offs.filter(approver=user).exists():
        raise Stale(f"You have signed decision {decision.number} already. One signature a person counts.")


def may_sign(role: Role | None) -> bool:
    """Whether the role signs decisions at all."""
    return role is not None and role >= Role.APPROVER
