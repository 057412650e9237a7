"""Pages of returns: the form that answers while typing, a saved one, several side by side, planned against actual, CSV."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from typing import Any

from django.http import Http404, HttpResponse
from django.urls import reverse
from django.views.decorators.http import require_POST

from decisions import policies, presenting_returns, reading, reading_returns, services_returns
from decisions.domain import actuals, returns
from decisions.domain.costs import DOLLAR
from decisions.domain.plans import PLAN_FIGURES, Plan
from decisions.forms_returns import RoiForm, field_name, field_text
from decisions.models import RoiAnalysis, RoiScenario, UseCase
from decisions.presenting_returns import Column
from foundation.teams.domain.csv_cells import safe_cell
from foundation.teams.errors import BadInput
from foundation.teams.requests import TeamRequest
from foundation.ui import htmx

HISTORY = 20


# --- working one out -------------------------------------------------------------------------------------------------


def roi_create(request: TeamRequest, use_case: UseCase) -> HttpResponse:
    """Work out the return from assumptions; measured figures are filled in where there are any."""
    policies.check_can_change(use_case)
    if request.method != "POST":
        begun = _begun_from(request, use_case)
        values = begun.inputs if begun else reading.standard_assumptions(use_case)
        scenario = begun.scenario.name if begun and begun.scenario else ""
        return _form_page(request, use_case, RoiForm.of(values, scenario=scenario), begun=begun)
    form = RoiForm(request.POST)
    if not form.is_valid():
        return _form_page(request, use_case, form, status=422)
    try:
        analysis = services_returns.analyse_roi(
            actor=request.user,
            use_case=use_case,
            note=form.cleaned_data["note"],
            scenario=form.cleaned_data["scenario"],
            **_given(use_case, form),
        )
    except BadInput as error:
        _blame(form, error)
        return _form_page(request, use_case, form, status=422)
    return htmx.redirect(request, "decisions:roi-detail", use_case.pk, analysis.number)


def _given(use_case: UseCase, form: RoiForm) -> dict[str, Any]:
    given = form.assumptions()
    figure, standard = PLAN_FIGURES["quality_improvement"], reading.standard_assumptions(use_case)
    if field_text(figure, given["quality_improvement"]) == field_text(
        figure, standard["quality_improvement"]
    ):
        # The field shows four digits; untouched, the figure itself is meant.
        given["quality_improvement"] = standard["quality_improvement"]
    return given


def _blame(form: RoiForm, error: BadInput) -> None:
    name = field_name(error.field or "")
    form.add_error(name if name in form.fields else None, str(error))


def _begun_from(request: TeamRequest, use_case: UseCase) -> RoiAnalysis | None:
    number = request.GET.get("from", "")
    if not (number.isdecimal() and len(number) < 10):
        return None
    return use_case.roi_analyses.select_related("scenario").filter(number=int(number)).first()


def _form_page(
    request: TeamRequest,
    use_case: UseCase,
    form: RoiForm,
    *,
    begun: RoiAnalysis | None = None,
    status: int = 200,
) -> HttpResponse:
    answer, read = _answer(use_case, form)
    context = {
        "use_case": use_case,
        "form": form,
        "reads": read.read_by_name(),
        "begun": begun,
        "gain_source": reading.gain_source(use_case),
        "measured": reading.measured_facts(use_case),
        "scenarios": list(use_case.roi_scenarios.values_list("name", flat=True)),
        "answer": answer,
    }
    return htmx.render_page(request, "decisions/roi_create.html", None, context, status=status)


def _answer(use_case: UseCase, form: RoiForm) -> tuple[dict[str, Any] | None, RoiForm]:
    """(What the form comes to now, unsaved; the form as it was read). None where a figure cannot be read: it says which.

    A page that opens is read as it would be sent, so that answer and slots never differ from what typing brings.
    """
    if not form.is_bound:
        form = RoiForm({name: form.get_initial_for_field(form.fields[name], name) for name in form.fields})
    if not form.is_valid():
        return None, form
    try:
        plan = services_returns.plan_of(use_case, _given(use_case, form))
    except BadInput as error:
        _blame(form, error)
        return None, form
    return _drawn(plan, returns.answer(plan)), form


def _drawn(plan: Plan, result: dict[str, Any]) -> dict[str, Any]:
    return {
        "result": result,
        "plan": plan,
        "chart": presenting_returns.cumulative_chart(result),
        "tornado": presenting_returns.tornado_chart(result),
    }


@require_POST
def roi_what_if(request: TeamRequest, use_case: UseCase) -> HttpResponse:
    """The answer to the figures as they stand in the form, unsaved. With a bad one only its sentence comes back."""
    answer, form = _answer(use_case, RoiForm(request.POST))
    context = {"use_case": use_case, "answer": answer, "slots": form.reads(), "is_oob": True}
    response = htmx.vary(
        htmx.render_page(request, "decisions/_roi_what_if.html", None, context, status=200 if answer else 422)
    )
    if answer is None:
        # The last good figures stay where they are; only the words below the fields change.
        response["HX-Reswap"] = "none"
    return response


# --- a saved one -----------------------------------------------------------------------------------------------------


def roi_detail(request: TeamRequest, use_case: UseCase, number: int) -> HttpResponse:
    """One analysis: when it pays back, on cost alone and with quality counted, how sure that is, and what it rests on."""
    analysis = _analysis(use_case, number)
    plan = Plan.from_mapping(analysis.inputs)
    csv_url = reverse("decisions:roi-cash-flow", args=[use_case.pk, analysis.number])
    result = analysis.result
    context: dict[str, Any] = {
        "use_case": use_case,
        "roi": analysis,
        "result": result,
        "plan": plan,
        "figures": presenting_returns.figures_of(plan),
        "gain": float(plan.figures["quality_improvement"].likely),
        "chart": presenting_returns.cumulative_chart(result, csv_url=csv_url),
        "tornado": presenting_returns.tornado_chart(result),
        "needed": presenting_returns.needed_chart(result),
        "worth": plan.figures["value_per_improved_microusd"].likely,
        "is_latest": use_case.latest_roi_id == analysis.pk,
        "newer_gain": "" if analysis.scenario_id else reading.newer_gain(use_case, analysis),
        "history": list(use_case.roi_analyses.select_related("author", "scenario").defer("inputs")[:HISTORY]),
        "n_beside": use_case.roi_scenarios.filter(archived_at=None).count(),
        "is_watched": use_case.actual_months.exists(),
        "can_change": policies.can_change(use_case),
    }
    return htmx.render_page(request, "decisions/roi_detail.html", None, context)


def roi_cash_flow(request: TeamRequest, use_case: UseCase, number: int) -> HttpResponse:
    """The cumulative cash flow by month, in dollars, with the band of nine of ten draws, as CSV."""
    analysis = _analysis(use_case, number)
    found = analysis.result.get("uncertainty") or {}
    bands = (found.get("band_cost"), found.get("band_quality")) if found.get("n") else (None, None)
    head = ["month", "cost_alone_usd", "with_quality_usd"]
    if bands[0]:
        head += ["cost_alone_low_usd", "cost_alone_high_usd", "with_quality_low_usd", "with_quality_high_usd"]

    def rows() -> Iterable[Sequence[object]]:
        for month, (cost, quality) in enumerate(analysis.result["cash_flow"]):
            row: list[object] = [month, _usd(cost), _usd(quality)]
            for band in bands:
                if band:
                    row += [_usd(band[month][0]), _usd(band[month][2])]
            yield row

    return _csv(f"return-{use_case.pk}-{analysis.number}.csv", [head, *rows()])


def _usd(microusd: float) -> str:
    return f"{microusd / DOLLAR:.2f}"


def _csv(name: str, rows: Iterable[Sequence[object]]) -> HttpResponse:
    response = HttpResponse(content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    csv.writer(response).writerows([safe_cell(cell) for cell in row] for row in rows)
    return response


def _analysis(use_case: UseCase, number: int) -> RoiAnalysis:
    try:
        return use_case.roi_analyses.select_related("author", "scenario").get(number=number)
    except (RoiAnalysis.DoesNotExist, OverflowError):
        raise Http404(f"{use_case} has no return {number}.") from None


# --- several side by side --------------------------------------------------------------------------------------------


def roi_list(request: TeamRequest, use_case: UseCase) -> HttpResponse:
    """Returns side by side: the plan and every scenario as they stand last, or those the address names."""
    columns = _columns(request, use_case)
    answers, figures = presenting_returns.compare_rows(columns) if columns else ([], [])
    context = {
        "use_case": use_case,
        "columns": columns,
        "answers": answers,
        "figures": figures,
        "chart": presenting_returns.compare_chart(columns) if columns else "",
        "put_away": list(use_case.roi_scenarios.exclude(archived_at=None)),
        "history": list(use_case.roi_analyses.select_related("author", "scenario").defer("inputs")[:HISTORY]),
        "chosen": {column.analysis.number for column in columns},
        "query": request.GET.urlencode(),
        "can_change": policies.can_change(use_case),
    }
    return htmx.render_page(request, "decisions/roi_list.html", None, context)


def roi_compare_csv(request: TeamRequest, use_case: UseCase) -> HttpResponse:
    """The same comparison as CSV: a line a figure, a column a return."""
    columns = _columns(request, use_case)
    if not columns:
        raise Http404("There is no return to compare.")
    answers, figures = presenting_returns.compare_rows(columns)
    head = ["", *(f"{column.name} (return {column.analysis.number})" for column in columns)]
    return _csv(
        f"returns-{use_case.pk}.csv", [head, *([row.label, *row.cells] for row in [*answers, *figures])]
    )


def _columns(request: TeamRequest, use_case: UseCase) -> list[Column]:
    numbers = {int(n) for n in request.GET.getlist("with") if n.isdecimal() and len(n) < 10}
    return [
        Column(found, reading_returns.name_of(found), found.scenario_id, Plan.from_mapping(found.inputs))
        for found in reading_returns.side_by_side(use_case, numbers)
    ]


@require_POST
def scenario_archive(request: TeamRequest, scenario: RoiScenario) -> HttpResponse:
    """Put a scenario away, or bring it back. Its returns stay readable either way."""
    if request.POST.get("restore"):
        services_returns.restore_scenario(actor=request.user, scenario=scenario)
        htmx.toast(request, f"{scenario.name} is compared again.")
    else:
        services_returns.archive_scenario(actor=request.user, scenario=scenario)
        htmx.toast(request, f"{scenario.name} is put away. Its returns stay readable.")
    return htmx.redirect(request, "decisions:roi-list", scenario.use_case_id)


# --- planned against actual ------------------------------------------------------------------------------------------


def roi_actual(request: TeamRequest, use_case: UseCase) -> HttpResponse:
    """Planned against actual by month, in words where nothing has been measured yet."""
    analysis, plan, found = _beside(use_case)
    finding = actuals.finding(found) if found else ""
    csv_url = reverse("decisions:roi-actual-csv", args=[use_case.pk])
    context = {
        "use_case": use_case,
        "roi": analysis,
        "plan": plan,
        "found": found,
        "finding": finding,
        "chart": presenting_returns.actual_chart(plan, found, finding, csv_url=csv_url)
        if plan and found and not found.is_empty
        else "",
        "told_at": reading_returns.told_at(use_case),
        "can_change": policies.can_change(use_case),
        "min_judged": actuals.MIN_JUDGED,
    }
    return htmx.render_page(request, "decisions/roi_actual.html", None, context)


def roi_actual_csv(request: TeamRequest, use_case: UseCase) -> HttpResponse:
    """Planned against actual by month, as CSV."""
    _, _, found = _beside(use_case)
    if not found or found.is_empty:
        raise Http404("Nothing has been measured yet.")
    head = [
        "month", "days_served", "planned_requests", "requests", "planned_serving_usd", "serving_usd",
        "planned_gain", "gain", "gain_low", "gain_high", "planned_net_usd", "net_usd", "net_low_usd", "net_high_usd",
        "training_usd", "ledger_usd",
    ]  # fmt: skip
    rows = [
        [
            line.month.isoformat()[:7],
            line.n_days,
            round(line.planned_requests),
            line.requests,
            _usd(line.planned_serving),
            _usd(line.serving),
            f"{line.planned_gain:.4f}",
            *(
                (f"{v:.4f}" for v in (line.gain.value, line.gain.low, line.gain.high))
                if line.gain
                else ("",) * 3
            ),
            *(_usd(v) for v in (line.planned_net, line.net, line.net_low, line.net_high)),
            _usd(line.training),
            _usd(line.ledger),
        ]
        for line in found.lines
    ]
    return _csv(f"planned-actual-{use_case.pk}.csv", [head, *rows])


def _beside(use_case: UseCase) -> tuple[RoiAnalysis | None, Plan | None, actuals.Beside | None]:
    analysis = use_case.latest_roi
    if analysis is None:
        return None, None, None
    plan = Plan.from_mapping(analysis.inputs)
    return analysis, plan, actuals.beside(plan, reading_returns.actual_months(use_case))
