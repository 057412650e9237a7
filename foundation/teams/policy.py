"""The policy table: for every address, who may read it and who may write to it.

It is filled by the routes themselves (`routes.py`) and, for addresses other packages own, by prefixes that
the roof declares. An address in neither is refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from django.urls import URLPattern, URLResolver, get_resolver

from foundation.teams.domain.roles import Role


class Scope(StrEnum):
    """How an address finds out whom it serves."""

    TEAM = "team"  # the team is in the address; a stranger gets 404
    OBJECT = "object"  # the row decides; a stranger gets 404
    SELF = "self"  # any signed-in person, about themselves
    PUBLIC = "public"  # nobody need be there
    STAFF = "staff"  # the admin
    TOKEN = "token"  # noqa: S105  (the API answers for itself: an API token or a session)


@dataclass(frozen=True, slots=True)
class Policy:
    """What a route declared about itself."""

    scope: Scope
    read: Role | None = None
    write: Role | None = None
    model: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the printed table."""

    address: str
    name: str
    policy: Policy | None
    pattern: URLPattern


# Addresses of other packages, by the start of their route.
_prefixes: dict[str, Policy] = {}


def declare_prefix(prefix: str, scope: Scope) -> None:
    """Let every route that starts with `prefix` (as in "accounts/") be served under `scope`.

    Only for addresses another package owns, which therefore guards them itself.
    Raises: ValueError for a scope that needs roles, or a prefix that would cover everything.
    """
    if scope in (Scope.TEAM, Scope.OBJECT):
        raise ValueError("Declare team and object addresses one by one, with team_path and object_path.")
    if not prefix.strip("/"):
        raise ValueError("An empty prefix would open every address.")
    _prefixes[prefix] = Policy(scope)


def policy_of(view: object, route: str) -> Policy | None:
    """The policy of a resolved view: its own, else its prefix's, else None (refuse)."""
    own = getattr(view, "policy", None)
    if isinstance(own, Policy):
        return own
    for prefix, policy in _prefixes.items():
        if route.startswith(prefix):
            return policy
    return None


def table() -> list[Line]:
    """Every address of the portal with its policy, in the order of the URLconf."""
    return list(_walk(get_resolver().url_patterns, "", ""))


def _walk(patterns: list[URLPattern | URLResolver], route: str, namespace: str) -> Iterator[Line]:
    for pattern in patterns:
        address = route + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            inner = f"{namespace}{pattern.namespace}:" if pattern.namespace else namespace
            yield from _walk(pattern.url_patterns, address, inner)
        else:
            name = f"{namespace}{pattern.name or ''}"
            yield Line(address, name, policy_of(pattern.callback, address), pattern)


def as_markdown(lines: list[Line]) -> str:
    """The table as a page of the documentation. Addresses of other packages stand as one line a prefix."""
    rows = [
        "# Who may open and change what",
        "",
        "Made by `manage.py policy --write` from the routes; a test fails when it is out of date.",
        "A stranger to the team of an address gets 404, a role that is too low 403, nobody at all the",
        "sign-in page. An address that is not in this table is refused.",
        "",
        "| address | name | scope | read | write |",
        "|---|---|---|---|---|",
    ]
    for line in sorted(lines, key=lambda line: line.address):
        if line.policy is None or isinstance(getattr(line.pattern.callback, "policy", None), Policy):
            rows.append(_row(f"/{line.address}", line.name, line.policy))
    rows.extend(_row(f"/{prefix}…", "", policy) for prefix, policy in sorted(_prefixes.items()))
    return "\n".join(rows) + "\n"


def _row(address: str, name: str, policy: Policy | None) -> str:
    if policy is None:
        return f"| `{address}` | {name} | **none: refused** | | |"
    read, write = (role.label.lower() if role else "" for role in (policy.read, policy.write))
    return f"| `{address}` | {name} | {policy.scope} | {read} | {write} |"
