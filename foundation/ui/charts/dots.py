"""Dots on one axis, each with its interval, and a band for what they are together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.utils.safestring import SafeString

from foundation.ui.charts.bars import BAR_LETTERS
from foundation.ui.charts.frame import (
    TONES,
    draw_value_ticks,
    figure,
    nothing_measured,
    per_cent,
    with_interval,
)
from foundation.ui.charts.tables import Measured, value_table
from foundation.ui.scales import axis_for, finite
from foundation.ui.svg import el

ROW = 40


@dataclass(frozen=True, slots=True)
class Dot:
    """One value on the axis, with its interval where one is known. `note` is said on hover."""

    name: str
    value: float | None
    low: float | None = None
    high: float | None = None
    tone: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Dots:
    """Values that repeat one measurement. `whole` is drawn across them all: what they are together.

    The axis holds the values and need not begin at zero: dots stand for places, not for lengths.
    """

    title: str
    dots: Sequence[Dot]
    unit: str = "share"
    sub: str = ""
    whole: Dot | None = None
    csv_url: str = ""


def dots_with_band(chart: Dots) -> SafeString:
    """A dot a row with its whisker, over a band from the low to the high end of the whole and a line at its value."""
    dots = [dot for dot in chart.dots if finite(dot.value) is not None]
    if not dots:
        return nothing_measured(chart.title, chart.sub)
    everything = [*dots, chart.whole] if chart.whole else dots
    axis = axis_for([v for dot in everything for v in (dot.value, dot.low, dot.high)], unit=chart.unit)
    height = 0
    rows: list[tuple[Dot, str, int, bool]] = []
    for dot in dots:
        said = with_interval(dot.value, dot.low, dot.high, chart.unit)
        is_long = len(dot.name) + len(said) > BAR_LETTERS
        rows.append((dot, said, height, is_long))
        height += ROW + (18 if is_long else 0)
    parts: list[SafeString] = []
    parts += draw_value_ticks(axis, height, marks_zero=axis.low < 0)
    if chart.whole:
        parts += [
            el("g", *_whole(chart.whole, axis, _line(top, is_long=is_long) + 4), cls="s1")
            for _, _, top, is_long in rows
        ]
    parts += [_dot(dot, said, top, axis, is_long=is_long) for dot, said, top, is_long in rows]
    body = el("svg", *parts, cls="plot bars", height=height, role="img", aria_label=chart.title)
    listed = [*dots, chart.whole] if chart.whole else dots
    cells = [
        (dot.name, *(Measured(v, chart.unit) for v in (dot.value, dot.low, dot.high)), dot.note)
        for dot in listed
    ]
    table = value_table(["", "Value", "Interval from", "to", ""], cells)
    return figure(chart.title, chart.sub, body, table, chart.csv_url)


def _line(top: int, *, is_long: bool) -> int:
    """Where the words of a row stand: a long name has a line of its own above them."""
    return top + (32 if is_long else 14)


def _whole(whole: Dot, axis, top: int) -> list[SafeString]:  # type: ignore[no-untyped-def]
    """The whole behind one row, from `top` down to its end: the words above it stand on nothing."""
    low, middle, high = finite(whole.low), finite(whole.value), finite(whole.high)
    height = ROW - 18
    drawn = []
    if low is not None and high is not None:
        a, b = sorted((axis.share(low), axis.share(high)))
        band = el("rect", x=per_cent(a), y=top, width=per_cent(b - a), height=height, cls="fill band")
        drawn.append(band)
    if middle is not None:
        x = per_cent(axis.share(middle))
        drawn.append(el("line", x1=x, x2=x, y1=top, y2=top + height, cls="stroke"))
    return drawn


def _dot(dot: Dot, said: str, top: int, axis, *, is_long: bool) -> SafeString:  # type: ignore[no-untyped-def]
    line = _line(top, is_long=is_long)
    mid = line + 13
    drawn: list[SafeString] = [
        el("title", f"{dot.name}: {said}" + (f". {dot.note}" if dot.note else "")),
        el("rect", x="0", y=top + 1, width="100%", height=ROW - 2 + line - top - 14, cls="hit"),
        el(
            "text",
            dot.name if len(dot.name) <= 40 else dot.name[:39] + "…",
            x="0",
            y=top + 14,
            cls="strong over",
        ),
        el("text", said, x="100%", y=line, cls="end over"),
    ]
    low, high = finite(dot.low), finite(dot.high)
    if low is not None and high is not None:
        a, b = sorted((axis.share(low), axis.share(high)))
        drawn.append(el("line", x1=per_cent(a), x2=per_cent(b), y1=mid, y2=mid, cls="whisk"))
        drawn += [
            el("line", x1=per_cent(end), x2=per_cent(end), y1=mid - 4, y2=mid + 4, cls="whisk")
            for end in (a, b)
        ]
    at = axis.share(finite(dot.value) or 0.0)
    drawn.append(el("circle", cx=per_cent(at), cy=mid, r=5, cls="fill"))
    return el("g", *drawn, cls=f"s{dot.tone}" if dot.tone in TONES else "s1")
