"""Which figure matters most: the total at the two ends of each, all others at their likely value. Exact fractions."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from decisions.domain.plans import Plan, figure_of, label_of
from decisions.domain.ranges import Range
from decisions.domain.roi import Roi

# Where nobody gave a range, each figure is moved by this share of itself, and the page says so.
STRESS = Fraction(1, 5)


@dataclass(frozen=True, slots=True)
class Swing:
    """One figure moved from its low to its high end, and the total value over the months at both. Micro-dollars."""

    name: str
    low: Fraction
    high: Fraction
    total_at_low: Fraction
    total_at_high: Fraction

    @property
    def width(self) -> Fraction:
        """How far the total moves."""
        return abs(self.total_at_high - self.total_at_low)

    @property
    def turns(self) -> bool:
        """Whether the total is above zero at one end and not at the other."""
        return (self.total_at_low > 0) is not (self.total_at_high > 0)


def total_of(plan: Plan, values: dict[str, Any]) -> Fraction:
    """The total value over the plan's months at one set of values."""
    flow = plan.flow(values)
    return Fraction((flow.saved_monthly + flow.quality_monthly) * plan.months - flow.once)


def tornado(plan: Plan) -> tuple[bool, tuple[Swing, ...]]:
    """(whether the ends were given, the swings, widest first). Without any range every figure is moved by a fifth."""
    is_given = bool(plan.uncertain)
    likely = plan.values()
    swings = []
    for name, value in plan.ranges.items():
        ends = value if is_given else _stressed(name, value)
        if ends.is_point:
            continue
        low, high = (total_of(plan, {**likely, name: end}) for end in (ends.low, ends.high))
        swings.append(Swing(name, ends.low, ends.high, low, high))
    moving = [swing for swing in swings if swing.width or is_given]
    return is_given, tuple(sorted(moving, key=lambda swing: (-swing.width, swing.name)))


def _stressed(name: str, value: Range) -> Range:
    figure = figure_of(name)
    ends = sorted((value.likely * (1 - STRESS), value.likely * (1 + STRESS)))
    low, high = max(ends[0], figure.least), min(ends[1], figure.most)
    return Range(low, value.likely, high)


def as_json(plan: Plan, roi: Roi) -> dict[str, Any]:
    """The tornado as plain JSON values: each figure in words, and the total at both ends in whole micro-dollars."""
    is_given, swings = tornado(plan)
    return {
        "is_given": is_given,
        "total_microusd": round(roi.total_value_microusd),
        "swings": [
            {
                "name": swing.name,
                "label": label_of(swing.name),
                "low": figure_of(swing.name).text(swing.low),
                "high": figure_of(swing.name).text(swing.high),
                "at_low": round(swing.total_at_low),
                "at_high": round(swing.total_at_high),
                "turns": swing.turns,
            }
            for swing in swings
        ],
    }
