"""Does the test know what the training said? Rows shared between splits, exactly, nearly, by group or by time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import numpy as np

from datasets.domain.statuses import Split


@dataclass(frozen=True, slots=True)
class Leak:
    """Rows of one kind that stand in more than one split. `n_rows` counts validation and test rows that are touched."""

    kind: str
    n_groups: int
    n_rows: int
    examples: tuple[tuple[int, ...], ...]

    @property
    def is_clean(self) -> bool:
        """Nothing was found."""
        return self.n_groups == 0


def repeated(numbers: np.ndarray) -> np.ndarray:
    """Positions of numbers that stand more than once, in order; one below 0 is nobody's."""
    known = np.flatnonzero(numbers >= 0)
    if not len(known):
        return known
    _, which, counts = np.unique(numbers[known], return_inverse=True, return_counts=True)
    return known[counts[which] > 1]


def shared(kind: str, keys: Sequence[Any] | np.ndarray, splits: Sequence[str], *, most: int = 20) -> Leak:
    """Groups of rows with one key in more than one split; a key that is None or "" joins nobody.

    Shapes: equal lengths; the result names positions. Keys may be an array of numbers, where one below 0 joins nobody.
    """
    # Most keys stand once: only the others are gathered.
    groups: dict[Any, list[int]] = {}
    if isinstance(keys, np.ndarray):
        again = repeated(keys)
        for position, key in zip(again.tolist(), keys[again].tolist(), strict=True):
            groups.setdefault(key, []).append(position)
    elif len(set(keys)) < len(keys):
        often = {key for key, n in Counter(keys).items() if n > 1 and key is not None and key != ""}
        for position, key in enumerate(keys):
            if key in often:
                groups.setdefault(key, []).append(position)
    leaking = [rows for rows in groups.values() if len(rows) > 1 and len({splits[i] for i in rows}) > 1]
    touched = sum(splits[i] != Split.TRAIN for rows in leaking for i in rows)
    return Leak(kind, len(leaking), touched, tuple(tuple(rows[:6]) for rows in leaking[:most]))


def from_the_future(times: Sequence[datetime | None], splits: Sequence[str]) -> int:
    """Training rows that are newer than the oldest test row: temporal leakage when the task has a clock."""
    if not any(times):
        return 0
    test = [t for t, s in zip(times, splits, strict=True) if t is not None and s == Split.TEST]
    if not test:
        return 0
    oldest = min(test)
    return sum(t is not None and s == Split.TRAIN and t > oldest for t, s in zip(times, splits, strict=True))


def to_leave_out(
    kind: str, keys: Sequence[Any], splits: Sequence[str], times: Sequence[datetime | None] = ()
) -> set[int]:
    """Positions of rows whose going ends the leak: what stands in the test stays, what knew of it goes.

    `kind` "time": training and validation rows newer than the oldest test row. Else rows of training that share a key
    with validation or test, and rows of validation that share one with the test.
    """
    if kind == "time":
        test = [t for t, s in zip(times, splits, strict=True) if t is not None and s == Split.TEST]
        if not test:
            return set()
        oldest = min(test)
        return {
            i
            for i, (t, s) in enumerate(zip(times, splits, strict=True))
            if t is not None and s != Split.TEST and t > oldest
        }
    order = {Split.TRAIN: 0, Split.VALIDATION: 1, Split.TEST: 2}
    furthest: dict[Any, int] = {}
    for key, split in zip(keys, splits, strict=True):
        if key is not None and key != "":
            furthest[key] = max(furthest.get(key, 0), order[Split(split)])
    return {
        i
        for i, (key, split) in enumerate(zip(keys, splits, strict=True))
        if key is not None and key != "" and order[Split(split)] < furthest[key]
    }


@dataclass(frozen=True, slots=True)
class LeakageReport:
    """What was compared and what was found (S37)."""

    exact: Leak
    loose: Leak
    prompt: Leak
    near: Leak
    group: Leak
    n_from_the_future: int
    has_times: bool

    @property
    def is_clean(self) -> bool:
        """No row of validation or test was seen in training, exactly or nearly. Groups and time are told apart."""
        return self.exact.is_clean and self.loose.is_clean and self.near.is_clean

    def as_json(self) -> dict[str, Any]:
        """Plain values for a JSON column."""
        return {**asdict(self), "is_clean": self.is_clean}


# How a stored report names its kinds, in the order of harm.
_KINDS = {
    "exact": "the same row",
    "loose": "the same row but for formatting",
    "near": "near-duplicates",
    "prompt": "the same prompt",
    "group": "one group",
}


def leaks_of(stored: Mapping[str, Any]) -> list[str]:
    """Every leak a stored report (`as_json`) tells of, a few words each; empty when there is none."""
    found = []
    for kind, words in _KINDS.items():
        if n := (stored.get(kind) or {}).get("n_groups"):
            found.append(f"{words} in two splits ({n:,} time{'s' if n > 1 else ''})")
    if n := stored.get("n_from_the_future"):
        found.append(f"{n:,} training row{'s' if n > 1 else ''} newer than the oldest test row")
    return found


def leakage(
    *,
    digests: Sequence[bytes],
    loose_keys: Sequence[Any] | np.ndarray,
    prompt_keys: Sequence[Any] | np.ndarray,
    near_roots: Sequence[int] | np.ndarray,
    groups: Sequence[str] | np.ndarray,
    times: Sequence[datetime | None],
    splits: Sequence[str],
) -> LeakageReport:
    """Every kind of sharing between the splits (`shared` says what a key may be).

    Shapes: all sequences are as long as `splits`; position i is the same row in each.
    """
    return LeakageReport(
        exact=shared("exact", digests, splits),
        loose=shared("loose", loose_keys, splits),
        prompt=shared("prompt", prompt_keys, splits),
        near=shared("near", near_roots, splits),
        group=shared("group", groups, splits),
        n_from_the_future=from_the_future(times, splits),
        has_times=any(times),
    )
