"""Addresses of the ui floor: health, theme, palette, gallery. They know no team; the roof says whom they serve."""

from __future__ import annotations

from functools import lru_cache

from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import render
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST, require_safe

from foundation.ui import gallery as specimens
from foundation.ui import search
from foundation.ui.context import THEMES
from foundation.ui.htmx import vary

YEAR_S = 365 * 24 * 3600
MIN_LETTERS = 1


@never_cache
@require_safe
def livez(request: HttpRequest) -> HttpResponse:
    """200 while the process answers at all; asks nothing else, so that a lost database restarts nobody."""
    return HttpResponse("ok\n", content_type="text/plain")


@never_cache
@require_safe
def readyz(request: HttpRequest) -> HttpResponse:
    """200 when the database answers and is migrated, else 503 with the reason in one sentence."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
            cursor.fetchone()
        waiting = _migrations_waiting()
    except DatabaseError:
        return JsonResponse({"ready": False, "reason": "The database does not answer."}, status=503)
    if waiting:
        reason = f"{waiting} migrations are waiting: run manage.py migrate."
        return JsonResponse({"ready": False, "reason": reason}, status=503)
    return JsonResponse({"ready": True})


def _migrations_waiting() -> int:
    """How many migrations the database lacks. Once it was none, it stays none for the life of this process."""
    try:
        return _all_migrated()
    except _Waiting as waiting:
        return waiting.n


class _Waiting(Exception):
    def __init__(self, n: int) -> None:
        self.n = n


@lru_cache(maxsize=1)
def _all_migrated() -> int:
    # lru_cache keeps the answer 0 only: an exception is not remembered, so a late migration is seen at once.
    executor = MigrationExecutor(connection)
    if plan := executor.migration_plan(executor.loader.graph.leaf_nodes()):
        raise _Waiting(len(plan))
    return 0


def _back(request: HttpRequest) -> HttpResponse:
    to = request.POST.get("next", "")
    ours = url_has_allowed_host_and_scheme(to, {request.get_host()}, require_https=request.is_secure())
    return HttpResponseRedirect(to if to and ours else "/")


def _remember(request: HttpRequest, response: HttpResponse, name: str, value: str) -> HttpResponse:
    response.set_cookie(name, value, max_age=YEAR_S, samesite="Lax", secure=request.is_secure())
    return response


@require_POST
def theme(request: HttpRequest) -> HttpResponse:
    """Remember light, dark or system for this browser, and go back."""
    chosen = request.POST.get("theme", "")
    response = _back(request)
    return _remember(request, response, "theme", chosen) if chosen in THEMES else response


@require_POST
def shortcuts(request: HttpRequest) -> HttpResponse:
    """Switch single-key shortcuts on or off for this browser, and go back (WCAG 2.1.4)."""
    on = request.POST.get("shortcuts") == "on"
    return _remember(request, _back(request), "shortcuts", "on" if on else "off")


@require_GET
def palette(request: HttpRequest) -> HttpResponse:
    """What the command palette found for `?q=`: a list of links, by kind. Only what this person may see."""
    words = request.GET.get("q", "").strip()[:80]
    found = search.find(request, words) if len(words) >= MIN_LETTERS else []
    return vary(render(request, "_ui/_palette_results.html", {"found": found, "words": words}))


@require_safe
def gallery(request: HttpRequest) -> HttpResponse:
    """Every part and chart there is, with the words to write for it."""
    return vary(render(request, "_ui/gallery.html", specimens.everything()))
