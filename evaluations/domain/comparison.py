"""Whether one candidate differs from another over the same rows: interval first, then p, then a verdict.

Everything is paired by row. Right/wrong: Tango's interval with the exact McNemar test. Scores, macro F1, latency and
cost: percentile bootstrap over rows, from a kept seed. Verdicts come from margins that were set before the results.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from statistics import NormalDist
from typing import Any

import numpy as np

from evaluations.domain.statuses import Verdict

RESAMPLES = 2000
# A quantile costs a partition a resample; 1,000 keep 10,000 rows under a second and give p down to 0.002.
RESAMPLES_P95 = 1000
# Below this many pairs a bootstrap interval is known to be too short (D23), so no verdict rests on it.
MIN_PAIRS = 30
POWER = 0.80
CHUNK_CELLS = 2_000_000


@dataclass(frozen=True, slots=True)
class Margins:
    """Frozen with the run. `points`: shares this close count as equal; `relative`: the same for latency and cost."""

    points: float = 0.02
    relative: float = 0.10
    alpha: float = 0.05


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


@dataclass(frozen=True, slots=True)
class Line:
    """One measure of one candidate against the baseline, decided."""

    measure: str
    title: str
    note: str
    unit: str
    kind: str
    higher_is_better: bool
    candidate_key: int
    n: int
    baseline: float | None
    candidate: float | None
    difference: float | None
    low: float | None
    high: float | None
    p: float | None
    p_holm: float | None
    improvement: float | None
    margin: float | None
    verdict: Verdict
    more_rows: int | None
    why: str
    method: str


@dataclass(frozen=True, slots=True)
class Winner:
    """Who has the best figure of one measure; `tied_with` cannot be told apart from it by these rows."""

    measure: str
    key: int
    name: str
    value: float
    tied_with: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LabelChange:
    """Right answers on one label, before and after."""

    label: str
    n: int
    baseline_right: int
    candidate_right: int


@dataclass(frozen=True, slots=True)
class RowCounts:
    """How many rows got worse, better, or stayed, and how many could not be compared."""

    worse: int
    better: int
    same: int
    unscored: int


@dataclass(frozen=True, slots=True)
class Decided:
    """Everything a comparison found, before it is put into sentences."""

    baseline_key: int
    n_rows: int
    lines: tuple[Line, ...]
    winners: tuple[Winner, ...]
    rows: Mapping[int, RowCounts]
    labels: Mapping[int, tuple[LabelChange, ...]]
    figures: Mapping[int, Mapping[str, float | None]]
    family: int
    margins: Margins
    seed: int
    notes: tuple[str, ...] = field(default=())

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON; keys of mappings become text."""
        plain = asdict(self)
        for name in ("rows", "labels", "figures"):
            plain[name] = {str(k): v for k, v in plain[name].items()}
        return plain


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


# -- verdicts --------------------------------------------------------------------------------------------------


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values: the chance of even one false alarm among all of them stays below alpha.

    Source: Holm 1979, step-down; equal to statsmodels' `multipletests(method="holm")`.
    """
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted, worst = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(order):
        worst = max(worst, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = worst
    return adjusted


def margin_for(measure: Measure, baseline: float | None, margins: Margins) -> float | None:
    """How close counts as equal, in the measure's unit; None when a relative margin has nothing to be relative to."""
    if measure.unit == "share":
        return margins.points
    return abs(baseline) * margins.relative if baseline else None


def decide(
    found: Difference,
    *,
    higher_is_better: bool,
    margin: float | None,
    p_holm: float | None,
    alpha: float,
    exact: bool,
) -> tuple[Verdict, str]:
    """The verdict and why, in a few words.

    Equivalent: the whole interval lies within the margin, whether or not a difference is proven. Better or worse: the
    interval leaves zero out and Holm's p is below alpha. Everything else is undecided; no data never passes.
    `exact`: the interval holds for few rows too.
    """
    if found.difference is None or found.low is None or found.high is None:
        return Verdict.UNDECIDED, "no row was scored in both"
    if not exact and found.n < MIN_PAIRS:
        return Verdict.UNDECIDED, f"only {found.n} rows; {MIN_PAIRS} are the least for this measure"
    if margin is not None and -margin <= found.low and found.high <= margin:
        return Verdict.EQUIVALENT, "the whole interval lies within the margin"
    outside = found.low > 0 or found.high < 0
    if not outside:
        return Verdict.UNDECIDED, "the interval holds zero and reaches past the margin"
    if p_holm is None or p_holm >= alpha:
        return Verdict.UNDECIDED, "not proven once all measures are counted (Holm)"
    gains = (found.difference > 0) == higher_is_better
    return (Verdict.BETTER if gains else Verdict.WORSE), "the interval leaves zero out"


def more_rows(found: Difference, *, margin: float | None, alpha: float) -> int | None:
    """About how many further rows would decide, at 80 % power if the truth is what was seen; None: not in reach.

    The smaller of two numbers: to prove the difference, and (when it is inside the margin) to prove there is none.
    """
    if found.difference is None or not found.standard_error or found.n < 2:
        return None
    spread = found.standard_error * math.sqrt(found.n)
    z, zb = NormalDist().inv_cdf(1 - alpha / 2), NormalDist().inv_cdf(POWER)
    size = abs(found.difference)
    needed = []
    if size > 0:
        needed.append(((z + zb) * spread / size) ** 2)
    if margin is not None and size < margin:
        needed.append(((z + zb) * spread / (margin - size)) ** 2)
    if not needed:
        return None
    further = max(min(needed) - found.n, 0.1 * found.n, MIN_PAIRS - found.n)
    if further > 1_000_000:
        return None
    digits = 10 ** max(0, math.floor(math.log10(further)) - 1)
    return int(math.ceil(further / digits) * digits)


# -- all of it -------------------------------------------------------------------------------------------------


def compare(
    arms: Sequence[Arm],
    *,
    baseline_key: int,
    measures: Sequence[Measure],
    expected: Sequence[str] = (),
    margins: Margins = Margins(),
    seed: int = 0,
) -> Decided:
    """Every candidate against the baseline on every measure, Holm over all of these tests together.

    Shapes: at least two arms over the same rows in the same order; the first measure is the primary one.
    Raises: ValueError when an arm is missing or lengths differ.
    """
    by_key = {arm.key: arm for arm in arms}
    if len(by_key) < 2 or baseline_key not in by_key:
        raise ValueError("a comparison needs two candidates, one of them the baseline")
    baseline = by_key[baseline_key]
    others = [arm for arm in arms if arm.key != baseline_key]
    pairs = _Pairs(expected, margins.alpha, seed)
    found = [
        (arm, measure, pairs.difference(measure, baseline, arm)) for arm in others for measure in measures
    ]
    tested = [i for i, (_, _, d) in enumerate(found) if d.p is not None]
    adjusted = dict(zip(tested, holm([found[i][2].p or 0.0 for i in tested]), strict=True))
    lines = tuple(
        _line(arm, measure, d, adjusted.get(i), margins) for i, (arm, measure, d) in enumerate(found)
    )
    primary = measures[0]
    return Decided(
        baseline_key=baseline_key,
        n_rows=len(baseline.columns[primary.key]),
        lines=lines,
        winners=tuple(w for m in measures if (w := _winner(m, arms, pairs))),
        rows={arm.key: _count_rows(primary, baseline, arm) for arm in others},
        labels={arm.key: _label_changes(baseline, arm, expected) for arm in others if arm.predicted},
        figures={arm.key: {m.key: _figure(m, arm, expected) for m in measures} for arm in arms},
        family=len(tested),
        margins=margins,
        seed=seed,
    )


def _line(arm: Arm, measure: Measure, d: Difference, p_holm: float | None, margins: Margins) -> Line:
    margin = margin_for(measure, d.baseline, margins)
    verdict, why = decide(
        d,
        higher_is_better=measure.higher_is_better,
        margin=margin,
        p_holm=p_holm,
        alpha=margins.alpha,
        exact=measure.kind == "binary",
    )
    improvement = None
    if d.difference is not None and d.baseline:
        improvement = d.difference / abs(d.baseline) * (1 if measure.higher_is_better else -1)
    return Line(
        measure=measure.key,
        title=measure.title,
        note=measure.note,
        unit=measure.unit,
        kind=measure.kind,
        higher_is_better=measure.higher_is_better,
        candidate_key=arm.key,
        n=d.n,
        baseline=d.baseline,
        candidate=d.candidate,
        difference=d.difference,
        low=d.low,
        high=d.high,
        p=d.p,
        p_holm=p_holm,
        improvement=improvement,
        margin=margin,
        verdict=verdict,
        more_rows=more_rows(d, margin=margin, alpha=margins.alpha) if verdict is Verdict.UNDECIDED else None,
        why=why,
        method=d.method,
    )


def _figure(measure: Measure, arm: Arm, expected: Sequence[str]) -> float | None:
    if measure.kind == "macro_f1":
        pairs = [(e, p) for e, p in zip(expected, arm.predicted, strict=True) if p is not None]
        if not pairs:
            return None
        labels = {label: i for i, label in enumerate(sorted({e for e, _ in pairs}))}
        want = np.array([labels[e] for e, _ in pairs])
        said = np.array([labels.get(p, -1) for _, p in pairs])
        return float(macro_f1(want, said, len(labels), np.ones((1, len(pairs))))[0])
    values = np.asarray(arm.columns[measure.key], dtype=np.float64)
    values = values[~np.isnan(values)]
    if not len(values):
        return None
    return float(np.quantile(values, 0.95)) if measure.kind == "p95" else float(values.mean())


class _Pairs:
    """Differences of pairs, each worked out once: the other way round only the signs change."""

    def __init__(self, expected: Sequence[str], alpha: float, seed: int) -> None:
        self.expected, self.alpha, self.seed = expected, alpha, seed
        self._known: dict[tuple[str, int, int], Difference] = {}

    def difference(self, measure: Measure, baseline: Arm, arm: Arm) -> Difference:
        key = (measure.key, baseline.key, arm.key)
        if key in self._known:
            return self._known[key]
        if (back := self._known.get((measure.key, arm.key, baseline.key))) is not None:
            return _turned(back)
        found = paired_difference(measure, baseline, arm, self.expected, alpha=self.alpha, seed=self.seed)
        self._known[key] = found
        return found


def _turned(d: Difference) -> Difference:
    if d.difference is None or d.low is None or d.high is None:
        return d
    return replace(
        d, baseline=d.candidate, candidate=d.baseline, difference=-d.difference, low=-d.high, high=-d.low
    )


def _winner(measure: Measure, arms: Sequence[Arm], pairs: _Pairs) -> Winner | None:
    """The best figure and who cannot be told apart from it; None when nobody has a figure (all-zero scores have one)."""
    known = [(value, arm) for arm in arms if (value := _figure(measure, arm, pairs.expected)) is not None]
    if not known:
        return None
    sign = 1 if measure.higher_is_better else -1
    value, best = max(known, key=lambda pair: sign * pair[0])
    tied = []
    for other_value, other in known:
        if other is best:
            continue
        d = pairs.difference(measure, other, best)
        apart = d.low is not None and d.high is not None and (d.low > 0 or d.high < 0)
        if other_value == value or not apart or (measure.kind != "binary" and d.n < MIN_PAIRS):
            tied.append(other.name)
    return Winner(measure.key, best.key, best.name, value, tuple(tied))


def _count_rows(measure: Measure, baseline: Arm, arm: Arm) -> RowCounts:
    was = np.asarray(baseline.columns[measure.key], dtype=np.float64)
    now = np.asarray(arm.columns[measure.key], dtype=np.float64)
    delta = (now - was) * (1 if measure.higher_is_better else -1)
    worse, better, same = int((delta < 0).sum()), int((delta > 0).sum()), int((delta == 0).sum())
    return RowCounts(worse, better, same, len(delta) - worse - better - same)


def _label_changes(baseline: Arm, arm: Arm, expected: Sequence[str]) -> tuple[LabelChange, ...]:
    """Labels by how much they lost, the greatest loss first."""
    counts: dict[str, list[int]] = {}
    for label, was, now in zip(expected, baseline.predicted, arm.predicted, strict=True):
        if was is None or now is None:
            continue
        row = counts.setdefault(label, [0, 0, 0])
        row[0] += 1
        row[1] += was == label
        row[2] += now == label
    changes = [LabelChange(label, *row) for label, row in counts.items()]
    return tuple(sorted(changes, key=lambda c: (c.candidate_right - c.baseline_right, -c.n, c.label)))
