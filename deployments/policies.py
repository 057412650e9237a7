"""Who may do what while shipping. Roles are asked at the routes; here stands what depends on the act."""

from __future__ import annotations

from deployments.models import Endpoint
from foundation.teams.domain.roles import Role
from foundation.teams.errors import Conflict, NotAllowed


def check_can_switch(endpoint: Endpoint, role: Role, *, on: bool) -> None:
    """Raises NotAllowed: whoever may edit may stop an endpoint, but answering again is an approver's word."""
    if endpoint.archived_at is not None:
        raise Conflict("This endpoint is archived.")
    if on and role < Role.APPROVER:
        raise NotAllowed("Anybody who edits may stop an endpoint. Switching it on again needs an approver.")


def can_switch_on(role: Role | None) -> bool:
    """Whether the page offers to switch on."""
    return role is not None and role >= Role.APPROVER
