"""Pages of returns: the form of assumptions, a saved analysis, its cash flow as CSV."""

from __future__ import annotations

import csv
from typing import Any

from django.http import Http404, HttpResponse
from django.urls import reverse

from decisions import policies, presenting, reading, services
from decisions.domain.costs import DOLLAR
from decisions.forms import RoiForm, percent_text
from decisions.models import RoiAnalysis, UseCase
from foundation.teams.errors import BadInput
from foundation.teams.requests import TeamRequest
from foundation.ui import htmx

# The form's names for what `Assumptions` calls otherwise.
FIELDS = {
    "current_cost_per_request_microusd": "current_cost",
    "fine_tuned_cost_per_request_microusd": "fine_tuned_cost",
    "setup_cost_microusd": "setup_cost",
    "training_cost_microusd": "training_cost",
    "monthly_maintenance_microusd": "monthly_maintenance",
    "value_per_improved_microusd": "value_per_improved",
}


def roi_create(request: TeamRequest, use_case: UseCase) -> HttpResponse:
    """Work out the return from assumptions; measured figures are filled in where there are any."""
    policies.check_can_change(use_case)
    standard = reading.standard_assumptions(use_case)
    if request.method != "POST":
        return _form_page(request, use_case, RoiForm.of(standard))
    form = RoiForm(request.POST)
    if not form.is_valid():
        return _form_page(request, use_case, form, status=422)
    given = form.assumptions()
    if percent_text(given["quality_improvement"]) == percent_text(standard["quality_improvement"]):
        # The field shows four digits; untouched, the figure itself is meant.
        given["quality_improvement"] = standard["quality_improvement"]
    try:
        analysis = services.analyse_roi(
            actor=request.user, use_case=use_case, note=form.cleaned_data["note"], **given
        )
    except BadInput as error:
        form.add_error(
            FIELDS.get(error.field, error.field if error.field in form.fields else None), str(error)
        )
        return _form_page(request, use_case, form, status=422)
    return htmx.redirect(request, "decisions:roi-detail", use_case.pk, analysis.number)


def _form_page(request: TeamRequest, use_case: UseCase, form: RoiForm, *, status: int = 200) -> HttpResponse:
    context = {
        "use_case": use_case,
        "form": form,
        "gain_source": reading.gain_source(use_case),
        "measured": reading.measured_facts(use_case),
    }
    return htmx.render_page(request, "decisions/roi_create.html", None, context, status=status)


def roi_detail(request: TeamRequest, use_case: UseCase, number: int) -> HttpResponse:
    """One analysis: when it pays back, on cost alone and with quality counted, and what that rests on."""
    analysis = _analysis(use_case, number)
    csv_url = reverse("decisions:roi-cash-flow", args=[use_case.pk, analysis.number])
    context: dict[str, Any] = {
        "use_case": use_case,
        "roi": analysis,
        "result": analysis.result,
        "inputs": analysis.inputs,
        "gain": float(analysis.inputs["quality_improvement"]),
        "chart": presenting.roi_chart(analysis, csv_url=csv_url),
        "is_latest": use_case.latest_roi_id == analysis.pk,
        "newer_gain": reading.newer_gain(use_case, analysis),
        "history": list(use_case.roi_analyses.select_related("author").defer("inputs")[:20]),
        "can_change": policies.can_change(use_case),
    }
    return htmx.render_page(request, "decisions/roi_detail.html", None, context)


def roi_cash_flow(request: TeamRequest, use_case: UseCase, number: int) -> HttpResponse:
    """The cumulative cash flow by month, in dollars, as CSV."""
    analysis = _analysis(use_case, number)
    response = HttpResponse(content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="return-{use_case.pk}-{analysis.number}.csv"'
    writer = csv.writer(response)
    writer.writerow(["month", "cost_alone_usd", "with_quality_usd"])
    for month, (cost, quality) in enumerate(analysis.result["cash_flow"]):
        writer.writerow([month, f"{cost / DOLLAR:.2f}", f"{quality / DOLLAR:.2f}"])
    return response


def _analysis(use_case: UseCase, number: int) -> RoiAnalysis:
    try:
        return use_case.roi_analyses.select_related("author").get(number=number)
    except (RoiAnalysis.DoesNotExist, OverflowError):
        raise Http404(f"{use_case} has no return {number}.") from None
