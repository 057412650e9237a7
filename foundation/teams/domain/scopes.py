"""What an API token may do, and the role it acts with."""

from __future__ import annotations

from enum import StrEnum

from foundation.teams.domain.roles import Role


class Scope(StrEnum):
    READ = "read"
    WRITE = "write"

    @property
    def label(self) -> str:
        """The words people read."""
        return {"read": "Read only", "write": "Read and write"}[self.value]


def scopes_for(role: Role) -> tuple[Scope, ...]:
    """The scopes somebody with `role` may give to a token: never more than they may do themselves."""
    return (Scope.READ, Scope.WRITE) if role >= Role.EDITOR else (Scope.READ,)


def effective_role(scope: Scope, role: Role) -> Role:
    """The role a token acts with, given its maker's role today. A token never administers people."""
    return Role.VIEWER if scope is Scope.READ else min(role, Role.APPROVER)
