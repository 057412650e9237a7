"""Money set aside before a call and settled after it, so that a cap is never crossed, whatever dies in
between.

A reservation is held, then marked sent in the instant before its call leaves, then settled. If its owner
dies, the sweep settles a sent one at its bound (it may have been charged) and releases one never sent.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from foundation.llm.models import Budget, Reservation, ReservationState
from foundation.teams.models import Team

log = logging.getLogger(__name__)
HOLD_S = 90.0


@dataclass(frozen=True, slots=True)
class Ledger:
    """A handle on one budget; safe to pass to threads and to hold across a whole run."""

    budget_id: int

    def reserve(self, bound_microusd: int, *, hold_s: float = HOLD_S) -> Reservation | None:
        """Money for one call that costs at most `bound_microusd`, or None when the cap has no room for it."""
        with transaction.atomic():
            room = Budget.objects.filter(
                pk=self.budget_id,
                cap_microusd__gte=F("spent_microusd") + F("reserved_microusd") + bound_microusd,
            )
            if not room.update(reserved_microusd=F("reserved_microusd") + bound_microusd):
                return None
            return Reservation.objects.create(
                budget_id=self.budget_id,
                bound_microusd=bound_microusd,
                expires_at=timezone.now() + timedelta(seconds=hold_s),
            )

    def budget(self) -> Budget:
        """The row as it stands now."""
        return Budget.objects.get(pk=self.budget_id)


def job_scope(job_id: int) -> str:
    """The name of a job's budget."""
    return f"job:{job_id}"


def open_budget(job: Any, cap_microusd: int, *, team: Team | None = None) -> Ledger:
    """The ledger of a job (or of a scope named by a string, then `team` is needed).

    Opening again changes only the cap.
    """
    scope = job if isinstance(job, str) else job_scope(job.pk)
    team_id = team.pk if team is not None else job.team_id
    budget, created = Budget.objects.get_or_create(
        scope=scope, defaults={"team_id": team_id, "cap_microusd": max(0, cap_microusd)}
    )
    if not created and budget.cap_microusd != cap_microusd:
        Budget.objects.filter(pk=budget.pk).update(cap_microusd=max(0, cap_microusd))
    return Ledger(budget.pk)


def ledger_for(job_id: int) -> Ledger | None:
    """The ledger a job was given, or None."""
    pk = Budget.objects.filter(scope=job_scope(job_id)).values_list("pk", flat=True).first()
    return None if pk is None else Ledger(pk)


def reserve(job_id: int, bound_microusd: int) -> Reservation | None:
    """Money for one call of a job, or None when it has no budget or no room."""
    ledger = ledger_for(job_id)
    return None if ledger is None else ledger.reserve(bound_microusd)


def mark_sent(reservation: Reservation, *, hold_s: float = HOLD_S) -> bool:
    """Note that the call leaves now; from here on it counts as spent unless an answer says otherwise."""
    return bool(
        Reservation.objects.filter(pk=reservation.pk, state=ReservationState.HELD).update(
            state=ReservationState.SENT, expires_at=timezone.now() + timedelta(seconds=hold_s)
        )
    )


def settle(reservation: Reservation, actual_microusd: int | None) -> bool:
    """Book what the call cost; None means nobody knows, so the bound is booked and flagged.

    False if already booked.
    """
    unconfirmed = actual_microusd is None
    amount = reservation.bound_microusd if actual_microusd is None else actual_microusd
    if amount > reservation.bound_microusd:
        log.warning("A call cost %s micro-dollars, its bound was %s.", amount, reservation.bound_microusd)
    return _close(reservation, ReservationState.SETTLED, amount, unconfirmed=unconfirmed)


def release(reservation: Reservation) -> bool:
    """Give the money back: nothing was sent, or the provider said no before doing anything."""
    return _close(reservation, ReservationState.RELEASED, 0, unconfirmed=False)


def _close(reservation: Reservation, state: str, amount: int, *, unconfirmed: bool) -> bool:
    with transaction.atomic():
        still_open = Reservation.objects.filter(
            pk=reservation.pk, state__in=[ReservationState.HELD, ReservationState.SENT]
        )
        # Whoever closes first books; the other (the sweep, or a call that came back late) changes nothing.
        if not still_open.update(
            state=state, actual_microusd=amount, unconfirmed=unconfirmed, settled_at=timezone.now()
        ):
            return False
        Budget.objects.filter(pk=reservation.budget_id).update(
            reserved_microusd=F("reserved_microusd") - reservation.bound_microusd,
            spent_microusd=F("spent_microusd") + amount,
            unconfirmed_microusd=F("unconfirmed_microusd") + (amount if unconfirmed else 0),
            calls=F("calls") + (1 if state == ReservationState.SETTLED else 0),
        )
        return True


def sweep(*, now: Any = None, limit: int = 500) -> int:
    """How many reservations of dead owners were closed: sent ones at their bound, the others released."""
    now = now or timezone.now()
    closed = 0
    expired = Reservation.objects.filter(
        state__in=[ReservationState.HELD, ReservationState.SENT], expires_at__lt=now
    ).order_by("pk")[:limit]
    for reservation in expired:
        if reservation.state == ReservationState.SENT:
            closed += settle(reservation, None)
        else:
            # It may be marked sent in this very moment: only a row that is still held is given back.
            with transaction.atomic():
                if Reservation.objects.filter(
                    pk=reservation.pk, state=ReservationState.HELD, expires_at__lt=now
                ).update(expires_at=now):
                    closed += release(reservation)
    return closed
