"""Running totals of money, and when they pay back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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
)
from foundation.ui.charts.tables import Measured, value_table
from foundation.ui.formats import grouped
from foundation.ui.scales import Axis, axis_for, finite
from foundation.ui.svg import el, path


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


def cumulative(chart: Cumulative) -> SafeString:
    """Running totals over the zero line, with a mark where each pays back."""
    lines = [line for line in chart.lines if any(finite(v) is not None for v in line.values)]
    if not lines:
        return nothing_measured(chart.title, chart.sub)
    last = max(len(line.values) for line in lines) - 1
    everything = [v for line in lines for v in (*line.values, *line.low, *line.high)]
    y_axis = axis_for(everything, unit=chart.unit, zero=True)
    periods = max(last, 1)
    ticks = sorted({0, *range(0, periods + 1, max(1, round(periods / 6)))})
    x_axis = Axis(0.0, float(periods), tuple(map(float, ticks)), lambda v: f"{v:.0f}")
    inner, marks, said = [], [], []
    for i, line in enumerate(lines):
        style = class_of(line.tone, i)

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
            level = per_cent(1 - y_axis.share(0.0))
            title = el("title", f"{line.name}: pays back in {chart.period} {grouped(at, 1 if at % 1 else 0)}")
            marks.append(el("circle", title, cx=per_cent(share), cy=level, r=5, cls=f"mark stroke {style}"))
        elif (next((finite(v) for v in reversed(line.values) if finite(v) is not None), None) or 0.0) <= 0:
            said.append(f"{line.name}: never pays back within {periods} {chart.period}s")
    columns = []
    for j in range(last + 1):
        values = [
            f"{line.name}: {_running(line, j, chart.unit).said}" for line in lines if j < len(line.values)
        ]
        columns.append((x_axis.share(j), "\n".join([f"{chart.period.capitalize()} {j}", *values])))
    rows = [
        (
            Measured(j, text=str(j)),
            *(_running(line, j, chart.unit) if j < len(line.values) else "" for line in lines),
        )
        for j in range(last + 1)
    ]
    body = plot(
        *draw_y_axis(y_axis), *draw_x_axis(x_axis, f"{chart.period}s"), stretched(*inner), *hit_columns(columns), *marks,
        label=chart.title,
    )  # fmt: skip
    legend = legend_of(
        [
            (line.name, class_of(line.tone, i), "dash" if line.dashed else "line")
            for i, line in enumerate(lines)
        ]
    )
    table = value_table([chart.period.capitalize(), *(line.name for line in lines)], rows)
    return figure(
        chart.title, ". ".join(filter(None, [chart.sub, *said])), body, table, chart.csv_url, legend
    )


def _running(line: Running, at: int, unit: str) -> Measured:
    low = line.low[at] if at < len(line.low) else None
    high = line.high[at] if at < len(line.high) else None
    return Measured(line.values[at], unit, low, high)
