"""What every page knows about the person in front of it."""

from __future__ import annotations

from django.http import HttpRequest


def people(request: HttpRequest) -> dict[str, object]:
    """Template context: team, role and what the person may do."""
    return {}
