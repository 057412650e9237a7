"""What happens besides when somebody signs in."""

from __future__ import annotations

from typing import Any

from allauth.account.signals import user_logged_in
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse

from foundation.teams.looks import remember_theme


@receiver(user_logged_in)
def bring_theme(
    sender: Any, request: HttpRequest, user: Any, response: HttpResponse | None = None, **_: Any
) -> None:
    """The person's looks follow them to this device, unless this device has its own."""
    if response is not None and "theme" not in request.COOKIES:
        remember_theme(response, user.theme)
