"""Reading a use case independently: each member answers alone, then all answers are opened at once."""

from __future__ import annotations

from django.db import IntegrityError, transaction
from django.utils import timezone

from decisions import policies
from decisions.domain.facts import Facts
from decisions.errors import Stale
from decisions.models import BlindAnswer, BlindRound, UseCase
from foundation.teams import audit
from foundation.teams.models import User

# Fewer readings are no comparison.
LEAST_READINGS = 2


def open_round(*, actor: User, use_case: UseCase) -> BlindRound:
    """The round that takes readings: the open one, or a new one. Raises Archived."""
    policies.check_can_change(use_case)
    with transaction.atomic():
        row = UseCase.objects.select_for_update().get(pk=use_case.pk)
        latest = row.blind_rounds.first()
        if latest is not None and latest.is_open:
            return latest
        opened = BlindRound.objects.create(
            team_id=row.team_id, use_case=row, number=latest.number + 1 if latest else 1, opened_by=actor
        )
        audit.record(actor=actor, team=row.team, verb="round.opened", target=opened)
    return opened


def give_reading(*, actor: User, round: BlindRound, facts: Facts) -> BlindAnswer:
    """The saved reading of one member. Raises Stale once the round is revealed or for a second reading, Archived."""
    policies.check_can_change(round.use_case)
    with transaction.atomic():
        row = BlindRound.objects.select_for_update().get(pk=round.pk)
        if not row.is_open:
            raise Stale("The readings have been opened meanwhile. Begin a new round to give yours.")
        plain = {name: value for name, value in facts.as_mapping().items() if name != "name"}
        try:
            with transaction.atomic():
                given = BlindAnswer.objects.create(team_id=row.team_id, round=row, author=actor, facts=plain)
        except IntegrityError:
            raise Stale("You have given your reading already. It counts once.") from None
        audit.record(actor=actor, team=round.use_case.team, verb="reading.given", target=given)
    return given


def reveal(*, actor: User, round: BlindRound) -> BlindRound:
    """The round with every reading open; doing it twice changes nothing. Raises Stale with fewer than two, Archived."""
    policies.check_can_change(round.use_case)
    with transaction.atomic():
        row = BlindRound.objects.select_for_update().get(pk=round.pk)
        if not row.is_open:
            return row
        if row.answers.count() < LEAST_READINGS:
            raise Stale("One reading is no comparison. Wait for a second one, then open them.")
        row.revealed_at, row.revealed_by = timezone.now(), actor
        row.save(update_fields=["revealed_at", "revealed_by"])
        audit.record(actor=actor, team=round.use_case.team, verb="round.revealed", target=row)
    return row
