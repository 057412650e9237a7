"""Labels with their counts, as pages show them: a few thousand at most, and never all on one page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

PAGE = 100
MAX_WORDS = 200


def merge_counts(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    """Two counts added, most frequent first, nothing at or below zero; rows that leave a label count below it."""
    total = Counter(one)
    total.update(other)
    return dict(sorted(((k, v) for k, v in total.items() if v > 0), key=lambda item: (-item[1], item[0])))


@dataclass(frozen=True, slots=True)
class LabelPage:
    """Some labels with their rows, most frequent first; `next` and `prev` are places to go on from."""

    rows: list[tuple[str, int]]
    n_labels: int
    n_matching: int
    # Rows of the most frequent one of all, whichever page shows it.
    largest: int = 0
    words: str = ""
    prev: int | None = None
    next: int | None = None
    start: int = 0

    @property
    def where(self) -> str:
        """Which of the labels these are, in words: "101 to 200 of 5,000, most rows first"."""
        if len(self.rows) < 2:
            return ""
        if len(self.rows) == self.n_matching:
            return "most rows first"
        return (
            f"{self.start + 1:,} to {self.start + len(self.rows):,} of {self.n_matching:,}, most rows first"
        )


def page_of_labels(counts: Mapping[str, int], *, words: str = "", after: int = 0, n: int = PAGE) -> LabelPage:
    """The labels from place `after` that hold the words, case aside. A place outside is the nearest page."""
    words = " ".join(words[:MAX_WORDS].split())
    found = [(name, count) for name, count in counts.items() if words.lower() in name.lower()]
    last = (len(found) - 1) // n * n if found else 0
    start = min(max(0, after), last)
    return LabelPage(
        rows=found[start : start + n],
        n_labels=len(counts),
        n_matching=len(found),
        largest=max(counts.values(), default=0),
        words=words,
        prev=max(0, start - n) if start else None,
        next=start + n if start + n < len(found) else None,
        start=start,
    )
