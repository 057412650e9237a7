"""What every page knows about long work: whether somebody is there to do it."""

from __future__ import annotations

from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from foundation.jobs import presence


def work(request: HttpRequest) -> dict[str, object]:
    """Template context: `nobody_works`, asked only where it is drawn (jobs/_presence_banner.html)."""
    return {"nobody_works": SimpleLazyObject(presence.absence)}
