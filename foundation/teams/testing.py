"""Help for tests of every floor: does a route answer each person as the policy table says?"""

from __future__ import annotations

from typing import Any

from django.test import Client
from django.urls import resolve

from foundation.teams.domain.roles import Role
from foundation.teams.policy import Policy, Scope
from foundation.teams.routes import SAFE_METHODS

OK = "let in"


def expected(policy: Policy, role: Role | None, method: str, *, signed_in: bool) -> int | str:
    """The status the table promises: 302 (sign in), 404 (a stranger), 403 (role too low), or `OK`."""
    if policy.scope in (Scope.PUBLIC, Scope.TOKEN):
        return OK
    if not signed_in:
        return 302
    if policy.scope is Scope.SELF:
        return OK
    if role is None:
        return 404
    needed = policy.read if method in SAFE_METHODS else policy.write
    return 403 if needed is not None and role < needed else OK


def agrees(status: int, promise: int | str) -> bool:
    """Whether a status keeps the promise; somebody let in sees no 401, 403, 404 and no error of ours."""
    if promise == OK:
        return status not in (401, 403, 404) and status < 500
    return status == promise


def assert_route_guarded(
    client: Client,
    url: str,
    *,
    outsider: Any = None,
    viewer: Any = None,
    editor: Any = None,
    approver: Any = None,
    admin: Any = None,
    methods: tuple[str, ...] = ("GET", "POST"),
    try_allowed_writes: bool = False,
) -> None:
    """Fails unless `url` answers nobody and each given person as its declared policy says.

    Writes a person may make are not tried, because they would happen, unless `try_allowed_writes`.
    """
    policy = getattr(resolve(url.split("?")[0]).func, "policy", None)
    assert isinstance(policy, Policy), f"{url} is not declared through foundation.teams.routes"
    people = [
        ("nobody", None, None),
        ("outsider", outsider, None),
        ("viewer", viewer, Role.VIEWER),
        ("editor", editor, Role.EDITOR),
        ("approver", approver, Role.APPROVER),
        ("admin", admin, Role.ADMIN),
    ]
    for who, user, role in people:
        if user is None and who != "nobody":
            continue
        for method in methods:
            promise = expected(policy, role, method, signed_in=user is not None)
            if promise == OK and method not in SAFE_METHODS and not try_allowed_writes:
                continue
            client.logout()
            if user is not None:
                client.force_login(user)
            status = client.generic(method, url).status_code
            assert agrees(status, promise), f"{method} {url} as {who}: {status}, the table says {promise}"
