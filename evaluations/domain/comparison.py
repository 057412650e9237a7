"""Whether one candidate differs from another over the same rows: interval first, then p, then a verdict.

Verdicts come from margins that were set before the results. The statistics of one pair stand in `paired.py`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from statistics import NormalDist
from typing import Any

import numpy as np

from evaluations.domain.paired import Arm, Difference, Measure, macro_f1, paired_difference
from evaluations.domain.statuses import Verdict

# Below this many pairs a bootstrap interval is known to be too short (D23), so no verdict rests on it.
MIN_PAIRS = 30
POWER = 0.80


@dataclass(frozen=True, slots=True)
class Margins:
    """Frozen with the run. `points`: shares this close count as equal; `relative`: the same for latency and cost."""

    points: float = 0.02
    relative: float = 0.10
    alpha: float = 0.05


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
    unproven: str = "not proven once all measures are counted (Holm)",
) -> tuple[Verdict, str]:
    """The verdict and why, in a few words.

    Equivalent: the whole interval lies within the margin, whether or not a difference is proven. Better or worse: the
    interval leaves zero out and Holm's p is below alpha. Everything else is undecided; no data never passes.
    `exact`: the interval holds for few rows too. `unproven` says which test did not follow the interval.
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
        return Verdict.UNDECIDED, unproven
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
