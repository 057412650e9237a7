"""What was learnt about a prediction, as programs send it: a checked body becomes a row for the recorder."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

from deployments.gateway import protocol
from deployments.gateway.errors import Answer
from deployments.gateway.recorder import Row
from deployments.gateway.routes import Address

FEEDBACK_FIELDS = ("prediction_id", "label", "outcome", "rating", "correct", "comment")


def feedback_row(body: Any, address: Address) -> Row:
    """The row of a feedback request. Raises Answer 400 with what is wrong."""
    if not isinstance(body, dict):
        raise Answer(400, "The body must be a JSON object.")
    unknown = sorted(set(body) - set(FEEDBACK_FIELDS))
    if unknown:
        raise Answer(
            400, f"{str(unknown[0])[:60]}: not a field of feedback. Known: {', '.join(FEEDBACK_FIELDS)}."
        )
    try:
        prediction = uuid.UUID(str(body.get("prediction_id", "")))
    except ValueError:
        prediction = None
    if prediction is None or prediction.version != 7:
        raise Answer(400, "prediction_id: send the value of the answer's `x-prediction-id` header.")
    texts = {}
    for name, most in (("label", 2000), ("outcome", 200), ("comment", 10_000)):
        value = body.get(name)
        if value is not None and not isinstance(value, str):
            raise Answer(400, f"{name}: must be text.")
        texts[name] = (value or "")[:most].replace("\0", "").encode("utf-8", "replace").decode()
    rating, correct = body.get("rating"), body.get("correct")
    if rating is not None and (
        isinstance(rating, bool) or not isinstance(rating, int | float) or abs(rating) > 1e9
    ):
        raise Answer(400, "rating: must be a number.")
    if correct is not None and not isinstance(correct, bool):
        raise Answer(400, "correct: must be true or false.")
    if rating is None and correct is None and not any(texts.values()):
        raise Answer(400, "Say something: label, outcome, rating, correct or comment.")
    return {
        "kind": "feedback",
        "id": str(protocol.uuid7()),
        "team_id": address.team_id,
        "endpoint_id": address.id,
        "prediction_id": str(prediction),
        "at": time_of_now(),
        "rating": rating,
        "is_correct": correct,
        **texts,
    }


def time_of_now() -> str:
    """This moment in UTC, as ISO text."""
    return datetime.now(UTC).isoformat()
