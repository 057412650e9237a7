"""What two arms did since a moment: from predictions and feedback to the figures the rules read. Writes nothing."""

from __future__ import annotations

import math
import uuid
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from deployments.domain.canary import ArmFigures
from deployments.domain.routing import Arm
from deployments.domain.sequential import Count, Sums
from deployments.models import Endpoint, Feedback, Prediction

# A look reads at most so many of the newest requests: half a second, whatever the traffic.
MOST = 50_000
_COLUMNS = ("pk", "arm", "latency_ms", "error", "is_fallback", "is_sticky", "predicted")


def first_id_at(moment: datetime) -> uuid.UUID:
    """The smallest id a request of that moment could have: ids are UUIDv7, which begin with milliseconds."""
    milliseconds = max(0, int(moment.timestamp() * 1000))
    return uuid.UUID(int=milliseconds << 80 | 7 << 76 | 2 << 62)


def is_right(correct: bool | None, label: str, predicted: str) -> bool | None:
    """What feedback says of an answer: its own word, else whether the right label was predicted; None when unknown."""
    if correct is not None:
        return correct
    if label and predicted:
        return label.strip().casefold() == predicted.strip().casefold()
    return None


def judgements(feedback: Iterable[tuple[uuid.UUID, bool | None, str, str]]) -> dict[uuid.UUID, bool]:
    """By prediction: whether it was right. Of several words the newest that says so counts; give them oldest first."""
    found: dict[uuid.UUID, bool] = {}
    for prediction, correct, label, predicted in feedback:
        right = is_right(correct, label, predicted)
        if right is not None:
            found[prediction] = right
    return found


def arms_since(endpoint: Endpoint, since: datetime, *, now: datetime) -> tuple[ArmFigures, ArmFigures, int]:
    """Baseline and candidate over the newest `MOST` requests since the moment, and how many were left out of them.

    Left out of quality, latency and sample: requests that named nobody (the same person may meet both versions), and
    answers the baseline gave in the candidate's place; the latter count among the candidate's failures.
    """
    rows = list(
        Prediction.objects.filter(endpoint=endpoint, pk__gte=first_id_at(since), at__lte=now)
        .exclude(arm=Arm.SHADOW)
        .newest()
        .values_list(*_COLUMNS)[:MOST]
    )
    right = judgements(
        Feedback.objects.filter(endpoint=endpoint, pk__gte=first_id_at(since), at__lte=now)
        .order_by("pk")
        .values_list("prediction_id", "is_correct", "label", "prediction__predicted")
    )
    figures = {
        arm: _figures([row for row in rows if row[1] == arm], right) for arm in (Arm.BASELINE, Arm.CANDIDATE)
    }
    counted = sum(f.n for f in figures.values())
    return figures[Arm.BASELINE], figures[Arm.CANDIDATE], len(rows) - counted


def _figures(rows: list[tuple[Any, ...]], right: dict[uuid.UUID, bool]) -> ArmFigures:
    n = n_right = n_judged = n_failed = 0
    logs: list[float] = []
    for pk, _, latency_ms, error, is_fallback, is_sticky, _ in rows:
        failed = is_fallback or error not in ("", "client_gone")
        n_failed += failed
        if not is_sticky or is_fallback:
            continue
        n += 1
        if latency_ms and not error:
            logs.append(math.log(latency_ms))
        if (said := right.get(pk)) is not None:
            n_judged += 1
            n_right += said
    return ArmFigures(
        n=n,
        judged=Count(n_judged, n_right),
        log_latency=Sums(len(logs), math.fsum(logs), math.fsum(v * v for v in logs)),
        failed=Count(len(rows), n_failed),
    )
