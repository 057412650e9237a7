"""What a training run passes through, and what its two scores say. Knows no table and no backend."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class RunState(StrEnum):
    """Where a training run stands; it follows its job."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """Whether nothing more happens by itself."""
        return self in (RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED)


# Who may follow whom; a failed or cancelled run may be tried again.
RUN_MOVES: dict[RunState, frozenset[RunState]] = {
    RunState.QUEUED: frozenset({RunState.RUNNING, RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED}),
    RunState.RUNNING: frozenset({RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED}),
    RunState.SUCCEEDED: frozenset(),
    RunState.FAILED: frozenset({RunState.QUEUED}),
    RunState.CANCELLED: frozenset({RunState.QUEUED}),
}

# A gap of ten points between training and validation is where a team should look; from twenty on it is plain.
GAP_NOTED = 0.10
GAP_WARNED = 0.20
# Below this many rows a perfect training score says nothing (the chapter's example: perfect on 100 rows).
FEW_ROWS = 500


@dataclass(frozen=True, slots=True)
class Fit:
    """How well a run learnt. Scores run 0 to 1; None is not measured. `level` is good, warn or bad."""

    train: float | None
    validation: float | None
    gap: float | None
    level: str
    sentence: str


def judge_fit(*, train: float | None, validation: float | None, n_train: int, n_validation: int) -> Fit:
    """What the two scores say together, with one sentence for people (S48).

    The validation score chose the settings, so it flatters a little; only test rows carry a claim.
    """
    if train is None or validation is None:
        missing = "validation" if validation is None else "training"
        return Fit(
            train,
            validation,
            None,
            "warn",
            f"No {missing} rows were scored, so overfitting cannot be judged.",
        )
    # Rounded, so that .95 - .85 is ten points and not a hair less.
    gap = round(train - validation, 9)
    scores = f"{train:.1%} on the {n_train:,} training rows, {validation:.1%} on the {n_validation:,} validation rows"
    if gap >= GAP_WARNED:
        why = (
            f"With only {n_train:,} training rows it may simply know them by heart; more rows help most."
            if n_train < FEW_ROWS
            else "More rows or stronger regularisation narrow the gap."
        )
        return Fit(
            train, validation, gap, "bad", f"Overfitting: {scores}, {gap * 100:.1f} points apart. {why}"
        )
    if gap >= GAP_NOTED:
        text = f"Some overfitting: {scores}, {gap * 100:.1f} points apart. Trust the validation figure."
        return Fit(train, validation, gap, "warn", text)
    if validation > train + GAP_NOTED:
        text = f"Validation rows are easier than training rows: {scores}. Check the split for leakage."
        return Fit(train, validation, gap, "warn", text)
    return Fit(train, validation, gap, "good", f"No sign of overfitting: {scores}.")


def with_expected(metrics: Mapping[str, Any], folds: Mapping[str, Any]) -> dict[str, Any]:
    """Figures of a model trained on all rows: what it may expect is what cross-validation found over the folds.

    No row outside the test was kept from it, so its own scores say nothing of new ones.
    """
    names = ("n", "right", "accuracy", "low", "high", "macro_f1")
    expected = {name: folds.get(name) for name in names}
    train = metrics.get("train") or {}
    gap = None
    if train.get("accuracy") is not None and expected["accuracy"] is not None:
        gap = round(train["accuracy"] - expected["accuracy"], 9)
    level = "" if gap is None else "bad" if gap >= GAP_WARNED else "warn" if gap >= GAP_NOTED else "good"
    sentence = (
        f"Expected to be {expected['accuracy']:.1%} right ({expected['low']:.1%} to {expected['high']:.1%}), as "
        f"cross-validation found over {len(folds['folds'])} folds and {expected['n']:,} rows. It learnt from all of "
        "them, so only sealed test rows can judge it."
    )
    return {
        **metrics,
        "train": train or None,
        "validation": expected,
        "is_cross_validated": True,
        "gap": gap,
        "level": level,
        "sentence": sentence,
    }
