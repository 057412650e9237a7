"""Use cases for the command palette."""

from __future__ import annotations

from collections.abc import Iterable

from django.http import HttpRequest
from django.urls import reverse

from decisions.models import UseCase
from foundation.ui.search import Found, Source


def find(request: HttpRequest, words: str, limit: int) -> Iterable[Found]:
    """The person's use cases whose name holds every word, newest first, in one query."""
    rows = UseCase.objects.visible_to(request.user).active()
    for word in words.split():
        rows = rows.filter(name__icontains=word)
    for pk, name, team in rows.order_by("-pk").values_list("pk", "name", "team__name")[:limit]:
        yield Found(name, reverse("decisions:use-case-detail", args=[pk]), "usecase", team)


SOURCE = Source("Use cases", find, order=10)
