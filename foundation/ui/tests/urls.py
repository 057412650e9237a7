"""Addresses that go wrong in every way there is, beside the real ones."""

from __future__ import annotations

from django.core.exceptions import PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.db import OperationalError
from django.http import Http404, HttpResponse, HttpResponseNotAllowed
from django.urls import path

from foundation.teams.routes import public_path, self_path
from foundation.ui import htmx
from foundation.ui.errors import PlainError, error_response
from foundation.ui.gallery import SpecimenForm
from ftportal import urls as roof

handler400, handler403, handler404, handler500 = (
    roof.handler400, roof.handler403, roof.handler404, roof.handler500,
)  # fmt: skip

NOT_FOUND = Http404("secret words of a view")


class Taken(PlainError):
    status = 409


def raising(error):
    def view(request):
        raise error

    return view


def status(request, code):
    return error_response(request, code)


def form(request):
    failed = request.method == "POST"
    bound = SpecimenForm(request.POST, request.FILES) if failed else SpecimenForm()
    if failed and bound.is_valid():
        htmx.toast(request, "Saved <b>once</b>.")
        return htmx.redirect(request, "/trial/form/")
    context = {"form": bound}
    return htmx.render_page(
        request, "ui_tests/form.html", "ui_tests/_form.html", context, status=422 if failed else 200
    )


def text(request):
    return HttpResponse("part")


trial = [
    public_path("trial/plain/", raising(Taken("Somebody froze version 3 before you.")), name="plain"),
    public_path("trial/database/", raising(OperationalError("database is locked")), name="database"),
    public_path("trial/old/", raising(OperationalError("no such table: teams_user")), name="old"),
    public_path("trial/large/", raising(RequestDataTooBig("x")), name="large"),
    public_path("trial/suspicious/", raising(SuspiciousOperation("../../etc")), name="suspicious"),
    public_path("trial/denied/", raising(PermissionDenied("inner words")), name="denied"),
    public_path("trial/missing/", raising(NOT_FOUND), name="missing"),
    public_path("trial/fault/", raising(ZeroDivisionError("division by zero")), name="fault"),
    public_path("trial/method/", lambda request: HttpResponseNotAllowed(["POST"]), name="method"),
    public_path("trial/status/<int:code>/", status, name="status"),
    self_path("trial/form/", form, name="form"),
    public_path("trial/text/", text, name="text"),
]
urlpatterns = [*roof.urlpatterns, path("", roof.include((trial, "trial")))]
