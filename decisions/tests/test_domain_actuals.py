"""Planned against actual: what was measured counts, what was not says so, a month counts with the days it was served."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decisions.domain.actuals import MonthFigures, beside, finding, gain_of, planned_line, wilson
from decisions.tests.plans import DEMO, EMAIL, GPU, M, plan

OCT, NOV = date(2026, 10, 1), date(2026, 11, 1)


def test_nothing_measured_is_words_and_no_line():
    found = beside(plan(DEMO), {})
    assert found.is_empty
    assert finding(found).startswith("Nothing has been measured yet")
    only_spent = beside(plan(DEMO), {OCT: MonthFigures(training_microusd=7 * M, ledger_microusd=2 * M)})
    assert (only_spent.is_empty, only_spent.training, only_spent.ledger) == (True, 7 * M, 2 * M)


def test_a_month_as_planned_is_as_planned():
    # 30 days, 150,000 requests at $.003 = $450, the prompt at $.005 as planned, the gain the plan's.
    found = beside(plan(DEMO), {NOV: MonthFigures(n_days=30, n_requests=150_000, serving_microusd=450 * M)})
    (line,) = found.lines
    # 750 - 450 - 500 + 11,250
    assert line.net == line.planned_net == pytest.approx(11_050 * M)
    assert (line.requests, line.planned_requests) == (150_000, 150_000)
    assert (found.running[0].actual, found.running[1].actual) == (-5_000 * M, pytest.approx(6_050 * M))
    assert "as planned" in finding(found)
    assert not line.price_today_is_measured
    assert line.gain is None


def test_measured_prices_and_gains_replace_the_plans():
    month = MonthFigures(
        n_days=15, n_requests=60_000, serving_microusd=300 * M, n_requests_prompt=1_000, serving_prompt_microusd=4 * M,
        n_judged=500, n_right=450, n_judged_prompt=500, n_right_prompt=400,
    )  # fmt: skip
    (line,) = beside(plan(DEMO), {NOV: month}).lines
    # 60,000 x $.004 - 300 - 250 (half a month's upkeep) + 60,000 x .1 x $.50 = 240 - 550 + 3,000
    assert line.net == pytest.approx(2_690 * M)
    assert line.planned_net == pytest.approx(5_525 * M)
    # Newcombe, from Wilson's (.8706, .9234) and (.7627, .8327): .1 - sqrt(.0294^2 + .0327^2), .1 + sqrt(.0234^2 + .0373^2)
    assert (line.gain.low, line.gain.high) == (
        pytest.approx(0.0561, abs=2e-4),
        pytest.approx(0.1440, abs=2e-4),
    )
    assert line.net_low < line.net < line.net_high
    assert line.net_low == pytest.approx((240 - 550 + 60_000 * line.gain.low * 0.5) * M)


def test_wilson_agrees_with_the_published_interval():
    # 42 of 50: 71.5 % to 91.7 %
    assert wilson(42, 50) == (pytest.approx(0.7149, abs=1e-4), pytest.approx(0.9166, abs=1e-4))


@pytest.mark.parametrize(
    ("month", "why"),
    [
        (MonthFigures(n_judged=49, n_right=49, n_judged_prompt=500, n_right_prompt=1), "too few of the new"),
        (MonthFigures(n_judged=500, n_right=49, n_judged_prompt=49, n_right_prompt=1), "too few of the old"),
    ],
)
def test_too_few_judged_answers_say_no_gain(month, why):
    assert gain_of(month) is None, why


def test_requests_without_a_price_count_at_the_planned_one_and_few_priced_ones_are_no_price():
    month = MonthFigures(n_days=30, n_requests=100, n_unpriced=40, serving_microusd=60 * 3_000, n_requests_prompt=29,
                         serving_prompt_microusd=29 * M)  # fmt: skip
    (line,) = beside(plan(DEMO), {NOV: month}).lines
    assert line.serving == pytest.approx(100 * 3_000)
    assert not line.price_today_is_measured
    (none,) = beside(plan(DEMO), {NOV: MonthFigures(n_days=30, n_requests=10, n_unpriced=10)}).lines
    assert not none.serving_is_measured


def test_hours_of_a_gpu_are_not_in_the_requests_so_the_planned_bill_stands():
    (line,) = beside(plan(GPU), {NOV: MonthFigures(n_days=15, n_requests=1_000, serving_microusd=1)}).lines
    # half of $360
    assert (line.serving, line.serving_is_measured) == (pytest.approx(180 * M), False)


def test_a_gpu_that_serves_the_prompt_is_paid_by_the_month_and_not_free():
    # The prompt on a GPU of $.50 an hour: 15 days of it are $180 whatever its requests are priced at.
    own = {name: value for name, value in DEMO.items() if not name.startswith("current")}
    own |= {"current_serving": {"shape": "gpu_hour", "hour_microusd": 500_000}}
    month = MonthFigures(
        n_days=15,
        n_requests=1_000,
        serving_microusd=3 * M,
        n_requests_prompt=1_000,
        serving_prompt_microusd=0,
    )
    (line,) = beside(plan(own, value_per_improved_microusd=0), {NOV: month}).lines
    assert not line.price_today_is_measured
    # 180 - 3 - 250 (half a month's upkeep)
    assert line.net == pytest.approx(-73 * M)


def test_training_as_paid_replaces_the_planned_cost_of_it():
    given_ = plan(EMAIL, training_cost_microusd=1_000 * M)
    months = {OCT: MonthFigures(training_microusd=250 * M), NOV: MonthFigures(n_days=30, n_requests=1)}
    found = beside(given_, months)
    assert found.running[0].planned == -4_000 * M
    assert found.running[0].actual == -3_250 * M
    unpaid = beside(given_, {NOV: MonthFigures(n_days=30, n_requests=1)})
    assert unpaid.running[0].actual == -4_000 * M


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 12), st.integers(1, 31), st.integers(1, 10**6))
def test_running_totals_are_the_sum_of_the_months(n_months, days, requests):
    given_ = plan(DEMO, horizon_months=24)
    months = {
        date(2026, m, 1): MonthFigures(n_days=days, n_requests=requests, serving_microusd=requests)
        for m in range(1, n_months + 1)
    }
    found = beside(given_, months)
    assert found.running[-1].actual == pytest.approx(-5_000 * M + sum(line.net for line in found.lines))
    assert found.running[-1].months == pytest.approx(n_months * days / 30)
    # The plan's running total is the plan's own line at that many months.
    gain = planned_line(given_)[1] - planned_line(given_)[0]
    assert found.running[-1].planned == pytest.approx(-5_000 * M + gain * n_months * days / 30)
    assert planned_line(given_)[12] == float(given_.analyse().cash_flow[12][1])
