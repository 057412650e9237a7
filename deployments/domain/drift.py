"""Whether recent requests still look like the rows a version learnt from. Knows no table, no model and no clock.

Bins come from the reference and are kept with it; what lies outside them, unknown categories and missing values are
counted. Whether a divergence is more than chance is asked of chance itself: rows are shuffled between both sides, at
their actual sizes, from a kept seed.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

BUCKETS = 10
NAMES_KEPT = 30
PERMUTATIONS = 2000
OTHER, MISSING = "other", "missing"


@dataclass(frozen=True, slots=True)
class Settings:
    """When a feature counts as drifted: more than chance at `alpha`, and a divergence that matters.

    `least_divergence` in nats: 0.01 is a Jensen-Shannon distance of 0.1; the source's own 0.1 nats needs a shift of
    a whole standard deviation (D26).
    """

    alpha: float = 0.05
    least_divergence: float = 0.01
    min_sample: int = 100
    n_permutations: int = PERMUTATIONS

    def __post_init__(self) -> None:
        if not 0 < self.alpha < 1:
            raise ValueError("alpha lies between 0 and 1")
        if not 0 <= self.least_divergence <= math.log(2):
            raise ValueError("a divergence lies between 0 and 0.693 nats")
        if self.min_sample < 1 or not 100 <= self.n_permutations <= 100_000:
            raise ValueError("a sample is at least 1, and 100 to 100,000 permutations are drawn")

    def as_dict(self) -> dict[str, Any]:
        """As it is stored with a check."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class Bins:
    """How one feature is counted. Numbers: `edges`, with a bin below, one above and one for missing values.

    Names: one bin each, then "other", then missing. Words: texts that hold each, then all texts. Edges strictly grow.
    """

    kind: str
    edges: tuple[float, ...] = ()
    names: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """How many counts it makes."""
        return len(self.edges) + 2 if self.kind == "number" else len(self.names) + 2

    def place(self, values: Sequence[Any]) -> np.ndarray:
        """The bin of each value; that of missing values is the last. Shapes: (values,)."""
        if self.kind == "number":
            numbers = as_numbers(values)
            edges = np.asarray(self.edges)
            # Bins are [edge, next edge); the last one holds its upper edge too (D25).
            at = np.searchsorted(edges, numbers, side="right")
            at[numbers == edges[-1]] = len(edges) - 1
            at[np.isnan(numbers)] = self.size - 1
            return at
        known = {name: i for i, name in enumerate(self.names)}
        n = len(self.names)
        return np.array([n + 1 if v is None else known.get(str(v), n) for v in values], dtype=np.int64)

    def count(self, values: Sequence[Any]) -> np.ndarray:
        """Counts of the values, missing last. Every value is counted somewhere. Shapes: (size,)."""
        if self.kind == "number":
            return np.bincount(self.place(values), minlength=self.size)
        place = {name: i for i, name in enumerate(self.names)}
        n = len(self.names)
        found = np.zeros(self.size, dtype=np.int64)
        for value, times in Counter(values).items():
            found[n + 1 if value is None else place.get(str(value), n)] += times
        return found

    def labels(self) -> list[str]:
        """The name of each bin, for tables."""
        if self.kind == "words":
            return [*self.names]
        if self.kind != "number":
            return [*self.names, OTHER, MISSING]
        edges, last = self.edges, ""
        # The last of few values has a bin of its own, that ends at the next number there is.
        if len(edges) > 1 and edges[-1] == math.nextafter(edges[-2], math.inf):
            last, edges = f"{edges[-2]:g}", edges[:-1]
        e = [f"{edge:g}" for edge in edges]
        inner = [f"{a} to {b}" for a, b in pairwise(e)]
        own = [] if not last else [last if inner else f"always {last}"]
        return [f"below {e[0]}", *inner, *own, f"above {e[-1]}", MISSING]


def as_numbers(values: Sequence[Any]) -> np.ndarray:
    """Floats, with NaN where a value is missing or no number."""
    try:
        return np.array(values, dtype=np.float64)
    except (TypeError, ValueError):
        plain = [
            float(v) if isinstance(v, int | float) and not isinstance(v, bool) else math.nan for v in values
        ]
        return np.array(plain, dtype=np.float64)


def bins_of(reference: Sequence[Any], *, buckets: int = BUCKETS) -> Bins:
    """Bins from the reference alone: deciles of numbers, or the names that occur (the commonest 30).

    Numbers with few different values get a bin each. Raises ValueError for an empty reference.
    """
    known = [v for v in reference if v is not None]
    if not known:
        raise ValueError("a reference needs values")
    if any(isinstance(v, str) for v in known):
        return Bins("name", names=tuple(name for name, _ in Counter(map(str, known)).most_common(NAMES_KEPT)))
    numbers = as_numbers(known)
    numbers = numbers[np.isfinite(numbers)]
    if not len(numbers):
        raise ValueError("a reference needs numbers or names")
    distinct = np.unique(numbers)
    if len(distinct) <= buckets:
        # The last edge closes the last value's own bin.
        edges = [*distinct.tolist(), float(np.nextafter(distinct[-1], np.inf))]
    else:
        edges = np.unique(np.quantile(numbers, np.linspace(0, 1, buckets + 1))).tolist()
    return Bins("number", edges=tuple(float(e) for e in edges))


def divergence(p_counts: Sequence[float] | np.ndarray, q_counts: Sequence[float] | np.ndarray) -> float:
    """Jensen-Shannon divergence of two histograms in nats, 0 to 0.693.

    Shapes: equal lengths, each with something in it. Raises: ValueError when a side is empty.
    Source: Lin 1991.
    """
    p, q = np.asarray(p_counts, dtype=float), np.asarray(q_counts, dtype=float)
    if p.sum() <= 0 or q.sum() <= 0:
        raise ValueError("both sides need values")
    return float(divergences(p[None] / p.sum(), q[None] / q.sum())[0])


def divergences(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """The same for many pairs. Shapes: (…, bins) each, summing to 1 along the last axis; (…) out."""
    middle = (p + q) / 2

    def entropy(x: np.ndarray) -> np.ndarray:
        safe = np.where(x > 0, x, 1.0)
        return -(x * np.log(safe)).sum(axis=-1)

    return np.maximum(0.0, entropy(middle) - (entropy(p) + entropy(q)) / 2)


def by_chance(reference: np.ndarray, current: np.ndarray, *, n_permutations: int, seed: int) -> np.ndarray:
    """Divergences when both sides are shuffled together, at their actual sizes. Shapes: (n_permutations,).

    Shuffling rows and binning them is drawing counts from the pooled histogram without putting back.
    """
    pooled = (reference + current).astype(np.int64)
    n_current, n = int(current.sum()), int(pooled.sum())
    drawn = np.random.default_rng(seed).multivariate_hypergeometric(
        pooled, n_current, size=n_permutations, method="marginals"
    )
    return divergences((pooled - drawn) / (n - n_current), drawn / n_current)


@dataclass(frozen=True, slots=True)
class FeatureDrift:
    """What one feature says. `divergence` None: too few values to say anything."""

    feature: str
    bins: Bins
    reference_counts: tuple[int, ...]
    current_counts: tuple[int, ...]
    divergence: float | None = None
    # What it had to exceed: chance's own (1 - alpha) quantile, or the least that matters.
    threshold: float | None = None
    p_value: float | None = None
    p_adjusted: float | None = None
    is_drifted: bool = False
    # Of the words in the bins: the p-value of each, corrected over all words looked at.
    word_p: tuple[float, ...] = ()

    @property
    def advice(self) -> str:
        """retrain_needed, monitor or too_few (S73)."""
        if self.divergence is None:
            return "too_few"
        return "retrain_needed" if self.is_drifted else "monitor"


def read_drift(
    reference: Mapping[str, tuple[Bins, Sequence[int]]],
    current: Mapping[str, Sequence[Any]],
    *,
    settings: Settings,
    seed: int,
    more: Sequence[FeatureDrift] = (),
) -> list[FeatureDrift]:
    """Every feature of the reference against the values seen lately; p-values are Holm's over the features.

    A feature below the minimum sample on either side is named, and says nothing. `more`: readings made elsewhere,
    to be corrected together with these.
    """
    raw: list[FeatureDrift] = []
    for index, (name, (bins, counts)) in enumerate(sorted(reference.items())):
        before = np.asarray(counts, dtype=np.int64)
        now = bins.count(current.get(name, ()))
        shown = (name, bins, tuple(int(c) for c in before), tuple(int(c) for c in now))
        if min(before.sum(), now.sum()) < settings.min_sample:
            raw.append(FeatureDrift(*shown))
            continue
        found = divergence(before, now)
        chance = by_chance(before, now, n_permutations=settings.n_permutations, seed=seed + index)
        # Phipson and Smyth 2010: the observed order is one of the permutations, so p is never 0.
        p = float((1 + (chance >= found - 1e-12).sum()) / (1 + settings.n_permutations))
        limit = max(float(np.quantile(chance, 1 - settings.alpha)), settings.least_divergence)
        raw.append(FeatureDrift(*shown, divergence=found, threshold=limit, p_value=p))
    raw += more
    adjusted = iter(holm([r.p_value for r in raw if r.p_value is not None]))
    done = []
    for r in raw:
        if r.p_value is None or r.divergence is None:
            done.append(r)
            continue
        p = next(adjusted)
        drifted = p <= settings.alpha and r.divergence >= settings.least_divergence
        done.append(replace(r, p_adjusted=p, is_drifted=drifted))
    return done


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values adjusted for asking of several features at once, in the given order. Source: Holm 1979."""
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted, highest = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(order):
        highest = max(highest, min(1.0, p_values[i] * (len(p_values) - rank)))
        adjusted[i] = highest
    return adjusted


def tell(readings: Sequence[FeatureDrift], *, n_current: int, min_sample: int) -> tuple[str, str]:
    """The state of a check (steady, drifted, too few) and its finding as a sentence."""
    said = [r for r in readings if r.divergence is not None]
    if not said:
        return "too few", f"{n_current:,} requests; at least {min_sample:,} are needed to say anything."
    drifted = sorted((r for r in said if r.is_drifted), key=lambda r: -(r.divergence or 0))
    if not drifted:
        return "steady", f"{len(said)} features of {n_current:,} requests look like the rows it learnt from."
    names = ", ".join(r.feature.replace("_", " ") for r in drifted[:4])
    more = f" and {len(drifted) - 4} more" if len(drifted) > 4 else ""
    change = strongest_change(drifted[0])
    return "drifted", f"{len(drifted)} of {len(said)} features moved: {names}{more}. {change}".strip()


def strongest_bin(reading: FeatureDrift) -> int:
    """The bin whose share moved most; of words, the one chance explains least."""
    if reading.bins.kind == "words":
        return 0
    before, now = np.asarray(reading.reference_counts, float), np.asarray(reading.current_counts, float)
    return int(np.argmax(np.abs(now / now.sum() - before / before.sum())))


def strongest_change(reading: FeatureDrift) -> str:
    """What moved most, in words."""
    before, now = reading.reference_counts, reading.current_counts
    if reading.bins.kind == "words":
        said = [
            f"“{name}” from {before[i] / before[-1]:.1%} to {now[i] / now[-1]:.1%}"
            for i, name in enumerate(reading.bins.names)
            if i < 1 or (i < 4 and reading.word_p[i] <= 0.05)
        ]
        return f"Words in texts: {', '.join(said)}." if said else ""
    at = strongest_bin(reading)
    p, q = before[at] / sum(before), now[at] / sum(now)
    name, label = reading.feature.replace("_", " "), reading.bins.labels()[at]
    return f"{name.capitalize()} “{label}” went from {p:.0%} to {q:.0%} of requests."
