"""Charts of returns: a tornado and a band around a running total stand whatever they are given, and say their values."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foundation.ui.charts import Cumulative, Running, cumulative
from foundation.ui.charts.tornado import Cause, Tornado, tornado

anything = st.one_of(st.none(), st.floats(), st.integers(), st.floats(-10, 10))
words = st.text("ab<>&\"'", max_size=60)


def whole(markup) -> ElementTree.Element:
    """The picture parsed: fails on anything unescaped; no number in it may be NaN or infinite."""
    root = ElementTree.fromstring(f"<div>{markup}</div>")
    for node in root.iter():
        for name, value in node.attrib.items():
            if name not in ("aria-label", "title", "href"):
                assert not re.search(r"\b(nan|inf)\b", value.lower()), (node.tag, name, value)
        assert "style" not in node.attrib
    return root


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(words, words, words, anything, anything, words), max_size=6), anything)
def test_tornados_stand_whatever_they_are_given(causes, middle):
    whole(tornado(Tornado("t<", middle, [Cause(*cause) for cause in causes])))


@settings(max_examples=60, deadline=None)
@given(st.lists(anything, max_size=9), st.lists(anything, max_size=9), st.lists(anything, max_size=9))
def test_bands_stand_whatever_they_are_given(values, low, high):
    whole(cumulative(Cumulative("t<", [Running("n<", values, low=low, high=high)])))


def test_a_tornado_says_both_ends_in_words_and_as_a_table():
    root = whole(
        tornado(Tornado("Volume matters most", 5.0, [Cause("Volume", "1", "9", -3.0, 20.0, "Turns it.")]))
    )
    text = "".join(root.itertext())
    for said in ("Volume matters most", "1 to 9", "Volume: −$3 at 1, $20 at 9. Turns it.", "Total at low"):
        assert said in text, said
    widths = [float(node.attrib["width"].rstrip("%")) for node in root.iter("rect") if "fill" in node.attrib.get("class", "") and node.attrib["width"].endswith("%")]  # fmt: skip
    # From the middle, 5: 8 down and 15 up.
    assert max(widths) / min(widths) == pytest.approx(15 / 8, abs=0.01)


def test_a_band_is_said_with_its_total():
    root = whole(cumulative(Cumulative("t", [Running("n", [0, 10], low=[-1, 5], high=[1, 20])])))
    assert "n: $10 ($5 to $20)" in "".join(root.itertext())
    assert any("band" in node.attrib.get("class", "") for node in root.iter("path"))
