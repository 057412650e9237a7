"""Plans: serving by the request, token, hour and unit, work, retirement, volumes with steps, and what is refused."""

from __future__ import annotations

import json
from datetime import date
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decisions.domain import roi_words, volumes
from decisions.domain.payback import Months, Never
from decisions.domain.plans import BadFigure, Plan, whole_months
from decisions.domain.ranges import Range
from decisions.domain.serving import FIGURES, Shape, cost_of, units_for
from decisions.tests.plans import DEMO, EMAIL, GPU, TOKENS, WIDE, M, any_plan, plan


def costs(shape, volume=150_000, **values):
    given_ = {name: Fraction(figure.standard) for name, figure in FIGURES[shape].items()}
    return cost_of(shape, Fraction(volume), {**given_, **{k: Fraction(v) for k, v in values.items()}})


def test_tokens_are_counted_with_cache_and_batch():
    # half of 1,000 input tokens at a tenth: 550 x $3 / M = 1,650; 200 x $15 / M = 3,000; together 4,650 micro-dollars
    given_ = {
        "input_tokens": 1_000,
        "output_tokens": 200,
        "input_price_microusd": 3 * M,
        "output_price_microusd": 15 * M,
    }
    assert costs(Shape.PER_TOKEN, **given_) == (6_000, 0)
    assert costs(Shape.PER_TOKEN, **given_, cached_share="0.5") == (4_650, 0)
    # a quarter at half the price takes an eighth off
    assert costs(Shape.PER_TOKEN, **given_, cached_share="0.5", batch_share="0.25")[0] == Fraction(
        4_650
    ) * Fraction(7, 8)


def test_gpu_hours_are_paid_for_idle_hours_too_unless_replicas_are_taken_down():
    # 2 x 720 h x $2.50
    two = {"hour_microusd": 2_500_000, "replicas": 2}
    assert costs(Shape.GPU_HOUR, **two) == (0, 3_600 * M)
    assert costs(Shape.GPU_HOUR, **two, idle_hours_a_day=12) == (0, 3_600 * M)
    # half the hours at nothing; or at half the replicas
    assert costs(Shape.GPU_HOUR, **two, idle_hours_a_day=12, idle_share=0) == (0, 1_800 * M)
    assert costs(Shape.GPU_HOUR, **two, idle_hours_a_day=12, idle_share="0.5") == (0, 2_700 * M)


def test_more_requests_than_the_replicas_can_answer_need_more_of_them():
    # one answers 400 an hour: 288,000 a month; 288,001 need two
    one = {"hour_microusd": 500_000, "requests_an_hour": 400}
    assert costs(Shape.GPU_HOUR, 288_000, **one) == (0, 360 * M)
    assert costs(Shape.GPU_HOUR, 288_001, **one) == (0, 720 * M)
    # in 12 busy hours it answers half as many
    assert costs(Shape.GPU_HOUR, 288_000, **one, idle_hours_a_day=12) == (0, 720 * M)
    unit = {"unit_monthly_microusd": 1_000 * M, "unit_requests_a_month": 100_000}
    assert costs(Shape.PROVISIONED, 250_000, **unit) == (0, 3_000 * M)
    assert costs(Shape.PROVISIONED, 250_000, **unit, units=5) == (0, 5_000 * M)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**7), st.integers(0, 50), st.integers(0, 10**6))
def test_replicas_are_counted_alike_exactly_and_in_arrays(volume, kept, capacity):
    exact = units_for(Fraction(volume), Fraction(kept), Fraction(capacity))
    drawn = units_for(np.array([float(volume)]), float(kept), float(capacity))
    assert float(exact) == drawn[0]


def test_work_counts_once_and_each_month():
    # 40 h x $50 = $2,000 once; (10 + 4) x $50 = $700 a month
    result = plan(hour_of_work_microusd=50 * M, data_hours=40, review_hours=10, upkeep_hours=4).analyse()
    assert result.assumptions.once_microusd == 7_000 * M
    assert result.fine_tuned_monthly_microusd == (450 + 500 + 700) * M


@pytest.mark.parametrize("values", [DEMO, EMAIL, WIDE, GPU, TOKENS])
def test_a_plan_survives_the_way_through_plain_values(values):
    first = plan(values)
    again = Plan.from_mapping(json.loads(json.dumps(first.as_mapping())))
    assert again == first
    assert json.dumps(roi_words.as_json(first.analyse()))


def test_a_plan_of_points_is_kept_as_it_always_was():
    # Saved answers stay comparable: no new name for what did not change.
    assert plan(DEMO).as_mapping() == DEMO


@settings(max_examples=60, deadline=None)
@given(any_plan)
def test_the_flow_at_the_likely_figures_is_the_exact_answer(given_):
    flow, result = given_.flow(given_.values()), given_.analyse()
    assert flow.current_monthly == result.current_monthly_microusd
    assert flow.fine_tuned_monthly == result.fine_tuned_monthly_microusd
    assert flow.once == result.assumptions.once_microusd
    assert flow.quality_monthly == result.quality_monthly_microusd


# --- until when ------------------------------------------------------------------------------------------------------

START = date(2026, 11, 26)


@pytest.mark.parametrize(
    ("end", "months"),
    [
        (date(2026, 12, 26), 1),
        (date(2026, 12, 25), 0),
        (date(2027, 11, 26), 12),
        (date(2026, 10, 26), -1),
        (START, 0),
    ],
)
def test_months_are_whole(end, months):
    assert whole_months(START, end) == months


def test_the_retirement_of_the_base_model_ends_the_months():
    # e-mails pay back after 30 months on cost; the model lives 20
    short = plan(EMAIL, horizon_months=36, starts_on=START, retires_on="2028-07-30")
    result = short.analyse()
    assert (short.months, short.is_cut_short, len(result.cash_flow)) == (20, True, 21)
    assert result.break_even_cost == Never()
    assert result.ends_too_early
    assert "20 months the base model has left" in roi_words.finding(result)
    checks = roi_words.four_checks(result)
    assert "longer than the 20 months" in checks[2].finding
    assert not checks[2].is_fine
    long = plan(EMAIL, horizon_months=12, starts_on=START, retires_on="2029-06-01")
    assert (long.months, long.is_cut_short) == (12, False)
    assert long.analyse().break_even_cost == Months(Fraction(30))


@pytest.mark.parametrize("day", ["2026-11-25", "2026-12-25", "1999-01-01"])
def test_a_retirement_in_the_past_is_refused_at_its_field(day):
    with pytest.raises(BadFigure, match="past, or less than a month away") as caught:
        plan(starts_on=START, retires_on=day)
    assert caught.value.name == "retires_on"


# --- from how many requests ------------------------------------------------------------------------------------------


def test_d9_steps_of_replicas_move_the_volume_from_which_it_pays():
    # $360 a replica carries 288,000 requests; each saves $.005: one replica and $500 upkeep are carried above 172,000
    assert plan(GPU).analyse().volume_to_cover_upkeep == 172_000
    # with $2,000 upkeep: one gives 472,000 (too many for it), two 544,000 <= 576,000
    dear = plan(GPU, monthly_maintenance_microusd=2_000 * M).analyse()
    assert dear.volume_to_cover_upkeep == 544_000
    # $1,800 a replica: 288,000 requests save $1,440, so each replica loses
    costly = plan(
        GPU, fine_tuned_serving={"shape": "gpu_hour", "hour_microusd": 2_500_000, "requests_an_hour": 400}
    )
    assert costly.analyse().volume_to_cover_upkeep is None


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 10**7), st.integers(1, 2_000), st.integers(0, 10**10), st.integers(1, 20_000))
def test_the_volume_from_which_it_pays_is_the_first_one(hour, an_hour, upkeep, price):
    today = volumes.Side(Shape.PER_REQUEST, {"cost_per_request_microusd": Fraction(price)})
    figures = {name: Fraction(figure.standard) for name, figure in FIGURES[Shape.GPU_HOUR].items()}
    tuned = volumes.Side(
        Shape.GPU_HOUR, {**figures, "hour_microusd": Fraction(hour), "requests_an_hour": Fraction(an_hour)}
    )

    def saves(volume):
        (a, b), (c, d) = today.cost(Fraction(volume)), tuned.cost(Fraction(volume))
        return volume * (a - c) + b - d - upkeep

    found = volumes.above(today, tuned, upkeep)
    if found is None:
        assert all(saves(n * an_hour * 720) <= 0 for n in (1, 2, 10, 100, 399))
        return
    assert saves(found + 1) > 0
    for volume in {found, found // 2, found * 9 // 10}:
        assert saves(volume) <= 0


def units(a_month, carries, kept=1):
    return volumes.Side(
        Shape.PROVISIONED,
        {
            "unit_monthly_microusd": Fraction(a_month),
            "unit_requests_a_month": Fraction(carries),
            "units": Fraction(kept),
        },
    )


def test_a_side_that_steps_finely_is_followed_through_a_coarse_step_of_the_other():
    # Above n thousand requests today costs $10 x (n + 1), tuned $1,000 up to ten million: $10,010 > $9,000 + $1,000
    # takes 1,001 units of today's, which begin above 1,000,000.
    fine, coarse = units(10 * M, 1_000), units(1_000 * M, 10_000_000)
    assert volumes.above(fine, coarse, 9_000 * M) == 1_000_000
    # The other way round every coarse step saves most where it begins: above 30 million, 4 x $1,000,000 against $10 x
    # 30,001 units and upkeep of $3,600,000; above 20 million only $3,000,000 against $3,800,010.
    assert volumes.above(units(1_000_000 * M, 10_000_000), fine, 3_600_000 * M) == 30_000_000


@settings(max_examples=80, deadline=None)
@given(
    st.tuples(st.integers(0, 50), st.integers(1, 3), st.integers(0, 4)),
    st.tuples(st.integers(0, 50_000), st.integers(1, 2_000), st.integers(0, 3)),
    st.integers(0, 60_000),
    st.booleans(),
)
def test_two_sides_with_steps_pay_from_the_first_volume_that_counting_finds(fine, coarse, upkeep, swap):
    (a, s, k), (b, t, m) = (coarse, fine) if swap else (fine, coarse)
    # Steps lie at whole numbers, so just above v every unit that began at v is there.
    counted = next(
        (v for v in range(6_000) if a * max(k, v // s + 1) - b * max(m, v // t + 1) > upkeep), None
    )
    found = volumes.above(units(a, s, k), units(b, t, m), upkeep)
    # Counting ends at 6,000, and so many units of the coarser side are tried that they may end before it.
    if found is None or found >= 6_000:
        most = volumes.MOST_STEPS * max(s, t)
        assert counted is None or counted >= most
    else:
        assert found == counted


# --- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "name", "words"),
    [
        ({"monthly_volume": -1}, "monthly_volume", "Requests a month must not be negative."),
        ({"monthly_volume": None}, "monthly_volume", "a figure is missing"),
        ({"monthly_volume": [3, 2, 1]}, "monthly_volume", "give the low one first"),
        ({"monthly_volume": 10**30}, "monthly_volume", "too large"),
        ({"setup_cost_microusd": [-5, 0, 5]}, "setup_cost_microusd", "must not be negative"),
        ({"quality_improvement": "1.5"}, "quality_improvement", "is at most 100%"),
        ({"quality_improvement": "-1.5"}, "quality_improvement", "is at least −100%"),
        ({"horizon_months": 0}, "horizon_months", "give 1 to 120"),
        ({"horizon_months": 121}, "horizon_months", "give 1 to 120"),
        ({"horizon_months": "x"}, "horizon_months", "give 1 to 120"),
        ({"retires_on": "soon"}, "retires_on", "is not a day"),
        ({"colour": 1}, "colour", "no assumption named 'colour'"),
        ({"current_serving": {"shape": "magic"}}, "current_serving", "one of per_request, per_token"),
        ({"current_serving": 3}, "current_serving", "one of per_request"),
        ({"current_serving": {"shape": "gpu_hour", "units": 1}}, "current_serving", "no figure 'units'"),
        (
            {"current_serving": {"shape": "gpu_hour", "idle_hours_a_day": 24}},
            "current.idle_hours_a_day",
            "is at most 23",
        ),
    ],
)
def test_a_figure_that_cannot_be_is_refused_by_name_with_a_sentence(change, name, words):
    with pytest.raises(BadFigure, match=words) as caught:
        plan(**change)
    assert caught.value.name == name


def test_d11_no_requests_at_all_is_an_answer_without_a_division():
    result = plan(monthly_volume=0).analyse()
    assert result.break_even_cost == Never()
    assert "no requests are stated" in roi_words.four_checks(result)[1].finding
    assert json.dumps(roi_words.as_json(result))
    assert plan(GPU, monthly_volume=0).analyse().break_even_cost == Never()


def test_one_figure_is_changed_and_the_others_stay():
    wide = plan().with_figure("fine_tuned.cost_per_request_microusd", Range.of([2_000, 3_000, 4_000]))
    assert wide.uncertain == ("fine_tuned.cost_per_request_microusd",)
    assert wide.with_figure("monthly_volume", Range.of(1)).figures["monthly_volume"].likely == 1
    with pytest.raises(BadFigure):
        wide.with_figure("monthly_volume", Range.of(-1))
