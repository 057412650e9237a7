"""Every page of the portal with an address in it, found from the policy table: for crawls that leave nothing out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from django.apps import apps
from django.urls import NoReverseMatch, reverse

from foundation.teams.models import Team, User
from foundation.teams.policy import Scope, table


@dataclass(frozen=True, slots=True)
class Address:
    """One address: the route's name, a path to ask, and whom it serves."""

    name: str
    path: str
    scope: Scope


def addresses(team: Team, user: User) -> Iterator[Address]:
    """An address for every declared route that takes only a team's slug, a row's key, or nothing.

    Rows are the newest of their model that the person may see; a route whose model has no row yet is left out.
    """
    for line in table():
        if line.policy is None or not line.name:
            continue
        parts = set(line.pattern.pattern.converters)
        values: dict[str, object] = {}
        if line.policy.scope is Scope.TEAM:
            values["team"] = team.slug
        elif line.policy.scope is Scope.OBJECT:
            row = apps.get_model(line.policy.model)._default_manager.visible_to(user).order_by("-pk").first()
            if row is None:
                continue
            for part in parts:
                values[part] = getattr(row, part, row.pk)
        elif line.policy.scope not in (Scope.SELF, Scope.PUBLIC):
            continue
        try:
            yield Address(line.name, reverse(line.name, kwargs=values), line.policy.scope)
        except NoReverseMatch:
            continue
