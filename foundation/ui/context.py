"""What every page knows about itself: its theme, its address and the id of its request."""

from __future__ import annotations

from django.http import HttpRequest

THEMES = ("light", "dark", "system")


def theme_of(request: HttpRequest) -> str:
    """The theme the person chose, from its cookie: light, dark or system."""
    chosen = request.COOKIES.get("theme", "")
    return chosen if chosen in THEMES else "system"


def page(request: HttpRequest) -> dict[str, object]:
    """Template context every page gets from the ui floor."""
    return {
        "theme": theme_of(request),
        "shortcuts_off": request.COOKIES.get("shortcuts") == "off",
        "request_id": getattr(request, "request_id", ""),
        "here": request.get_full_path(),
    }
