"""Counts and lengths of a set of rows, in characters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np

# Edges of the length histogram in characters: each about twice the one before, readable as they are.
EDGES = (0, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000)


@dataclass(frozen=True, slots=True)
class Lengths:
    """Of one side of the rows, in characters; None where there are no rows. `histogram` counts by EDGES."""

    min: int | None
    max: int | None
    avg: float | None
    median: float | None
    histogram: tuple[int, ...]


def lengths(values: Sequence[int] | np.ndarray) -> Lengths:
    """Minimum, maximum, mean and median; an empty set has none of them (and is no error)."""
    if not len(values):
        return Lengths(None, None, None, None, (0,) * (len(EDGES)))
    ordered = np.sort(np.asarray(values, np.int64))
    n, total = len(ordered), int(ordered.sum())
    middle = (int(ordered[(n - 1) // 2]) + int(ordered[n // 2])) / 2
    upto = np.append(np.searchsorted(ordered, EDGES[1:]), n)
    counts = tuple(np.diff(upto, prepend=0).tolist())
    return Lengths(int(ordered[0]), int(ordered[-1]), round(total / n, 1), float(middle), counts)


def bin_names() -> list[str]:
    """Words for the histogram's bins."""
    return [f"{low:,}–{high - 1:,}" for low, high in pairwise(EDGES)] + [f"{EDGES[-1]:,} or more"]


@dataclass(frozen=True, slots=True)
class Stats:
    """S42: how many rows, how long their two sides, how the labels are spread."""

    total: int
    prompt: Lengths
    completion: Lengths
    labels: dict[str, int]

    def as_json(self) -> dict[str, Any]:
        """Plain values for a JSON column."""
        return asdict(self)


def stats(
    prompts: Sequence[int] | np.ndarray, completions: Sequence[int] | np.ndarray, labels: Iterable[str] = ()
) -> Stats:
    """Statistics from lengths in characters and labels; labels most frequent first, then by name."""
    counts = Counter(labels)
    del counts[""]
    ordered = dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
    return Stats(len(prompts), lengths(prompts), lengths(completions), ordered)


def imbalance(labels: dict[str, int]) -> float | None:
    """How many times larger the largest label is than the smallest; None with fewer than two."""
    if len(labels) < 2:
        return None
    return max(labels.values()) / max(1, min(labels.values()))
