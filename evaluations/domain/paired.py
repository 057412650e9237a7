"""Paired differences between two candidates over the same rows, with their intervals and p-values.

Right/wrong: Tango's interval with the exact McNemar test. Scores, macro F1, latency and cost: percentile bootstrap
over rows, from a kept seed. Knows no verdict: what a difference means is `comparison.py`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

RESAMPLES = 2000
# A quantile costs a partition a resample; 1,000 keep 10,000 rows under a second and give p down to 0.002.
RESAMPLES_P95 = 1000
CHUNK_CELLS = 2_000_000


@dataclass(frozen=True, slots=True)
class Measure:
    """One thing that is compared. `kind`: binary (0/1 rows), mean, macro_f1 or p95. `unit`: share, ms or microusd."""

    key: str
    title: str
    kind: str
    unit: str = "share"
    higher_is_better: bool = True
    note: str = ""


@dataclass(frozen=True, slots=True)
class Arm:
    """One candidate's results, position i the same row in every arm. None in a column is unscored."""

    key: int
    name: str
    kind: str
    columns: Mapping[str, Sequence[float | None]]
    # The label answered on each row, "" for none of them, None for unscored; empty where there are no labels.
    predicted: Sequence[str | None] = ()


@dataclass(frozen=True, slots=True)
class Difference:
    """Candidate minus baseline, in the measure's unit. All None when no row was scored in both."""

    n: int
    baseline: float | None
    candidate: float | None
    difference: float | None
    low: float | None
    high: float | None
    p: float | None
    standard_error: float | None
    method: str


# -- right or wrong --------------------------------------------------------------------------------------------


def mcnemar_exact(better: int, worse: int) -> float:
    """Two-sided exact p of McNemar's test on the rows where the two disagree; 1 when there are none.

    Source: McNemar 1947 with the binomial distribution; equal to statsmodels' `mcnemar(exact=True)`.
    """
    n, k = better + worse, min(better, worse)
    if n == 0 or better == worse:
        return 1.0
    log_half = n * math.log(2)
    tail = math.fsum(math.exp(_log_choose(n, i) - log_half) for i in range(k + 1))
    return min(1.0, 2 * tail)


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


def tango(better: int, worse: int, n: int, *, confidence: float = 0.95) -> tuple[float, float]:
    """Interval for the difference of two paired shares, (better - worse) / n, from -1 to 1.

    The score interval: the differences a two-sided test would not refuse. Honest for few rows and for none that
    disagree (then it is +-z^2 / (n + z^2)).
    Shapes: better + worse <= n, n >= 1.
    Source: Tango 1998, Statistics in Medicine 17:891-908.
    """
    if n < 1 or min(better, worse) < 0 or better + worse > n:
        raise ValueError("tango needs better + worse <= n and n >= 1")
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    middle = (better - worse) / n

    def statistic(d: float) -> float:
        b = -better - worse + (2 * n - better + worse) * d
        c = -worse * d * (1 - d)
        q = (math.sqrt(max(0.0, b * b - 8 * n * c)) - b) / (4 * n)
        variance = n * (2 * q + d * (1 - d))
        if variance <= 0:
            return 0.0 if better - worse == n * d else math.copysign(math.inf, better - worse - n * d)
        return (better - worse - n * d) / math.sqrt(variance)

    def root(inside: float, outside: float, target: float) -> float:
        # The statistic falls as d grows; halve until the interval is below rounding.
        for _ in range(60):
            half = (inside + outside) / 2
            beyond = statistic(half) > target if target > 0 else statistic(half) < target
            inside, outside = (inside, half) if beyond else (half, outside)
        return (inside + outside) / 2

    return root(middle, -1.0, z), root(middle, 1.0, -z)


def _binary(base: np.ndarray, cand: np.ndarray, alpha: float) -> Difference:
    n = len(base)
    better = int(np.sum((cand > 0.5) & (base <= 0.5)))
    worse = int(np.sum((cand <= 0.5) & (base > 0.5)))
    low, high = tango(better, worse, n, confidence=1 - alpha)
    z = NormalDist().inv_cdf(1 - alpha / 2)
    return Difference(
        n=n,
        baseline=float(base.mean()),
        candidate=float(cand.mean()),
        difference=(better - worse) / n,
        low=low,
        high=high,
        p=mcnemar_exact(better, worse),
        standard_error=(high - low) / (2 * z),
        method="Tango interval, exact McNemar test",
    )


# -- bootstrap -------------------------------------------------------------------------------------------------


def _from_resamples(
    base: float, cand: float, resampled: np.ndarray, n: int, alpha: float, method: str
) -> Difference:
    low, high = np.quantile(resampled, [alpha / 2, 1 - alpha / 2])
    r = len(resampled)
    # One more in both counts: a p of exactly 0 cannot be known from finitely many resamples.
    tail = min(int(np.sum(resampled <= 0)), int(np.sum(resampled >= 0)))
    p = 1.0 if base == cand and np.all(resampled == 0) else min(1.0, 2 * (tail + 1) / (r + 1))
    return Difference(
        n, base, cand, cand - base, float(low), float(high), p, float(resampled.std(ddof=1)), method
    )


def _mean(base: np.ndarray, cand: np.ndarray, alpha: float, seed: int, unit: str) -> Difference:
    difference = cand - base
    n = len(difference)
    if unit == "share" and np.all(difference == difference[0]):
        # Rows that never differ do not prove that none ever will: what is missing is bounded as for right/wrong.
        z2 = NormalDist().inv_cdf(1 - alpha / 2) ** 2
        half, d = float(z2 / (n + z2)), float(difference[0])
        p = 1.0 if d == 0 else 2 / (RESAMPLES + 1)
        low, high = max(-1.0, d - half), min(1.0, d + half)
        return Difference(
            n, float(base.mean()), float(cand.mean()), d, low, high, p, half / math.sqrt(z2), "bounded"
        )
    rng = np.random.default_rng(seed)
    means = np.empty(RESAMPLES)
    step = max(1, CHUNK_CELLS // n)
    for start in range(0, RESAMPLES, step):
        size = min(step, RESAMPLES - start)
        means[start : start + size] = difference[rng.integers(0, n, (size, n), dtype=np.int32)].mean(axis=1)
    method = f"paired percentile bootstrap, {RESAMPLES:,} resamples"
    return _from_resamples(float(base.mean()), float(cand.mean()), means, n, alpha, method)


def _p95(base: np.ndarray, cand: np.ndarray, alpha: float, seed: int) -> Difference:
    n = len(base)
    rng = np.random.default_rng(seed)
    found = np.empty(RESAMPLES_P95)
    step = max(1, CHUNK_CELLS // n)
    for start in range(0, RESAMPLES_P95, step):
        size = min(step, RESAMPLES_P95 - start)
        rows = rng.integers(0, n, (size, n), dtype=np.int32)
        found[start : start + size] = _quantile_rows(cand[rows]) - _quantile_rows(base[rows])
    method = f"paired percentile bootstrap of the 95th percentile, {RESAMPLES_P95:,} resamples"
    at = (float(np.quantile(base, 0.95)), float(np.quantile(cand, 0.95)))
    return _from_resamples(*at, found, n, alpha, method)


def _quantile_rows(values: np.ndarray) -> np.ndarray:
    """The 95th percentile of each row, interpolated; a partition, because sorting everything costs three times that."""
    n = values.shape[1]
    place = 0.95 * (n - 1)
    low = math.floor(place)
    high = min(low + 1, n - 1)
    values.partition((low, high), axis=1)
    return values[:, low] + (values[:, high] - values[:, low]) * (place - low)


def macro_f1(expected: np.ndarray, predicted: np.ndarray, n_labels: int, weights: np.ndarray) -> np.ndarray:
    """Mean F1 over the labels that occur, for each row of `weights` (how often each pattern was drawn).

    Shapes: expected, predicted (patterns,) with predicted -1 for none; weights (resamples, patterns). Out (resamples,).
    """
    # Counts stay far below 2^24, so float32 is exact and half the work.
    weights = weights.astype(np.float32, copy=False)
    one_hot = np.zeros((len(expected), n_labels), dtype=np.float32)
    one_hot[np.arange(len(expected)), expected] = 1
    said = np.zeros_like(one_hot)
    has = predicted >= 0
    said[np.flatnonzero(has), predicted[has]] = 1
    hit = one_hot * said
    support, claimed, right = weights @ one_hot, weights @ said, weights @ hit
    both = (support + claimed).astype(np.float64)
    f1 = np.divide(2.0 * right, both, out=np.zeros_like(both), where=both > 0)
    present = support > 0
    return (f1 * present).sum(axis=1) / np.maximum(present.sum(axis=1), 1)


def _macro(
    expected: Sequence[str], base: Sequence[str], cand: Sequence[str], alpha: float, seed: int
) -> Difference:
    labels = {label: i for i, label in enumerate(sorted(set(expected)))}
    triples = [
        (labels[e], labels.get(b, -1), labels.get(c, -1))
        for e, b, c in zip(expected, base, cand, strict=True)
    ]
    # Rows that agree in all three are one pattern: drawing n rows is drawing how often each pattern comes.
    patterns, counts = np.unique(np.array(triples), axis=0, return_counts=True)
    n, k = len(triples), len(labels)
    rng = np.random.default_rng(seed)
    draws = rng.multinomial(n, counts / n, size=RESAMPLES).astype(np.float32)
    whole = counts[None, :].astype(np.float32)
    want, was, now = patterns[:, 0], patterns[:, 1], patterns[:, 2]
    at = [float(macro_f1(want, said, k, whole)[0]) for said in (was, now)]
    moved = macro_f1(want, now, k, draws) - macro_f1(want, was, k, draws)
    method = f"paired percentile bootstrap of macro F1, {RESAMPLES:,} resamples"
    if np.all(moved == 0):
        z2 = NormalDist().inv_cdf(1 - alpha / 2) ** 2
        half = float(z2 / (n + z2))
        return Difference(n, at[0], at[1], at[1] - at[0], -half, half, 1.0, half / math.sqrt(z2), "bounded")
    return _from_resamples(at[0], at[1], moved, n, alpha, method)


# -- one pair of candidates ------------------------------------------------------------------------------------


def paired_difference(
    measure: Measure,
    baseline: Arm,
    candidate: Arm,
    expected: Sequence[str],
    *,
    alpha: float = 0.05,
    seed: int = 0,
) -> Difference:
    """Candidate minus baseline over the rows that both have scored.

    Shapes: all columns have one length. `expected` is needed for macro_f1 only.
    """
    if measure.kind == "macro_f1":
        pairs = [
            (e, b, c)
            for e, b, c in zip(expected, baseline.predicted, candidate.predicted, strict=True)
            if b is not None and c is not None
        ]
        if not pairs:
            return _nothing()
        return _macro(*zip(*pairs, strict=True), alpha, seed)  # type: ignore[arg-type, call-arg]
    base = np.asarray(baseline.columns[measure.key], dtype=np.float64)
    cand = np.asarray(candidate.columns[measure.key], dtype=np.float64)
    if len(base) != len(cand):
        raise ValueError("the two candidates answered different rows")
    both = ~(np.isnan(base) | np.isnan(cand))
    base, cand = base[both], cand[both]
    if not len(base):
        return _nothing()
    if measure.kind == "binary":
        return _binary(base, cand, alpha)
    if measure.kind == "p95":
        return _p95(base, cand, alpha, seed)
    return _mean(base, cand, alpha, seed, measure.unit)


def _nothing() -> Difference:
    return Difference(0, None, None, None, None, None, None, None, "no row was scored in both")
