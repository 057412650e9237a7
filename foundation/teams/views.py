"""Pages about people."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse


def home(request: HttpRequest) -> HttpResponse:
    """The way to the person's own use cases."""
    return HttpResponse("Welcome.")
