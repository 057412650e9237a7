"""What every floor offers to the pages below it, listed in one place: the only file that knows all floors."""

from __future__ import annotations

from foundation.teams.policy import Scope, declare_prefix


def gather() -> None:
    """Fill the registries of the lower floors. Called once, when the apps are ready."""
    # Addresses other packages own and guard themselves; every other address must declare its own policy.
    declare_prefix("accounts/", Scope.PUBLIC)
    declare_prefix("admin/", Scope.STAFF)
    declare_prefix("api/v1/", Scope.TOKEN)
