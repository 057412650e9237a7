"""The theme on this device: a cookie, so that the first byte of a page already has the right colours."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpResponse

_A_YEAR_S = 365 * 24 * 3600


def remember_theme(response: HttpResponse, theme: str) -> None:
    """Set the cookie the pages take their theme from (system, light or dark)."""
    response.set_cookie(
        "theme",
        theme,
        max_age=_A_YEAR_S,
        samesite="Lax",
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=False,
    )
