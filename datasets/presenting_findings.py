"""What a finding's page shows beside its rows: groups of like rows, their differences, how large the groups are.

Formats, decides nothing. Never reads the text of a row that is sealed.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from django.db.models import Count
from django.utils.safestring import SafeString

from datasets.active import near_text
from datasets.domain.duplicates import jaccard
from datasets.models import Finding
from foundation.ui import charts
from foundation.ui.diffing import Piece, words_changed
from foundation.ui.formats import grouped

_SURE = re.compile(r"” (\d+%), “.*” (\d+%)$", re.S)
# Letters of a row that a group shows, and how many of them stand before the first difference.
SHOWN, BEFORE = 600, 140
# Of longer texts the likeness is not computed for a page: fifty pairs must stay far under a tenth of a second.
LIKENESS_UP_TO = 4_000
# Above so many rows the sizes of groups are not counted for a page.
COUNTED_UP_TO = 50_000
MOST_SIZES = 6
FEWEST_CHARTED = 10


@dataclass(frozen=True, slots=True)
class Twin:
    """One row of a group. `pieces` is its prompt against the row that stays; empty where the two are the same."""

    row: Any
    is_measure: bool
    text: str
    pieces: list[Piece] = field(default_factory=list)
    likeness: float | None = None
    answer: str = ""


@dataclass(frozen=True, slots=True)
class Group:
    """Rows of one page that say the same, the one the others are held against first."""

    number: int
    twins: list[Twin]


def groups_of_rows(
    rows: Sequence[Any], *, task_kind: str, with_likeness: bool, beyond: Sequence[Any] = ()
) -> list[Group]:
    """The page's rows by group. The rows are in order of `cluster`; `is_sealed` is set on each.

    `beyond`: rows of other pages that the groups cut by this one are held against; they are shown here as well.
    """
    found = []
    for number, members in groupby(rows, key=lambda row: row.cluster):
        group = [*(row for row in beyond if row.cluster == number), *members]
        # A near-duplicate with another label stays too, with a note; the others are not held against it.
        measure = min(group, key=lambda r: (r.is_sealed, not r.keep, bool(r.note)))
        ordered = [measure, *(r for r in group if r is not measure)]
        found.append(
            Group(number, [_twin(row, measure, task_kind, with_likeness=with_likeness) for row in ordered])
        )
    return found


def sureness(note: str) -> str:
    """How sure the classifier was of its own label and of the one that stands, out of a wrong label's note."""
    found = _SURE.search(note)
    return f"{found[2]} sure, against {found[1]}" if found else note


def _twin(row: Any, measure: Any, task_kind: str, *, with_likeness: bool) -> Twin:
    if row.is_sealed:
        return Twin(row, False, "")
    mine, other = row.example.content, measure.example.content
    if row is measure:
        return Twin(row, True, _cut(mine.prompt, 0), answer=mine.completion)
    before, after = _windows(other.prompt, mine.prompt)
    pieces = words_changed(before, after) if before != after else []
    texts = [near_text(task_kind, content.prompt, content.completion) for content in (other, mine)]
    likeness = jaccard(*texts) if with_likeness and max(map(len, texts)) <= LIKENESS_UP_TO else None
    return Twin(row, False, after, pieces, likeness, mine.completion)


def _shared(one: str, other: str) -> int:
    """How many letters both begin with."""
    for i, (a, b) in enumerate(zip(one, other, strict=False)):
        if a != b:
            return i
    return min(len(one), len(other))


def _windows(before: str, after: str) -> tuple[str, str]:
    """The part of both texts around their first difference, so that it shows however late it comes."""
    start = _shared(before, after) - BEFORE
    if start <= 0 or max(len(before), len(after)) <= SHOWN:
        start = 0
    else:  # at the beginning of a word
        start = before.rfind(" ", 0, start) + 1 or start
    return _cut(before, start), _cut(after, start)


def _cut(text: str, start: int) -> str:
    end = start + SHOWN
    return f"{'… ' if start else ''}{text[start:end]}{' …' if len(text) > end else ''}"


def sizes_chart(finding: Finding) -> SafeString | str:
    """How many groups have two rows, three, and so on; nothing for few groups, or for more than a page may count."""
    if finding.facts.get("groups", 0) < FEWEST_CHARTED or finding.n_rows > COUNTED_UP_TO:
        return ""
    sizes = list(finding.rows.values("cluster").annotate(n=Count("id")).values_list("n", flat=True))
    # One size makes no picture: the heading says it.
    return chart_of_sizes(sizes) if len(set(sizes)) > 1 else ""


def chart_of_sizes(sizes: Iterable[int]) -> SafeString:
    """Bars of group sizes, the largest sizes in one bar. Shapes: one size a group, each at least 1."""
    counts = Counter(sizes)
    n_groups = sum(counts.values())
    largest = max(counts)
    bars = [
        charts.Bar(f"{size} rows", counts[size], note=f"{grouped(size * counts[size])} rows in all")
        for size in sorted(counts)[:MOST_SIZES]
    ]
    rest = sorted(counts)[MOST_SIZES:]
    if rest:
        bars.append(
            charts.Bar(
                f"{rest[0]} rows and more",
                sum(counts[size] for size in rest),
                note=f"{grouped(sum(size * counts[size] for size in rest))} rows in all",
            )
        )
    pairs = counts[2]
    title = (
        f"{grouped(pairs)} of {grouped(n_groups)} groups are pairs; the largest has {grouped(largest)} rows"
        if largest > 2
        else f"All {grouped(n_groups)} groups are pairs"
    )
    return charts.bars_with_intervals(
        charts.Bars(title=title, sub="Groups by size", unit="groups", bars=bars)
    )
