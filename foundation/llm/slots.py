"""How many calls of one connection may be under way at once, over all processes: numbered places with
leases."""

from __future__ import annotations

import uuid
from datetime import timedelta

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from foundation.llm.models import ConnectionSlot


def take(connection_id: int, *, limit: int, hold_s: float) -> tuple[int, str] | None:
    """A place (row id, token) for `hold_s` seconds, or None when all are taken."""
    now = timezone.now()
    free = Q(token="") | Q(lease_until__lt=now)
    with transaction.atomic():
        rows = ConnectionSlot.objects.filter(connection_id=connection_id, number__lt=limit)
        pk = (
            rows.filter(free)
            .select_for_update(skip_locked=True)
            .order_by("number")
            .values_list("pk", flat=True)
            .first()
        )
        if pk is None:
            if not rows.exists() or rows.count() < limit:
                ConnectionSlot.objects.bulk_create(
                    [ConnectionSlot(connection_id=connection_id, number=n) for n in range(limit)],
                    ignore_conflicts=True,
                )
                pk = rows.filter(free).order_by("number").values_list("pk", flat=True).first()
            if pk is None:
                return None
        token = uuid.uuid4().hex
        taken = ConnectionSlot.objects.filter(free, pk=pk).update(
            token=token, lease_until=now + timedelta(seconds=hold_s)
        )
        return (pk, token) if taken else None


def give_back(place: tuple[int, str]) -> bool:
    """Free the place; False when the lease had ended and somebody else stands there."""
    pk, token = place
    return bool(ConnectionSlot.objects.filter(pk=pk, token=token).update(token="", lease_until=None))


def in_use(connection_id: int) -> int:
    """Calls under way now."""
    return (
        ConnectionSlot.objects.filter(connection_id=connection_id, lease_until__gte=timezone.now())
        .exclude(token="")
        .count()
    )
