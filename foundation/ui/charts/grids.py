"""What was expected against what was answered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.utils.safestring import SafeString

from foundation.ui.charts.frame import (
    figure,
    nothing_measured,
)
from foundation.ui.formats import grouped, percent
from foundation.ui.scales import finite
from foundation.ui.svg import el


@dataclass(frozen=True, slots=True)
class Confusion:
    """What was expected (rows) against what was answered (columns). Shapes: counts[row][column], square."""

    title: str
    labels: Sequence[str]
    counts: Sequence[Sequence[int]]
    sub: str = ""
    csv_url: str = ""


def mixed_up(worst: tuple[str, str, int] | None) -> str:
    """The finding of a confusion: the pair of labels (expected, answered, times) that is mixed up most often, if any is."""
    if worst is None:
        return "Nothing was mixed up"
    expected, answered, times = worst
    if times == 1:  # all pairs are alike
        return "No two labels were mixed up more than once"
    return f"Most mixed up: “{expected}” answered as “{answered}”, {grouped(times)} times"


def confusion(chart: Confusion) -> SafeString:
    """A table of expected against answered, shaded by the share of its row; the diagonal is what was right."""
    labels = [str(label) for label in chart.labels]
    if not labels or not chart.counts:
        return nothing_measured(chart.title, chart.sub)
    corner = el("th", "Expected ↓", el("br"), "Answered →", scope="col", cls="nowrap")
    head = el(
        "tr", corner, *(el("th", label, scope="col") for label in labels), el("th", "Right", scope="col")
    )
    rows = []
    for i, label in enumerate(labels):
        counts = [
            max(int(finite(c) or 0), 0) for c in (list(chart.counts[i]) if i < len(chart.counts) else [])
        ]
        counts = (counts + [0] * len(labels))[: len(labels)]
        total = sum(counts)
        cells = []
        for j, count in enumerate(counts):
            share = count / total if total else 0.0
            level = 0 if not count else 1 + min(3, int(share * 4))
            said = f"{count} of {total} {label} rows answered {labels[j]}" + (" (right)" if i == j else "")
            kind = "hit-ok" if i == j else "hit-no"
            cells.append(el("td", grouped(count) if count else "·", cls=f"h{level} {kind}", title=said))
        right = percent(counts[i] / total) if total else "no rows"
        rows.append(el("tr", el("th", label, scope="row"), *cells, el("td", right, cls="sum")))
    table = el("table", el("thead", head), el("tbody", *rows), cls="heat")
    body = el("div", table, cls="scroll", tabindex=0, role="region", aria_label=chart.title)
    return figure(chart.title, chart.sub, body, None, chart.csv_url)
