"""Do people who read the same rows apart say the same? Kappa and alpha for named answers, each with an interval.

Knows no reader and no row: answers come in as plain values.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist

import numpy as np

N_RESAMPLES = 1000


@dataclass(frozen=True, slots=True)
class Agreement:
    """A coefficient over `n` rows with its 95 % interval; None where the answers cannot tell (`reason` says why)."""

    n: int
    value: float | None
    low: float | None = None
    high: float | None = None
    reason: str = ""

    @property
    def words(self) -> str:
        """What the value is called (Landis and Koch 1977); the bounds are a convention."""
        if self.value is None:
            return self.reason
        for bound, words in (
            (0.81, "almost perfect"),
            (0.61, "substantial"),
            (0.41, "moderate"),
            (0.21, "fair"),
        ):
            if self.value >= bound:
                return words
        return "slight" if self.value > 0 else "no better than chance"


NOTHING = "no row was read twice yet"
ALL_THE_SAME = "every answer is the same, so chance agrees as well as people do"


def cohen_kappa(
    first: Sequence[Hashable], second: Sequence[Hashable], *, confidence: float = 0.95
) -> Agreement:
    """Agreement of two readers beyond chance, with the large-sample interval.

    Shapes: equal lengths; position i is the same row. Raises: ValueError when the lengths differ.
    Source: Cohen 1960; standard error of Fleiss, Cohen and Everitt 1969 (not the one under the null).
    """
    pairs = Counter(zip(first, second, strict=True))
    n = len(first)
    if not n:
        return Agreement(0, None, reason=NOTHING)
    names = sorted({name for pair in pairs for name in pair}, key=repr)
    place = {name: i for i, name in enumerate(names)}
    p = np.zeros((len(names), len(names)))
    for (a, b), count in pairs.items():
        p[place[a], place[b]] = count / n
    rows, columns = p.sum(axis=1), p.sum(axis=0)
    observed, expected = float(np.trace(p)), float(rows @ columns)
    if expected >= 1 - 1e-12:
        return Agreement(n, None, reason=ALL_THE_SAME)
    kappa = (observed - expected) / (1 - expected)
    diagonal = np.diag(p)
    on = float((diagonal * (1 - (rows + columns) * (1 - kappa)) ** 2).sum())
    weights = (columns[:, None] + rows[None, :]) ** 2
    off = (1 - kappa) ** 2 * float((p * weights).sum() - (diagonal * np.diag(weights)).sum())
    variance = max(0.0, on + off - (kappa - expected * (1 - kappa)) ** 2) / (n * (1 - expected) ** 2)
    half = NormalDist().inv_cdf((1 + confidence) / 2) * sqrt(variance)
    return Agreement(n, kappa, max(-1.0, kappa - half), min(1.0, kappa + half))


def krippendorff_alpha(
    units: Sequence[Sequence[Hashable]], *, confidence: float = 0.95, seed: int = 0
) -> Agreement:
    """Nominal alpha over rows read by two people or more, with a bootstrap interval over rows.

    Shapes: one sequence of answers a row, any number of readers; rows with fewer than two answers say nothing.
    Source: Krippendorff 2011, "Computing Krippendorff's alpha-reliability", the nominal case.
    """
    patterns = Counter(
        tuple(sorted(Counter(unit).items(), key=lambda item: repr(item[0])))
        for unit in units
        if len(unit) > 1
    )
    n = sum(patterns.values())
    if not n:
        return Agreement(0, None, reason=NOTHING)
    names = sorted({name for pattern in patterns for name, _ in pattern}, key=repr)
    place = {name: i for i, name in enumerate(names)}
    ordered = sorted(patterns, key=repr)
    counts = np.zeros((len(ordered), len(names)))
    for i, pattern in enumerate(ordered):
        for name, times in pattern:
            counts[i, place[name]] = times
    sizes = counts.sum(axis=1)
    # Pairs of different answers within a row, each answer weighing 1 whatever the number of readers.
    apart = (sizes**2 - (counts**2).sum(axis=1)) / (sizes - 1)
    weights = np.array([patterns[pattern] for pattern in ordered], dtype=float)

    def alphas(w: np.ndarray) -> np.ndarray:
        totals = w @ counts
        all_ = totals.sum(axis=-1)
        chance = all_**2 - (totals**2).sum(axis=-1)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(chance > 0, 1 - (all_ - 1) * (w @ apart) / chance, np.nan)

    value = float(alphas(weights[None, :])[0])
    if np.isnan(value):
        return Agreement(n, None, reason=ALL_THE_SAME)
    drawn = np.random.default_rng(seed).multinomial(n, weights / n, size=N_RESAMPLES)
    found = alphas(drawn.astype(float))
    # A resample in which everybody says the same has no alpha; it speaks for full agreement.
    found = np.where(np.isnan(found), 1.0, found)
    low, high = np.quantile(found, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Agreement(n, value, float(low), float(high))
