"""What people and the floors above do about returns: work one out, keep scenarios beside it, tell what really happened."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import date, datetime
from typing import Any

from django.db import transaction
from django.db.models import Max
from django.utils import timezone

from decisions import policies, reading
from decisions.domain import returns
from decisions.domain.actuals import MonthFigures
from decisions.domain.digest import digest_of
from decisions.domain.plans import NAMES, SIDES, BadFigure, Plan
from decisions.domain.ranges import Range
from decisions.models import ActualMonth, RoiAnalysis, RoiScenario, UseCase
from foundation.teams import audit
from foundation.teams.errors import BadInput
from foundation.teams.models import User

SCENARIO_LENGTH = 80


def plan_of(use_case: UseCase, given: Mapping[str, Any], *, today: date | None = None) -> Plan:
    """The plan of `given` assumptions; what they leave out comes from the use case: volume, rates, what was measured.

    Raises: BadInput naming the assumption.
    """
    standard = reading.standard_assumptions(use_case)
    named = {name: value for name, value in given.items() if value is not None}
    for name in named:
        if name not in NAMES:
            raise BadInput(f"There is no assumption named {name!r}.", field=name)
    for side in SIDES:
        if f"{side}_serving" in named and f"{side}_cost_per_request_microusd" not in named:
            standard.pop(f"{side}_cost_per_request_microusd")
    values = {**standard, **named}
    if values.get("retires_on") and not values.get("starts_on"):
        values["starts_on"] = today or timezone.localdate()
    try:
        return Plan.from_mapping(values)
    except BadFigure as error:
        raise BadInput(str(error), field=error.name) from None


def analyse_roi(
    *,
    actor: User | None,
    use_case: UseCase,
    is_measured: bool | None = None,
    source: str | None = None,
    note: str = "",
    scenario: str = "",
    **assumptions: Any,
) -> RoiAnalysis:
    """A new ROI analysis; the latest one of its scenario when neither its figures nor their source changed.

    Each of `assumptions` is one value or (low, likely, high); what they leave out comes from the use case. Without
    `is_measured` the gain counts as measured when it is the newest measured one. Without a `scenario` it is the plan
    the decision rests on; a named one stands beside it and moves no decision.
    Raises: BadInput naming the assumption, Archived.
    """
    policies.check_can_change(use_case)
    name = scenario.strip()
    if len(name) > SCENARIO_LENGTH:
        raise BadInput(f"A scenario's name has at most {SCENARIO_LENGTH} characters.", field="scenario")
    with transaction.atomic():
        # Nullable joins cannot be locked on PostgreSQL: the row alone is.
        row = UseCase.objects.select_for_update().get(pk=use_case.pk)
        plan = plan_of(row, assumptions)
        if is_measured is None:
            measured = reading.gain_source(row)
            gain = Range.of(reading.standard_assumptions(row)["quality_improvement"])
            is_measured = bool(measured) and plan.figures["quality_improvement"] == gain
            source = measured if is_measured and source is None else source
        inputs = plan.as_mapping()
        digest = digest_of({**inputs, "is_measured": is_measured, "source": source or ""})
        beside = _scenario(actor, row, name) if name else None
        latest = beside.latest if beside else row.latest_roi
        if latest is not None and latest.inputs_sha256 == digest:
            return latest
        result = returns.answer(plan)
        analysis = RoiAnalysis.objects.create(
            team=row.team,
            use_case=row,
            scenario=beside,
            number=(row.roi_analyses.aggregate(last=Max("number"))["last"] or 0) + 1,
            author=actor,
            note=note.strip(),
            inputs=inputs,
            inputs_sha256=digest,
            result=result,
            is_measured=is_measured,
            source=(source or "")[:300],
            is_positive=result["total_value_microusd"] > 0,
            headline=result["headline"][:300],
        )
        if beside:
            RoiScenario.objects.filter(pk=beside.pk).update(latest=analysis)
        else:
            UseCase.objects.filter(pk=row.pk).update(latest_roi=analysis)
        audit.record(
            actor=actor, team=row.team, verb="roi.saved", target=analysis, digests={"inputs": digest}
        )
    if not beside:
        use_case.latest_roi = analysis
    return analysis


def _scenario(actor: User | None, use_case: UseCase, name: str) -> RoiScenario:
    """The scenario of that name, made or brought back where needed. Capitals do not tell two apart."""
    found = use_case.roi_scenarios.filter(name__iexact=name).select_related("latest").first()
    if found is None:
        found = RoiScenario.objects.create(team=use_case.team, use_case=use_case, name=name, created_by=actor)
        audit.record(actor=actor, team=use_case.team, verb="scenario.created", target=found)
    elif found.archived_at is not None:
        _set_archived(actor, found, archived=False)
    return found


def archive_scenario(*, actor: User | None, scenario: RoiScenario) -> RoiScenario:
    """The scenario, put away; its returns stay readable. Doing it twice changes nothing."""
    return _set_archived(actor, scenario, archived=True)


def restore_scenario(*, actor: User | None, scenario: RoiScenario) -> RoiScenario:
    """The scenario, compared again. Doing it twice changes nothing."""
    return _set_archived(actor, scenario, archived=False)


def _set_archived(actor: User | None, scenario: RoiScenario, *, archived: bool) -> RoiScenario:
    moment = timezone.now() if archived else None
    with transaction.atomic():
        policies.check_can_change(scenario.use_case)
        rows = RoiScenario.objects.filter(pk=scenario.pk, archived_at__isnull=archived)
        if rows.update(archived_at=moment):
            verb = "scenario.archived" if archived else "scenario.restored"
            audit.record(actor=actor, team=scenario.team, verb=verb, target=scenario, fields=["archived_at"])
            scenario.archived_at = moment
    return scenario


def record_actual_months(
    *,
    use_case: UseCase,
    months: Mapping[date, MonthFigures],
    closed: Collection[date] = (),
    now: datetime | None = None,
) -> int:
    """How many months changed. What happened in each month so far, told again as often as the floor above likes.

    A month's figures replace those told before; the same figures again change nothing, not even the moment, but for
    `closed` months, whose moment then says that they were told after they were over.
    """
    now = now or timezone.now()
    changed = 0
    with transaction.atomic():
        known = {row.month: row for row in use_case.actual_months.filter(month__in=list(months))}
        for month, figures in sorted(months.items()):
            if month.day != 1:
                raise ValueError(f"A month is named by its first day, not {month}.")
            columns = figures.as_columns()
            row = known.get(month)
            if row is not None and all(getattr(row, name) == value for name, value in columns.items()):
                if month in closed:
                    ActualMonth.objects.filter(pk=row.pk).update(told_at=now)
                continue
            ActualMonth.objects.update_or_create(
                use_case=use_case,
                month=month,
                defaults={**columns, "team_id": use_case.team_id, "told_at": now},
            )
            changed += 1
    return changed
