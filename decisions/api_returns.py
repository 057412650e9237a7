"""Returns over HTTP, as the pages offer them: worked out, tried, compared, put away, held against what happened.

A figure is one value or [low, likely, high]. Money is whole micro-dollars, gains and other shares run from 0 to 1.
"""

from __future__ import annotations

from dataclasses import asdict
from decimal import Decimal
from typing import Any

from django.http import Http404
from ninja import Router, Schema, Status

from decisions import reading_returns, services_returns
from decisions.api import found
from decisions.domain import actuals, returns
from decisions.domain.plans import Plan
from decisions.models import RoiAnalysis, RoiScenario
from foundation.teams.requests import TeamRequest

router = Router(tags=["Decide"])
PAGE = 100

Value = int | Decimal | str
Figure = Value | list[Value]


# `shape` is per_request, per_token, gpu_hour or provisioned; the other keys are the figures of that shape.
Serving = dict[str, Figure]


class RoiIn(Schema):
    """Assumptions of a return. What is left out comes from the use case."""

    monthly_volume: Figure | None = None
    current_cost_per_request_microusd: Figure | None = None
    fine_tuned_cost_per_request_microusd: Figure | None = None
    current_serving: Serving | None = None
    fine_tuned_serving: Serving | None = None
    setup_cost_microusd: Figure | None = None
    training_cost_microusd: Figure | None = None
    monthly_maintenance_microusd: Figure | None = None
    hour_of_work_microusd: Figure | None = None
    data_hours: Figure | None = None
    review_hours: Figure | None = None
    upkeep_hours: Figure | None = None
    quality_improvement: Figure | None = None
    value_per_improved_microusd: Figure | None = None
    horizon_months: int | None = None
    retires_on: str | None = None
    scenario: str = ""
    note: str = ""

    def figures(self) -> dict[str, Any]:
        """The assumptions given, as the services take them."""
        return {
            name: _plain(value)
            for name, value in self.dict(exclude={"scenario", "note"}, exclude_none=True).items()
        }


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, list):
        return [_plain(part) for part in value]
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    return value


@router.post("/use-cases/{int:pk}/returns", response={201: dict}, summary="Work out a return")
def analyse_roi(request: TeamRequest, pk: int, body: RoiIn) -> Status:
    """The ROI analysis; the latest one of its scenario again when its figures did not change."""
    analysis = services_returns.analyse_roi(
        actor=request.user,
        use_case=found(request, pk),
        note=body.note,
        scenario=body.scenario,
        **body.figures(),
    )
    return Status(201, roi_json(analysis))


@router.post("/use-cases/{int:pk}/returns/what-if", summary="Try figures without saving them")
def what_if(request: TeamRequest, pk: int, body: RoiIn) -> dict[str, Any]:
    """The whole answer to these figures, unsaved, with the assumptions it rests on."""
    plan = services_returns.plan_of(found(request, pk), body.figures())
    return {"inputs": plan.as_mapping(), "result": returns.answer(plan)}


@router.get("/use-cases/{int:pk}/returns", summary="The returns of a use case, newest first")
def list_roi(request: TeamRequest, pk: int, after: int | None = None) -> dict[str, Any]:
    """Up to 100 returns without their inputs; `next` is the `after` of the following page, null at the end."""
    rows = found(request, pk).roi_analyses.select_related("scenario", "author").defer("inputs")
    if after is not None:
        rows = rows.filter(number__lt=after)
    page = list(rows[: PAGE + 1])
    return {
        "items": [_brief(row) for row in page[:PAGE]],
        "next": page[PAGE - 1].number if len(page) > PAGE else None,
    }


@router.get("/use-cases/{int:pk}/returns/{int:number}", summary="One saved return")
def get_roi(request: TeamRequest, pk: int, number: int) -> dict[str, Any]:
    """Assumptions, both break-evens, the verdicts, the draws, the tornado and the cash flow by month."""
    rows = found(request, pk).roi_analyses.select_related("author", "scenario")
    if number >= 2**31 or (analysis := rows.filter(number=number).first()) is None:
        raise Http404(f"There is no return {number}.")
    return roi_json(analysis)


@router.get("/use-cases/{int:pk}/scenarios", summary="The scenarios beside the plan")
def list_scenarios(request: TeamRequest, pk: int) -> dict[str, Any]:
    """Every scenario with the number of its latest return; those put away say when."""
    rows = found(request, pk).roi_scenarios.select_related("latest")
    return {"items": [_scenario(row) for row in rows]}


@router.post("/use-cases/{int:pk}/scenarios/{int:scenario}/archive", summary="Put a scenario away")
def archive_scenario(request: TeamRequest, pk: int, scenario: int) -> dict[str, Any]:
    """The scenario, put away; twice is once. Its returns stay readable."""
    row = _of(request, pk, scenario)
    return _scenario(services_returns.archive_scenario(actor=request.user, scenario=row))


@router.post("/use-cases/{int:pk}/scenarios/{int:scenario}/restore", summary="Bring a scenario back")
def restore_scenario(request: TeamRequest, pk: int, scenario: int) -> dict[str, Any]:
    """The scenario, compared again; twice is once."""
    row = _of(request, pk, scenario)
    return _scenario(services_returns.restore_scenario(actor=request.user, scenario=row))


@router.get("/use-cases/{int:pk}/actuals", summary="Planned against actual by month")
def get_actuals(request: TeamRequest, pk: int) -> dict[str, Any]:
    """The latest plan's months beside what the gateway and the ledger counted; no months while nothing is measured."""
    use_case = found(request, pk)
    if use_case.latest_roi is None:
        raise Http404("There is no return to compare with.")
    beside = actuals.beside(
        Plan.from_mapping(use_case.latest_roi.inputs), reading_returns.actual_months(use_case)
    )
    return {
        "return": use_case.latest_roi.number,
        "finding": actuals.finding(beside),
        "months": [{**asdict(line), "month": line.month.isoformat()[:7]} for line in beside.lines],
        "running": [asdict(point) for point in beside.running],
        "training_microusd": beside.training,
        "ledger_microusd": beside.ledger,
    }


def _of(request: TeamRequest, pk: int, scenario: int) -> RoiScenario:
    rows = found(request, pk).roi_scenarios.select_related("team", "use_case", "latest")
    if scenario >= 2**63 or (row := rows.filter(pk=scenario).first()) is None:
        raise Http404(f"There is no scenario {scenario}.")
    return row


def _scenario(row: RoiScenario) -> dict[str, Any]:
    return {
        "id": row.pk,
        "name": row.name,
        "latest_return": row.latest.number if row.latest else None,
        "archived_at": row.archived_at.isoformat() if row.archived_at else None,
    }


def _brief(analysis: RoiAnalysis) -> dict[str, Any]:
    return {
        "use_case": analysis.use_case_id,
        "number": analysis.number,
        "scenario": analysis.scenario.name if analysis.scenario else None,
        "headline": analysis.headline,
        "total_value_microusd": analysis.result["total_value_microusd"],
        "is_measured": analysis.is_measured,
        "created_at": analysis.created_at.isoformat(),
    }


def roi_json(analysis: RoiAnalysis) -> dict[str, Any]:
    """An ROI analysis as programs read it."""
    return {
        **_brief(analysis),
        "source": analysis.source,
        "author": str(analysis.author) if analysis.author else None,
        "note": analysis.note,
        "inputs": analysis.inputs,
        "result": analysis.result,
    }
