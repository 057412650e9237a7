"""What each approach costs, by the book's rates and a team's own."""

from __future__ import annotations

from decisions.domain.approaches import Approach
from decisions.domain.costs import DOLLAR, estimate, rates_with

PROMPT, RAG, FINE, HYBRID = Approach


def first_year(approach: Approach, volume: int) -> float:
    return estimate(approach, rates_with(None), volume).first_year_microusd / DOLLAR


def test_s9_d8_the_first_year_at_ten_thousand_a_day():
    # 360 days: .003 x 3.6M; 500 + .004 x 3.6M + 12 x 200; 2,500 + .0025 x 3.6M + 12 x 500
    assert [first_year(a, 10_000) for a in (PROMPT, RAG, FINE)] == [10_800, 17_300, 17_500]


def test_d8_the_hybrid_has_a_cost_by_its_formula():
    # once 500 + 2,000 + 500; .0025 + (.004 - .003) a request; 200 + 500 a month
    cost = estimate(HYBRID, rates_with(None), 10_000)
    assert cost.once_microusd == 3_000 * DOLLAR
    assert cost.rate.per_request_microusd == 3_500
    assert cost.first_year_microusd == (3_000 + 12 * (1_050 + 700)) * DOLLAR


def test_d8_fine_tuning_undercuts_prompting_only_from_these_volumes():
    cost = estimate(FINE, rates_with(None), 10_000)
    assert cost.cheaper_above_per_day == 33_333
    assert cost.cheaper_first_year_above_per_day == 47_222
    rates = rates_with(None)
    for volume, cheaper in ((33_333, False), (33_334, True)):
        monthly = [
            estimate(a, rates, volume).monthly_api_microusd + rates[a].monthly_microusd
            for a in (FINE, PROMPT)
        ]
        assert (monthly[0] < monthly[1]) is cheaper


def test_an_approach_that_saves_nothing_a_request_never_undercuts():
    assert estimate(RAG, rates_with(None), 10_000).cheaper_above_per_day is None
    equal = rates_with({"fine_tuning": {"per_request_microusd": 3_000}})
    assert estimate(FINE, equal, 10_000).cheaper_above_per_day is None


def test_s9_a_teams_own_rates_replace_the_books_and_the_hybrid_follows():
    rates = rates_with({"rag": {"setup_microusd": 0, "per_request_microusd": 2_000}})
    assert rates[RAG].monthly_microusd == 200 * DOLLAR
    assert rates[HYBRID].setup_microusd == 2_000 * DOLLAR
    # Retrieval does not make a request cheaper than the fine-tuned one.
    assert rates[HYBRID].per_request_microusd == 2_500


def test_cents_are_not_cut_off():
    rates = rates_with({"prompt_engineering": {"per_request_microusd": 1}})
    assert estimate(PROMPT, rates, 7).monthly_api_microusd == 210
