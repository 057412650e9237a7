"""Pages of decisions: today's answer before it is saved, a saved one with its history, and its export."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.http import Http404, HttpResponse, JsonResponse

from decisions import policies, presenting, reading, services
from decisions.api import decision_json
from decisions.domain import tree
from decisions.forms import NoteForm
from decisions.models import Decision, UseCase
from foundation.teams.requests import TeamRequest
from foundation.ui import htmx

# How many earlier answers the history lists; older ones stay under their own address.
HISTORY = 20


def decision_preview(request: TeamRequest, use_case: UseCase) -> HttpResponse:
    """What today's facts lead to, before anything is saved; saving it makes the next decision."""
    latest = use_case.latest_decision
    if request.method == "POST":
        form = NoteForm(request.POST)
        if form.is_valid():
            decision = services.decide(actor=request.user, use_case=use_case, note=form.cleaned_data["note"])
            is_new = latest is None or decision.pk != latest.pk
            htmx.toast(
                request,
                f"Saved as decision {decision.number}."
                if is_new
                else f"Nothing changed: decision {decision.number} stands.",
            )
            return htmx.redirect(request, "decisions:use-case-detail", use_case.pk)
    else:
        form = NoteForm()
    inputs = reading.inputs_of(use_case)
    is_changed = latest is None or latest.inputs_sha256 != reading.inputs_digest(inputs)
    context = {
        **_answer(reading.result_of(inputs), inputs),
        "use_case": use_case,
        "form": form,
        "latest": latest,
        "is_changed": is_changed,
        "changes": reading.changes_between(latest.inputs, inputs) if latest and is_changed else [],
        "next_number": latest.number + 1 if latest else 1,
        "can_change": policies.can_change(use_case),
        "history": _history(use_case),
    }
    return htmx.render_page(request, "decisions/decision_preview.html", None, context)


def decision_detail(request: TeamRequest, use_case: UseCase, number: int) -> HttpResponse:
    """One saved answer, whole, with what changed since the one before it."""
    decision = _decision(use_case, number)
    context = {
        **_answer(decision.result, decision.inputs),
        "use_case": use_case,
        "decision": decision,
        "is_latest": use_case.latest_decision_id == decision.pk,
        "now": reading.now_of(use_case) if use_case.latest_decision_id == decision.pk else None,
        "history": _history(use_case),
    }
    return htmx.render_page(request, "decisions/decision_detail.html", None, context)


def decision_export(request: TeamRequest, use_case: UseCase, number: int) -> HttpResponse:
    """The saved answer as JSON: inputs, sources, every factor, who and when."""
    decision = _decision(use_case, number)
    response = JsonResponse(decision_json(decision), json_dumps_params={"indent": 2, "ensure_ascii": False})
    response["Content-Disposition"] = f'attachment; filename="decision-{use_case.pk}-{decision.number}.json"'
    return response


def _decision(use_case: UseCase, number: int) -> Decision:
    try:
        return use_case.decisions.select_related("author").get(number=number)
    except (Decision.DoesNotExist, OverflowError):
        raise Http404(f"{use_case} has no decision {number}.") from None


def _answer(result: Mapping[str, Any], inputs: Mapping[str, Any]) -> dict[str, Any]:
    """What the shared part of both pages draws."""
    falls = presenting.waterfalls(result)
    return {
        "result": result,
        "waterfalls": falls,
        "waterfall_columns": [falls[0::2], falls[1::2]],
        "tuned": next(fall for fall in falls if fall.approach == "fine_tuning"),
        "book_rows": presenting.beside_the_book(result),
        "cost_rows": presenting.cost_rows(result),
        "few_shot": {"pros": tree.FEW_SHOT_PROS, "cons": tree.FEW_SHOT_CONS},
        "fine_tuning": {"pros": tree.FINE_TUNING_PROS, "cons": tree.FINE_TUNING_CONS},
        "facts": reading.facts_in_words(inputs),
    }


def _history(use_case: UseCase) -> list[dict[str, Any]]:
    """The answers so far, newest first, each with what differs from the one before it."""
    rows = list(use_case.decisions.select_related("author").defer("result")[: HISTORY + 1])
    earlier = [*rows[1:], None]
    return [
        {"decision": row, "changes": reading.changes_between(before.inputs, row.inputs) if before else []}
        for row, before in zip(rows[:HISTORY], earlier, strict=False)
    ]
