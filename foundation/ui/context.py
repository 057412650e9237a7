"""What every page knows about itself: its theme, its navigation and the id of its request."""

from __future__ import annotations

from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from foundation.ui import navigation

THEMES = ("light", "dark", "system")


def theme_of(request: HttpRequest) -> str:
    """The theme the person chose, from its cookie: light, dark or system."""
    chosen = request.COOKIES.get("theme", "")
    return chosen if chosen in THEMES else "system"


def page(request: HttpRequest) -> dict[str, object]:
    """Template context every page gets from the ui floor. The navigation is only worked out when it is drawn."""

    def slug() -> str | None:
        team = getattr(request, "team", None)
        if team is None:
            teams = getattr(request, "teams", None) or []
            team = teams[0][0] if teams else None
        return team.slug if team else None

    return {
        "theme": theme_of(request),
        "shortcuts_off": request.COOKIES.get("shortcuts") == "off",
        "nav": SimpleLazyObject(lambda: navigation.shown_groups(request, slug())),
        "request_id": getattr(request, "request_id", ""),
        "here": request.get_full_path(),
    }
