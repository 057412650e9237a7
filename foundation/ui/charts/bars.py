"""Horizontal bars, each with its interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.utils.safestring import SafeString

from foundation.ui.charts.frame import (
    TONES,
    draw_value_ticks,
    figure,
    legend_of,
    nothing_measured,
    per_cent,
    with_interval,
)
from foundation.ui.charts.tables import Measured, value_table
from foundation.ui.scales import Axis, axis_for, finite
from foundation.ui.svg import el


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar: its value, and the interval around it where one is known. `note` is said on hover.

    `mark` is another value of the same thing that the bar is read against, drawn as a diamond.
    """

    name: str
    value: float | None
    low: float | None = None
    high: float | None = None
    tone: str = ""
    note: str = ""
    mark: float | None = None


@dataclass(frozen=True, slots=True)
class Bars:
    """Several values beside each other. `title` is the finding; `reference` draws a line all are measured by."""

    title: str
    bars: Sequence[Bar]
    unit: str = "share"
    sub: str = ""
    reference: float | None = None
    reference_name: str = ""
    top: float | None = None
    mark_name: str = ""
    bar_name: str = ""
    csv_url: str = ""


BAR_ROW = 46
# Letters that fit beside each other over a bar at 360 px; more take a line more.
BAR_LETTERS = 38


def bars_with_intervals(chart: Bars) -> SafeString:
    """Horizontal bars, each with its name, value and interval in words and its whisker drawn."""
    bars = list(chart.bars)
    if not bars:
        return nothing_measured(chart.title, chart.sub)
    everything = [v for bar in bars for v in (bar.value, bar.low, bar.high, bar.mark)] + [chart.reference]
    axis = axis_for(everything, unit=chart.unit, zero=True, wanted=5, top=chart.top)
    rows, top = [], 0
    for bar in bars:
        said = with_interval(bar.value, bar.low, bar.high, chart.unit)
        is_long = len(bar.name) + len(said) > BAR_LETTERS
        rows.append((bar, said, top, is_long))
        top += BAR_ROW + (18 if is_long else 0)
    height = top
    parts = draw_value_ticks(axis, height, marks_zero=True)
    if (level := finite(chart.reference)) is not None:
        share = axis.share(level)
        parts.append(el("line", x1=per_cent(share), x2=per_cent(share), y1="0", y2=height, cls="zero"))
        if chart.reference_name:
            anchor = "end" if share > 0.8 else "mid" if share > 0.2 else None
            parts.append(el("text", chart.reference_name, x=per_cent(share), y=height, dy="33", cls=anchor))
    parts += [_bar(bar, said, top, axis, is_long=is_long) for bar, said, top, is_long in rows]
    # The height is the only length that depends on the data, so it is an attribute; the width is the page's.
    style = f"plot bars{' tall' if chart.reference_name else ''}"
    body = el("svg", *parts, cls=style, height=height, role="img", aria_label=chart.title)
    marked = [chart.mark_name.capitalize()] if chart.mark_name else []
    cells = [
        (b.name, *(Measured(v, chart.unit) for v in (b.value, b.low, b.high, *([b.mark] if marked else []))))
        for b in bars
    ]
    table = value_table(["", "Value", "Interval from", "to", *marked], cells)
    legend = (
        legend_of([(chart.bar_name or "value", "s1", "box"), (chart.mark_name, "s2", "diamond")])
        if marked
        else None
    )
    return figure(chart.title, chart.sub, body, table, chart.csv_url, legend)


def _bar(bar: Bar, said: str, top: int, axis: Axis, *, is_long: bool) -> SafeString:
    value, low, high = finite(bar.value), finite(bar.low), finite(bar.high)
    line = top + (34 if is_long else 16)
    drawn: list[SafeString] = [
        el("title", f"{bar.name}: {said}" + (f". {bar.note}" if bar.note else "")),
        el("rect", x="0", y=top + 2, width="100%", height=BAR_ROW - 4 + line - top - 16, cls="hit"),
        el(
            "text",
            bar.name if len(bar.name) <= 40 else bar.name[:39] + "…",
            x="0",
            y=top + 16,
            cls="strong over",
        ),
        el("text", said, x="100%", y=line, cls="end over"),
    ]
    if value is not None:
        a, b = sorted((axis.share(0.0), axis.share(value)))
        drawn.append(
            el("rect", x=per_cent(a), y=line + 8, width=per_cent(b - a), height=12, rx=2, cls="fill")
        )
    if low is not None and high is not None:
        a, b = sorted((axis.share(low), axis.share(high)))
        mid = line + 14
        # Twice: first wide in the colour of the card, so that the whisker stays visible on its own bar.
        for style in ("whisk halo", "whisk"):
            drawn.append(el("line", x1=per_cent(a), x2=per_cent(b), y1=mid, y2=mid, cls=style))
            drawn += [
                el("line", x1=per_cent(e), x2=per_cent(e), y1=mid - 5, y2=mid + 5, cls=style) for e in (a, b)
            ]
    if (mark := finite(bar.mark)) is not None:
        # Its own little picture, so that the shape keeps its form however wide the plot is.
        diamond = el("path", d="M0 -5 L5 0 L0 5 L-5 0 Z", cls="fill s2 diamond")
        drawn.append(el("svg", diamond, x=per_cent(axis.share(mark)), y=line + 14, overflow="visible"))
    return el("g", *drawn, cls=f"s{bar.tone}" if bar.tone in TONES else "s1")
