"""What every page knows about itself."""

from __future__ import annotations

from django.http import HttpRequest


def page(request: HttpRequest) -> dict[str, object]:
    """Template context every page gets from the ui floor."""
    return {}
