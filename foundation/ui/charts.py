"""Charts as server-drawn SVG on CSS variables: values in, escaped markup out.

A chart stretches to its place, its letters do not: positions are percentages, lines stand in an inner stretched picture.
Every chart says its finding as its title, carries its units, gives each value on hover and shows itself as a table.
Knows no request, no database and no theme.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from django.utils.safestring import SafeString

from foundation.ui.formats import as_unit, exact, grouped, percent
from foundation.ui.scales import Axis, axis_for, finite, time_axis
from foundation.ui.svg import el, number, path

TONES = frozenset({"good", "warn", "bad", "mute"})


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar: its value, and the interval around it where one is known. `note` is said on hover."""

    name: str
    value: float | None
    low: float | None = None
    high: float | None = None
    tone: str = ""
    note: str = ""


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
    csv_url: str = ""


@dataclass(frozen=True, slots=True)
class Point:
    """One measured point; `x` is a number or a moment, low and high bound the band."""

    x: float | datetime
    y: float | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Series:
    """One line. A point without y breaks it. `tone` good, warn, bad or mute instead of the next colour."""

    name: str
    points: Sequence[Point]
    tone: str = ""
    dashed: bool = False


@dataclass(frozen=True, slots=True)
class Mark:
    """A vertical line at x with a word: a deployment, an epoch, "now"."""

    x: float | datetime
    name: str


@dataclass(frozen=True, slots=True)
class Lines:
    """Lines over one axis. `reference` is a level (a threshold), `zero` makes the axis start at zero."""

    title: str
    series: Sequence[Series]
    unit: str = ""
    x_name: str = ""
    sub: str = ""
    zero: bool = False
    reference: float | None = None
    reference_name: str = ""
    marks: Sequence[Mark] = ()
    csv_url: str = ""


@dataclass(frozen=True, slots=True)
class HistogramPair:
    """Two distributions over the same bins: `before` filled, `after` as a stepped line. Shapes: n + 1 edges, n counts.

    Shares of each side's own total are drawn, so that sides of different size compare. `after` may be empty.
    """

    title: str
    edges: Sequence[float]
    before: Sequence[float]
    after: Sequence[float] = ()
    before_name: str = "Before"
    after_name: str = "After"
    unit: str = ""
    x_name: str = ""
    sub: str = ""
    csv_url: str = ""


@dataclass(frozen=True, slots=True)
class Running:
    """A running total, one value a period from period 0; `breaks_even` is the period it turns positive, if ever.

    `low` and `high`, where they are given, bound a band around it, one value a period.
    """

    name: str
    values: Sequence[float | None]
    breaks_even: float | None = None
    tone: str = ""
    dashed: bool = False
    low: Sequence[float | None] = ()
    high: Sequence[float | None] = ()


@dataclass(frozen=True, slots=True)
class Cumulative:
    """Running totals of money over periods, with the moments they pay back."""

    title: str
    lines: Sequence[Running]
    unit: str = "dollars"
    period: str = "month"
    sub: str = ""
    csv_url: str = ""


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a whole."""

    name: str
    value: float | None
    tone: str = ""


@dataclass(frozen=True, slots=True)
class Shares:
    """A whole and its parts as one bar."""

    title: str
    parts: Sequence[Part]
    unit: str = "number"
    sub: str = ""
    csv_url: str = ""


@dataclass(frozen=True, slots=True)
class Confusion:
    """What was expected (rows) against what was answered (columns). Shapes: counts[row][column], square."""

    title: str
    labels: Sequence[str]
    counts: Sequence[Sequence[int]]
    sub: str = ""
    csv_url: str = ""


# --- pieces --------------------------------------------------------------------------------------------------------


def _pc(share: float) -> str:
    return number(100 * share) + "%"


def _said(value: object, unit: str) -> str:
    return as_unit(value, unit) if finite(value) is not None else "not measured"


def _with_interval(value: object, low: object, high: object, unit: str) -> str:
    said = _said(value, unit)
    if finite(low) is None or finite(high) is None:
        return said
    return f"{said} ({as_unit(low, unit)} to {as_unit(high, unit)})"


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> SafeString:
    def cells(row: Sequence[object]) -> SafeString:
        first, *rest = row
        return el("tr", el("th", first, scope="row"), *(el("td", cell, cls="num") for cell in rest))

    heads = [el("th", name, scope="col", cls="num" if i else None) for i, name in enumerate(head)]
    table = el("table", el("thead", el("tr", *heads)), el("tbody", *map(cells, rows)), cls="dense")
    scroll = el("div", table, cls="scroll", tabindex=0, role="region", aria_label="The values as a table")
    return el("details", el("summary", "Show as a table"), scroll, cls="more")


def _figure(
    title: str, sub: str, body: SafeString, table: SafeString | None, csv_url: str, legend: object = None
) -> SafeString:
    caption = el("figcaption", el("p", title, cls="title"), el("p", sub, cls="sub") if sub else None)
    link = el("a", "Download as CSV", href=csv_url, download="") if csv_url else None
    # Drawn by the page's own script, which shows the button.
    picture = (
        el("button", "Save as picture", type="button", cls="linklike", data_picture="", hidden="")
        if table
        else None
    )
    foot = el("div", table, picture, link, cls="foot") if table or link else None
    return el("figure", caption, body, legend, foot, cls="chart")


def _legend(entries: Sequence[tuple[str, str, str]]) -> SafeString | None:
    """Entries are (name, series class, shape); shapes: line, dash, box, area."""
    if len(entries) < 2:
        return None

    def swatch(series: str, shape: str) -> SafeString:
        if shape in ("box", "area"):
            inner = el(
                "rect", x=2, y=0, width=14, height=10, cls="fill area" if shape == "area" else "fill", rx=2
            )
        else:
            inner = el("path", d="M1 5H17", cls=f"line stroke{' dash' if shape == 'dash' else ''}")
        return el("svg", inner, viewBox="0 0 18 10", cls=f"plot {series}", aria_hidden="true")

    return el("ul", *(el("li", swatch(series, shape), name) for name, series, shape in entries), cls="legend")


def _plot(*children: object, label: str, height: str = "") -> SafeString:
    return el("svg", *children, cls=f"plot box {height}".strip(), role="img", aria_label=label)


def _stretched(*children: object) -> SafeString:
    """An inner picture of 1000 by 1000 units that stretches with the plot; strokes keep their width."""
    return el("svg", *children, viewBox="0 0 1000 1000", preserveAspectRatio="none", overflow="visible")


def _y_axis(axis: Axis) -> list[SafeString]:
    out = []
    for tick in axis.ticks:
        y = _pc(1 - axis.share(tick))
        is_zero = tick == 0 and axis.low < 0
        out.append(el("line", x1="0", x2="100%", y1=y, y2=y, cls="axis" if is_zero else "grid"))
        out.append(el("text", axis.label(tick), x="-8", y=y, dy="0.32em", cls="end"))
    return out


def _x_axis(axis: Axis, name: str = "") -> list[SafeString]:
    out = []
    for i, tick in enumerate(axis.ticks):
        share = axis.share(tick)
        anchor = "end" if share > 0.96 else ("mid" if share > 0.03 or i else "")
        out.append(el("text", axis.label(tick), x=_pc(share), y="100%", dy="16", cls=anchor or None))
    if name:
        out.append(el("text", name, x="100%", y="100%", dy="31", cls="end"))
    return out


def _hits(columns: Sequence[tuple[float, str]]) -> list[SafeString]:
    """One invisible column a position (0 to 1), as wide as the way to its neighbours, that says its values."""
    ordered = sorted(columns)
    out = []
    for i, (at, text) in enumerate(ordered):
        left = (ordered[i - 1][0] + at) / 2 if i else 0.0
        right = (ordered[i + 1][0] + at) / 2 if i + 1 < len(ordered) else 1.0
        title = el("title", text)
        out.append(
            el("rect", title, x=_pc(left), width=_pc(max(right - left, 0)), y="0", height="100%", cls="hit")
        )
    return out


def _class_of(tone: str, index: int) -> str:
    return f"s{tone}" if tone in TONES else f"s{index % 6 + 1}"


def _nothing(title: str, sub: str) -> SafeString:
    return _figure(title, sub, el("p", "Nothing has been measured yet.", cls="muted small"), None, "")


# --- bars ----------------------------------------------------------------------------------------------------------

BAR_ROW = 46
# Letters that fit beside each other over a bar at 360 px; more take a line more.
BAR_LETTERS = 38


def bars_with_intervals(chart: Bars) -> SafeString:
    """Horizontal bars, each with its name, value and interval in words and its whisker drawn."""
    bars = list(chart.bars)
    if not bars:
        return _nothing(chart.title, chart.sub)
    everything = [v for bar in bars for v in (bar.value, bar.low, bar.high)] + [chart.reference]
    axis = axis_for(everything, unit=chart.unit, zero=True, wanted=5, top=chart.top)
    rows, top = [], 0
    for bar in bars:
        said = _with_interval(bar.value, bar.low, bar.high, chart.unit)
        is_long = len(bar.name) + len(said) > BAR_LETTERS
        rows.append((bar, said, top, is_long))
        top += BAR_ROW + (18 if is_long else 0)
    height = top
    parts: list[SafeString] = []
    for tick in axis.ticks:
        share = axis.share(tick)
        parts.append(
            el("line", x1=_pc(share), x2=_pc(share), y1="0", y2=height, cls="axis" if tick == 0 else "grid")
        )
        anchor = {0.0: None, 1.0: "end"}.get(share, "mid")
        parts.append(el("text", axis.label(tick), x=_pc(share), y=height, dy="16", cls=anchor))
    if (level := finite(chart.reference)) is not None:
        share = axis.share(level)
        parts.append(el("line", x1=_pc(share), x2=_pc(share), y1="0", y2=height, cls="zero"))
        if chart.reference_name:
            anchor = "end" if share > 0.8 else "mid" if share > 0.2 else None
            parts.append(el("text", chart.reference_name, x=_pc(share), y=height, dy="33", cls=anchor))
    parts += [_bar(bar, said, top, axis, is_long=is_long) for bar, said, top, is_long in rows]
    # The height is the only length that depends on the data, so it is an attribute; the width is the page's.
    style = f"plot bars{' tall' if chart.reference_name else ''}"
    body = el("svg", *parts, cls=style, height=height, role="img", aria_label=chart.title)
    cells = [(b.name, *(_said(v, chart.unit) for v in (b.value, b.low, b.high))) for b in bars]
    return _figure(
        chart.title, chart.sub, body, _table(["", "Value", "Interval from", "to"], cells), chart.csv_url
    )


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
        drawn.append(el("rect", x=_pc(a), y=line + 8, width=_pc(b - a), height=12, rx=2, cls="fill"))
    if low is not None and high is not None:
        a, b = sorted((axis.share(low), axis.share(high)))
        mid = line + 14
        # Twice: first wide in the colour of the card, so that the whisker stays visible on its own bar.
        for style in ("whisk halo", "whisk"):
            drawn.append(el("line", x1=_pc(a), x2=_pc(b), y1=mid, y2=mid, cls=style))
            drawn += [el("line", x1=_pc(e), x2=_pc(e), y1=mid - 5, y2=mid + 5, cls=style) for e in (a, b)]
    return el("g", *drawn, cls=f"s{bar.tone}" if bar.tone in TONES else "s1")


# --- lines ---------------------------------------------------------------------------------------------------------


def _x_of(x: object) -> float | None:
    return x.timestamp() if isinstance(x, datetime) else finite(x)


def _runs(points: Sequence[tuple[float, Point]]) -> list[list[tuple[float, Point]]]:
    """The points in order of x, cut where y is not known."""
    runs: list[list[tuple[float, Point]]] = [[]]
    for x, point in sorted(points, key=lambda pair: pair[0]):
        if finite(point.y) is None:
            runs.append([])
        else:
            runs[-1].append((x, point))
    return [run for run in runs if run]


def line_with_band(chart: Lines) -> SafeString:
    """Lines over time or steps, each with a band where its interval is known."""
    placed = [
        (series, [(x, p) for p in series.points if (x := _x_of(p.x)) is not None]) for series in chart.series
    ]
    xs = [x for _, points in placed for x, _ in points]
    if not xs:
        return _nothing(chart.title, chart.sub)
    is_time = any(isinstance(p.x, datetime) for series in chart.series for p in series.points)
    marks = [(x, mark) for mark in chart.marks if (x := _x_of(mark.x)) is not None]
    x_axis = time_axis(xs) if is_time else _tight(axis_for(xs, wanted=6), xs)
    ys = [v for _, points in placed for _, p in points for v in (p.y, p.low, p.high)] + [chart.reference]
    y_axis = axis_for(ys, unit=chart.unit, zero=chart.zero)
    inner: list[SafeString] = []
    dots: list[SafeString] = []
    by_x: dict[float, list[str]] = {}
    for i, (series, points) in enumerate(placed):
        style = _class_of(series.tone, i)
        for run in _runs(points):

            def at(x: float, y: float) -> tuple[float, float]:
                return 1000 * x_axis.share(x), 1000 * (1 - y_axis.share(y))

            banded = [(x, p) for x, p in run if finite(p.low) is not None and finite(p.high) is not None]
            if len(banded) > 1:
                upper = [at(x, finite(p.high) or 0.0) for x, p in banded]
                lower = [at(x, finite(p.low) or 0.0) for x, p in reversed(banded)]
                inner.append(el("path", d=path(upper + lower, closed=True), cls=f"band fill {style}"))
            if len(run) > 1:
                line = path([at(x, finite(p.y) or 0.0) for x, p in run])
                dash = " dash" if series.dashed else ""
                inner.append(el("path", d=line, cls=f"line stroke {style}{dash}"))
            if len(run) == 1 or len(points) <= 12:
                dots += [
                    el("circle", cx=_pc(x_axis.share(x)), cy=_pc(1 - y_axis.share(finite(p.y) or 0.0)), r=3,
                       cls=f"mark stroke {style}")
                    for x, p in run
                ]  # fmt: skip
        for x, p in points:
            by_x.setdefault(x, []).append(f"{series.name}: {_with_interval(p.y, p.low, p.high, chart.unit)}")
    parts = [*_y_axis(y_axis), *_x_axis(x_axis, chart.x_name), _stretched(*inner), *dots]
    if (level := finite(chart.reference)) is not None:
        y = _pc(1 - y_axis.share(level))
        parts.append(el("line", x1="0", x2="100%", y1=y, y2=y, cls="zero"))
        if chart.reference_name:
            parts.append(el("text", chart.reference_name, x="100%", y=y, dy="-5", cls="end over"))
    for x, mark in marks:
        if x_axis.low <= x <= x_axis.high:
            share = x_axis.share(x)
            parts.append(el("line", x1=_pc(share), x2=_pc(share), y1="0", y2="100%", cls="zero"))
            side = "end over" if share > 0.7 else "over"
            parts.append(
                el("text", mark.name, x=_pc(share), y="0", dy="10", dx="-5" if share > 0.7 else "5", cls=side)
            )

    def x_text(x: float) -> str:
        return exact(datetime.fromtimestamp(x, UTC)) if is_time else grouped(x if x != int(x) else int(x))

    ordered = sorted(by_x)
    columns = [
        (x_axis.share(x), "\n".join([f"{chart.x_name} {x_text(x)}".strip(), *by_x[x]])) for x in ordered
    ]
    names = [s.name for s, _ in placed]
    lookup = [dict(points) for _, points in placed]

    def cell(points: dict[float, Point], x: float) -> str:
        found = points.get(x)
        return _with_interval(found.y, found.low, found.high, chart.unit) if found else ""

    rows = [(x_text(x), *(cell(points, x) for points in lookup)) for x in ordered[:500]]
    body = _plot(*parts, *_hits(columns), label=chart.title)
    legend = _legend(
        [(s.name, _class_of(s.tone, i), "dash" if s.dashed else "line") for i, (s, _) in enumerate(placed)]
    )
    return _figure(
        chart.title, chart.sub, body, _table([chart.x_name or "At", *names], rows), chart.csv_url, legend
    )


def _tight(axis: Axis, xs: Sequence[float]) -> Axis:
    """The same ticks, on an axis that ends where the data end: lines should not stop short of the frame."""
    low, high = min(xs), max(xs)
    if high <= low or not high - low > abs(high) * 1e-9:
        return axis
    ticks = tuple(t for t in axis.ticks if low <= t <= high) or (low, high)
    return Axis(low, high, ticks, axis.label)


# --- histograms ----------------------------------------------------------------------------------------------------


def _shares_of(counts: Sequence[object]) -> list[float]:
    known = [max(finite(c) or 0.0, 0.0) for c in counts]
    total = sum(known)
    return [c / total if total else 0.0 for c in known]


def histogram_pair(chart: HistogramPair) -> SafeString:
    """Two distributions over one another: the first filled, the second a stepped line."""
    edges = [finite(e) for e in chart.edges]
    n = min(len(edges) - 1, len(chart.before))
    if n < 1 or any(e is None for e in edges) or any(b <= a for a, b in pairwise(edges)):  # type: ignore[operator]
        return _nothing(chart.title, chart.sub)
    cuts: list[float] = [e for e in edges[: n + 1] if e is not None]
    before = _shares_of(chart.before[:n])
    after = _shares_of((list(chart.after) + [0] * n)[:n]) if chart.after else []
    x_axis = _tight(axis_for(cuts, unit=chart.unit, wanted=6), cuts)
    y_axis = axis_for([*before, *after], unit="percent", zero=True, wanted=4)
    inner = []
    for i, share in enumerate(before):
        left, right = 1000 * x_axis.share(cuts[i]), 1000 * x_axis.share(cuts[i + 1])
        height = 1000 * y_axis.share(share)
        inner.append(
            el(
                "rect",
                x=left,
                width=max(right - left, 0.0),
                y=1000 - height,
                height=height,
                cls="area fill s6",
            )
        )
    if after:
        steps: list[tuple[float, float]] = [(1000 * x_axis.share(cuts[0]), 1000.0)]
        for i, share in enumerate(after):
            y = 1000 * (1 - y_axis.share(share))
            steps += [(1000 * x_axis.share(cuts[i]), y), (1000 * x_axis.share(cuts[i + 1]), y)]
        steps.append((1000 * x_axis.share(cuts[n]), 1000.0))
        inner.append(el("path", d=path(steps), cls="line stroke s1"))
    rows, columns = [], []
    for i in range(n):
        span = f"{as_unit(cuts[i], chart.unit)} to {as_unit(cuts[i + 1], chart.unit)}"
        cells = [percent(before[i], 1)] + ([percent(after[i], 1)] if after else [])
        rows.append((span, *cells))
        said = [f"{chart.before_name}: {cells[0]}"] + ([f"{chart.after_name}: {cells[1]}"] if after else [])
        middle = (x_axis.share(cuts[i]) + x_axis.share(cuts[i + 1])) / 2
        columns.append((middle, "\n".join([span, *said])))
    body = _plot(
        *_y_axis(y_axis),
        *_x_axis(x_axis, chart.x_name),
        _stretched(*inner),
        *_hits(columns),
        label=chart.title,
    )
    names = [chart.before_name] + ([chart.after_name] if after else [])
    legend = _legend([(chart.before_name, "s6", "area"), (chart.after_name, "s1", "line")]) if after else None
    return _figure(
        chart.title,
        chart.sub,
        body,
        _table([chart.x_name or "From, to", *names], rows),
        chart.csv_url,
        legend,
    )


# --- money over time -----------------------------------------------------------------------------------------------


def cumulative(chart: Cumulative) -> SafeString:
    """Running totals over the zero line, with a mark where each pays back."""
    lines = [line for line in chart.lines if any(finite(v) is not None for v in line.values)]
    if not lines:
        return _nothing(chart.title, chart.sub)
    last = max(len(line.values) for line in lines) - 1
    everything = [v for line in lines for v in (*line.values, *line.low, *line.high)]
    y_axis = axis_for(everything, unit=chart.unit, zero=True)
    periods = max(last, 1)
    ticks = sorted({0, *range(0, periods + 1, max(1, round(periods / 6)))})
    x_axis = Axis(0.0, float(periods), tuple(map(float, ticks)), lambda v: f"{v:.0f}")
    inner, marks, said = [], [], []
    for i, line in enumerate(lines):
        style = _class_of(line.tone, i)

        def placed(values: Sequence[float | None]) -> list[tuple[float, float]]:
            return [(1000 * x_axis.share(j), 1000 * (1 - y_axis.share(y)))
                    for j, v in enumerate(values) if (y := finite(v)) is not None]  # fmt: skip

        points, upper, lower = placed(line.values), placed(line.high), placed(line.low)
        if len(upper) > 1 and len(lower) > 1:
            inner.append(el("path", d=path(upper + lower[::-1], closed=True), cls=f"band fill {style}"))
        inner.append(el("path", d=path(points), cls=f"line stroke {style}{' dash' if line.dashed else ''}"))
        at = finite(line.breaks_even)
        if at is not None and 0 <= at <= periods:
            share = x_axis.share(at)
            level = _pc(1 - y_axis.share(0.0))
            title = el("title", f"{line.name}: pays back in {chart.period} {grouped(at, 1 if at % 1 else 0)}")
            marks.append(el("circle", title, cx=_pc(share), cy=level, r=5, cls=f"mark stroke {style}"))
        elif (next((finite(v) for v in reversed(line.values) if finite(v) is not None), None) or 0.0) <= 0:
            said.append(f"{line.name}: never pays back within {periods} {chart.period}s")
    columns = []
    for j in range(last + 1):
        values = [
            f"{line.name}: {_running_text(line, j, chart.unit)}" for line in lines if j < len(line.values)
        ]
        columns.append((x_axis.share(j), "\n".join([f"{chart.period.capitalize()} {j}", *values])))
    rows = [
        (str(j), *(_running_text(line, j, chart.unit) if j < len(line.values) else "" for line in lines))
        for j in range(last + 1)
    ]
    body = _plot(
        *_y_axis(y_axis), *_x_axis(x_axis, f"{chart.period}s"), _stretched(*inner), *_hits(columns), *marks,
        label=chart.title,
    )  # fmt: skip
    legend = _legend(
        [
            (line.name, _class_of(line.tone, i), "dash" if line.dashed else "line")
            for i, line in enumerate(lines)
        ]
    )
    table = _table([chart.period.capitalize(), *(line.name for line in lines)], rows)
    return _figure(
        chart.title, ". ".join(filter(None, [chart.sub, *said])), body, table, chart.csv_url, legend
    )


def _running_text(line: Running, at: int, unit: str) -> str:
    low = line.low[at] if at < len(line.low) else None
    high = line.high[at] if at < len(line.high) else None
    return _with_interval(line.values[at], low, high, unit)


# --- parts of a whole ----------------------------------------------------------------------------------------------


def shares_chart(chart: Shares) -> SafeString:
    """One bar of several parts with its legend."""
    parts = [p for p in chart.parts if (finite(p.value) or 0) > 0]
    if not parts:
        return _nothing(chart.title, chart.sub)
    total = sum(finite(p.value) or 0.0 for p in parts)
    body = shares([(p.name, p.value, p.tone) for p in parts], label=chart.title)
    entries = [
        (f"{p.name} {as_unit(p.value, chart.unit)}", _class_of(p.tone, i), "box") for i, p in enumerate(parts)
    ]
    legend = _legend(entries)
    rows = [
        (p.name, as_unit(p.value, chart.unit), percent((finite(p.value) or 0.0) / total, 1)) for p in parts
    ]
    return _figure(chart.title, chart.sub, body, _table(["", "Value", "Share"], rows), chart.csv_url, legend)


def shares(parts: Iterable[Any], *, label: str = "") -> SafeString:
    """One bar divided into parts, each (name, value[, tone]); values below zero or unknown count as nothing."""
    rows = [(str(p[0]), max(finite(p[1]) or 0.0, 0.0), str(p[2]) if len(p) > 2 else "") for p in parts]
    total = sum(value for _, value, _ in rows)
    body, x = [], 0.0
    for index, (name, value, tone) in enumerate(row for row in rows if row[1]):
        width = 100 * value / total if total else 0.0
        title = el("title", f"{name}: {grouped(value)} ({percent(value / total, 1)})")
        body.append(el("rect", title, cls=_class_of(tone, index), x=x, y=0, width=width, height=18))
        if x:
            body.append(el("rect", cls="gap", x=x - 0.15, y=0, width=0.3, height=18))
        x += width
    return el("svg", *body, cls="shares", viewBox="0 0 100 18", preserveAspectRatio="none", **_role(label))


def confusion(chart: Confusion) -> SafeString:
    """A table of expected against answered, shaded by the share of its row; the diagonal is what was right."""
    labels = [str(label) for label in chart.labels]
    if not labels or not chart.counts:
        return _nothing(chart.title, chart.sub)
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
    return _figure(chart.title, chart.sub, body, None, chart.csv_url)


# --- charts the size of a word -------------------------------------------------------------------------------------


def _role(label: str) -> dict[str, str]:
    return {"role": "img", "aria_label": label} if label else {"aria_hidden": "true"}


def whisker(
    low: object, high: object, mean: object, *, span: float | None = None, tone: str = "", label: str = "",
    margin: float | None = None,
) -> SafeString:  # fmt: skip
    """A difference with its interval, drawn around zero; the axis runs from −span to +span.

    Without a span the axis fits the interval. `margin` shades what counts as no difference. Anything that is not a
    finite number gives an empty axis.
    """
    lo, hi, mid = finite(low), finite(high), finite(mean)
    known = [abs(v) for v in (lo, hi, mid) if v is not None]
    reach = abs(finite(span) or 0.0) or max(known, default=0.0) * 1.08 or 1.0

    def at(value: float) -> float:
        return 50 + 48 * max(-1.0, min(1.0, value / reach))

    body: list[SafeString] = []
    if (edge := finite(margin)) is not None and edge > 0:
        body.append(
            el(
                "rect",
                cls="margin",
                x=_pc(at(-edge) / 100),
                width=_pc((at(edge) - at(-edge)) / 100),
                height=22,
            )
        )
    body.append(el("line", cls="axis", x1="50%", x2="50%", y1=1, y2=21))
    if lo is not None and hi is not None:
        a, b = sorted((lo, hi))
        body.append(el("line", cls="range", x1=_pc(at(a) / 100), x2=_pc(at(b) / 100), y1=11, y2=11))
        # An end beyond the axis is drawn as an arrow, so that a cut interval does not look like a whole one.
        for end, value in ((-1, a), (1, b)):
            x = _pc(at(value) / 100)
            if abs(value) > reach * 1.0001:
                body.append(el("text", "‹" if end < 0 else "›", x=x, y=11, dy="0.32em", cls="mid"))
            else:
                body.append(el("line", cls="range", x1=x, x2=x, y1=7, y2=15))
    if mid is not None:
        body.append(el("circle", cls="mean", cx=_pc(at(mid) / 100), cy=11, r=4))
    return el("svg", *body, cls=f"whisker {tone}".strip(), **_role(label))


def sparkline(values: Sequence[object], *, label: str = "") -> SafeString:
    """A line the size of a word. Gaps (None) are skipped; the last point is marked."""
    points = [(i, v) for i, v in enumerate(map(finite, values)) if v is not None]
    if not points:
        return el("svg", cls="spark", viewBox="0 0 96 24", **_role(label))
    low, high = min(v for _, v in points), max(v for _, v in points)
    width = max(len(values) - 1, 1)
    spread = high - low
    placed = [(2 + 90 * i / width, 12.0 if not spread else 21 - 18 * ((v - low) / spread)) for i, v in points]
    title = el("title", label) if label else None
    dot = el("circle", cx=placed[-1][0], cy=placed[-1][1], r=2.4)
    return el("svg", title, el("path", d=path(placed)), dot, cls="spark", viewBox="0 0 96 24", **_role(label))
