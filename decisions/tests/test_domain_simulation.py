"""Draws of a plan: the mean meets the closed form, points stay points, the same seed says the same, tornado signs."""

from __future__ import annotations

import json
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decisions.domain import sensitivity, simulation
from decisions.domain.simulation import DRAWS, draw, quantiles, simulate, triangular
from decisions.tests.plans import DEMO, EMAIL, GPU, TOKENS, WIDE, M, any_plan, plan


def simulated(given_, **more):
    return simulate(given_, given_.analyse(), **more)


def test_there_are_enough_draws_to_trust_a_per_cent():
    # 1.96 x sqrt(.25 / 20,000) = 0.7 points
    assert DRAWS >= 20_000


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(-1000, 1000), min_size=3, max_size=3, unique=True).map(sorted))
def test_the_inverse_undoes_the_triangular_distribution_function(three):
    low, likely, high = map(float, three)
    uniform = np.linspace(0, 1, 101)[1:-1]
    x = triangular(uniform, low, likely, high)
    # The cumulative function of the textbook, below and above the likely value.
    below = (x - low) ** 2 / ((high - low) * (likely - low))
    over = 1 - (high - x) ** 2 / ((high - low) * (high - likely))
    assert np.allclose(np.where(x < likely, below, over), uniform)


@pytest.mark.parametrize("values", [WIDE, TOKENS], ids=["wide", "tokens"])
def test_the_mean_meets_the_closed_form_of_triangular_means(values):
    # Every total here is a sum of products of independent figures, so its mean is the total at their means.
    given_ = plan(values)
    closed = float(sensitivity.total_of(given_, given_.values(lambda value: value.mean)))
    found = simulated(given_, n=40_000)
    # Four standard errors, the spread taken from the draws themselves.
    error = 4 * (found.total.high - found.total.low) / 3.29 / np.sqrt(found.n)
    assert found.total.mean == pytest.approx(closed, abs=error)


@settings(max_examples=25, deadline=None)
@given(any_plan)
def test_any_plan_is_drawn_within_its_ranges_and_the_mean_is_near_the_closed_form(given_):
    values = draw(given_, n=4_000, seed=1)
    for name, value in given_.ranges.items():
        drawn = np.asarray(values[name])
        assert float(value.low) - 1e-9 <= drawn.min()
        assert drawn.max() <= float(value.high) * (1 + 1e-12) + 1e-9
    found = simulated(given_, n=4_000)
    closed = float(sensitivity.total_of(given_, given_.values(lambda value: value.mean)))
    room = 6 * (found.total.high - found.total.low) / np.sqrt(4_000) + 1e-6 * abs(closed) + 1
    assert abs(found.total.mean - closed) <= room


@settings(max_examples=40, deadline=None)
@given(any_plan.map(lambda p: p if not p.uncertain else type(p).from_mapping(
    {**p.as_mapping(), **{n: p.figures[n].likely for n in p.figures},
     **{f"{s}_cost_per_request_microusd": p.serving(s).figures["cost_per_request_microusd"].likely
        for s in ("current", "fine_tuned")}})))  # fmt: skip
def test_without_doubt_the_draws_are_the_exact_answer(given_):
    result, found = given_.analyse(), simulated(given_)
    assert found.n == 0
    exact = float(result.total_value_microusd)
    assert found.total == simulation.Spread(exact, exact, exact, exact)
    assert found.savings.middle == float(result.savings_microusd)
    assert [band[1] for band in found.band_quality] == [float(q) for _, q in result.cash_flow]
    assert found.positive == float(result.total_value_microusd > 0)


@settings(max_examples=25, deadline=None)
@given(any_plan)
def test_probabilities_agree_with_the_running_totals(given_):
    found = simulated(given_, n=2_000)
    assert 0 <= found.quality.within_6 <= found.quality.within_12 <= 1
    for payback, band in ((found.quality, found.band_quality), (found.cost, found.band_cost)):
        assert len(band) == given_.months + 1
        assert all(low <= middle <= high for low, middle, high in band)
        if any(value.high for name, value in given_.ranges.items() if name in ("setup_cost_microusd",)):
            # More than half paid back by the end: the middle line is above zero there, and the other way round.
            if payback.never < 0.499:
                assert band[-1][1] >= 0
            if payback.never > 0.501:
                assert band[-1][1] <= 0
    assert json.loads(json.dumps(simulation.as_json(found))) == simulation.as_json(found)


def test_the_same_seed_says_the_same_and_another_says_nearly_the_same():
    first, again, other = (simulated(plan(WIDE), seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first != other
    assert other.positive == pytest.approx(first.positive, abs=0.02)


def test_a_further_range_leaves_the_draws_of_the_others_alone():
    one = draw(plan(monthly_volume=[1, 2, 3]), n=50, seed=9)
    two = draw(plan(monthly_volume=[1, 2, 3], setup_cost_microusd=[1, 2, 3]), n=50, seed=9)
    assert np.array_equal(one["monthly_volume"], two["monthly_volume"])
    # and two figures of the same range are not the same draws
    assert not np.array_equal(two["monthly_volume"], two["setup_cost_microusd"])


def test_payback_probabilities_follow_a_hand_calculation():
    # E-mails: a month gains 100 + quality. Without quality 3,000 / (.002 x volume - 500): within 12 months at
    # volume >= 375,000. Volume uniform-free: triangular 250,000 / 250,000 / 500,000, so P(V >= 375,000) =
    # (500 - 375)^2 / (250 x 250) = 1/4.
    given_ = plan(EMAIL, monthly_volume=[250_000, 250_000, 500_000], quality_improvement=0, horizon_months=36)
    found = simulated(given_)
    assert found.cost.within_12 == pytest.approx(0.25, abs=0.012)
    assert found.quality == found.cost
    # within 6 months: 3,000 / 6 = 500 more: V >= 500,000, which has no draws
    assert found.cost.within_6 == 0
    # never within 36: 3,000 / 36 = 83.33: V < 291,667: 1 - (208.333 / 250)^2 = .3056
    assert found.cost.never == pytest.approx(0.3056, abs=0.012)


def test_bands_begin_with_what_is_spent_and_end_with_the_total():
    found = simulated(plan(WIDE))
    assert found.band_quality[-1] == (found.total.low, found.total.middle, found.total.high)
    assert found.band_cost[-1] == (found.savings.low, found.savings.middle, found.savings.high)
    low, _, high = found.band_cost[0]
    assert -15_000 * M < low < high < -3_000 * M


def test_a_tornado_counts_the_months_that_are_left():
    short = plan(DEMO, horizon_months=36, starts_on="2026-11-26", retires_on="2027-11-26")
    # 12 of 36 months: the demo's own total
    assert sensitivity.total_of(short, short.values()) == 127_600 * M


def test_after_the_retirement_nothing_is_paid_back():
    given_ = {
        **EMAIL,
        "monthly_volume": [250_000, 250_000, 500_000],
        "quality_improvement": 0,
        "horizon_months": 36,
    }
    found = simulated(plan(given_, starts_on="2026-11-26", retires_on="2027-09-26"))
    # 10 months: 3,000 / 10 = 300: V >= 400,000: (100 / 250)^2 = .16, not the quarter of 12 months
    assert found.cost.within_12 == pytest.approx(0.16, abs=0.012)
    assert found.cost.never == pytest.approx(0.84, abs=0.012)


def test_d10_the_worth_needed_is_said_for_likely_figures_and_spread():
    exact = simulated(plan(DEMO)).needed
    assert exact.middle / M == pytest.approx(0.0274, abs=5e-5)
    assert (exact.none, exact.no_worth) == (0, 0)
    spread = simulated(plan(DEMO, quality_improvement=["0.1", "0.15", "0.2"])).needed
    # 7,400 / (1.8 M x .2) and / (1.8 M x .1): between 2.06 and 4.11 cents
    assert 0.0206 * M < spread.low < spread.middle < spread.high < 0.0411 * M
    assert sum(spread.counts) == DRAWS
    carried = simulated(plan(EMAIL, monthly_volume=3_000_000)).needed
    assert (carried.none, carried.middle) == (1, 0)


def test_where_answers_get_worse_no_worth_is_enough():
    found = simulated(plan(DEMO, quality_improvement=["-0.2", "-0.1", "-0.05"]))
    assert found.needed.no_worth == 1
    assert (found.needed.low, found.needed.edges) == (None, ())
    assert found.quality.never == 1
    sure = simulated(plan(DEMO, quality_improvement=0))
    assert (sure.needed.middle, sure.needed.no_worth) == (None, 1)


def test_d11_no_draw_divides_by_zero():
    with np.errstate(all="raise"):
        for change in (
            {"monthly_volume": [0, 0, 10]},
            {"setup_cost_microusd": 0, "monthly_maintenance_microusd": [0, 1, 2]},
            {"monthly_volume": 250_000, "value_per_improved_microusd": [0, 0, 1], "quality_improvement": 0},
            {"fine_tuned_cost_per_request_microusd": [0, 0, 1]},
        ):
            assert json.dumps(simulation.as_json(simulated(plan(**change), n=2_000)))
    gpu = {"shape": "gpu_hour", "hour_microusd": 1, "requests_an_hour": [0, 0, 3], "replicas": [0, 1, 2]}
    given_ = {name: v for name, v in DEMO.items() if not name.startswith("fine")} | {
        "fine_tuned_serving": gpu
    }
    assert json.dumps(simulation.as_json(simulated(plan(given_), n=2_000)))


def test_nothing_spent_and_nothing_lost_is_paid_back_at_once():
    given_ = plan(EMAIL, setup_cost_microusd=0, monthly_volume=[250_000, 260_000, 270_000])
    assert simulated(given_).cost.within_6 == 1
    # Not even a gain: the same price, nothing spent, nothing to pay back.
    same = {"setup_cost_microusd": 0, "monthly_maintenance_microusd": 0, "quality_improvement": 0}
    even = plan(EMAIL, **same, fine_tuned_cost_per_request_microusd=4_000, monthly_volume=[1, 2, 3])
    assert simulated(even).cost.within_6 == 1
    losing = plan(EMAIL, setup_cost_microusd=0, monthly_volume=[1, 2, 3], quality_improvement=0)
    assert simulated(losing).cost.never == 1


def test_quantiles_are_drawn_values_in_order():
    assert quantiles(np.arange(100.0)) == (5, 50, 95)
    assert quantiles(np.array([7.0])) == (7, 7, 7)


# --- what matters most ---------------------------------------------------------------------------------------------


def test_the_tornado_is_sorted_and_says_what_turns():
    # Demo: worth .01/.1/.5 moves 270,000 x 12-month improved requests; the setup only itself.
    given_ = plan(
        value_per_improved_microusd=[10_000, 100_000, 500_000],
        setup_cost_microusd=[4_000 * M, 5_000 * M, 6_000 * M],
    )
    is_given, (first, second) = sensitivity.tornado(given_)
    assert is_given
    assert (first.name, first.turns) == ("value_per_improved_microusd", True)
    # -7,400 + 270,000 x .01 and x .5
    assert (first.total_at_low, first.total_at_high) == (-4_700 * M, 127_600 * M)
    assert (second.name, second.turns, second.width) == ("setup_cost_microusd", False, 2_000 * M)


def test_without_ranges_every_figure_is_moved_by_a_fifth_and_that_is_said():
    is_given, swings = sensitivity.tornado(plan())
    assert not is_given
    assert {swing.name for swing in swings} == {
        "monthly_volume", "setup_cost_microusd", "monthly_maintenance_microusd", "quality_improvement",
        "value_per_improved_microusd", "current.cost_per_request_microusd", "fine_tuned.cost_per_request_microusd",
    }  # fmt: skip
    volume = next(s for s in swings if s.name == "monthly_volume")
    assert volume.low == Fraction(120_000)
    # It moves the total by far and turns nothing.
    assert volume.total_at_high > volume.total_at_low > 0
    assert not volume.turns


GOOD = {"value_per_improved_microusd", "quality_improvement", "current.cost_per_request_microusd"}
BAD = {"setup_cost_microusd", "training_cost_microusd", "monthly_maintenance_microusd", "data_hours", "review_hours",
       "hour_of_work_microusd", "fine_tuned.cost_per_request_microusd"}  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(any_plan)
def test_tornado_signs(given_):
    assert sensitivity.total_of(given_, given_.values()) == given_.analyse().total_value_microusd
    for swing in sensitivity.tornado(given_)[1]:
        if swing.name in BAD:
            assert swing.total_at_high <= swing.total_at_low
        if swing.name == "current.cost_per_request_microusd" or (
            swing.name in GOOD and given_.figures["quality_improvement"].likely >= 0
        ):
            assert swing.total_at_high >= swing.total_at_low
    widths = [swing.width for swing in sensitivity.tornado(given_)[1]]
    assert widths == sorted(widths, reverse=True)


def test_the_likely_total_lies_between_the_ends_of_a_swing_of_gpu_hours():
    given_ = plan(
        {
            **GPU,
            "fine_tuned_serving": {**GPU["fine_tuned_serving"], "hour_microusd": [400_000, 500_000, 900_000]},
        }
    )
    total = given_.analyse().total_value_microusd
    (swing,) = sensitivity.tornado(given_)[1]
    assert swing.total_at_high < total < swing.total_at_low
    assert (
        sensitivity.as_json(given_, given_.analyse())["swings"][0]["label"]
        == "price of a GPU hour, fine-tuned"
    )
