"""Counts and lengths of a set of rows, in characters."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from statistics import fmean, median
from typing import Any

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


def lengths(values: Sequence[int]) -> Lengths:
    """Minimum, maximum, mean and median; an empty set has none of them (and is no error)."""
    if not values:
        return Lengths(None, None, None, None, (0,) * (len(EDGES)))
    counts = [0] * len(EDGES)
    ordered = sorted(values)
    at = 0
    for i, (_, high) in enumerate(pairwise((*EDGES, float("inf")))):
        start = at
        while at < len(ordered) and ordered[at] < high:
            at += 1
        counts[i] = at - start
    return Lengths(ordered[0], ordered[-1], round(fmean(ordered), 1), float(median(ordered)), tuple(counts))


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


def stats(prompts: Sequence[int], completions: Sequence[int], labels: Iterable[str] = ()) -> Stats:
    """Statistics from lengths in characters and labels; labels most frequent first, then by name."""
    counts: dict[str, int] = {}
    for label in labels:
        if label:
            counts[label] = counts.get(label, 0) + 1
    ordered = dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
    return Stats(len(prompts), lengths(prompts), lengths(completions), ordered)


def imbalance(labels: dict[str, int]) -> float | None:
    """How many times larger the largest label is than the smallest; None with fewer than two."""
    if len(labels) < 2:
        return None
    return max(labels.values()) / max(1, min(labels.values()))
