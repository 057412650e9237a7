"""What every floor offers to the pages below it, listed in one place: the only file that knows all floors."""

from __future__ import annotations

from decisions.lifecycle import DECIDE, register_stages
from decisions.search import SOURCE as USE_CASES
from deployments.lifecycle import STAGES as SHIP_AND_WATCH
from foundation.teams.policy import Scope, declare_prefix
from foundation.ui.navigation import NavItem, register_nav
from foundation.ui.search import register_search


def gather() -> None:
    """Fill the registries of the lower floors. Called once, when the apps are ready."""
    # Addresses other packages own and guard themselves; every other address must declare its own policy.
    declare_prefix("accounts/", Scope.PUBLIC)
    declare_prefix("admin/", Scope.STAFF)
    declare_prefix("api/v1/", Scope.TOKEN)
    register_stages([DECIDE, *SHIP_AND_WATCH])
    register_nav([NavItem("Use cases", "decisions:use-case-list", icon="usecase", order=10)])
    register_search([USE_CASES])
