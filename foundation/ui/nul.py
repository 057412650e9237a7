"""Nothing with a NUL character comes in: PostgreSQL stores none, so a row that carries one would be an error of ours."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse

NUL_IN_JSON = b"\\u0000"
NOT_STORABLE = "The request holds a NUL character or half a character, which cannot be stored. Take it out."
# A NUL or a half of a surrogate pair can stand in JSON only as an escape.
_SUSPECT = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])")


def is_storable(value: Any) -> bool:
    """Whether every text in a JSON value can be stored: no NUL and no half of a surrogate pair in it."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, str):
            if "\0" in one or not _is_whole(one):
                return False
        elif isinstance(one, dict):
            waiting += [*one.keys(), *one.values()]
        elif isinstance(one, list):
            waiting += one
    return True


def _is_whole(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


class NoNulMiddleware:
    """Drops NUL characters from the query before anybody reads it, and refuses JSON that holds one; forms refuse by themselves."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        query = request.META.get("QUERY_STRING", "")
        while "%00" in query or "\0" in query:
            # Again, because dropping one can join the halves of another.
            request.META["QUERY_STRING"] = query = query.replace("%00", "").replace("\0", "")
        if request.path.startswith("/api/") and not _may_be_stored(request):
            return JsonResponse({"error": NOT_STORABLE}, status=400)
        return self.get_response(request)


def _may_be_stored(request: HttpRequest) -> bool:
    if (request.content_type or "").startswith("multipart/"):
        return True
    return not _SUSPECT.search(request.body) or _is_storable_json(request.body)


def _is_storable_json(raw: bytes) -> bool:
    try:
        return is_storable(json.loads(raw))
    except (ValueError, RecursionError):
        # What is no JSON is refused by whoever reads it.
        return True
