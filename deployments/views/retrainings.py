"""Pages of learning again: the list, one proposal with what came of it."""

from __future__ import annotations

import json

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_POST

from deployments.domain.retraining import FEW_ROWS, words_of
from deployments.models import Endpoint, Retraining
from deployments.services import retraining as services
from foundation.teams.errors import BadInput
from foundation.teams.models import Team
from foundation.ui.htmx import redirect, toast

PAGE_SIZE = 50
STEPS = ("importing", "freezing", "training", "evaluating", "done")


def retraining_list(request: HttpRequest, team: Team) -> HttpResponse:
    """The team's retrainings, newest first."""
    rows = Retraining.objects.of(team).select_related("endpoint", "previous", "version")[:PAGE_SIZE]
    return render(
        request,
        "deployments/retraining_list.html",
        {
            "rows": [(r, words_of(r.improvement)) for r in rows],
            "endpoint": Endpoint.objects.of(team).current().first(),
        },
    )


@require_POST
def retraining_create(request: HttpRequest, endpoint: Endpoint) -> HttpResponse:
    """A person proposes to learn again; a second press finds the same proposal."""
    reason = " ".join(request.POST.get("reason", "").split()) or f"{request.user} asked for it."
    made = services.propose_retraining(actor=request.user, endpoint=endpoint, reason=reason)
    return redirect(request, "deployments:retraining-detail", made.pk)


def retraining_detail(request: HttpRequest, retraining: Retraining) -> HttpResponse:
    """One retraining: why, with which rows and settings, how far it is, what it brought."""
    r = retraining
    before = r.previous.candidate.training_run
    settings = services.merged(before.settings if before else {}, r.options)
    at = STEPS.index(r.state) if r.state in STEPS else -1
    titles = ("Bring in rows", "Freeze a version", "Train", "Evaluate against production", "New version")
    jobs = {
        "importing": r.import_row.job if r.import_row else None,
        "freezing": r.dataset_version.job if r.dataset_version else None,
        "training": r.training_run.job if r.training_run else None,
    }
    return render(
        request,
        "deployments/retraining_detail.html",
        {
            "r": r,
            "steps": [(title, "good" if i < at or r.state == "done" else "live" if i == at else "")
                      for i, title in enumerate(titles)],
            "job": jobs.get(r.state),
            "settings": [
                (k.replace("_", " "), v if isinstance(v, str) else json.dumps(v))
                for k, v in settings.items()
                if not isinstance(v, dict)
            ],
            "improvement": words_of(r.improvement),
            "is_few": r.n_new_rows < FEW_ROWS,
        },
    )  # fmt: skip


@require_POST
def retraining_approve(request: HttpRequest, retraining: Retraining) -> HttpResponse:
    """An approver lets it run, after a day or now."""
    at_once = request.POST.get("when") == "now"
    options = _options(request.POST.get("options", ""))
    services.approve_retraining(actor=request.user, retraining=retraining, options=options, at_once=at_once)
    toast(request, "It begins within seconds." if at_once else "It begins in 24 hours.")
    return redirect(request, "deployments:retraining-detail", retraining.pk)


def _options(text: str) -> dict[str, object]:
    if not text.strip():
        return {}
    try:
        given = json.loads(text)
    except ValueError:
        raise BadInput('Write the settings like {"epochs": 12}.', field="options") from None
    if not isinstance(given, dict) or len(text) > 4000:
        raise BadInput('Write the settings like {"epochs": 12}.', field="options")
    return given


@require_POST
def retraining_decline(request: HttpRequest, retraining: Retraining) -> HttpResponse:
    """Put a proposal away."""
    services.decline_retraining(
        actor=request.user, retraining=retraining, reason=request.POST.get("reason", "")
    )
    toast(request, "Put away. It is not proposed again within a week.")
    return redirect(request, "deployments:retraining-detail", retraining.pk)
