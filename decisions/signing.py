"""Signing a decision: an approver's word on exactly the answer they read."""

from __future__ import annotations

from django.db import IntegrityError, transaction

from decisions import policies, reading
from decisions.errors import Stale
from decisions.models import Decision, SignOff, UseCase
from foundation.teams import audit
from foundation.teams.errors import BadInput
from foundation.teams.models import User


def sign_off(*, actor: User, use_case: UseCase, number: int, digest: str, note: str) -> SignOff:
    """The saved signature under decision `number`. `digest` is that of the inputs on the page that was signed.

    Raises: Stale when another answer stands now or it was signed already, NotYours for the author's own,
    Archived, BadInput for an empty note.
    """
    note = note.strip()
    if not note:
        raise BadInput("Say in a sentence what you looked at, or on what condition you agree.", field="note")
    with transaction.atomic():
        row = UseCase.objects.select_for_update().get(pk=use_case.pk)
        decision = row.decisions.filter(number=number).first()
        if decision is None or decision.inputs_sha256 != digest:
            raise Stale("This is not the decision you read. Open it again, then sign.")
        verdict = reading.report_of(reading.inputs_of(row)).verdict
        policies.check_can_sign(actor, decision, use_case=row, today=verdict.recommendation)
        try:
            with transaction.atomic():
                signed = SignOff.objects.create(
                    team_id=row.team_id,
                    decision=decision,
                    approver=actor,
                    note=note,
                    inputs_sha256=digest,
                    is_own=decision.author_id == actor.pk,
                )
        except IntegrityError:
            raise Stale(
                f"You have signed decision {number} already. One signature a person counts."
            ) from None
        audit.record(
            actor=actor, team=row.team, verb="decision.signed", target=decision, digests={"inputs": digest}
        )
    return signed


def can_sign(*, user: User, decision: Decision, use_case: UseCase) -> tuple[bool, str]:
    """Whether `user` may sign now, and when not, the sentence that says why."""
    verdict = reading.report_of(reading.inputs_of(use_case)).verdict
    try:
        policies.check_can_sign(user, decision, use_case=use_case, today=verdict.recommendation)
    except policies.REFUSALS as refusal:
        return False, str(refusal)
    return True, ""
