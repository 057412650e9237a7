"""Charts as server-drawn SVG on CSS variables: values in, escaped markup out.

A chart stretches to its place, its letters do not: positions are percentages, lines stand in an inner stretched picture.
Every chart says its finding as its title, carries its units, gives each value on hover and shows itself as a table.
Knows no request, no database and no theme.
"""

from foundation.ui.charts.bars import Bar, Bars, bars_with_intervals
from foundation.ui.charts.dots import Dot, Dots, dots_with_band
from foundation.ui.charts.grids import Confusion, confusion, mixed_up
from foundation.ui.charts.histograms import HistogramPair, histogram_pair
from foundation.ui.charts.lines import Lines, Mark, Point, Series, line_with_band
from foundation.ui.charts.money import Cumulative, Running, cumulative
from foundation.ui.charts.tornado import Cause, Tornado, tornado
from foundation.ui.charts.wholes import Part, Shares, shares, shares_chart
from foundation.ui.charts.words import sparkline, whisker

__all__ = [
    "Bar",
    "Bars",
    "Cause",
    "Confusion",
    "Cumulative",
    "Dot",
    "Dots",
    "HistogramPair",
    "Lines",
    "Mark",
    "Part",
    "Point",
    "Running",
    "Series",
    "Shares",
    "Tornado",
    "bars_with_intervals",
    "confusion",
    "cumulative",
    "dots_with_band",
    "histogram_pair",
    "line_with_band",
    "mixed_up",
    "shares",
    "shares_chart",
    "sparkline",
    "tornado",
    "whisker",
]
