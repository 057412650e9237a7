"""What a team's settings page links to: said by the roof, because those pages stand on upper floors."""

from __future__ import annotations

from dataclasses import dataclass

from django.urls import NoReverseMatch, reverse

from foundation.teams.domain.roles import Role
from foundation.teams.models import Team


@dataclass(frozen=True, slots=True)
class SettingsLink:
    """One card of the settings page; `url_name` takes the team's slug, `role` is the least that may."""

    title: str
    text: str
    url_name: str
    icon: str = "settings"
    role: Role = Role.VIEWER


_links: list[SettingsLink] = []


def register_settings(*links: SettingsLink) -> None:
    """Add cards to the settings page, after those about people."""
    _links.extend(link for link in links if link not in _links)


def settings_links(team: Team, role: Role) -> list[tuple[SettingsLink, str]]:
    """The cards somebody with `role` may follow, with their addresses; unknown addresses are left out."""
    found = []
    for link in _links:
        if role < link.role:
            continue
        try:
            found.append((link, reverse(link.url_name, args=[team.slug])))
        except NoReverseMatch:
            continue
    return found
