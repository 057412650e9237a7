"""Who is there, and in which teams; and the refusal of addresses that say nothing about whom they serve."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse

from foundation.teams.current import stay
from foundation.teams.domain.roles import Role
from foundation.teams.errors import NotAllowed
from foundation.teams.models import Membership, Team
from foundation.teams.policy import Scope, policy_of
from foundation.teams.routes import to_sign_in


class OwnTeams:
    """The person's teams with their roles, in the order of their names; one query, and only when asked."""

    def __init__(self, request: HttpRequest) -> None:
        self._request = request

    @cached_property
    def _pairs(self) -> list[tuple[Team, Role]]:
        user = self._request.user
        if not user.is_authenticated:
            return []
        rows = Membership.objects.filter(user=user).select_related("team").order_by("team__name", "team_id")
        return [(row.team, Role(row.role)) for row in rows]

    def __iter__(self) -> Any:
        return iter(self._pairs)

    def __len__(self) -> int:
        return len(self._pairs)

    def __getitem__(self, index: Any) -> Any:
        return self._pairs[index]


class TeamMiddleware:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request.team = None
        request.role = None
        request.teams = OwnTeams(request)
        return self.get_response(request)

    def process_view(
        self, request: HttpRequest, view: Callable[..., HttpResponse], args: Any, kwargs: Any
    ) -> HttpResponse | None:
        """Refuse an address without policy (403); keep the admin for staff. The rest guards itself."""
        policy = policy_of(view, request.resolver_match.route)
        if policy is None:
            raise NotAllowed("This address does not say whom it serves, so it serves nobody.")
        if policy.scope is Scope.STAFF:
            if not request.user.is_authenticated:
                return to_sign_in(request)
            if not (request.user.is_staff and request.user.is_active):
                raise Http404
        if policy.scope is Scope.PUBLIC and not hasattr(view, "policy"):
            # The sign-in package's own pages (password, passkeys, sessions) keep the navigation, too.
            stay(request)
        return None
