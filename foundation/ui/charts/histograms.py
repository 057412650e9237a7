"""Two histograms over the same bins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from django.utils.safestring import SafeString

from foundation.ui.charts.frame import (
    draw_x_axis,
    draw_y_axis,
    figure,
    hit_columns,
    legend_of,
    nothing_measured,
    plot,
    stretched,
    tight,
)
from foundation.ui.charts.tables import Measured, value_table
from foundation.ui.formats import as_unit, percent
from foundation.ui.scales import Axis, axis_for, finite
from foundation.ui.svg import el, path


@dataclass(frozen=True, slots=True)
class HistogramPair:
    """Two distributions over the same bins: `before` filled, `after` as a stepped line. Shapes: n + 1 edges, n counts.

    Shares of each side's own total are drawn, so that sides of different size compare. `after` may be empty.
    `even` draws every bin equally wide, its edges as labels: for edges that grow, where a true axis squeezes the small ones.
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
    even: bool = False


# Labels of edges that fit beside each other at 360 px.
MOST_EDGES = 8


def _even_axis(cuts: Sequence[float], unit: str) -> Axis:
    """An axis over the numbers of the edges that is labelled with the edges themselves."""
    last = len(cuts) - 1
    step = 1 + last // MOST_EDGES
    return Axis(0.0, float(last), tuple(range(0, last + 1, step)), lambda at: as_unit(cuts[round(at)], unit))


def _shares_of(counts: Sequence[object]) -> list[float]:
    known = [max(finite(c) or 0.0, 0.0) for c in counts]
    total = sum(known)
    return [c / total if total else 0.0 for c in known]


def histogram_pair(chart: HistogramPair) -> SafeString:
    """Two distributions over one another: the first filled, the second a stepped line."""
    edges = [finite(e) for e in chart.edges]
    n = min(len(edges) - 1, len(chart.before))
    if n < 1 or any(e is None for e in edges) or any(b <= a for a, b in pairwise(edges)):  # type: ignore[operator]
        return nothing_measured(chart.title, chart.sub)
    cuts: list[float] = [e for e in edges[: n + 1] if e is not None]
    before = _shares_of(chart.before[:n])
    after = _shares_of((list(chart.after) + [0] * n)[:n]) if chart.after else []
    if chart.even:
        x_axis, at = _even_axis(cuts, "number"), [float(i) for i in range(n + 1)]
    else:
        x_axis, at = tight(axis_for(cuts, unit=chart.unit, wanted=6), cuts), cuts
    y_axis = axis_for([*before, *after], unit="percent", zero=True, wanted=4)
    inner = []
    for i, share in enumerate(before):
        left, right = 1000 * x_axis.share(at[i]), 1000 * x_axis.share(at[i + 1])
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
        steps: list[tuple[float, float]] = [(1000 * x_axis.share(at[0]), 1000.0)]
        for i, share in enumerate(after):
            y = 1000 * (1 - y_axis.share(share))
            steps += [(1000 * x_axis.share(at[i]), y), (1000 * x_axis.share(at[i + 1]), y)]
        steps.append((1000 * x_axis.share(at[n]), 1000.0))
        inner.append(el("path", d=path(steps), cls="line stroke s1"))
    rows, columns = [], []
    for i in range(n):
        span = f"{as_unit(cuts[i], chart.unit)} to {as_unit(cuts[i + 1], chart.unit)}"
        cells = [percent(before[i], 1)] + ([percent(after[i], 1)] if after else [])
        ends = Measured(None, chart.unit, cuts[i], cuts[i + 1], text=span)
        shares = [before[i], *([after[i]] if after else [])]
        rows.append((ends, *(Measured(share, "percent") for share in shares)))
        said = [f"{chart.before_name}: {cells[0]}"] + ([f"{chart.after_name}: {cells[1]}"] if after else [])
        middle = (x_axis.share(at[i]) + x_axis.share(at[i + 1])) / 2
        columns.append((middle, "\n".join([span, *said])))
    body = plot(
        *draw_y_axis(y_axis),
        *draw_x_axis(x_axis, chart.x_name),
        stretched(*inner),
        *hit_columns(columns),
        label=chart.title,
    )
    names = [chart.before_name] + ([chart.after_name] if after else [])
    legend = (
        legend_of([(chart.before_name, "s6", "area"), (chart.after_name, "s1", "line")]) if after else None
    )
    return figure(
        chart.title,
        chart.sub,
        body,
        value_table([chart.x_name or "From, to", *names], rows),
        chart.csv_url,
        legend,
    )
