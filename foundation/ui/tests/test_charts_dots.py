"""Dots with a band stand whatever they are given, say their values, and keep their places on one axis."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foundation.ui.charts import Dot, Dots, dots_with_band
from foundation.ui.tests.test_charts_returns import anything, whole, words


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(words, anything, anything, anything, words), max_size=6),
    st.one_of(st.none(), st.tuples(anything, anything, anything)),
)
def test_dots_stand_whatever_they_are_given(rows, together):
    dots = [Dot(name, value, low, high, note=note) for name, value, low, high, note in rows]
    band = None if together is None else Dot("all", *together)
    whole(dots_with_band(Dots("t<", dots, whole=band)))


def test_dots_are_said_in_words_as_a_table_and_lie_over_their_band():
    chart = Dots(
        "81.2% right",
        [Dot("Fold 1", 0.75, 0.7, 0.8, note="n = 168"), Dot("Fold 2", 0.85)],
        unit="percent",
        whole=Dot("All folds", 0.8, 0.75, 0.85),
    )
    root = whole(dots_with_band(chart))
    text = "".join(root.itertext())
    for said in ("Fold 1: 75.0% (70.0% to 80.0%). n = 168", "Fold 2: 85.0%", "All folds", "Interval from"):
        assert said in text, said
    at = [float(node.attrib["cx"].rstrip("%")) for node in root.iter("circle")]
    band = next(node for node in root.iter("rect") if "band" in node.attrib.get("class", ""))
    # the band runs from .75 to .85, where the two dots lie
    assert float(band.attrib["x"].rstrip("%")) == pytest.approx(at[0], abs=0.1)
    assert float(band.attrib["width"].rstrip("%")) == pytest.approx(at[1] - at[0], abs=0.1)


def test_no_fold_is_nothing_measured():
    assert "Nothing has been measured yet" in dots_with_band(Dots("t", [Dot("Fold 1", None)]))
