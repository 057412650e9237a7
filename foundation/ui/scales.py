"""Axes: from data to nice round ticks, whatever the numbers. Pure arithmetic."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from foundation.ui.formats import MINUS, as_unit, is_number

# Beyond this the difference of two values overflows; such a value is not a measurement.
LIMIT = 1e150


def finite(value: object) -> float | None:
    """The value as a float that arithmetic survives; None for anything else."""
    if not is_number(value):
        return None
    number = float(value)  # type: ignore[arg-type]
    return number if abs(number) <= LIMIT else None


@dataclass(frozen=True, slots=True)
class Axis:
    """A range of values, its ticks, and how to write them."""

    low: float
    high: float
    ticks: tuple[float, ...]
    label: Callable[[float], str]

    def share(self, value: float) -> float:
        """Where the value lies, 0 at the low end and 1 at the high end; outside values stop at the ends."""
        return min(1.0, max(0.0, (value - self.low) / (self.high - self.low)))


# Units of which there are whole ones only.
COUNTED = ("rows", "groups")


def axis_for(
    values: Iterable[object], *, unit: str = "", zero: bool = False, wanted: int = 5, top: float | None = None
) -> Axis:
    """An axis that holds every value, with about `wanted` round ticks. `zero` makes it start (or end) at zero."""
    known = [v for v in map(finite, values) if v is not None]
    if zero or not known:
        known.append(0.0)
    low, high = min(known), max(known)
    if top is not None:
        high = max(high, top)
    # Equal values, and values apart by less than a float can divide, get room around them.
    if high - low <= max(abs(low), abs(high)) * 1e-9 or high - low < 1e-150:
        pad = abs(high) * 0.5 or 1.0
        low, high = (low if zero and low == 0 else low - pad), high + pad
    step = _round_step((high - low) / max(wanted - 1, 1))
    if unit in COUNTED and step % 1:
        step = float(math.ceil(step))  # nobody has half a row
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    ticks = tuple(i * step for i in range(first, min(last, first + 12) + 1))
    return Axis(ticks[0], ticks[-1], ticks, lambda value: tick_text(value, step, unit))


def _round_step(raw: float) -> float:
    power = 10.0 ** math.floor(math.log10(raw))
    return next((m * power for m in (1, 2, 2.5, 5) if m * power >= raw * 0.999), 10 * power)


def tick_text(value: float, step: float, unit: str) -> str:
    """A tick as short as it can be said: "1.5 M", "40%", "$200 k", "0.25"."""
    if abs(value) < step * 1e-6:
        value = 0.0
    if unit in ("percent", "points"):
        return (
            f"{_plain(value * 100, step * 100)}%"
            if unit == "percent"
            else f"{_plain(value * 100, step * 100)} pts"
        )
    if unit == "duration":
        return as_unit(value, "duration")
    if unit == "bytes":
        return as_unit(value, "bytes")
    if unit == "usd":
        value, step, unit = value / 1e6, step / 1e6, "dollars"
    sign, size = (MINUS if value < 0 else ""), abs(value)
    for factor, letter in ((1e12, " T"), (1e9, " bn"), (1e6, " M"), (1e4, " k")):
        if size >= factor:
            divisor = 1e3 if letter == " k" else factor
            text = f"{size:.0e}" if size >= 1e15 else _plain(size / divisor, step / divisor) + letter
            break
    else:
        text = _plain(size, step)
    return sign + ("$" if unit == "dollars" else "") + text + (" ms" if unit == "ms" else "")


def _plain(value: float, step: float) -> str:
    digits = 0 if step >= 1 else min(12, max(0, math.ceil(-math.log10(step) - 1e-9)))
    if digits and round(step, digits) and abs(step * 10**digits - round(step * 10**digits)) > 1e-6:
        digits += 1  # steps of 0.25 need one digit more than their size says
    elif not digits and abs(step - round(step)) > 1e-6:
        digits = 1
    if value and abs(value) < 1e-9:
        return f"{value:.1e}".replace("-", MINUS, 1) if value < 0 else f"{value:.1e}"
    return f"{value:,.{digits}f}".replace("-", MINUS)


_TIME_STEPS = [
    timedelta(seconds=1), timedelta(seconds=10), timedelta(minutes=1), timedelta(minutes=5), timedelta(minutes=15),
    timedelta(hours=1), timedelta(hours=3), timedelta(hours=6), timedelta(hours=12), timedelta(days=1),
    timedelta(days=2), timedelta(days=3), timedelta(days=5), timedelta(days=7), timedelta(days=14), timedelta(days=30), timedelta(days=91),
    timedelta(days=365), timedelta(days=3650),
]  # fmt: skip


def time_axis(stamps: Iterable[float], *, wanted: int = 5) -> Axis:
    """An axis over moments (seconds since 1970, UTC) whose ticks stand on whole minutes, hours or days."""
    known = [s for s in map(finite, stamps) if s is not None and 0 <= s <= 4e9]
    low, high = (min(known), max(known)) if known else (0.0, 3600.0)
    if high - low < 1:
        low, high = low - 1800, high + 1800
    step = next(
        (s for s in _TIME_STEPS if (high - low) / s.total_seconds() <= wanted), _TIME_STEPS[-1]
    ).total_seconds()
    first = math.ceil(low / step)
    ticks = tuple(t * step for t in range(first, math.floor(high / step) + 1)) or (low, high)
    shown = (
        "%H:%M:%S" if step < 60 else "%H:%M" if step < 86400 else "%-d %b" if step < 90 * 86400 else "%b %Y"
    )

    def label(stamp: float) -> str:
        moment = datetime.fromtimestamp(stamp, UTC)
        # A day's first tick says the day: "00:00" alone does not tell which.
        return (
            f"{moment:%-d %b}"
            if "%H" in shown and not (moment.hour or moment.minute)
            else f"{moment:{shown}}"
        )

    return Axis(low, high, ticks, label)
