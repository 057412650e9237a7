"""What pages ask about checks: few queries, however many endpoints."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.db.models import F, FloatField, IntegerField, Max, Value
from django.db.models.functions import Cast

from deployments.models import DriftCheck, Endpoint, PerformanceCheck


@dataclass(frozen=True, slots=True)
class Seen:
    """What the newest check of one kind said of one endpoint. `accuracy` (0 to 1) is None for drift."""

    version_id: int
    version_number: int
    state: str
    finding: str
    accuracy: float | None
    n_judged: int


def newest_of_both(endpoints: Iterable[Endpoint]) -> tuple[dict[int, Seen], dict[int, Seen]]:
    """By endpoint: its newest drift check and its newest performance check. One query for both."""
    ids = [endpoint.pk for endpoint in endpoints]
    if not ids:
        return {}, {}

    def rows(model: type[Any], accuracy: Any, n_judged: Any) -> Any:
        return (
            model.objects.filter(pk__in=_last(model, ids))
            .order_by()
            .values_list(
                Value(model is DriftCheck),
                "endpoint_id",
                "version_id",
                "version__number",
                "state",
                "finding",
                accuracy,
                n_judged,
            )
        )

    unknown = Cast(Value(None), FloatField())
    both = rows(PerformanceCheck, F("accuracy"), F("n_judged")).union(
        rows(DriftCheck, unknown, Cast(Value(0), IntegerField())), all=True
    )
    drift: dict[int, Seen] = {}
    performance: dict[int, Seen] = {}
    for is_drift, endpoint_id, *fields in both:
        (drift if is_drift else performance)[endpoint_id] = Seen(*fields)
    return drift, performance


def _last(model: type[Any], endpoints: list[Any]) -> Any:
    """The key of each endpoint's newest check."""
    return (
        model.objects.filter(endpoint__in=endpoints)
        .values("endpoint_id")
        .annotate(last=Max("pk"))
        .order_by()
        .values("last")
    )


def newest_of(model: type[Any], endpoints: Iterable[Endpoint]) -> dict[int, Any]:
    """By endpoint: its newest check of that kind. One query, however many endpoints."""
    rows = (
        model.objects.filter(pk__in=_last(model, list(endpoints)))
        .select_related("version")
        .defer("version__vocabulary")
    )
    return {row.endpoint_id: row for row in rows}
