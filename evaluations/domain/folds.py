"""Two configurations judged over the same folds: a paired difference that counts rows which belong together once.

Knows answers as right or wrong; what a difference means is decided as everywhere, in `comparison.py`.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

from datasets.domain.dependence import design_effect, few_units, fully_dependent
from evaluations.domain.comparison import Margins, decide
from evaluations.domain.paired import Difference, mcnemar_exact, tango
from evaluations.domain.statuses import Verdict

USUAL = Margins()
# How many moved rows the belief that rows of one unit move together is worth, before any is seen.
MOVED_BEFORE = 5


@dataclass(frozen=True, slots=True)
class FoldDifference:
    """Candidate minus baseline in one fold, as a share of its rows."""

    fold: int
    n: int
    difference: float


@dataclass(frozen=True, slots=True)
class OverFolds:
    """What two cross-validations say of each other. `effective` is how many independent rows the n are worth."""

    found: Difference
    verdict: Verdict
    why: str
    margin: float
    better: int
    worse: int
    n_units: int
    effective: float
    folds: tuple[FoldDifference, ...]


def compare_over_folds(
    baseline: Sequence[bool],
    candidate: Sequence[bool],
    *,
    units: Sequence[int],
    folds: Sequence[int],
    margins: Margins = USUAL,
) -> OverFolds:
    """Candidate minus baseline over rows that both answered out of fold, with its verdict.

    Shapes: equal lengths, at least one row; position i is the same row. Raises: ValueError otherwise.
    """
    if not baseline or not len(baseline) == len(candidate) == len(units) == len(folds):
        raise ValueError("a comparison over folds needs the same rows in both, and at least one")
    found, effective = _difference(baseline, candidate, units, n_folds=len(set(folds)), alpha=margins.alpha)
    verdict, why = decide(
        found,
        higher_is_better=True,
        margin=margins.points,
        p_holm=found.p,
        alpha=margins.alpha,
        exact=True,
        unproven="the interval leaves zero out, but the exact test does not prove it",
    )
    by_fold: dict[int, list[int]] = defaultdict(list)
    for fold, was, now in zip(folds, baseline, candidate, strict=True):
        by_fold[fold].append(int(now) - int(was))
    moved = [int(now) - int(was) for was, now in zip(baseline, candidate, strict=True)]
    return OverFolds(
        found=found,
        verdict=verdict,
        why=why,
        margin=margins.points,
        better=moved.count(1),
        worse=moved.count(-1),
        n_units=len(set(units)),
        effective=effective,
        folds=tuple(
            FoldDifference(fold, len(parts), sum(parts) / len(parts))
            for fold, parts in sorted(by_fold.items())
        ),
    )


def _difference(
    baseline: Sequence[bool], candidate: Sequence[bool], units: Sequence[int], *, n_folds: int, alpha: float
) -> tuple[Difference, float]:
    """Tango's interval over as many rows as they are worth, and the exact sign test over units.

    Single rows: plain Tango and McNemar. Rows of one unit move together, so counts are divided by the design effect
    and multiplied by what few units are worth (datasets.domain.dependence); a unit votes once, by its net change. Few
    rows that moved tell little of how units move: the design effect is drawn to that of full dependence as if
    MOVED_BEFORE rows had shown it, and wholly where nobody moved. Models of k folds learnt from much the same rows: k / (k + 1), as for a share (docs/decisions/0021).
    Source: Tango 1998; design effect on counts as Rao and Scott 1992, Biometrics 48:577-585; sign test over clusters
    as Datta and Satten 2008 discuss for paired binary data.
    """
    n = len(baseline)
    net: dict[int, int] = defaultdict(int)
    sizes: dict[int, int] = defaultdict(int)
    for unit, was, now in zip(units, baseline, candidate, strict=True):
        net[unit] += int(now) - int(was)
        sizes[unit] += 1
    better = sum(now and not was for was, now in zip(baseline, candidate, strict=True))
    worse = sum(was and not now for was, now in zip(baseline, candidate, strict=True))
    mean, m = (better - worse) / n, len(sizes)
    z = NormalDist().inv_cdf(1 - alpha / 2)
    effective = float(n)
    if 1 < m < n:
        full, moved = fully_dependent(sizes.values()), better + worse
        design = full
        if (single := moved / n - mean**2) > 0:
            seen = design_effect(sum((net[u] - mean * size) ** 2 for u, size in sizes.items()), m, single, n)
            design = seen + max(0.0, full - seen) * MOVED_BEFORE / (MOVED_BEFORE + moved)
        effective = n / design * few_units(sizes.values(), confidence=1 - alpha)
    elif m == 1 and n > 1:
        effective = 1.0
    effective *= n_folds / (n_folds + 1)
    # The score interval knows no whole numbers; counts that are worth less may be fractions. It asks for one row, and
    # for no fewer than moved: rounding must not leave a hair less.
    scale = max(effective / n, 1 / n)
    rows = max(n * scale, 1.0, better * scale + worse * scale)
    low, high = tango(better * scale, worse * scale, rows, confidence=1 - alpha)  # type: ignore[arg-type]
    wins, losses = sum(v > 0 for v in net.values()), sum(v < 0 for v in net.values())
    test = "exact McNemar test" if m == n else f"exact sign test over {m:,} units"
    method = f"Tango interval for {effective:.0f} independent rows, {test}"
    found = Difference(
        n=n,
        baseline=sum(baseline) / n,
        candidate=sum(candidate) / n,
        difference=mean,
        low=low,
        high=high,
        p=mcnemar_exact(wins, losses),
        standard_error=(high - low) / (2 * z) if not math.isnan(low) else None,
        method=method,
    )
    return found, effective
