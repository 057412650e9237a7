"""How far long work is, how fast it goes, and when it will be done. Pure: instants are passed in."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Pace:
    """Items a second and seconds to go; None where too little is known."""

    per_second: float | None
    eta_s: float | None


UNKNOWN = Pace(None, None)


def pace(
    *,
    settled: float,
    total: float,
    from_settled: float,
    from_at: datetime | None,
    at: datetime | None,
    now: datetime,
) -> Pace:
    """The pace since `from_at`, when `from_settled` were settled; `at` is when `settled` was last written.

    The rate rests on the time of the last record, not on now: between two flushes it would seem to fall.
    """
    if from_at is None or at is None or settled <= from_settled:
        return UNKNOWN
    seconds = (at - from_at).total_seconds()
    if seconds <= 0:
        return UNKNOWN
    rate = (settled - from_settled) / seconds
    left = max(0.0, total - settled)
    return Pace(rate, max(0.0, left / rate - (now - at).total_seconds()) if left else 0.0)


def share(*, settled: int, total: int, part_done: int = 0, part_total: int = 0) -> float:
    """The share that is done, from 0 to 1, counting the part of the item that runs now."""
    if total <= 0:
        return 0.0
    part = min(1.0, part_done / part_total) if part_total > 0 and settled < total else 0.0
    return min(1.0, (settled + part) / total)


def rate_in_words(per_second: float | None) -> str:
    """A rate people can picture: per second, else per minute, else per hour."""
    if per_second is None:
        return ""
    for factor, unit in ((1, "s"), (60, "min"), (3600, "h")):
        if per_second * factor >= 1 or unit == "h":
            value = per_second * factor
            return f"{value:,.0f}/{unit}" if value >= 10 else f"{value:.1f}/{unit}"
    return ""


def time_left_in_words(eta_s: float | None) -> str:
    """ "about 2 min left": coarse on purpose, an estimate must not look like a promise."""
    if eta_s is None:
        return ""
    if eta_s < 1.5:
        return "almost done"
    if eta_s < 55:
        return f"about {max(2, round(eta_s))} s left"
    if eta_s < 55 * 60:
        return f"about {max(1, round(eta_s / 60))} min left"
    hours = eta_s / 3600
    return f"about {hours:.1f} h left" if hours < 10 else f"about {hours:.0f} h left"
