"""Page or fragment: the one place that asks. Every answer says in `Vary` what it depended on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render, resolve_url
from django.utils.cache import patch_vary_headers

VARIES_ON = ("HX-Request", "HX-History-Restore-Request")
LEVELS = {"good": messages.SUCCESS, "warn": messages.WARNING, "bad": messages.ERROR, "live": messages.INFO}


def wants_fragment(request: HttpRequest) -> bool:
    """Whether to answer with a part of the page: asked by htmx, not boosted, not to restore the history."""
    headers = request.headers
    return (
        headers.get("HX-Request") == "true"
        and headers.get("HX-Boosted") != "true"
        and headers.get("HX-History-Restore-Request") != "true"
    )


def vary(response: HttpResponse) -> HttpResponse:
    """The response, saying that a page and its fragment share this address and that neither is to be kept."""
    patch_vary_headers(response, VARIES_ON)
    response.headers.setdefault("Cache-Control", "no-store")
    return response


def render_page(
    request: HttpRequest,
    page_template: str,
    fragment_template: str | None = None,
    context: Mapping[str, Any] | None = None,
    *,
    status: int = 200,
) -> HttpResponse:
    """The whole page, or only its fragment when htmx asks for it and there is one.

    A form that failed comes back with status=422: htmx swaps it like a success.
    """
    template = fragment_template if fragment_template and wants_fragment(request) else page_template
    return vary(render(request, template, dict(context or {}), status=status))


def redirect(request: HttpRequest, to: Any, *args: Any, **kwargs: Any) -> HttpResponse:
    """Go to an address, a view name or an object's page: HX-Redirect to htmx, 302 to everybody else."""
    url = resolve_url(to, *args, **kwargs)
    if wants_fragment(request):
        return vary(HttpResponse(status=204, headers={"HX-Redirect": url}))
    return vary(HttpResponseRedirect(url))


def refresh(request: HttpRequest) -> HttpResponse:
    """Load the same page again: HX-Refresh to htmx, a redirect to where the person was to everybody else."""
    if wants_fragment(request):
        return vary(HttpResponse(status=204, headers={"HX-Refresh": "true"}))
    return vary(HttpResponseRedirect(request.get_full_path()))


def toast(
    request: HttpRequest,
    text: str,
    level: str = "good",
    *,
    response: HttpResponse | None = None,
    undo_url: str = "",
) -> HttpResponse | None:
    """Say one sentence in the corner. Levels: good, warn, bad, live. `undo_url` is posted to by its "Undo" button.

    Without a response it waits for the next page (the messages framework). With one that htmx will read, it is sent
    along in HX-Trigger and shown at once.
    """
    if (
        response is not None
        and wants_fragment(request)
        and not {"HX-Redirect", "HX-Refresh"} & set(response.headers)
    ):
        return trigger(response, "toast", {"text": text, "level": level, "undo": undo_url})
    messages.add_message(request, LEVELS.get(level, messages.INFO), text, extra_tags=undo_url)
    return response


def trigger(response: HttpResponse, event: str, detail: Any = True) -> HttpResponse:
    """The response, raising an event in the page that receives it; earlier events are kept."""
    events = json.loads(response.headers.get("HX-Trigger", "{}"))
    events[event] = detail
    # Header values are ASCII: json escapes everything else.
    response.headers["HX-Trigger"] = json.dumps(events)
    return response
