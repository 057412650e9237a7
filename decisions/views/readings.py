"""Independent readings of the facts: hidden until they are opened, then side by side."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.http import Http404, HttpResponse
from django.urls import reverse
from django.views.decorators.http import require_POST

from decisions import blind, policies, reading
from decisions.domain.agreement import Agreement, agreement
from decisions.domain.facts import Facts
from decisions.forms_what_if import BlindForm, as_query, in_words
from decisions.models import BlindAnswer, BlindRound, UseCase
from foundation.teams.requests import TeamRequest
from foundation.ui import htmx


def readings(request: TeamRequest, use_case: UseCase) -> HttpResponse:
    """The latest round: give one's own reading, see where people disagree once it is given, and all once opened."""
    latest = use_case.blind_rounds.select_related("opened_by", "revealed_by").first()
    if request.method != "POST":
        return _page(request, use_case, latest, BlindForm())
    if latest is None:
        raise Http404("No round is open here.")
    latest.use_case = use_case
    form = BlindForm(request.POST)
    if not form.is_valid():
        return _page(request, use_case, latest, form, status=422)
    blind.give_reading(actor=request.user, round=latest, facts=form.facts(use_case.name))
    htmx.toast(request, "Your reading is kept. Nobody sees it before all are opened.")
    return htmx.redirect(request, "decisions:readings", use_case.pk)


@require_POST
def round_open(request: TeamRequest, use_case: UseCase) -> HttpResponse:
    """Begin a round, or go to the one that is open."""
    blind.open_round(actor=request.user, use_case=use_case)
    return htmx.redirect(request, "decisions:readings", use_case.pk)


@require_POST
def round_reveal(request: TeamRequest, use_case: UseCase) -> HttpResponse:
    """Open every reading of the latest round."""
    latest = use_case.blind_rounds.first()
    if latest is None:
        raise Http404("No round is open here.")
    latest.use_case = use_case
    blind.reveal(actor=request.user, round=latest)
    return htmx.redirect(request, "decisions:readings", use_case.pk)


def _page(
    request: TeamRequest, use_case: UseCase, latest: BlindRound | None, form: BlindForm, *, status: int = 200
) -> HttpResponse:
    given = list(latest.answers.select_related("author")) if latest else []
    has_given = any(answer.author_id == request.user.pk for answer in given)
    is_revealed = latest is not None and not latest.is_open
    context: dict[str, Any] = {
        "use_case": use_case,
        "round": latest,
        "n_given": len(given),
        "has_given": has_given,
        "is_revealed": is_revealed,
        "can_change": policies.can_change(use_case),
        "least": blind.LEAST_READINGS,
        "form": form,
    }
    if given and (has_given or is_revealed):
        found = _agreement(use_case, given)
        # Before the opening only that people differ is said, never who or how.
        context["disputed"] = [
            {"label": reading.field_label(line.fact), "n": line.n_values, "matters": line.matters}
            for line in found.disputed
        ]
        context["n_facts"] = len(found.facts)
        if is_revealed:
            context |= _opened(use_case, given, found)
    return htmx.render_page(request, "decisions/readings.html", None, context, status=status)


def _agreement(use_case: UseCase, given: list[BlindAnswer]) -> Agreement:
    facts = [Facts.from_mapping({"name": use_case.name, **answer.facts}) for answer in given]
    return agreement(facts, reading.answers_of(use_case))


def _opened(use_case: UseCase, given: list[BlindAnswer], found: Agreement) -> dict[str, Any]:
    saved = use_case.facts
    lines = [
        {
            "label": reading.field_label(line.fact),
            "values": [in_words(line.fact, value) for value in line.values],
            "saved": in_words(line.fact, getattr(saved, line.fact)),
            "is_agreed": line.is_agreed,
            "matters": line.matters,
        }
        for line in found.facts
    ]
    agreed = {
        name: as_query(value)
        for name, value in found.agreed.items()
        if name != "volume_per_day" and value != getattr(saved, name)
    }
    edit = reverse("decisions:use-case-edit", args=[use_case.pk])
    return {
        "people": [str(answer.author or "Somebody who has left") for answer in given],
        "lines": sorted(lines, key=lambda line: line["is_agreed"]),
        "leads_to": [approach.label for approach in found.leads_to],
        "is_one_answer": len(set(found.leads_to)) == 1,
        "take_over": f"{edit}?{urlencode(agreed)}" if agreed else "",
    }
