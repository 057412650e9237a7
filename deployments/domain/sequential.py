"""Differences between two arms of live traffic, with intervals: looked at once, or looked at all the time.

An interval for one look is too short for somebody who looks at every tick: 24 looks make 5 % into 26 % (D23). So
going on, which is asked once a step, rests on `shares_once` and `means_once`; taking back, which is asked at every
tick, rests on `shares_always` and `means_always`, which hold for all looks together. Knows no table and no clock.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

# Below this in either arm the normal approximation behind `means_*` and `*_always` is not trusted.
FEWEST = 20


@dataclass(frozen=True, slots=True)
class Count:
    """So many of n requests were so (right, failed). Raises ValueError when that is impossible."""

    n: int
    hits: int

    def __post_init__(self) -> None:
        if not 0 <= self.hits <= self.n:
            raise ValueError(f"{self.hits} of {self.n} is no share")

    @property
    def share(self) -> float | None:
        """0 to 1; None when there is nothing."""
        return self.hits / self.n if self.n else None


@dataclass(frozen=True, slots=True)
class Sums:
    """Values of an arm as sums: how many, their total, the total of their squares."""

    n: int
    total: float
    squares: float

    @property
    def mean(self) -> float | None:
        """Their mean; None when there is nothing."""
        return self.total / self.n if self.n else None

    @property
    def variance(self) -> float:
        """Sample variance, 0 below two values."""
        if self.n < 2:
            return 0.0
        return max(0.0, (self.squares - self.total * self.total / self.n) / (self.n - 1))


@dataclass(frozen=True, slots=True)
class Difference:
    """Candidate minus baseline, with an interval around it."""

    value: float
    low: float
    high: float


def wilson(hits: int, n: int, *, confidence: float = 0.95) -> tuple[float, float]:
    """Interval for a share, 0 to 1; (0, 1) when there is nothing to go by. Source: Wilson 1927."""
    if n < 1:
        return 0.0, 1.0
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share, z2 = hits / n, z * z
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = z / (1 + z2 / n) * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    return (0.0 if hits == 0 else max(0.0, centre - half)), (1.0 if hits == n else min(1.0, centre + half))


def shares_once(baseline: Count, candidate: Count, *, confidence: float = 0.95) -> Difference | None:
    """Difference of two shares for one look; None when an arm is empty.

    Source: Newcombe 1998, method 10 (two Wilson intervals put together).
    """
    if not baseline.n or not candidate.n:
        return None
    p0, p1 = baseline.hits / baseline.n, candidate.hits / candidate.n
    low0, high0 = wilson(baseline.hits, baseline.n, confidence=confidence)
    low1, high1 = wilson(candidate.hits, candidate.n, confidence=confidence)
    difference = p1 - p0
    low = difference - math.hypot(p1 - low1, high0 - p0)
    high = difference + math.hypot(high1 - p1, p0 - low0)
    return Difference(difference, max(-1.0, low), min(1.0, high))


def means_once(baseline: Sums, candidate: Sums, *, confidence: float = 0.95) -> Difference | None:
    """Difference of two means for one look, by the normal approximation; None below `FEWEST` values in an arm."""
    if min(baseline.n, candidate.n) < FEWEST:
        return None
    difference = candidate.total / candidate.n - baseline.total / baseline.n
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    half = z * math.sqrt(baseline.variance / baseline.n + candidate.variance / candidate.n)
    return Difference(difference, difference - half, difference + half)


def pooled(differences: Sequence[Difference], *, confidence: float = 0.95) -> Difference | None:
    """Independent estimates of one difference put together, each by the inverse of its variance; None for none.

    An interval's width is read as that of a normal one. Source: Cochran 1954, fixed effect.
    """
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    known = [(d.value, ((d.high - d.low) / (2 * z)) ** 2) for d in differences if d.high > d.low]
    if not known:
        return None
    weight = sum(1 / variance for _, variance in known)
    value = sum(v / variance for v, variance in known) / weight
    half = z / math.sqrt(weight)
    return Difference(value, value - half, value + half)


def shares_always(baseline: Count, candidate: Count, *, alpha: float, tuned_to: int) -> Difference | None:
    """Difference of two shares that holds at every look together; None below `FEWEST` in an arm.

    One hit and one miss are added to each arm (Agresti and Caffo 2000), so that an arm without a miss has a spread.
    `tuned_to`: requests in each arm where the interval is to be shortest.
    """
    if min(baseline.n, candidate.n) < FEWEST:
        return None
    n0, n1 = baseline.n + 2, candidate.n + 2
    p0, p1 = (baseline.hits + 1) / n0, (candidate.hits + 1) / n1
    half = _half_width(n0, p0 * (1 - p0), n1, p1 * (1 - p1), alpha=alpha, tuned_to=tuned_to)
    return Difference(p1 - p0, max(-1.0, p1 - p0 - half), min(1.0, p1 - p0 + half))


def means_always(baseline: Sums, candidate: Sums, *, alpha: float, tuned_to: int) -> Difference | None:
    """Difference of two means that holds at every look together; None below `FEWEST` in an arm."""
    if min(baseline.n, candidate.n) < FEWEST:
        return None
    difference = candidate.total / candidate.n - baseline.total / baseline.n
    half = _half_width(
        baseline.n, baseline.variance, candidate.n, candidate.variance, alpha=alpha, tuned_to=tuned_to
    )
    return Difference(difference, difference - half, difference + half)


def _half_width(n0: int, var0: float, n1: int, var1: float, *, alpha: float, tuned_to: int) -> float:
    """Half the width of an asymptotic confidence sequence for a difference.

    With t = n0 n1 / (n0 + n1) and s² = t (var0/n0 + var1/n1): s sqrt(2 (t r² + 1) / (t² r²) log(sqrt(t r² + 1) / alpha)).
    Source: Waudby-Smith, Arbour, Sinha, Kennedy, Ramdas 2021 (arXiv:2103.06476), with r² of its section on tuning.
    """
    t = n0 * n1 / (n0 + n1)
    spread = t * (var0 / n0 + var1 / n1)
    wanted = -2 * math.log(alpha)
    r2 = (wanted + math.log(wanted + 1)) / max(1.0, tuned_to / 2)
    scaled = t * r2 + 1
    return math.sqrt(spread * 2 * scaled / (t * t * r2) * math.log(math.sqrt(scaled) / alpha))


def sample_per_arm(before: float, after: float, *, power: float = 0.8, alpha: float = 0.05) -> int:
    """Requests in each arm that show a change of a share from `before` to `after` (two-sided test).

    80 to 85 % takes 906, 90 to 85.5 % takes 833 (D24). Raises ValueError for equal shares or ones outside 0 to 1.
    """
    if before == after or not (0 <= before <= 1 and 0 <= after <= 1):
        raise ValueError("two different shares between 0 and 1 are needed")
    normal, middle = NormalDist(), (before + after) / 2
    reach = normal.inv_cdf(1 - alpha / 2) * math.sqrt(2 * middle * (1 - middle))
    reach += normal.inv_cdf(power) * math.sqrt(before * (1 - before) + after * (1 - after))
    return math.ceil((reach / (after - before)) ** 2)


def detectable(before: float, n_candidate: float, n_baseline: float, *, power: float = 0.8) -> float | None:
    """The smallest drop of a share, 0 to 1, that arms of these sizes are likely to show (alpha .05); None when none is."""
    if min(n_candidate, n_baseline) < 1:
        return None
    normal = NormalDist()
    z = normal.inv_cdf(0.975) + normal.inv_cdf(power)
    found = z * math.sqrt(max(before * (1 - before), 0.01) * (1 / n_candidate + 1 / n_baseline))
    return found if found <= before else None
