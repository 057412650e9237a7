"""The business case of one decision on one page, to be read, signed and printed."""

from __future__ import annotations

from django.http import HttpResponse
from django.utils import timezone

from decisions import pitfalls, presenting, reading
from decisions.domain.risks import risks
from decisions.models import UseCase
from decisions.views.decisions import decision_of
from foundation.teams.requests import TeamRequest
from foundation.ui import htmx


def business_case(request: TeamRequest, use_case: UseCase, number: int) -> HttpResponse:
    """Decision, return, risks and the seven pitfalls with what the portal knows of each."""
    decision = decision_of(use_case, number)
    is_latest = use_case.latest_decision_id == decision.pk
    figures = reading.return_figures(use_case)
    today = timezone.localdate()
    context = {
        "use_case": use_case,
        "decision": decision,
        "is_latest": is_latest,
        "now": reading.now_of(use_case) if is_latest else None,
        "result": decision.result,
        "waterfalls": presenting.waterfalls(decision.result),
        "cost_rows": presenting.cost_rows(decision.result),
        "signatures": list(decision.sign_offs.select_related("approver")),
        "figures": figures,
        "risks": risks(
            decision.result,
            decision.inputs,
            figures.result if figures else None,
            retires_on=reading.retires_on(use_case),
            today=today,
        ),
        "pitfalls": pitfalls.pitfalls_of(use_case, decision),
        "facts": reading.facts_in_words(decision.inputs),
        "today": today,
    }
    return htmx.render_page(request, "decisions/business_case.html", None, context)
