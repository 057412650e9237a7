"""The left navigation: a registry the roof fills, because only the roof knows every floor."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse

MAX_ITEMS = 9


@dataclass(frozen=True, slots=True)
class Badge:
    """A count or a word beside a navigation item; `tone` is "", "alert", or a pill tone (good, warn, bad, live)."""

    text: str
    tone: str = ""
    label: str = ""


@dataclass(frozen=True, slots=True)
class NavItem:
    """One place in the navigation.

    `url_name` is reversed with the team's slug where `needs_team`. `matches` are beginnings of view names
    ("datasets:") on which the item is the current one; without any, the namespace of `url_name`, or the name itself.
    `badge` is asked once a page and must be cheap. `group` is a heading ("" is the first group).
    """

    label: str
    url_name: str
    icon: str = "dot"
    badge: Callable[[HttpRequest], Badge | int | str | None] | None = None
    order: int = 100
    needs_team: bool = True
    matches: tuple[str, ...] = ()
    group: str = ""

    def match_length(self, view_name: str) -> int:
        """How many characters of the view name this item claims; 0 when the page is not its own."""
        starts = self.matches or (
            (self.url_name.rpartition(":")[0] + ":") if ":" in self.url_name else self.url_name,
        )
        return max((len(start) for start in starts if view_name.startswith(start)), default=0)


@dataclass(frozen=True, slots=True)
class Shown:
    """A navigation item as one page shows it."""

    label: str
    url: str
    icon: str
    badge: Badge | None
    current: bool
    key: str = ""


_items: list[NavItem] = []


def register_nav(items: Iterable[NavItem]) -> None:
    """Take these items into the navigation, replacing earlier ones of the same label.

    Raises: ValueError when there would be more than nine: a longer list is not read any more.
    """
    for item in items:
        _items[:] = [known for known in _items if known.label != item.label]
        _items.append(item)
    if len(_items) > MAX_ITEMS:
        raise ValueError(f"The navigation holds at most {MAX_ITEMS} items, there are {len(_items)}.")
    _items.sort(key=lambda item: item.order)


def team_url(slug: str) -> str:
    """Where choosing a team leads: the first navigation item that belongs to a team; "/" while there is none."""
    for item in _items:
        if item.needs_team:
            try:
                return reverse(item.url_name, kwargs={"team": slug})
            except NoReverseMatch:
                continue
    return "/"


def _badge(item: NavItem, request: HttpRequest) -> Badge | None:
    value = item.badge(request) if item.badge else None
    if value in (None, "", 0):
        return None
    return (
        value if isinstance(value, Badge) else Badge(f"{value:,}" if isinstance(value, int) else str(value))
    )


def shown_groups(request: HttpRequest, team_slug: str | None) -> list[tuple[str, list[Shown]]]:
    """The navigation for this request, as (heading, items); items whose address does not exist are left out."""
    match = getattr(request, "resolver_match", None)
    view_name = match.view_name if match else ""
    claims = {item.label: item.match_length(view_name) for item in _items}
    longest = max(claims.values(), default=0)
    groups: dict[str, list[Shown]] = {}
    taken: set[str] = set()
    for item in _items:
        if item.needs_team and not team_slug:
            continue
        try:
            url = reverse(item.url_name, kwargs={"team": team_slug} if item.needs_team else None)
        except NoReverseMatch:
            continue
        current = longest > 0 and claims[item.label] == longest
        # "g" and this letter go there: the first letter of the label that no earlier item has.
        key = next((letter for letter in item.label.lower() if letter.isalpha() and letter not in taken), "")
        taken.add(key)
        shown = Shown(item.label, url, item.icon, _badge(item, request), current, key)
        groups.setdefault(item.group, []).append(shown)
    return list(groups.items())
