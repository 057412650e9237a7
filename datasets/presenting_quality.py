"""What a judging by a model found, as charts. Formats, decides nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.utils.safestring import SafeString

from datasets.domain import quality
from foundation.ui import charts
from foundation.ui.formats import grouped

# Scores run from 0 to 1; the bar lies on an edge, so that no bin holds rows of both its sides.
EDGES = [i / 10 for i in range(11)]
# Rows the dimensions are averaged over, the first of the sample: more would say nothing new.
MOST_ROWS = 5_000


def scores_chart(values: Sequence[float]) -> SafeString | str:
    """How the overall scores are spread, with the number of rows below the bar as its finding."""
    if not values:
        return ""
    below = sum(value < quality.GATE for value in values)
    counts = [0] * (len(EDGES) - 1)
    for value in values:
        # 0.7 times 10 is 7.000000000000001 and 0.29 times 100 is 28.999999999999996: round before cutting.
        counts[min(int(round(10 * value, 9)), len(counts) - 1)] += 1
    title = (
        f"{grouped(below)} of {grouped(len(values))} rows are below the bar of {quality.GATE:g}"
        if below
        else f"No row of {grouped(len(values))} is below the bar of {quality.GATE:g}"
    )
    return charts.histogram_pair(
        charts.HistogramPair(
            title=title,
            sub="Share of the rows by their overall score",
            edges=EDGES,
            before=counts,
            before_name="Rows",
            unit="number",
            x_name="Overall score",
        )
    )


def dimensions_chart(scores: Sequence[Mapping[str, Any]]) -> SafeString | str:
    """The mean of each dimension of the rubric with its interval, the weakest named."""
    found = []
    for name in quality.DIMENSIONS:
        values = [float(row[name]) for row in scores if isinstance(row.get(name), int | float)]
        if values:
            one = quality.summarise(values, sample_size=len(values))
            found.append(charts.Bar(name.capitalize(), one.average, one.low, one.high))
    if not found:
        return ""
    weakest = min(found, key=lambda bar: bar.value or 0.0)
    return charts.bars_with_intervals(
        charts.Bars(
            title=f"{weakest.name} is the weakest side: {weakest.value:.2f} of 1",
            sub=f"Means over {grouped(len(scores))} rows with 95% intervals",
            unit="share",
            bars=found,
            top=1.0,
            reference=quality.GATE,
            reference_name="the bar",
        )
    )
