"""Cross-validation: which rows each fold teaches with and is judged on, and what the judged rows say together.

Knows no table and no model: numbers and answers in, plans and figures out. Why these intervals: docs/decisions/0021.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import fmean, stdev
from typing import Any

from datasets.domain.dependence import Share, clustered_share, student_t
from datasets.domain.gate import FOLDS, WARNED_BELOW
from datasets.domain.power import rows_needed
from datasets.domain.splitting import folds_of
from datasets.domain.statuses import Split

# A version with more rows than this has validation rows enough; five models over them would only cost time.
MOST_ROWS = 20_000
# Of the rows a fold teaches with, one part in so many chooses the settings.
INNER_FOLDS = 5
# Folds this unlikely far apart by chance are worth a sentence.
APART_P = 0.01
MOST_LABELS = 200
# Every pair that 24 labels can be mixed up in has its place in the matrix.
MOST_PAIRS = 24 * 23


class FoldsDivided(ValueError):
    """Rows that belong together stand in two folds: a score over them would be a lie."""


@dataclass(frozen=True, slots=True)
class FoldRow:
    """One row outside the test. `unit` names what it belongs together with; `key` is its example's number, 0 if gone.

    `written_from` is None for rows people brought, and the keys of the given examples for rows a model wrote.
    """

    key: int
    digest: bytes
    fold: int
    unit: int
    label: str = ""
    written_from: frozenset[int] | None = None

    @property
    def is_judged(self) -> bool:
        """Whether it is validated on: rows a model wrote only teach."""
        return self.written_from is None


@dataclass(frozen=True, slots=True)
class Fold:
    """One fold by positions in the rows: teach with `train`, judge on `held`.

    `left_out` are written rows that were made from a held row, or belong together with one.
    """

    number: int
    train: tuple[int, ...]
    held: tuple[int, ...]
    left_out: tuple[int, ...]


def plan_folds(rows: Sequence[FoldRow], *, n_folds: int) -> list[Fold]:
    """Every fold that has rows to judge on. Each row people brought is held exactly once.

    A row a model wrote teaches in every fold but those that hold its unit or one of the rows it was written from.
    Raises: FoldsDivided when a unit stands in two folds; ValueError for a row without a fold, or when a fold would
    have nothing to learn from.
    """
    places: dict[int, int] = {}
    for row in rows:
        if not 1 <= row.fold <= n_folds:
            raise ValueError(f"A row stands in fold {row.fold} of {n_folds}.")
        if row.is_judged and places.setdefault(row.unit, row.fold) != row.fold:
            raise FoldsDivided("Rows that belong together stand in two folds.")
    folds = []
    for number in range(1, n_folds + 1):
        held = [i for i, row in enumerate(rows) if row.is_judged and row.fold == number]
        if not held:
            continue
        units, keys = {rows[i].unit for i in held}, {rows[i].key for i in held}
        train, left_out = [], []
        for i, row in enumerate(rows):
            if row.written_from is None:
                if row.fold != number:
                    train.append(i)
            elif row.unit in units or row.written_from & keys:
                left_out.append(i)
            else:
                train.append(i)
        if not train:
            raise ValueError(
                "All rows belong together, so no fold has anything to learn from. Take the near-duplicates out, or "
                "freeze without keeping groups."
            )
        folds.append(Fold(number, tuple(train), tuple(held), tuple(left_out)))
    if len(folds) < 2:
        raise ValueError("Fewer than two folds hold a row to judge on. Add rows, or freeze with fewer folds.")
    return folds


def choosing_rows(rows: Sequence[FoldRow], train: Sequence[int], *, seed: str) -> frozenset[int]:
    """The positions among `train` that choose the settings: about a fifth, whole units, every label, none written."""
    splits = [Split.TRAIN] * len(train)
    places = folds_of(
        [rows[i].digest for i in train],
        splits,
        seed=seed,
        n_folds=INNER_FOLDS,
        labels=[rows[i].label for i in train],
        units=[rows[i].unit for i in train],
    )
    sizes = Counter(places)
    # One large unit fills a place with far more than a fifth; the place that comes nearest chooses.
    nearest = min(sorted(sizes), key=lambda place: abs(sizes[place] - len(train) / INNER_FOLDS))
    chosen = {i for i, place in zip(train, places, strict=True) if place == nearest}
    # A unit with a written row in it teaches as a whole: its people's rows must not be chosen by their copies.
    written = {rows[i].unit for i in train if not rows[i].is_judged}
    found = frozenset(i for i in chosen if rows[i].unit not in written)
    return found if len(found) < len(train) else frozenset()


# -- what it says ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Judged:
    """One row answered by the model of the fold that held it."""

    fold: int
    unit: int
    expected: str
    predicted: str

    @property
    def is_right(self) -> bool:
        """Whether both are the same but for blanks around them."""
        return self.predicted.strip() == self.expected.strip()


def corrected_t(
    scores: Sequence[float], *, held_to_train: float, confidence: float = 0.95
) -> tuple[float, float]:
    """Interval for the mean of scores of folds whose training rows overlap, uncut.

    The variance of the mean is taken as (1/k + held / train) s^2, with k - 1 degrees of freedom: a plain t takes
    1/k and is too short, because the folds learnt from the same rows.
    Raises: ValueError for fewer than two scores.
    Source: Nadeau and Bengio 2003, Inference for the Generalization Error, Machine Learning 52:239-281, section 3.
    """
    k = len(scores)
    if k < 2:
        raise ValueError("A spread needs at least two folds.")
    half = student_t(k - 1, confidence) * sqrt((1 / k + held_to_train) * stdev(scores) ** 2)
    return fmean(scores) - half, fmean(scores) + half


def apart_p(folds: Sequence[tuple[int, int]], *, effective_share: float) -> float:
    """The chance that folds (right, n) lie this far apart or further when all score alike; chi-squared, k - 1 degrees.

    `effective_share` is independent rows over rows, at most 1. 1 where every answer is the same.
    """
    n, right = sum(size for _, size in folds), sum(count for count, _ in folds)
    if not 0 < right < n or len(folds) < 2:
        return 1.0
    from scipy.special import chdtrc  # lazy: heavy, and only a finished cross-validation needs it

    p = right / n
    far = sum((count - p * size) ** 2 / size for count, size in folds) / (p * (1 - p))
    return float(chdtrc(len(folds) - 1, far * min(1.0, effective_share)))


def summarise(rows: Sequence[Judged], *, n_train: Mapping[int, int], labelled: bool) -> dict[str, Any]:
    """All that the held rows say, as plain values: the share with its interval, folds, labels, what is mixed up.

    `n_train` is how many rows taught each fold. Raises: ValueError without rows.
    """
    k = len({row.fold for row in rows})
    whole = clustered_share([(row.unit, row.is_right) for row in rows], n_models=k)
    by_fold: dict[int, list[Judged]] = defaultdict(list)
    for row in rows:
        by_fold[row.fold].append(row)
    folds = []
    for number in sorted(by_fold):
        part = clustered_share([(row.unit, row.is_right) for row in by_fold[number]])
        folds.append({"fold": number, "n_train": n_train.get(number, 0), **_plain(part)})
    scores = [fold["accuracy"] for fold in folds]
    found: dict[str, Any] = {
        **_plain(whole),
        "effective": round(whole.effective, 1),
        "folds": folds,
        "lowest": min(scores),
        "highest": max(scores),
        "sd": stdev(scores) if len(scores) > 1 else None,
        "apart_p": apart_p(
            [(fold["right"], fold["n"]) for fold in folds], effective_share=whole.effective / whole.n
        ),
        "corrected_t": None,
        "macro_f1": None,
        "labels": [],
        "confusion": [],
    }
    if len(folds) > 1:
        taught = fmean(fold["n_train"] or 1 for fold in folds)
        low, high = corrected_t(scores, held_to_train=whole.n / len(folds) / taught)
        found["corrected_t"] = [max(0.0, low), min(1.0, high)]
    if labelled:
        found |= _by_label(rows, k)
    return found


def _plain(share: Share) -> dict[str, Any]:
    return {
        "n": share.n,
        "right": share.right,
        "accuracy": share.share,
        "low": share.low,
        "high": share.high,
        "n_units": share.n_units,
    }


def _by_label(rows: Sequence[Judged], k: int) -> dict[str, Any]:
    """Recall of every label with its interval, precision, F1, and what was answered instead, most often first."""
    claimed = Counter(row.predicted.strip() for row in rows)
    own: dict[str, list[Judged]] = defaultdict(list)
    for row in rows:
        own[row.expected.strip()].append(row)
    labels, f1s = [], []
    for label in sorted(own):
        share = clustered_share([(row.unit, row.is_right) for row in own[label]], n_models=k)
        f1s.append(2 * share.right / (share.n + claimed[label]))
        precision = share.right / claimed[label] if claimed[label] else None
        labels.append({"label": label, **_plain(share), "precision": precision, "f1": f1s[-1]})
    wrong = Counter((row.expected.strip(), row.predicted.strip()) for row in rows if not row.is_right)
    pairs = sorted(wrong.items(), key=lambda item: (-item[1], item[0]))
    return {
        "macro_f1": fmean(f1s),
        "n_labels": len(labels),
        # Of very many labels the weakest are kept: those are read.
        "labels": sorted(
            sorted(labels, key=lambda line: line["f1"])[:MOST_LABELS], key=lambda line: line["label"]
        ),
        "confusion": [[expected, predicted, n] for (expected, predicted), n in pairs[:MOST_PAIRS]],
    }


# -- when it is worth offering ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Offer:
    """Why a version should be cross-validated, in one sentence; `has_folds`: at once, else after freezing with folds."""

    sentence: str
    n_folds: int
    n_rows: int
    has_folds: bool
    is_advised: bool


def offer(*, n_rows: int, n_train: int, n_validation: int, n_folds: int) -> Offer | None:
    """Whether cross-validation is worth offering on a version: it is small, or its validation rows are too few (S41).

    A version that carries folds is always offered, up to MOST_ROWS; None where there is nothing to say.
    """
    usable = n_train + n_validation
    if usable > MOST_ROWS or usable < 2:
        return None
    few = n_validation < rows_needed()
    advised = n_rows < WARNED_BELOW or few
    if not advised and not n_folds:
        return None
    k = n_folds or FOLDS
    rows = "1 validation row" if n_validation == 1 else f"{n_validation:,} validation rows"
    begin = f"Only {rows}: cross-validation" if advised else "Cross-validation"
    return Offer(f"{begin} over {k} folds uses all {usable:,}.", k, usable, bool(n_folds), advised)
