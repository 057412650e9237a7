"""Addresses without NUL characters: PostgreSQL stores none, so a filter that carries one would be an error of ours."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse


class NoNulMiddleware:
    """Drops NUL characters from the query before anybody reads it; forms refuse them by themselves."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        query = request.META.get("QUERY_STRING", "")
        while "%00" in query or "\0" in query:
            # Again, because dropping one can join the halves of another.
            request.META["QUERY_STRING"] = query = query.replace("%00", "").replace("\0", "")
        return self.get_response(request)
