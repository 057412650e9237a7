"""What came of answering: feedback from people, and text that is kept no longer than was said."""

from __future__ import annotations

import uuid
from datetime import datetime

from django.db import transaction
from django.utils import timezone

from deployments.gateway.protocol import uuid7
from deployments.models import Feedback, Prediction
from foundation.teams import audit
from foundation.teams.errors import BadInput
from foundation.teams.models import User

# One transaction of the sweep stays well below the 40 ms that a writer may hold SQLite's lock.
SWEEP_BATCH = 500


def record_feedback(
    *,
    actor: User | None,
    prediction: Prediction,
    label: str = "",
    outcome: str = "",
    rating: float | None = None,
    is_correct: bool | None = None,
    comment: str = "",
) -> Feedback:
    """The saved feedback of a person on a page (programs send theirs to the gateway). Raises BadInput for nothing said."""
    if not (label or outcome or comment or rating is not None or is_correct is not None):
        raise BadInput("Say something about the answer.", field="label")
    with transaction.atomic():
        feedback = Feedback.objects.create(
            id=uuid.UUID(int=uuid7().int),
            team_id=prediction.team_id,
            endpoint_id=prediction.endpoint_id,
            prediction=prediction,
            at=timezone.now(),
            label=label[:2000],
            outcome=outcome[:200],
            rating=rating,
            is_correct=is_correct,
            comment=comment[:10_000],
            source="page",
        )
        audit.record(actor=actor, team=prediction.team, verb="feedback.given", target=feedback)
    return feedback


def sweep_text(*, now: datetime | None = None, limit: int = 20_000) -> int:
    """How many predictions lost their text because its time was over. Features and figures stay. Safe to repeat."""
    now, swept = now or timezone.now(), 0
    while swept < limit:
        overdue = list(
            Prediction.objects.filter(text_until__lte=now).values_list("pk", flat=True)[:SWEEP_BATCH]
        )
        if not overdue:
            break
        swept += Prediction.objects.filter(pk__in=overdue).update(
            prompt_text="", answer_text="", text_until=None
        )
    return swept
