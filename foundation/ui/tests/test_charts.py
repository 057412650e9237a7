"""Charts: whatever the numbers are, the picture is whole, escaped and says its values."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foundation.ui import charts, gallery, scales
from foundation.ui.charts import (
    Bar,
    Bars,
    Confusion,
    Cumulative,
    HistogramPair,
    Lines,
    Mark,
    Part,
    Point,
    Running,
    Series,
    Shares,
)
from foundation.ui.charts.tables import Measured

anything = st.one_of(st.none(), st.floats(), st.integers(), st.floats(-10, 10))
words = st.text("ab<>&\"'", max_size=8)
few = settings(max_examples=60, deadline=None)
UNITS = ["", "share", "percent", "points", "ms", "usd", "dollars", "duration", "bytes", "rows"]


def whole(markup) -> ElementTree.Element:
    """The picture parsed: fails on anything unescaped; then no number in it may be NaN or infinite."""
    root = ElementTree.fromstring(f"<div>{markup}</div>")
    for node in root.iter():
        for name, value in node.attrib.items():
            if name not in ("aria-label", "title", "href"):
                assert not re.search(r"\b(nan|inf)\b", value.lower()), (node.tag, name, value)
        assert "style" not in node.attrib
    return root


@few
@given(st.lists(st.tuples(words, anything, anything, anything), max_size=6), st.sampled_from(UNITS), anything)
def test_bars_stand_whatever_they_are_given(rows, unit, level):
    whole(charts.bars_with_intervals(Bars("t<", [Bar(*row) for row in rows], unit=unit, reference=level)))


@few
@given(st.lists(st.lists(st.tuples(anything, anything, anything, anything), max_size=8), max_size=3),
       st.sampled_from(UNITS), st.booleans(), anything)  # fmt: skip
def test_lines_stand_whatever_they_are_given(lines, unit, zero, level):
    series = [Series("n<", [Point(x if x is not None else 0.0, y, low, high) for x, y, low, high in points])
              for points in lines]  # fmt: skip
    whole(charts.line_with_band(
        Lines("t<", series, unit=unit, zero=zero, reference=level, reference_name="r<", marks=[Mark(1, "m<")])
    ))  # fmt: skip


@few
@given(st.lists(anything, max_size=7), st.lists(anything, max_size=6), st.lists(anything, max_size=6))
def test_histograms_stand_whatever_they_are_given(edges, before, after):
    whole(charts.histogram_pair(HistogramPair("t<", edges, before, after)))
    whole(charts.histogram_pair(HistogramPair("t", [0, 1, 2, 3], before, after)))


@few
@given(st.lists(st.lists(anything, max_size=14), max_size=3), anything)
def test_running_totals_stand_whatever_they_are_given(lines, at):
    whole(charts.cumulative(Cumulative("t<", [Running("n<", values, breaks_even=at) for values in lines])))


@few
@given(st.lists(st.tuples(words, anything), max_size=6))
def test_parts_stand_whatever_they_are_given(parts):
    whole(charts.shares_chart(Shares("t<", [Part(*p) for p in parts])))


@few
@given(st.lists(words, max_size=4), st.lists(st.lists(anything, max_size=4), max_size=4))
def test_confusion_stands_whatever_it_is_given(labels, counts):
    whole(charts.confusion(Confusion("t<", labels, counts)))


@few
@given(anything, anything, anything, anything, st.lists(anything, max_size=9))
def test_charts_in_a_line_stand_whatever_they_are_given(low, high, mean, span, values):
    whole(charts.whisker(low, high, mean, span=span, label="<", margin=span))
    whole(charts.sparkline(values, label="<"))


@few
@given(st.lists(anything, max_size=8), st.sampled_from(UNITS), st.booleans())
def test_an_axis_holds_every_value_between_its_ends(values, unit, zero):
    axis = scales.axis_for(values, unit=unit, zero=zero)
    assert axis.low < axis.high and 2 <= len(axis.ticks) <= 14
    known = [v for v in map(scales.finite, values) if v is not None]
    slack = (axis.high - axis.low) * 1e-6
    assert all(axis.low - slack <= v <= axis.high + slack for v in known)
    assert all(axis.label(t) for t in axis.ticks)


@pytest.mark.parametrize(
    ("values", "unit", "ticks"),
    [
        pytest.param([0, 1], "percent", ["0%", "25%", "50%", "75%", "100%"], id="shares as percent"),
        pytest.param([-9200, 127600], "dollars", ["−$50 k", "$0", "$50 k", "$100 k", "$150 k"], id="money"),
        pytest.param([0.11, 1.9], "", ["0.0", "0.5", "1.0", "1.5", "2.0"], id="halves need one digit"),
        pytest.param([0, 0.9], "", ["0.00", "0.25", "0.50", "0.75", "1.00"], id="quarters need two digits"),
        pytest.param([0, 3_000_000], "", ["0", "1 M", "2 M", "3 M"], id="millions"),
    ],
)  # fmt: skip
def test_ticks_are_round_and_short(values, unit, ticks):
    axis = scales.axis_for(values, unit=unit)
    assert [axis.label(t) for t in axis.ticks] == ticks


def test_time_ticks_stand_on_whole_days():
    start = datetime(2026, 11, 1, 7, 13, tzinfo=UTC)
    axis = scales.time_axis([(start + timedelta(hours=i)).timestamp() for i in range(96)])
    assert [axis.label(t) for t in axis.ticks] == ["2 Nov", "3 Nov", "4 Nov", "5 Nov"]


def test_a_gap_breaks_the_line_instead_of_bridging_it():
    points = [Point(0, 1.0), Point(1, 2.0), Point(2, None), Point(3, 2.0), Point(4, 1.0)]
    root = whole(charts.line_with_band(Lines("t", [Series("a", points)])))
    assert len([n for n in root.iter("path") if "line" in n.get("class", "")]) == 2


def test_a_chart_says_its_finding_its_values_and_itself_as_a_table():
    root = whole(
        charts.bars_with_intervals(Bars("Refunds are worse", [Bar("Refunds <b>", 0.636, 0.35, 0.85)]))
    )
    assert root.find(".//figcaption/p").text == "Refunds are worse"
    assert root.find(".//svg[@role='img']").get("aria-label") == "Refunds are worse"
    assert root.find(".//g/title").text == "Refunds <b>: 0.636 (0.350 to 0.850)"
    assert [cell.text for cell in root.findall(".//tbody/tr/*")] == ["Refunds <b>", "0.636", "0.350", "0.850"]


def test_two_lines_differ_by_more_than_colour():
    root = whole(charts.line_with_band(
        Lines("t", [Series("a", [Point(0, 1), Point(1, 2)]), Series("b", [Point(0, 2), Point(1, 1)], dashed=True)])
    ))  # fmt: skip
    drawn = [n.get("class") for n in root.iter("path") if "line" in n.get("class", "")]
    assert sum("dash" in style for style in drawn) == 2  # the line and its key


def test_an_interval_cut_by_the_axis_does_not_look_whole():
    cut = whole(charts.whisker(-0.5, -0.03, -0.27, span=0.2))
    assert [t.text for t in cut.iter("text")] == ["‹"]


def test_a_total_that_never_pays_back_says_so_in_words():
    chart = Cumulative("t", [Running("API cost only", [-10, -11, -12])])
    assert "API cost only: never pays back within 2 months" in charts.cumulative(chart)


def test_a_chart_without_values_says_so():
    for drawn in (charts.bars_with_intervals(Bars("t", [])), charts.line_with_band(Lines("t", [])),
                  charts.histogram_pair(HistogramPair("t", [], [])), charts.cumulative(Cumulative("t", [])),
                  charts.shares_chart(Shares("t", [])), charts.confusion(Confusion("t", [], []))):  # fmt: skip
        assert "Nothing has been measured yet." in drawn


def test_the_gallery_shows_each_kind_of_chart():
    for drawn in gallery.charts():
        whole(drawn)


def test_even_bins_are_as_wide_as_each_other_and_carry_their_edges():
    drawn = charts.histogram_pair(
        charts.HistogramPair(title="Lengths", edges=[0, 10, 100, 1000], before=[1, 1, 2], even=True)
    )
    assert re.findall(r'<rect x="[\d.]+" width="([\d.]+)"', drawn)[:3] == ["333.33", "333.33", "333.33"]
    assert all(f">{edge}</text>" in drawn for edge in ("0", "10", "100", "1,000"))


def test_a_mark_is_drawn_named_and_in_the_table():
    bars = [charts.Bar("billing", 0.2, 0.1, 0.3, mark=0.25)]
    drawn = charts.bars_with_intervals(
        charts.Bars(title="Shares", unit="percent", bars=bars, bar_name="the test", mark_name="share of all")
    )
    assert "diamond" in drawn and "share of all</li>" in drawn and "the test</li>" in drawn
    assert 'class="num" data-unit="%">Share of all</th>' in drawn and ">25.0%</td>" in drawn
    assert "diamond" not in charts.bars_with_intervals(charts.Bars(title="Shares", bars=bars[:0]))


@pytest.mark.parametrize(
    ("value", "unit", "said", "plain", "column"),
    [
        (0.179, "percent", "17.9%", "17.9", "%"),
        (-0.0305, "points", "−3.0 pts", "-3.05", "points"),
        (1_234_567, "rows", "1,234,567 rows", "1234567", "rows"),
        (2_500_000, "usd", "$2.50", "2.5", "USD"),  # micro-dollars
        (72.5, "duration", "1 min 12 s", "72.5", "s"),
        (None, "ms", "not measured", "", "ms"),
        (float("nan"), "", "not measured", "", ""),
    ],
)
def test_a_value_is_words_on_the_page_and_a_number_in_a_file(value, unit, said, plain, column):
    cell = Measured(value, unit)
    assert (cell.said, cell.plain(value), cell.column_unit) == (said, plain, column)


def test_labels_that_are_each_mixed_up_once_are_no_finding():
    assert charts.mixed_up(None) == "Nothing was mixed up"
    assert charts.mixed_up(("a", "b", 1)) == "No two labels were mixed up more than once"
    assert charts.mixed_up(("a", "b", 1200)) == "Most mixed up: “a” answered as “b”, 1,200 times"


def test_what_is_counted_has_whole_ticks():
    # 2 rows in five ticks would stand half a row apart, 10 rows two and a half
    assert [scales.axis_for([2], unit="rows", zero=True).label(t) for t in (0, 1, 2)] == ["0", "1", "2"]
    assert scales.axis_for([2], unit="rows", zero=True).ticks == (0, 1, 2)
    assert scales.axis_for([10], unit="groups", zero=True).ticks == (0, 3, 6, 9, 12)
    assert 0.5 in scales.axis_for([2], zero=True).ticks
