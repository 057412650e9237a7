"""Pages of decisions: today's answer before it is saved, a saved one with its history, and its export."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.http import Http404, HttpResponse, JsonResponse
from django.views.decorators.http import require_POST

from decisions import policies, presenting, reading, services, signing
from decisions.api import decision_json
from decisions.domain import tree
from decisions.domain.approaches import Approach
from decisions.domain.hindrances import SAID
from decisions.forms import NoteForm, SignOffForm
from decisions.models import Decision, UseCase
from decisions.views.same_answer import what_if_url
from foundation.teams.errors import BadInput
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
        **_answer(use_case, reading.result_of(inputs), inputs),
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
    """One saved answer, whole, with what changed since the one before it, and who signed it."""
    return _detail(request, use_case, decision_of(use_case, number), SignOffForm())


@require_POST
def decision_sign(request: TeamRequest, use_case: UseCase, number: int) -> HttpResponse:
    """Sign a decision. The page comes back with what was written when a word is missing."""
    form = SignOffForm(request.POST)
    if form.is_valid():
        try:
            signing.sign_off(actor=request.user, use_case=use_case, number=number, **form.cleaned_data)
        except BadInput as error:
            form.add_error(error.field if error.field in form.fields else None, str(error))
    if not form.is_valid():
        return _detail(request, use_case, decision_of(use_case, number), form, status=422)
    htmx.toast(request, f"Decision {number} has your signature.")
    return htmx.redirect(request, "decisions:decision-detail", use_case.pk, number)


def _detail(
    request: TeamRequest, use_case: UseCase, decision: Decision, form: SignOffForm, *, status: int = 200
) -> HttpResponse:
    is_latest = use_case.latest_decision_id == decision.pk
    signatures = list(decision.sign_offs.select_related("approver"))
    signs, refusal = False, ""
    if is_latest and policies.may_sign(request.role):
        signs, refusal = signing.can_sign(user=request.user, decision=decision, use_case=use_case)
    context = {
        **_answer(use_case, decision.result, decision.inputs),
        "use_case": use_case,
        "decision": decision,
        "is_latest": is_latest,
        "now": reading.now_of(use_case) if is_latest else None,
        "history": _history(use_case),
        "signatures": signatures,
        "signs": signs,
        "refusal": refusal,
        "sign_form": form,
    }
    return htmx.render_page(request, "decisions/decision_detail.html", None, context, status=status)


def decision_changes(request: TeamRequest, use_case: UseCase, number: int) -> HttpResponse:
    """What differs between a saved answer and an earlier one: facts, scores, answer. `?from=` chooses the other."""
    after = decision_of(use_case, number)
    others = list(
        use_case.decisions.exclude(number=number).values_list("number", "headline").order_by("-number")[:50]
    )
    wanted = request.GET.get("from", "")
    if wanted.isdecimal() and len(wanted) < 10:
        before: Decision | None = decision_of(use_case, int(wanted))
    else:
        before = use_case.decisions.select_related("author").filter(number__lt=number).first()
    context = {
        "use_case": use_case,
        "decision": after,
        "before": before,
        "others": others,
        "changes": reading.changes_between(before.inputs, after.inputs) if before else [],
        "scores": presenting.scores_between(before.result, after.result) if before else [],
        "was": Approach(before.recommendation).inline if before else "",
        "is_now": Approach(after.recommendation).inline,
    }
    return htmx.render_page(request, "decisions/decision_changes.html", None, context)


def decision_export(request: TeamRequest, use_case: UseCase, number: int) -> HttpResponse:
    """The saved answer as JSON: inputs, sources, every factor, who and when."""
    decision = decision_of(use_case, number)
    response = JsonResponse(decision_json(decision), json_dumps_params={"indent": 2, "ensure_ascii": False})
    response["Content-Disposition"] = f'attachment; filename="decision-{use_case.pk}-{decision.number}.json"'
    return response


def decision_of(use_case: UseCase, number: int) -> Decision:
    """The use case's decision of that number with its author. Raises Http404."""
    try:
        return use_case.decisions.select_related("author").get(number=number)
    except (Decision.DoesNotExist, OverflowError):
        raise Http404(f"{use_case} has no decision {number}.") from None


def _answer(use_case: UseCase, result: Mapping[str, Any], inputs: Mapping[str, Any]) -> dict[str, Any]:
    """What the shared part of both pages draws."""
    falls = presenting.waterfalls(result)
    tuned = next(fall for fall in falls if fall.approach == "fine_tuning")
    return {
        "result": result,
        "waterfalls": falls,
        "waterfall_columns": [falls[0::2], falls[1::2]],
        "tuned": tuned,
        "held_back": [
            {**each, "url": what_if_url(use_case.pk, each["name"]) if each["name"] in SAID else ""}
            for each in tuned.untaken
        ],
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
