"""Blocks of an endpoint's daily budget out of the database, by one conditional update each: the day is never overdrawn."""

from __future__ import annotations

from datetime import date

from django.db import transaction
from django.db.models import F

from deployments.gateway.budgets import BLOCKS_A_DAY
from deployments.gateway.writing import let_go
from deployments.models import BudgetDay, Endpoint


def lease(endpoint_id: int, wanted_microusd: int, day: str) -> int:
    """Micro-dollars granted to this process, 0 when the day's budget is used up.

    A block is a quarter of an hour's share of the day, or what is wanted if that is more, or what is left.
    """
    endpoint = Endpoint.objects.filter(pk=endpoint_id).only("pk", "team_id", "daily_budget_microusd").first()
    if endpoint is None or endpoint.daily_budget_microusd is None:
        return 0
    cap = endpoint.daily_budget_microusd
    row, _ = BudgetDay.objects.get_or_create(
        endpoint_id=endpoint_id, day=date.fromisoformat(day), defaults={"team_id": endpoint.team_id}
    )
    # Another gateway may take some in between: try again with what is left then.
    for _ in range(5):
        row.refresh_from_db(fields=["leased_microusd"])
        block = min(cap - row.leased_microusd, max(wanted_microusd, cap // BLOCKS_A_DAY))
        if block <= 0 or block < min(wanted_microusd, cap):
            return 0
        with transaction.atomic():
            if BudgetDay.objects.filter(pk=row.pk, leased_microusd__lte=cap - block).update(
                leased_microusd=F("leased_microusd") + block
            ):
                return block
    return 0


def leased(endpoint_id: int, wanted_microusd: int, day: str) -> int:
    """`lease` for a thread that ends: the connection is closed after it."""
    try:
        return lease(endpoint_id, wanted_microusd, day)
    finally:
        let_go()
