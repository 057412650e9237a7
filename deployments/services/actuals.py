"""What the gateway, the training runs and the ledger counted, told to each use case by the month.

The floor below keeps it beside its plan and never asks: values go down. Safe to repeat at any time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

from django.db.models import Count, Min, Q, Sum
from django.utils import timezone

from datasets.models import QualityRun, TrainingRun
from decisions.domain.actuals import MonthFigures
from decisions.models import UseCase
from decisions.reading_returns import actual_months, told_months
from decisions.services_returns import record_actual_months
from deployments.domain.routing import Arm
from deployments.models import Feedback, ModelVersion, Prediction
from deployments.services.measuring import first_id_at, judgements
from evaluations.domain.statuses import CandidateKind
from evaluations.models import Evaluation
from foundation.llm.budget import job_scope
from foundation.llm.models import Budget

# Predictions may wait on a gateway's disk while the database is away; a month is counted again until then.
LATE = timedelta(days=3)
MOST_MONTHS = 120
ANSWERED = Q(error__in=["", "client_gone"])


def tell_actuals(*, now: datetime | None = None) -> int:
    """How many months changed, over every use case that has an endpoint."""
    now = now or timezone.now()
    use_cases = UseCase.objects.filter(endpoints__isnull=False).distinct().order_by("pk")
    return sum(tell_actuals_of(use_case, now=now) for use_case in use_cases.iterator())


def tell_actuals_of(use_case: UseCase, *, now: datetime) -> int:
    """How many months of one use case changed: the running one, those just over, and those never told."""
    told, told_at = actual_months(use_case), told_months(use_case)
    spent = _spent_by_month(use_case)
    endpoints = list(use_case.endpoints.values_list("pk", flat=True))
    begun = min([*spent, *_first_months(endpoints)], default=None)
    if begun is None:
        return 0
    tuned = frozenset(
        ModelVersion.objects.filter(use_case=use_case, candidate__kind=CandidateKind.TRAINED).values_list(
            "pk", flat=True
        )
    )
    found: dict[date, MonthFigures] = {}
    closed: set[date] = set()
    has_served = False
    for month in months_between(begun, now.astimezone(UTC).date()):
        settled_at = _start_of(_next(month)) + LATE
        # What counts is when it was told: a month last told while it ran is short by what came after that.
        if month in told and told_at[month] >= settled_at:
            has_served = has_served or bool(told[month].n_requests)
            continue
        if now >= settled_at:
            closed.add(month)
        figures = _counted(endpoints, tuned, month, now=now, has_served=has_served)
        has_served = has_served or bool(figures["n_requests"])
        found[month] = MonthFigures(
            **figures, **spent.get(month, {}), source="gateway, training runs and ledger"
        )
    return record_actual_months(use_case=use_case, months=found, closed=closed, now=now)


def months_between(first: date, last: date) -> Iterator[date]:
    """The first days of the months from one day to another, at most `MOST_MONTHS` of the latest."""
    months = (last.year - first.year) * 12 + last.month - first.month
    skipped = max(0, months + 1 - MOST_MONTHS)
    month = first.replace(day=1)
    for n in range(months + 1):
        if n >= skipped:
            yield month
        month = _next(month)


def _next(month: date) -> date:
    return (month.replace(day=28) + timedelta(days=4)).replace(day=1)


def _start_of(month: date) -> datetime:
    return datetime(month.year, month.month, 1, tzinfo=UTC)


def _first_months(endpoints: list[int]) -> Iterator[date]:
    # One look into the index an endpoint: the key grows with time.
    for endpoint in endpoints:
        first = (
            Prediction.objects.filter(endpoint=endpoint).order_by("id").values_list("at", flat=True).first()
        )
        if first is not None:
            yield first.astimezone(UTC).date().replace(day=1)


def _counted(
    endpoints: list[int], tuned: frozenset[int], month: date, *, now: datetime, has_served: bool
) -> dict[str, int]:
    """Requests, money and judged answers of one month, the fine-tuned versions apart from everything else."""
    start, end = _start_of(month), _start_of(_next(month))
    within = {"pk__gte": first_id_at(start), "pk__lt": first_id_at(end)}
    counts = dict.fromkeys(
        ("n_requests", "n_unpriced", "serving_microusd", "n_requests_prompt", "n_unpriced_prompt", "serving_prompt_microusd"), 0
    )  # fmt: skip
    first: datetime | None = None
    rows = (
        Prediction.objects.filter(endpoint__in=endpoints, **within)
        .exclude(arm=Arm.SHADOW)
        .values("version_id")
        .annotate(
            n=Count("pk", filter=ANSWERED),
            unpriced=Count("pk", filter=ANSWERED & Q(cost_microusd=None)),
            cost=Sum("cost_microusd"),
            first=Min("at"),
        )
        .order_by("version_id")
    )
    for row in rows:
        side = "" if row["version_id"] in tuned else "_prompt"
        counts[f"n_requests{side}"] += row["n"]
        counts[f"n_unpriced{side}"] += row["unpriced"]
        # A failed request is no answer, and is paid for all the same.
        counts[f"serving{side}_microusd"] += row["cost"] or 0
        if not side and row["n"]:
            first = min(first, row["first"]) if first else row["first"]
    n_days = 0
    if first is not None:
        begins = start.date() if has_served else first.astimezone(UTC).date()
        ends = min(now.astimezone(UTC), end - timedelta(seconds=1)).date()
        n_days = max(1, (ends - begins).days + 1)
    return {**counts, **_judged(endpoints, tuned, within), "n_days": n_days}


def _judged(endpoints: list[int], tuned: frozenset[int], within: Mapping[str, Any]) -> dict[str, int]:
    """Answers judged within the month and how many were right; of several words on one answer the newest counts."""
    rows = list(
        Feedback.objects.filter(endpoint__in=endpoints, **within)
        .exclude(prediction__arm=Arm.SHADOW)
        .order_by("pk")
        .values_list(
            "prediction_id", "is_correct", "label", "prediction__predicted", "prediction__version_id"
        )
    )
    version_of = {row[0]: row[4] for row in rows}
    counts = dict.fromkeys(("n_judged", "n_right", "n_judged_prompt", "n_right_prompt"), 0)
    for prediction, right in judgements(row[:4] for row in rows).items():
        side = "" if version_of[prediction] in tuned else "_prompt"
        counts[f"n_judged{side}"] += 1
        counts[f"n_right{side}"] += right
    return counts


def _spent_by_month(use_case: UseCase) -> dict[date, dict[str, int]]:
    """Training as it was paid, and what the ledger booked for judging and evaluating, by the month it began in."""
    found: dict[date, dict[str, int]] = {}

    def put(moment: datetime | None, name: str, amount: int) -> None:
        if moment is not None and amount:
            month = found.setdefault(moment.astimezone(UTC).date().replace(day=1), {})
            month[name] = month.get(name, 0) + amount

    for finished, cost in TrainingRun.objects.filter(use_case=use_case, cost_microusd__gt=0).values_list(
        "finished_at", "cost_microusd"
    ):
        put(finished, "training_microusd", cost)
    jobs = [
        *Evaluation.objects.filter(use_case=use_case, job__isnull=False).values_list("job_id", flat=True),
        *QualityRun.objects.filter(dataset__use_case=use_case, job__isnull=False).values_list(
            "job_id", flat=True
        ),
    ]
    booked = Budget.objects.filter(scope__in=[job_scope(job) for job in jobs], spent_microusd__gt=0)
    for created, amount in booked.values_list("created_at", "spent_microusd"):
        put(created, "ledger_microusd", amount)
    return found
