"""How a return spreads when its figures are in doubt: seeded draws of every range, all at once as arrays.

Ranges are triangular and independent of each other. Knows no page; every figure out of it is a plain float.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from decisions.domain.payback import (
    FAIR_PAYBACK_MONTHS,
    QUICK_PAYBACK_MONTHS,
    within,
)
from decisions.domain.plans import Plan
from decisions.domain.roi import Roi

DRAWS = 20_000
SEED = 35
# Nine of ten draws lie between the first and the last.
QUANTILES = (0.05, 0.50, 0.95)
BINS = 24

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Spread:
    """Where a figure lies: nine of ten draws between low and high, half below the middle. Micro-dollars."""

    low: float
    middle: float
    high: float
    mean: float


@dataclass(frozen=True, slots=True)
class Payback:
    """How probable it is that it pays back: shares of the draws."""

    within_6: float
    within_12: float
    never: float


@dataclass(frozen=True, slots=True)
class Needed:
    """What an improved request must be worth for a total of zero.

    `none` is the share of draws that cost alone carries, `no_worth` of those no worth would turn. The quantiles are over
    all draws: a draw that needs nothing counts as 0; None is a quantile no worth reaches.
    """

    none: float
    no_worth: float
    low: float | None
    middle: float | None
    high: float | None
    edges: tuple[float, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Simulation:
    """What the draws say. `band_…` are (low, middle, high) of the running total by month, month 0 first."""

    n: int
    seed: int
    uncertain: tuple[str, ...]
    total: Spread
    savings: Spread
    positive: float
    positive_cost: float
    quality: Payback
    cost: Payback
    needed: Needed
    band_quality: tuple[tuple[float, float, float], ...]
    band_cost: tuple[tuple[float, float, float], ...]


def draw(plan: Plan, *, n: int, seed: int) -> dict[str, Any]:
    """A value of every figure: an array of `n` draws where it is in doubt, else a float.

    Each figure has a stream of its own, named after it: giving one more figure a range leaves the others' draws as
    they were, so that two answers differ by what was changed and not by chance.
    """
    values: dict[str, Any] = {}
    for name, value in plan.ranges.items():
        low, likely, high = float(value.low), float(value.likely), float(value.high)
        if not high > low:
            values[name] = likely
            continue
        uniform = np.random.default_rng([seed, zlib.crc32(name.encode())]).random(n)
        values[name] = triangular(uniform, low, likely, high)
    return values


def triangular(uniform: Array, low: float, likely: float, high: float) -> Array:
    """The inverse of the triangular distribution's cumulative function, at uniform draws."""
    width, rise = high - low, likely - low
    turn = rise / width
    return np.where(
        uniform < turn,
        low + np.sqrt(uniform * width * rise),
        high - np.sqrt((1.0 - uniform) * width * (high - likely)),
    )


def simulate(plan: Plan, roi: Roi, *, n: int = DRAWS, seed: int = SEED) -> Simulation:
    """The spread of the plan's return; `roi` is its exact answer at the likely figures.

    Without a figure in doubt nothing is drawn: the exact answer is every quantile.
    """
    uncertain = plan.uncertain
    if not uncertain:
        return _certain(roi, seed)
    flow = plan.flow(draw(plan, n=n, seed=seed))
    months = plan.months
    once = _array(flow.once, n)
    saved = _array(flow.saved_monthly, n)
    gain = saved + _array(flow.quality_monthly, n)
    savings, total = saved * months - once, gain * months - once
    lasts = plan.lasts_months
    return Simulation(
        n=n,
        seed=seed,
        uncertain=uncertain,
        total=_spread(total),
        savings=_spread(savings),
        positive=float(np.mean(total > 0)),
        positive_cost=float(np.mean(savings > 0)),
        quality=_payback(once, gain, months, lasts),
        cost=_payback(once, saved, months, lasts),
        needed=_needed(savings, _array(flow.improved_monthly, n) * months),
        band_quality=_bands(once, gain, months),
        band_cost=_bands(once, saved, months),
    )


def _array(value: Any, n: int) -> Array:
    return np.broadcast_to(np.asarray(value, dtype=np.float64), (n,))


def _spread(values: Array) -> Spread:
    low, middle, high = quantiles(values)
    return Spread(low, middle, high, float(np.mean(values)))


def quantiles(values: Array) -> tuple[float, float, float]:
    """The three quantiles as values that were really drawn (nearest rank)."""
    n = len(values)
    ranks = [min(n - 1, int(share * n)) for share in QUANTILES]
    ordered = np.partition(values, ranks)
    low, middle, high = (float(ordered[rank]) for rank in ranks)
    return low, middle, high


def _payback(once: Array, gain: Array, months: int, lasts: int | None) -> Payback:
    """Shares of draws paid back in time. Nothing spent and no monthly loss is paid back at once."""
    at_once = (once == 0) & (gain >= 0)

    def by(limit: int) -> float:
        # After the base model retired nothing is paid back any more.
        end = limit if lasts is None else min(limit, lasts)
        return float(np.mean(at_once | ((gain > 0) & (once <= gain * end))))

    return Payback(by(QUICK_PAYBACK_MONTHS), by(FAIR_PAYBACK_MONTHS), 1.0 - by(months))


def _needed(savings: Array, improved: Array) -> Needed:
    missing = -savings
    needed = np.zeros(len(savings))
    short = missing > 0
    with np.errstate(divide="ignore", invalid="ignore"):
        needed[short] = np.where(improved[short] > 0, missing[short] / improved[short], np.inf)
    finite = needed[np.isfinite(needed)]
    low, middle, high = (value if np.isfinite(value) else None for value in quantiles(needed))
    edges: tuple[float, ...] = ()
    counts: tuple[int, ...] = ()
    if finite.size and finite.max() > finite.min():
        # The few largest would squeeze everything else into one bar.
        top = float(np.quantile(finite, 0.9)) or float(finite.max())
        if top > finite.min():
            found, cuts = np.histogram(np.minimum(finite, top), bins=BINS, range=(float(finite.min()), top))
            edges, counts = tuple(map(float, cuts)), tuple(map(int, found))
    return Needed(
        none=float(np.mean(~short)),
        no_worth=float(np.mean(np.isinf(needed))),
        low=low,
        middle=middle,
        high=high,
        edges=edges,
        counts=counts,
    )


def _bands(once: Array, gain: Array, months: int) -> tuple[tuple[float, float, float], ...]:
    return tuple(quantiles(gain * month - once) for month in range(months + 1))


def _certain(roi: Roi, seed: int) -> Simulation:
    def spread(value: Any) -> Spread:
        number = float(value)
        return Spread(number, number, number, number)

    def payback(when: Any) -> Payback:
        months = roi.assumptions.horizon_months
        return Payback(
            float(within(when, QUICK_PAYBACK_MONTHS)),
            float(within(when, FAIR_PAYBACK_MONTHS)),
            float(not within(when, months)),
        )

    flip = roi.flip_value_microusd
    enough = roi.savings_microusd >= 0
    needed = 0.0 if enough else None if flip is None else float(flip)
    return Simulation(
        n=0,
        seed=seed,
        uncertain=(),
        total=spread(roi.total_value_microusd),
        savings=spread(roi.savings_microusd),
        positive=float(roi.total_value_microusd > 0),
        positive_cost=float(roi.savings_microusd > 0),
        quality=payback(roi.break_even_quality),
        cost=payback(roi.break_even_cost),
        needed=Needed(float(enough), float(needed is None), needed, needed, needed, (), ()),
        band_quality=tuple((float(q), float(q), float(q)) for _, q in roi.cash_flow),
        band_cost=tuple((float(c), float(c), float(c)) for c, _ in roi.cash_flow),
    )


def as_json(found: Simulation) -> dict[str, Any]:
    """The simulation as plain JSON values, money in whole micro-dollars (the worth of a request to a thousandth)."""

    def spread(value: Spread) -> Mapping[str, int]:
        return {
            "low": round(value.low),
            "middle": round(value.middle),
            "high": round(value.high),
            "mean": round(value.mean),
        }

    def payback(value: Payback) -> Mapping[str, float]:
        return {
            "within_6": round(value.within_6, 6),
            "within_12": round(value.within_12, 6),
            "never": round(value.never, 6),
        }

    def worth(value: float | None) -> float | None:
        return None if value is None else round(value, 3)

    return {
        "n": found.n,
        "seed": found.seed,
        "uncertain": list(found.uncertain),
        "total": spread(found.total),
        "savings": spread(found.savings),
        "positive": found.positive,
        "positive_cost": found.positive_cost,
        "quality": payback(found.quality),
        "cost": payback(found.cost),
        "needed": {
            "none": found.needed.none,
            "no_worth": found.needed.no_worth,
            "low": worth(found.needed.low),
            "middle": worth(found.needed.middle),
            "high": worth(found.needed.high),
            "edges": [round(edge, 3) for edge in found.needed.edges],
            "counts": list(found.needed.counts),
        },
        "band_quality": [[round(value) for value in row] for row in found.band_quality],
        "band_cost": [[round(value) for value in row] for row in found.band_cost],
    }
