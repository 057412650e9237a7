"""Rows of returns turned into the values the rules and pages work on. Reads only; changes nothing."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import fields
from datetime import date, datetime

from django.db.models import Max

from decisions.domain.actuals import MonthFigures
from decisions.models import RoiAnalysis, UseCase

BASE = "The plan"
# More columns than this no page holds side by side.
MOST_BESIDE = 6


def name_of(analysis: RoiAnalysis) -> str:
    """What a return is called beside others: its scenario, or the plan."""
    return analysis.scenario.name if analysis.scenario else BASE


def side_by_side(use_case: UseCase, numbers: Collection[int] = ()) -> list[RoiAnalysis]:
    """The returns with these numbers, or the plan and every scenario in use as they stand last. One query."""
    rows = use_case.roi_analyses.select_related("scenario", "author").order_by("number")
    if numbers:
        return list(rows.filter(number__in=numbers)[:MOST_BESIDE])
    last = list(use_case.roi_scenarios.filter(archived_at=None).values_list("latest_id", flat=True))
    found = list(rows.filter(pk__in=[pk for pk in [use_case.latest_roi_id, *last] if pk]))
    # The plan first, scenarios in the order they were begun.
    found.sort(key=lambda row: (row.scenario_id is not None, row.scenario_id or 0))
    return found[:MOST_BESIDE]


def actual_months(use_case: UseCase) -> dict[date, MonthFigures]:
    """What happened, month by month, as the floors above told it."""
    names = [field.name for field in fields(MonthFigures)]
    return {
        row.month: MonthFigures(**{name: getattr(row, name) for name in names})
        for row in use_case.actual_months.all()
    }


def told_months(use_case: UseCase) -> dict[date, datetime]:
    """When each month was last told."""
    return dict(use_case.actual_months.values_list("month", "told_at"))


def told_at(use_case: UseCase) -> datetime | None:
    """When something was last told of what happened."""
    return use_case.actual_months.aggregate(last=Max("told_at"))["last"]
