"""Lines over time or steps, with their bands and marks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from django.utils.safestring import SafeString

from foundation.ui.charts.frame import (
    class_of,
    draw_x_axis,
    draw_y_axis,
    figure,
    hit_columns,
    legend_of,
    nothing_measured,
    per_cent,
    plot,
    stretched,
    tight,
    with_interval,
)
from foundation.ui.charts.tables import Measured, value_table
from foundation.ui.formats import exact, grouped
from foundation.ui.scales import axis_for, finite, time_axis
from foundation.ui.svg import el, path


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
        return nothing_measured(chart.title, chart.sub)
    is_time = any(isinstance(p.x, datetime) for series in chart.series for p in series.points)
    marks = [(x, mark) for mark in chart.marks if (x := _x_of(mark.x)) is not None]
    x_axis = time_axis(xs) if is_time else tight(axis_for(xs, wanted=6), xs)
    ys = [v for _, points in placed for _, p in points for v in (p.y, p.low, p.high)] + [chart.reference]
    y_axis = axis_for(ys, unit=chart.unit, zero=chart.zero)
    inner: list[SafeString] = []
    dots: list[SafeString] = []
    by_x: dict[float, list[str]] = {}
    for i, (series, points) in enumerate(placed):
        style = class_of(series.tone, i)
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
                    el("circle", cx=per_cent(x_axis.share(x)), cy=per_cent(1 - y_axis.share(finite(p.y) or 0.0)), r=3,
                       cls=f"mark stroke {style}")
                    for x, p in run
                ]  # fmt: skip
        for x, p in points:
            by_x.setdefault(x, []).append(f"{series.name}: {with_interval(p.y, p.low, p.high, chart.unit)}")
    parts = [*draw_y_axis(y_axis), *draw_x_axis(x_axis, chart.x_name), stretched(*inner), *dots]
    if (level := finite(chart.reference)) is not None:
        y = per_cent(1 - y_axis.share(level))
        parts.append(el("line", x1="0", x2="100%", y1=y, y2=y, cls="zero"))
        if chart.reference_name:
            parts.append(el("text", chart.reference_name, x="100%", y=y, dy="-5", cls="end over"))
    for x, mark in marks:
        if x_axis.low <= x <= x_axis.high:
            share = x_axis.share(x)
            parts.append(el("line", x1=per_cent(share), x2=per_cent(share), y1="0", y2="100%", cls="zero"))
            side = "end over" if share > 0.7 else "over"
            # Where a line runs along the top, the words stand at the foot.
            beside = [
                y_axis.share(finite(p.y) or 0.0)
                for _, points in placed
                for at_x, p in points
                if abs(x_axis.share(at_x) - share) < 0.3
            ]
            is_high = max(beside, default=0.0) > 0.8
            parts.append(
                el(
                    "text",
                    mark.name,
                    x=per_cent(share),
                    y="100%" if is_high else "0",
                    dy="-8" if is_high else "10",
                    dx="-5" if share > 0.7 else "5",
                    cls=side,
                )
            )

    def x_text(x: float) -> str:
        return exact(datetime.fromtimestamp(x, UTC)) if is_time else grouped(x if x != int(x) else int(x))

    ordered = sorted(by_x)
    columns = [
        (x_axis.share(x), "\n".join([f"{chart.x_name} {x_text(x)}".strip(), *by_x[x]])) for x in ordered
    ]
    names = [s.name for s, _ in placed]
    lookup = [dict(points) for _, points in placed]

    def cell(points: dict[float, Point], x: float) -> Measured | str:
        found = points.get(x)
        return Measured(found.y, chart.unit, found.low, found.high) if found else ""

    rows = [
        (
            x_text(x) if is_time else Measured(x, text=x_text(x)),
            *(cell(points, x) for points in lookup),
        )
        for x in ordered[:500]
    ]
    body = plot(*parts, *hit_columns(columns), label=chart.title)
    legend = legend_of(
        [(s.name, class_of(s.tone, i), "dash" if s.dashed else "line") for i, (s, _) in enumerate(placed)]
    )
    return figure(
        chart.title, chart.sub, body, value_table([chart.x_name or "At", *names], rows), chart.csv_url, legend
    )
