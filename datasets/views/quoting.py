"""Asking what something would cost: the choice goes into the address, where it can be kept and shared."""

from __future__ import annotations

from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect


def to_quote(request: HttpRequest, *fields: str) -> HttpResponse | None:
    """The way to the address of the choice when "Quote this choice" was pressed; None otherwise.

    Only `fields` go there: a form sent by GET would put its secret tokens into the address, the history and the logs.
    """
    if request.method != "POST" or "quote" not in request.POST:
        return None
    chosen = [(name, value) for name in fields for value in request.POST.getlist(name)]
    return HttpResponseRedirect(f"{request.path}?{urlencode(chosen)}")
