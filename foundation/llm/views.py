"""Pages of connections and of the catalogue. No page waits for a model: trying a key is a job."""

from __future__ import annotations

from typing import cast

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_GET, require_POST

from foundation.jobs.models import Job
from foundation.llm import catalogue, services
from foundation.llm.connections import environment_connection, environment_key_found
from foundation.llm.forms import ConnectionForm
from foundation.llm.models import Connection, ModelEntry
from foundation.teams.errors import PortalError
from foundation.teams.models import Team, User
from foundation.teams.presses import new_press, once
from foundation.ui.htmx import redirect, render_page


def _put(form: ConnectionForm, error: PortalError) -> None:
    """Put the sentence where the person looks: at its field, else above the form."""
    field = getattr(error, "field", "")
    form.add_error(field if field in form.fields else None, str(error))


def _person(request: HttpRequest) -> User:
    """Whoever is signed in; the routes let nobody else in."""
    return cast(User, request.user)


def _running_try(connection: Connection) -> Job | None:
    return Job.objects.about(connection).open().filter(kind="llm.try_key").first()


@require_GET
def connection_list(request: HttpRequest, team: Team) -> HttpResponse:
    """The team's ways to models, and whether the environment gives one."""
    environment_connection(team)
    rows = Connection.objects.of(team).exclude(provider=Connection.Provider.LOCAL)
    if not environment_key_found():
        rows = rows.exclude(from_environment=True)
    found = list(rows)
    usable = [c for c in found if c.enabled and c.has_key]
    return render(
        request,
        "llm/connection_list.html",
        {
            "rows": found,
            "usable": usable,
            "default": min(
                usable, key=lambda c: (not c.is_default, not c.from_environment, c.pk), default=None
            ),
            "environment_found": environment_key_found(),
            "environment_url": settings.ANTHROPIC_BASE_URL,
        },
    )


def connection_create(request: HttpRequest, team: Team) -> HttpResponse:
    """The form for a new connection, and its making."""
    form = ConnectionForm(request.POST or None, initial={"press": new_press()})
    if request.method == "POST" and form.is_valid():
        given = form.cleaned_data
        try:
            connection, made = once(
                user=_person(request),
                press=given["press"],
                purpose="connection",
                model=Connection,
                make=lambda: services.create_connection(
                    actor=_person(request),
                    team=team,
                    name=given["name"],
                    base_url=given["base_url"],
                    key=given["key"],
                    max_concurrency=given["max_concurrency"],
                    make_default=given["make_default"],
                ),
            )
            if made and connection.has_key:
                services.start_try(actor=_person(request), connection=connection)
            return redirect(request, "llm:connection-detail", connection.pk)
        except PortalError as error:
            _put(form, error)
    status = 422 if form.is_bound else 200
    return render_page(request, "llm/connection_form.html", None, {"form": form}, status=status)


def connection_detail(request: HttpRequest, connection: Connection) -> HttpResponse:
    """One connection: what is known of it, its settings, and the button that tries its key."""
    form = ConnectionForm(request.POST if request.method == "POST" else None, connection=connection)
    if request.method == "POST" and form.is_valid():
        given = form.cleaned_data
        had_key = connection.has_key
        try:
            changed = services.update_connection(
                actor=_person(request),
                connection=connection,
                name=given["name"],
                base_url=given.get("base_url"),
                key=given.get("key", ""),
                max_concurrency=given["max_concurrency"],
                enabled=given["enabled"],
                make_default=given["make_default"],
            )
            if had_key and not changed.has_key:
                messages.warning(
                    request, "Saved. The address is new, so the stored key was erased: enter its key."
                )
            else:
                messages.success(request, "Saved.")
            return redirect(request, "llm:connection-detail", connection.pk)
        except PortalError as error:
            _put(form, error)
    context = {"connection": connection, "form": form, "trying": _running_try(connection)}
    return render_page(
        request, "llm/connection_detail.html", None, context, status=422 if form.is_bound else 200
    )


def connection_try(request: HttpRequest, connection: Connection) -> HttpResponse:
    """POST starts the try; GET answers the part of the page that tells how it stands."""
    if request.method == "POST":
        services.start_try(actor=_person(request), connection=connection)
        return redirect(request, "llm:connection-detail", connection.pk)
    context = {"connection": connection, "trying": _running_try(connection)}
    return render(request, "llm/_connection_try.html", context)


@require_POST
def connection_remove(request: HttpRequest, connection: Connection) -> HttpResponse:
    """Remove the connection and its key."""
    team = connection.team
    try:
        services.remove_connection(actor=_person(request), connection=connection)
        messages.success(request, f"“{connection.name}” and its key are removed.")
    except PortalError as error:
        messages.error(request, str(error))
        return redirect(request, "llm:connection-detail", connection.pk)
    return redirect(request, "llm:connection-list", team.slug)


@require_GET
def model_list(request: HttpRequest, team: Team) -> HttpResponse:
    """The catalogue: models, what they cost today, and until when they live."""
    today = timezone.now().date()
    entries = list(ModelEntry.objects.prefetch_related("prices"))
    rows = [(entry, catalogue.price_of(entry, today), _end_in_days(entry, today)) for entry in entries]
    offered = [r for r in rows if r[0].lifecycle != ModelEntry.Lifecycle.RETIRED]
    retired = [r for r in rows if r[0].lifecycle == ModelEntry.Lifecycle.RETIRED]
    return render(
        request,
        "llm/model_list.html",
        {
            "offered": offered,
            "retired": retired,
            "source": catalogue.DATA_FILE.stem.removeprefix("catalogue-"),
        },
    )


def _end_in_days(entry: ModelEntry, today: object) -> int | None:
    return (entry.retires_at - today).days if entry.retires_at else None  # type: ignore[operator]
