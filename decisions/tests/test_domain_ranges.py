"""A figure as people type it: one value or three, and a sentence for everything else."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decisions.domain.ranges import Range, parse


@pytest.mark.parametrize(
    ("text", "low", "likely", "high"),
    [
        ("3000", 3000, 3000, 3000),
        ("2000 3000 5000", 2000, 3000, 5000),
        ("2,000 3,000 5,000", 2000, 3000, 5000),
        ("2000 to 3000 to 5000", 2000, 3000, 5000),
        ("2000; 3000; 5000", 2000, 3000, 5000),
        (" 2,000.50 – 3,000 – 5,000 ", Fraction("2000.5"), 3000, 5000),
        ("-2 0 1.5", -2, 0, Fraction("1.5")),
        ("−2 0 1", -2, 0, 1),
        ("1e3", 1000, 1000, 1000),
        ("0.1", Fraction(1, 10), Fraction(1, 10), Fraction(1, 10)),
    ],
)
def test_one_figure_or_three_are_read(text, low, likely, high):
    assert parse(text) == Range(Fraction(low), Fraction(likely), Fraction(high))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "a figure is missing"),
        ("2 3", "2 figures are given; give one, or three"),
        ("1 2 3 4", "4 figures are given"),
        ("5000 3000 2000", "run 5,000, 3,000, 2,000: give the low one first"),
        ("2000 6000 5000", "give the low one first"),
        ("much", "“much” is not a number"),
        ("1,2 3 4", "“1,2” is not a number"),
        ("nan", "is not a number"),
        ("inf", "is not a number"),
        ("1e30", "too large to be meant"),
        ("1e999999999", "too large to be meant"),
        ("1e-999999999", "more digits than it can mean"),
        ("9" * 200, "give one figure, or three"),
        ("<b>", "is not a number"),
        ("0.5%", "“0.5%” is not a number"),
        ("$3", "is not a number"),
    ],
)
def test_anything_else_gets_one_sentence(text, words):
    with pytest.raises(ValueError, match=words.replace("(", r"\(")):
        parse(text)


@pytest.mark.parametrize("value", [True, None, [1, 2], [3, 2, 1], {"low": 1}, [1, None, 2], float("nan")])
def test_values_of_programs_are_as_strict(value):
    with pytest.raises(ValueError):
        Range.of(value)


def test_the_mean_is_a_third_of_the_sum():
    # (2000 + 3000 + 5000) / 3
    assert parse("2000 3000 5000").mean == Fraction(10_000, 3)


def test_a_unit_is_taken_off_all_three():
    assert parse("1 2 4").times(Fraction(1, 100)) == Range(
        Fraction(1, 100), Fraction(2, 100), Fraction(4, 100)
    )


decimals = st.decimals(-(10**12), 10**12, places=6, allow_nan=False, allow_infinity=False)


@settings(max_examples=80, deadline=None)
@given(st.lists(decimals, min_size=3, max_size=3))
def test_what_is_kept_is_read_back_exactly(values):
    given_ = Range(*sorted(Fraction(v) for v in values))
    assert Range.of(given_.as_plain()) == given_
    assert given_.low <= given_.mean <= given_.high
