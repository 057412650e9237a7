"""A tornado: how far one figure moves when each of its causes runs from its low to its high end, widest first.

Knows no request and no database.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.utils.safestring import SafeString

from foundation.ui.charts.bars import BAR_LETTERS
from foundation.ui.charts.frame import (
    draw_value_ticks,
    figure,
    legend_of,
    nothing_measured,
    per_cent,
)
from foundation.ui.charts.tables import Measured, value_table
from foundation.ui.formats import as_unit
from foundation.ui.scales import axis_for, finite
from foundation.ui.svg import el

ROW = 48


@dataclass(frozen=True, slots=True)
class Cause:
    """One cause: its ends in words, and the figure at both. `note` is said on hover and in the table."""

    name: str
    low: str
    high: str
    at_low: float | None
    at_high: float | None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Tornado:
    """Causes of one figure, widest first; `middle` is the figure when nothing is moved. `title` is the finding."""

    title: str
    middle: float
    causes: Sequence[Cause]
    unit: str = "dollars"
    sub: str = ""
    csv_url: str = ""


def tornado(chart: Tornado) -> SafeString:
    """A bar a cause on one axis: from the middle to the figure at the low end, and to the figure at the high end."""
    causes = [c for c in chart.causes if finite(c.at_low) is not None and finite(c.at_high) is not None]
    middle = finite(chart.middle)
    if not causes or middle is None:
        return nothing_measured(chart.title, chart.sub)
    axis = axis_for([v for c in causes for v in (c.at_low, c.at_high)] + [middle], unit=chart.unit, zero=True)
    height = 0
    rows: list[tuple[Cause, int, bool]] = []
    for cause in causes:
        is_long = len(cause.name) + len(_ends(cause)) > BAR_LETTERS
        rows.append((cause, height, is_long))
        height += ROW + (18 if is_long else 0)
    parts = draw_value_ticks(axis, height, marks_zero=True)
    parts += [
        _bar(cause, top, axis.share, axis.share(middle), chart.unit, is_long=is_long)
        for cause, top, is_long in rows
    ]
    at = per_cent(axis.share(middle))
    parts.append(el("line", x1=at, x2=at, y1="0", y2=height, cls="zero"))
    body = el("svg", *parts, cls="plot bars", height=height, role="img", aria_label=chart.title)
    cells = [
        (c.name, c.low, Measured(c.at_low, chart.unit), c.high, Measured(c.at_high, chart.unit), c.note)
        for c in causes
    ]
    table = value_table(["", "Low", "Total at low", "High", "Total at high", ""], cells)
    legend = legend_of([("at the low end", "s2", "box"), ("at the high end", "s1", "box")])
    return figure(chart.title, chart.sub, body, table, chart.csv_url, legend)


def _ends(cause: Cause) -> str:
    return f"{cause.low} to {cause.high}"


def _bar(cause: Cause, top: int, share, middle: float, unit: str, *, is_long: bool) -> SafeString:  # type: ignore[no-untyped-def]
    line = top + (34 if is_long else 16)
    said = f"{cause.name}: {as_unit(cause.at_low, unit)} at {cause.low}, {as_unit(cause.at_high, unit)} at {cause.high}"
    drawn: list[SafeString] = [
        el("title", f"{said}. {cause.note}" if cause.note else said),
        el("rect", x="0", y=top + 2, width="100%", height=ROW - 4 + line - top - 16, cls="hit"),
        el(
            "text",
            cause.name if len(cause.name) <= 40 else cause.name[:39] + "…",
            x="0",
            y=top + 16,
            cls="strong over",
        ),
        el("text", _ends(cause), x="100%", y=line, cls="end over"),
    ]
    # Both ends on one side of the middle overlap: the wider one is drawn first.
    ends = [("s2", share(finite(cause.at_low) or 0.0)), ("s1", share(finite(cause.at_high) or 0.0))]
    for style, at in sorted(ends, key=lambda end: -abs(end[1] - middle)):
        a, b = sorted((middle, at))
        drawn.append(
            el("rect", x=per_cent(a), y=line + 8, width=per_cent(b - a), height=12, cls=f"fill {style}")
        )
    return el("g", *drawn)
