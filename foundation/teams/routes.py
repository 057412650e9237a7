"""The only ways to declare an address: each says whom it serves, and the view is guarded by what it says.

A view declared here never asks who is there: it is called only for people who may, with the team or the row
found.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any
from urllib.parse import urlencode, urlsplit

from django.conf import settings
from django.db.models import Model, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import resolve_url
from django.urls import URLPattern, path
from django.utils.http import url_has_allowed_host_and_scheme

from foundation.teams.current import stay
from foundation.teams.domain.roles import Role
from foundation.teams.errors import NotAllowed
from foundation.teams.models import Team
from foundation.teams.policy import Policy, Scope

View = Callable[..., HttpResponse]
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


def team_path(
    route: str, view: View, *, name: str, read: Role = Role.VIEWER, write: Role = Role.EDITOR
) -> URLPattern:
    """An address below a team's slug: `view(request, team, **rest)`.

    A stranger to the team gets 404, a member whose role is too low 403 with a sentence, and somebody not
    signed in the sign-in page.
    """
    policy = Policy(Scope.TEAM, Role(read), Role(write))

    @wraps(view)
    def guarded(request: HttpRequest, team: str, **rest: Any) -> HttpResponse:
        if not request.user.is_authenticated:
            return to_sign_in(request)
        enter(request, _team_by_slug(request, team))
        check_role(request, policy)
        return view(request, request.team, **rest)

    return _declared(route, guarded, policy, name)


def object_path(
    route: str,
    view: View,
    model: type[Model],
    *,
    name: str,
    read: Role = Role.VIEWER,
    write: Role = Role.EDITOR,
    lookup: str = "pk",
    queryset: Callable[[], QuerySet] | None = None,
) -> URLPattern:
    """An address of one row: `view(request, row, **rest)`, the row found among those visible to the person.

    `lookup` is both the part of the address and the field. `queryset` replaces `model.objects`; it must know
    `visible_to(user)`. The row's team becomes `request.team`.
    """
    policy = Policy(Scope.OBJECT, Role(read), Role(write), model._meta.label_lower)
    has_team = any(field.name == "team" for field in model._meta.get_fields())

    @wraps(view)
    def guarded(request: HttpRequest, **rest: Any) -> HttpResponse:
        if not request.user.is_authenticated:
            return to_sign_in(request)
        rows = queryset() if queryset else model._default_manager.all()
        if has_team and rows.query.select_related is not True:
            rows = rows.select_related("team")
        try:
            row = rows.visible_to(request.user).get(**{lookup: rest.pop(lookup)})
        except (model.DoesNotExist, OverflowError):
            # A number too large for the database is a row that is not there.
            raise Http404(f"There is no {model._meta.verbose_name} here.") from None
        enter(request, row.team)
        check_role(request, policy)
        return view(request, row, **rest)

    return _declared(route, guarded, policy, name)


def self_path(route: str, view: View, *, name: str) -> URLPattern:
    """An address for any signed-in person, about themselves: `view(request, **rest)`."""
    policy = Policy(Scope.SELF)

    @wraps(view)
    def guarded(request: HttpRequest, **rest: Any) -> HttpResponse:
        if not request.user.is_authenticated:
            return to_sign_in(request)
        stay(request)
        return view(request, **rest)

    return _declared(route, guarded, policy, name)


def public_path(route: str, view: View, *, name: str) -> URLPattern:
    """An address that serves everybody, signed in or not: `view(request, **rest)`."""

    @wraps(view)
    def guarded(request: HttpRequest, **rest: Any) -> HttpResponse:
        return view(request, **rest)

    return _declared(route, guarded, Policy(Scope.PUBLIC), name)


def enter(request: HttpRequest, team: Team) -> None:
    """Make `team` the one this request is about. Raises Http404 when the person is not in it."""
    role = role_in(request, team)
    if role is None:
        raise Http404("There is no such team.")
    request.team, request.role = team, role
    if request.session.get("team") != team.pk:
        request.session["team"] = team.pk


def role_in(request: HttpRequest, team: Team) -> Role | None:
    """The person's role in `team`, None for a stranger. Superusers are admins everywhere."""
    if request.user.is_superuser:
        return Role.ADMIN
    return next((role for own, role in request.teams if own.pk == team.pk), None)


def check_role(request: HttpRequest, policy: Policy) -> None:
    """Raises NotAllowed, with a sentence, when the role in `request.team` is too low for the method."""
    needed = policy.read if request.method in SAFE_METHODS else policy.write
    if needed is not None and (request.role is None or request.role < needed):
        have = request.role.label.lower() if request.role else "no role"
        what = "opening this page" if request.method in SAFE_METHODS else "this change"
        raise NotAllowed(
            f"Your role in {request.team} is {have}; {what} needs {needed.label.lower()}. "
            "A team admin can change your role."
        )


def to_sign_in(request: HttpRequest) -> HttpResponse:
    """The way to the sign-in page and back again: a redirect, or its htmx form for a page part."""
    htmx = getattr(request, "htmx", None)
    if htmx:
        back = htmx.current_url_abs_path or "/"
    elif request.method in SAFE_METHODS:
        back = request.get_full_path()
    else:
        # A form cannot be repeated for the person; the page it stood on can.
        back = _own_path(request, request.headers.get("referer", ""))
    url = f"{resolve_url(settings.LOGIN_URL)}?{urlencode({'next': back})}"
    if htmx:
        # 200, because htmx follows HX-Redirect on any answer, and an error status would raise a toast first.
        return HttpResponse(headers={"HX-Redirect": url})
    return HttpResponseRedirect(url)


def _own_path(request: HttpRequest, url: str) -> str:
    if not url_has_allowed_host_and_scheme(url, {request.get_host()}, request.is_secure()):
        return "/"
    parts = urlsplit(url)
    path_only = parts.path + (f"?{parts.query}" if parts.query else "")
    return path_only if path_only.startswith("/") and not path_only.startswith("//") else "/"


def _team_by_slug(request: HttpRequest, slug: str) -> Team:
    for team, _ in request.teams:
        if team.slug == slug:
            return team
    if request.user.is_superuser and (found := Team.objects.filter(slug=slug).first()):
        return found
    raise Http404("There is no such team.")


def _declared(route: str, guarded: View, policy: Policy, name: str) -> URLPattern:
    guarded.policy = policy  # type: ignore[attr-defined]
    return path(route, guarded, name=name)
