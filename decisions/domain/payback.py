"""When what was spent comes back, in words where there is no number, and the verdict that follows from it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from typing import Any

QUICK_PAYBACK_MONTHS = 6
FAIR_PAYBACK_MONTHS = 12


@dataclass(frozen=True, slots=True)
class Never:
    """What was spent never comes back at these figures."""

    def __str__(self) -> str:
        return "Never"


@dataclass(frozen=True, slots=True)
class AtOnce:
    """There is nothing to pay back."""

    def __str__(self) -> str:
        return "At once"


@dataclass(frozen=True, slots=True)
class Months:
    """After this many months, exactly."""

    n: Fraction

    def __str__(self) -> str:
        value = float(self.n)
        if value < 1:
            return "Month 1"
        return f"{value:,.1f} months"


BreakEven = Never | AtOnce | Months


def break_even(
    once_microusd: Fraction | int, monthly_gain_microusd: Fraction | int, *, lasts_months: int | None = None
) -> BreakEven:
    """When `monthly_gain` has paid back what was spent `once`.

    Without anything spent and without a monthly loss there is nothing to pay back. Without a monthly gain nothing
    ever is. What would come back only after `lasts_months`, when the model is no longer served, never does.
    """
    if once_microusd == 0:
        return AtOnce() if monthly_gain_microusd >= 0 else Never()
    if monthly_gain_microusd <= 0:
        return Never()
    n = Fraction(once_microusd) / Fraction(monthly_gain_microusd)
    return Never() if lasts_months is not None and n > lasts_months else Months(n)


def within(when: BreakEven, months: int) -> bool:
    """Whether it has paid back by the end of `months`."""
    match when:
        case AtOnce():
            return True
        case Months(n):
            return n <= months
        case _:
            return False


def when_json(when: BreakEven) -> dict[str, Any]:
    """A break-even as plain JSON: its kind, its words, and the months where there are any."""
    kind = {Never: "never", AtOnce: "at_once", Months: "months"}[type(when)]
    return {"kind": kind, "text": str(when), "months": float(when.n) if isinstance(when, Months) else None}


class Band(StrEnum):
    STRONG = "strong"
    YES = "yes"
    MAYBE = "maybe"
    NO = "no"

    @property
    def label(self) -> str:
        """The verdict in words."""
        return {
            "strong": "Strongly recommended",
            "yes": "Recommended",
            "maybe": "Consider",
            "no": "Not recommended",
        }[self.value]

    @property
    def why(self) -> str:
        """What the band means."""
        return {
            "strong": "a positive return that pays back within 6 months",
            "yes": "a positive return within the first year",
            "maybe": "a positive return, but a longer payback",
            "no": "no positive return over the months looked at",
        }[self.value]


def band(value_microusd: Fraction | int, when: BreakEven) -> Band:
    """The book's bands, applied to a break-even that cannot be negative."""
    if value_microusd <= 0:
        return Band.NO
    if within(when, QUICK_PAYBACK_MONTHS):
        return Band.STRONG
    if within(when, FAIR_PAYBACK_MONTHS):
        return Band.YES
    return Band.MAYBE
