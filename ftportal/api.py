"""`/api/v1/`: what the command line does, over HTTP, through the same services. Each floor brings its own router."""

from __future__ import annotations

import logging

from django.http import Http404, HttpRequest, HttpResponse
from ninja import NinjaAPI
from ninja.errors import AuthenticationError, HttpError, ValidationError
from ninja.security import APIKeyCookie, HttpBearer

from datasets.api import router as datasets_router
from datasets.training.api import router as training_router
from decisions.api import router as decisions_router
from decisions.api_decisions import router as living_router
from decisions.api_returns import router as returns_router
from evaluations.api import router as evaluations_router
from foundation.jobs.api import router as jobs_router
from foundation.teams import tokens
from foundation.teams.domain.roles import Role
from foundation.teams.errors import PortalError

log = logging.getLogger(__name__)
READING = {"GET", "HEAD", "OPTIONS"}


def _check_method(request: HttpRequest) -> None:
    """Refuse a change to somebody whose role only reads, before any router is asked."""
    if request.method not in READING and request.role < Role.EDITOR:
        raise HttpError(403, "This token may only read. Make one with the scope 'write'.")


class TeamToken(HttpBearer):
    """`Authorization: Bearer ftl_…`: the token's maker in the token's team, cut to the token's scope."""

    def authenticate(self, request: HttpRequest, token: str) -> object | None:
        found = tokens.authenticate(token)
        if found is None:
            return None
        request.user, request.team, request.role = found.user, found.team, found.role
        _check_method(request)
        return found


class SignedIn(APIKeyCookie):
    """The browser's own session, with its CSRF check; `X-Team` names the team when there are several."""

    param_name = "sessionid"

    def authenticate(self, request: HttpRequest, key: str | None) -> object | None:
        if not request.user.is_authenticated:
            return None
        memberships = request.user.memberships.select_related("team").order_by("pk")
        wanted = request.headers.get("X-Team")
        membership = (memberships.filter(team__slug=wanted) if wanted else memberships).first()
        if membership is None:
            return None
        request.team, request.role = membership.team, Role(membership.role)
        _check_method(request)
        return membership


api = NinjaAPI(
    title="ftportal",
    version="1",
    description="The fine-tuning lifecycle over HTTP. Make a token under Settings → API tokens.",
    auth=[TeamToken(), SignedIn()],
    urls_namespace="api",
    docs_url="docs",
)
api.add_router("", decisions_router)
api.add_router("", living_router)
api.add_router("", returns_router)
api.add_router("", datasets_router)
api.add_router("", training_router)
api.add_router("", evaluations_router)
api.add_router("", jobs_router)


@api.exception_handler(PortalError)
def say_plainly(request: HttpRequest, error: PortalError) -> HttpResponse:
    """Our own errors: their sentence, their status, their field."""
    body = {"error": str(error)}
    if field := getattr(error, "field", ""):
        body["field"] = field
    return api.create_response(request, body, status=error.status)


@api.exception_handler(HttpError)
def say_status(request: HttpRequest, error: HttpError) -> HttpResponse:
    """A refusal with a status."""
    return api.create_response(request, {"error": str(error)}, status=error.status_code)


@api.exception_handler(AuthenticationError)
def say_who(request: HttpRequest, error: AuthenticationError) -> HttpResponse:
    """Nobody is there, or the token is not good."""
    return api.create_response(
        request, {"error": "Send a token of this portal: Authorization: Bearer ftl_…"}, status=401
    )


@api.exception_handler(Http404)
def say_missing(request: HttpRequest, error: Http404) -> HttpResponse:
    """What is not there, or not yours: the same answer."""
    return api.create_response(request, {"error": "There is nothing of yours at this address."}, status=404)


@api.exception_handler(ValidationError)
def say_fields(request: HttpRequest, error: ValidationError) -> HttpResponse:
    """Which parts of the body cannot be used."""
    fields = [{"field": ".".join(str(p) for p in e["loc"][1:]), "problem": e["msg"]} for e in error.errors]
    return api.create_response(
        request, {"error": "The request cannot be used as it is.", "fields": fields}, status=422
    )
