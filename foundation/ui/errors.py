"""What people see when something goes wrong: one plain sentence, the id of the request and a way back.

These pages ask neither the database nor the session: they must stand when both are gone.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from urllib.parse import urlsplit

from django.core.exceptions import (
    DisallowedHost,
    RequestDataTooBig,
    SuspiciousOperation,
    TooManyFieldsSent,
    TooManyFilesSent,
)
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template import TemplateDoesNotExist
from django.template.loader import render_to_string
from django.utils.html import format_html
from django.utils.http import url_has_allowed_host_and_scheme

from foundation.ui.context import theme_of
from foundation.ui.htmx import trigger, vary, wants_fragment

log = logging.getLogger(__name__)

DATABASE_GONE = (
    "The database is locked or gone. What you just sent was not stored: wait a moment, then try again."
)
DATABASE_OLD = (
    "The database is older than the portal. Whoever runs this portal runs manage.py migrate, then it goes on."
)
SENTENCES = {
    400: "The portal could not read this request. Go back, check what you sent, and try again.",
    403: "You may not do this. Ask an admin of the team if you should be able to.",
    404: "There is nothing at this address, or it belongs to a team you are not in.",
    405: "This address cannot be used that way. Go back and use the button on the page.",
    409: "Somebody changed this before you, or it is already so. Load the page again and look.",
    413: "This is more than the portal takes in one piece. Send a smaller file, or send it in parts.",
    429: "That was too often in a short time. Wait a minute, then try again.",
    500: "Something broke on our side. It has been written down; what you had before is still there.",
    503: "The portal cannot answer just now. Wait a moment, then try again.",
}
CSRF_EXPIRED = (
    "This page was open for too long, or cookies are switched off. Load the page again and send it once more."
)


class PlainError(Exception):
    """Base of errors whose text is one sentence for people; `status` is the HTTP status it is shown with."""

    status = 400


def error_response(request: HttpRequest, status: int, sentence: str = "") -> HttpResponse:
    """The error as the asker can use it: a toast for htmx, JSON for a program, a page for a person."""
    request_id = getattr(request, "request_id", "")
    said = sentence or SENTENCES.get(status, SENTENCES[500 if status >= 500 else 400])
    if request.path.startswith("/api/") or request.headers.get("Accept", "").startswith("application/json"):
        return JsonResponse({"error": said, "status": status, "request_id": request_id}, status=status)
    if wants_fragment(request):
        response = HttpResponse(said, status=status, content_type="text/plain; charset=utf-8")
        trigger(response, "toast", {"text": said, "level": "bad", "id": request_id})
        response["HX-Reswap"] = "none"
        return vary(response)
    context = {
        "status": status,
        "sentence": said,
        "request_id": request_id,
        "theme": theme_of(request),
        "back": _own_referrer(request),
        "here": request.get_full_path() if request.method in ("GET", "HEAD") else "",
    }
    try:
        body = render_to_string([f"{status}.html", "500.html" if status >= 500 else "400.html"], context)
    except (TemplateDoesNotExist, ValueError):
        # Static files not collected: even then a person gets the sentence and the id, not a trace.
        body = format_html(
            "<!doctype html><html lang=en><title>{}</title><p>{}</p><p>Request {}</p>",
            status,
            said,
            request_id,
        )
    return vary(HttpResponse(body, status=status))


def _own_referrer(request: HttpRequest) -> str:
    url = request.headers.get("Referer", "")
    try:
        if not url_has_allowed_host_and_scheme(url, {request.get_host()}):
            return ""
    except DisallowedHost:
        return ""
    parts = urlsplit(url)
    path = parts.path + (f"?{parts.query}" if parts.query else "")
    return path if path.startswith("/") and not path.startswith("//") and path != request.path else ""


def response_for(request: HttpRequest, error: BaseException | None) -> HttpResponse | None:
    """The answer to an error we have words for; None for one that is simply a fault."""
    if isinstance(error, PlainError):
        return error_response(request, error.status, str(error))
    if isinstance(error, (OperationalError, InterfaceError)):
        log.error("database error in request %s", getattr(request, "request_id", ""), exc_info=error)
        # SQLite reports a missing table or column the same way as a lock; only the words tell them apart.
        is_old = "no such table" in str(error) or "no such column" in str(error)
        return error_response(request, 503, DATABASE_OLD if is_old else DATABASE_GONE)
    if isinstance(error, RequestDataTooBig):
        return error_response(request, 413)
    if isinstance(error, (TooManyFieldsSent, TooManyFilesSent)):
        return error_response(request, 400, "This form has more fields than the portal takes in one piece.")
    return None


class PlainErrorMiddleware:
    """Turns an uncaught PlainError or database error into a page or a toast, and dresses bare 405 answers."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        if response.status_code == 405 and not response.streaming and not response.content:
            dressed = error_response(request, 405)
            dressed["Allow"] = response.get("Allow", "")
            return dressed
        return response

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        return response_for(request, exception)


# --- handlers the roof names in its urls.py ------------------------------------------------------------------------


def _sentence(exception: BaseException | None) -> str:
    return str(exception) if isinstance(exception, PlainError) else ""


def handler400(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """The page for a request that cannot be read. Details of suspicious requests are not repeated to the sender."""
    if known := response_for(request, exception):
        return known
    if isinstance(exception, SuspiciousOperation):
        log.warning("refused request %s: %s", getattr(request, "request_id", ""), type(exception).__name__)
    return error_response(request, 400)


def handler403(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """The page for somebody known who may not."""
    return error_response(request, 403, _sentence(exception))


def handler404(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """The page for an address that is not there, and for what a stranger may not know of."""
    return error_response(request, 404)


def handler500(request: HttpRequest) -> HttpResponse:
    """The page for a fault. Errors raised in middleware arrive here too, so ours are looked for once more."""
    return response_for(request, sys.exc_info()[1]) or error_response(request, 500)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """The page for a form whose token is missing or old."""
    return error_response(request, 403, CSRF_EXPIRED)
