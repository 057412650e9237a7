"""When a version should learn again, with which settings, and what came next. Knows no table, no model and no clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

# S76: it runs a day after it was asked for, so that a person can stop it; a person may shorten that.
DELAY = timedelta(hours=24)
# Fewer new rows than this teach little; a proposal says so and is made all the same when a person asks.
FEW_ROWS = 20


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a retraining is proposed: drift, performance, period or person, and the words for people."""

    trigger: str
    words: str


def reason_to_retrain(
    *,
    drift_state: str,
    drift_finding: str,
    performance_state: str,
    performance_finding: str,
    trained_at: datetime | None,
    every: timedelta | None,
    now: datetime,
) -> Reason | None:
    """The strongest reason there is, or None (S75, S77). Unsure, too few and no baseline are no reasons."""
    if performance_state == "degraded":
        return Reason("performance", performance_finding)
    if drift_state == "drifted":
        return Reason("drift", drift_finding)
    if every is not None and trained_at is not None and now - trained_at >= every:
        return Reason(
            "period",
            f"The version in service is {(now - trained_at).days} days old; a new one is due every {every.days}.",
        )
    return None


def merged(previous: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """All settings of the run before, with what was given laid over them; None means left as it was.

    D29: passing only the number of epochs dropped batch size and learning rate.
    """
    return {**previous, **{name: value for name, value in given.items() if value is not None}}


def words_of(improvement: Mapping[str, Any]) -> str:
    """What a retraining brought, in words; "" before it is known."""
    value, low, high = (improvement.get(k) for k in ("value", "low", "high"))
    if value is None:
        return ""
    between = "" if low is None or high is None else f" ({low * 100:+.1f} to {high * 100:+.1f})"
    return f"{value * 100:+.1f} points{between}: {improvement.get('verdict') or 'undecided'}"
