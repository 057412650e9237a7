"""Returns: the source's two examples, D9 to D11 by name, and what always holds."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decisions.domain import roi_words as words
from decisions.domain.payback import AtOnce, Band, Months, Never, band, break_even, within
from decisions.domain.roi import Assumptions, analyse

M = 1_000_000
DEMO = Assumptions(150_000, 5_000, 3_000, 5_000 * M, 500 * M, Fraction("0.15"))
EMAIL = Assumptions(300_000, 4_000, 2_000, 3_000 * M, 500 * M, Fraction("0.25"))


@pytest.mark.parametrize(
    ("given_", "current", "tuned", "savings", "quality", "total", "percent"),
    [
        pytest.param(DEMO, 9_000, 16_400, -7_400, 135_000, 127_600, 2_552, id="demo"),
        pytest.param(EMAIL, 14_400, 16_200, -1_800, 450_000, 448_200, 14_940, id="e-mail"),
    ],
)
def test_s16_s17_s18_the_sources_figures(given_, current, tuned, savings, quality, total, percent):
    result = analyse(given_)
    assert result.current_total_microusd == current * M
    assert result.fine_tuned_total_microusd == tuned * M
    assert result.savings_microusd == savings * M
    assert result.quality_value_microusd == quality * M
    assert result.total_value_microusd == total * M
    assert result.return_percent == percent


def test_d9_the_demo_never_pays_back_on_cost_where_the_book_says_quick_payback():
    result = analyse(DEMO)
    assert result.break_even_cost == Never()
    assert result.chapter.break_even_months == pytest.approx(-25.0)
    assert result.chapter.verdict.startswith("Strongly recommended")
    assert result.verdict_cost is Band.NO
    assert "negative figure means never" in words.chapter_differs(result)
    assert "$200.00 more" in words.chapter_differs(result)
    # Upkeep: 500 / .002; with 12-month payback: (500 + 5,000 / 12) / .002
    assert result.volume_to_cover_upkeep == 250_000
    assert result.volume_to_pay_back_in_a_year == 458_333


def test_the_email_example_pays_back_after_thirty_months_on_cost_and_at_once_with_quality():
    result = analyse(EMAIL)
    # 3,000 / (1,200 - 1,100)
    assert result.break_even_cost == Months(Fraction(30))
    assert result.chapter.break_even_months == pytest.approx(30.0)
    assert result.chapter.verdict.startswith("Consider")
    assert (result.volume_to_cover_upkeep, result.volume_to_pay_back_in_a_year) == (250_000, 375_000)
    assert result.verdict_cost is Band.NO
    assert result.verdict_quality is Band.STRONG


@pytest.mark.parametrize(
    ("given_", "months", "flip", "improvement"),
    [
        # 5,000 / (-200 + 11,250); 7,400 / 270,000; 7,400 / 900,000
        pytest.param(DEMO, 0.4525, 0.0274, 0.0082, id="demo"),
        # 3,000 / (100 + 37,500); 1,800 / 900,000; 1,800 / 1,800,000
        pytest.param(EMAIL, 0.0798, 0.0020, 0.0010, id="e-mail"),
    ],
)
def test_d10_with_quality_both_pay_back_in_days_and_flip_at_these_values(given_, months, flip, improvement):
    result = analyse(given_)
    assert float(result.break_even_quality.n) == pytest.approx(months, abs=1e-4)
    assert float(result.flip_value_microusd) / M == pytest.approx(flip, abs=5e-5)
    assert float(result.flip_improvement) == pytest.approx(improvement, abs=5e-5)
    assert result.rests_on_value


def test_d10_the_verdict_really_turns_at_the_flip_value():
    flip = analyse(DEMO).flip_value_microusd
    below = analyse(replace(DEMO, value_per_improved_microusd=int(flip)))
    above = analyse(replace(DEMO, value_per_improved_microusd=int(flip) + 1))
    assert below.verdict_quality is Band.NO
    assert above.total_value_microusd > 0
    assert above.verdict_quality is not Band.NO


def test_d10_where_cost_alone_carries_it_no_worth_turns_it():
    # 3,000,000 x .002 = 6,000 saved a month, less 500 upkeep
    result = analyse(replace(EMAIL, monthly_volume=3_000_000))
    assert (result.flip_value_microusd, result.flip_improvement) == (None, None)
    assert not result.rests_on_value


def test_d11_equal_monthly_costs_are_never_and_nothing_is_divided_by_zero():
    equal = replace(DEMO, monthly_volume=250_000)
    result = analyse(equal)
    assert result.break_even_cost == Never()
    assert result.chapter.crash.startswith("it divides by zero")
    assert words.chapter_differs(result).startswith("The book has no answer")


def test_d11_without_a_set_up_cost_there_is_nothing_to_pay_back():
    result = analyse(replace(EMAIL, setup_cost_microusd=0))
    assert result.break_even_cost == AtOnce()
    assert result.return_percent is None
    assert result.chapter.crash


def test_d9_fixed_serving_on_either_side_moves_the_volume_from_which_it_pays():
    # (500 + 300 - 200) / .002 = 300,000; with 3,000 / 12 more: 425,000
    fixed = replace(EMAIL, current_fixed_microusd=200 * M, fine_tuned_fixed_microusd=300 * M)
    result = analyse(fixed)
    assert (result.volume_to_cover_upkeep, result.volume_to_pay_back_in_a_year) == (300_000, 425_000)
    # a month: 1,200 + 200 today; 600 + 500 + 300 fine-tuned: nothing is saved
    assert result.break_even_cost == Never()


def test_d11_nothing_spent_and_a_monthly_loss_is_never():
    assert break_even(0, -1) == Never()
    assert break_even(0, 0) == AtOnce()
    # what would come back after the model is gone never does
    assert break_even(30, 1, lasts_months=29) == Never()
    assert break_even(30, 1, lasts_months=30) == Months(Fraction(30))


def test_d11_cents_are_counted():
    # 50 cents of set-up and 10 cents of upkeep: the book's whole dollars would lose both.
    cents = Assumptions(100, 3_000, 1_000, 500_000, 100_000, Fraction(0))
    assert analyse(cents).break_even_cost == Months(Fraction(5))


def test_s21_training_counts_with_the_set_up():
    result = analyse(replace(EMAIL, training_cost_microusd=1_000 * M))
    assert result.break_even_cost == Months(Fraction(40))
    assert result.cash_flow[0] == (-4_000 * M, -4_000 * M)
    assert result.cash_flow[12][0] == result.savings_microusd
    assert result.cash_flow[12][1] == result.total_value_microusd


@pytest.mark.parametrize(
    ("value", "when", "wanted"),
    [
        pytest.param(1, Months(Fraction(6)), Band.STRONG, id="6 months is quick"),
        pytest.param(1, AtOnce(), Band.STRONG, id="nothing to pay back"),
        pytest.param(1, Months(Fraction(6001, 1000)), Band.YES, id="just over 6"),
        pytest.param(1, Months(Fraction(12)), Band.YES, id="12 months"),
        pytest.param(1, Months(Fraction(30)), Band.MAYBE, id="longer"),
        pytest.param(1, Never(), Band.MAYBE, id="positive but never back on this count"),
        pytest.param(0, AtOnce(), Band.NO, id="zero is not positive"),
        pytest.param(-1, Months(Fraction(1)), Band.NO, id="negative"),
    ],
)
def test_s19_bands(value, when, wanted):
    assert band(value, when) is wanted


def test_s20_never_brings_the_four_checks_answered_with_the_teams_figures():
    checks = words.four_checks(analyse(DEMO))
    assert [check.is_fine for check in checks] == [True, True, False, True]
    assert "above 250,000 requests a month; you state 150,000" in checks[2].finding
    assert "paid back within 12 months above 458,333" in checks[2].finding
    assert "$0.0274 each would do" in checks[3].finding
    poor = words.four_checks(analyse(replace(DEMO, value_per_improved_microusd=10_000)))
    assert not poor[3].is_fine
    assert "not enough" in poor[3].finding
    assert "$0.0274 each would be needed" in poor[3].finding
    dearer = words.four_checks(analyse(replace(DEMO, fine_tuned_cost_per_request_microusd=6_000)))
    assert [check.is_fine for check in dearer] == [True, False, False, True]
    assert checks[1].finding == "Yes, upkeep aside: $0.003 against $0.005."
    assert dearer[1].finding.startswith("No: $0.006 against $0.005")
    assert "No volume is large enough" in dearer[2].finding
    assert words.as_json(analyse(EMAIL))["checks"] == []


def test_the_finding_says_verdict_both_break_evens_and_where_it_turns():
    text = words.finding(analyse(DEMO))
    assert "pays back in the first month" in text
    assert "never pays back" in text
    assert "$0.0274" in text
    sure = words.finding(analyse(replace(EMAIL, monthly_volume=3_000_000)))
    assert "with or without" in sure


def test_worse_answers_are_said_to_be_worse():
    result = analyse(replace(EMAIL, quality_improvement=Fraction("-0.05")))
    assert result.verdict_quality is Band.NO
    assert result.flip_value_microusd is None
    assert "worse" in words.finding(replace(result, verdict_cost=Band.YES))


def test_an_answer_survives_the_way_through_plain_values():
    assert json.loads(json.dumps(words.as_json(analyse(DEMO)))) == words.as_json(analyse(DEMO))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"monthly_volume": -1}, "monthly_volume must not be negative"),
        ({"quality_improvement": Fraction(2)}, "share between -1 and 1"),
        ({"horizon_months": 0}, "1 or more"),
    ],
)
def test_nonsense_is_refused_by_name(change, said):
    with pytest.raises(ValueError, match=said):
        replace(DEMO, **change)


money = st.integers(0, 10**13)
assumptions_of_any_kind = st.builds(
    Assumptions,
    monthly_volume=st.integers(0, 10**7),
    current_cost_per_request_microusd=st.integers(0, 10**6),
    fine_tuned_cost_per_request_microusd=st.integers(0, 10**6),
    setup_cost_microusd=money,
    monthly_maintenance_microusd=money,
    quality_improvement=st.fractions(-1, 1, max_denominator=10_000),
    training_cost_microusd=money,
    value_per_improved_microusd=st.integers(0, 10**7),
    horizon_months=st.integers(1, 60),
)


@settings(max_examples=100, deadline=None)
@given(assumptions_of_any_kind)
def test_the_break_even_agrees_with_the_cumulative_curve(given_):
    result = analyse(given_)
    pairs = ((result.break_even_cost, 0), (result.break_even_quality, 1))
    for when, line in pairs:
        for month in range(given_.horizon_months + 1):
            back = result.cash_flow[month][line] >= 0
            if given_.once_microusd or month:
                # Once paid back it stays so, except that "at once" can only be lost by a monthly loss.
                assert back is within(when, month)


@settings(max_examples=100, deadline=None)
@given(assumptions_of_any_kind)
def test_any_assumptions_give_an_answer_that_is_plain_json(given_):
    result = analyse(given_)
    assert json.dumps(words.as_json(result))
    assert result.total_value_microusd == result.savings_microusd + result.quality_value_microusd
    assert words.finding(result)
    assert words.headline(result)


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 10**12), st.integers(-(10**12), 10**12), st.integers(1, 10**9))
def test_a_larger_gain_never_pays_back_later(once, gain, more):
    def order(when):
        match when:
            case AtOnce():
                return Fraction(0)
            case Months(n):
                return n
        return Fraction(10**30)

    assert order(break_even(once, gain + more)) <= order(break_even(once, gain))
