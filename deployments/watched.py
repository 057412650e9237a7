"""What pages ask about checks: few queries, however many endpoints."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db.models import Max

from deployments.models import Endpoint


def newest_of(model: type[Any], endpoints: Iterable[Endpoint]) -> dict[int, Any]:
    """By endpoint: its newest check of that kind. One query, however many endpoints."""
    last = (
        model.objects.filter(endpoint__in=list(endpoints))
        .values("endpoint_id")
        .annotate(last=Max("pk"))
        .order_by()
        .values("last")
    )
    rows = model.objects.filter(pk__in=last).select_related("version").defer("version__vocabulary")
    return {row.endpoint_id: row for row in rows}
