"""The book's framework reproduced bit for bit, and what is wrong with it over its whole grid."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import replace

import pytest

from decisions.domain.approaches import Approach
from decisions.domain.chapter import chapter_answer
from decisions.domain.facts import NEEDS, Complexity, Facts, Level, Timing
from decisions.domain.scoring import score_all
from decisions.tests.builders import CUSTOMER_SUPPORT, DOCUMENTATION, EMAILS, QUICK_START

PROMPT, RAG, FINE, HYBRID = Approach


@pytest.mark.parametrize(
    ("facts", "scores", "recommendation"),
    [
        pytest.param(QUICK_START, (1.0, 0.7, 0.0, 0.28), PROMPT, id="quick start"),
        pytest.param(CUSTOMER_SUPPORT, (0.5, 1.0, 1.0, 0.85), RAG, id="customer support"),
        pytest.param(EMAILS, (0.5, 0.6, 0.9, 0.6), FINE, id="e-mails"),
        pytest.param(DOCUMENTATION, (0.7, 1.0, 0.0, 0.4), RAG, id="documentation"),
    ],
)
def test_s2_to_s5_the_books_code_gives_these_scores(facts, scores, recommendation):
    answer = chapter_answer(facts)
    assert tuple(round(answer.score(a), 2) for a in Approach) == scores
    assert answer.recommendation is recommendation


def test_d1_the_quick_start_is_not_what_the_book_prints():
    # It prints .90, .50, .30, .32 in that order; its code gives 1.00, .70, .00, .28, sorted.
    answer = chapter_answer(QUICK_START)
    assert [a for a, _ in answer.scores] == [PROMPT, RAG, HYBRID, FINE]
    printed = {PROMPT: 0.9, RAG: 0.5, FINE: 0.3, HYBRID: 0.32}
    assert all(abs(answer.score(a) - printed[a]) > 0.01 for a in Approach)
    # The printed .50, .30 and .32 are what a use case without any factor gives.
    bare = chapter_answer(Facts("nothing", volume_per_day=0))
    assert tuple(round(bare.score(a), 2) for a in (RAG, FINE, HYBRID)) == (0.5, 0.3, 0.32)


def test_d2_customer_support_is_a_tie_that_array_order_decides():
    assert chapter_answer(CUSTOMER_SUPPORT).tied == (RAG, FINE)


def test_d5_exactly_ten_thousand_a_day_is_not_high_volume_in_the_book():
    one_more = replace(EMAILS, volume_per_day=10_001)
    assert chapter_answer(EMAILS).score(FINE) == pytest.approx(0.9)
    assert chapter_answer(one_more).score(FINE) == pytest.approx(1.0)
    # Here both are 1.00 (raw 1.10).
    assert score_all(EMAILS)[FINE].capped == score_all(one_more)[FINE].capped == 100


def test_relaxed_timing_scores_as_normal():
    for timing in (Timing.NORMAL, Timing.RELAXED):
        facts = replace(CUSTOMER_SUPPORT, time_to_market=timing)
        assert chapter_answer(facts).scores == chapter_answer(CUSTOMER_SUPPORT).scores
        assert [s.raw for s in score_all(facts).values()] == [50, 120, 140, 85]


@pytest.fixture(scope="module")
def grid() -> list[tuple[Facts, object]]:
    """All 82,944 combinations of the fourteen factors, with the book's answer to each."""
    scales = (Complexity, Level, Level, (1_000, 20_000), Level, (Timing.URGENT, Timing.NORMAL))
    combinations = itertools.product(*scales, *[(False, True)] * len(NEEDS))
    return [(facts, chapter_answer(facts)) for c in combinations if (facts := Facts("grid", *c))]


def test_d2_d3_over_the_whole_grid_ties_and_winners_are_these(grid):
    assert len(grid) == 82_944
    won = Counter(answer.recommendation for _, answer in grid)
    n_ties = sum(bool(answer.tied) for _, answer in grid)
    by_order = sum(bool(a.tied) and a.recommendation is PROMPT for _, a in grid)
    assert round(n_ties / len(grid), 3) == 0.447
    assert round(by_order / len(grid), 3) == 0.387
    shares = {approach: round(won[approach] / len(grid), 3) for approach in Approach}
    assert shares == {PROMPT: 0.618, RAG: 0.315, FINE: 0.05, HYBRID: 0.017}


def test_d3_the_books_hybrid_wins_only_between_sixty_and_eighty_five(grid):
    for _, answer in grid:
        if answer.recommendation is HYBRID:
            assert 0.6 < answer.score(RAG) < 0.85
            assert 0.6 < answer.score(FINE) < 0.85


def test_d4_binary_rounding_puts_three_thousand_scores_on_the_wrong_side(grid):
    wrong = flipped = 0
    for facts, answer in grid:
        exact = score_all_points(facts)
        wrong += (answer.score(FINE) > 0.6) != (exact[FINE] > 60)
        best = max(exact.values())
        flipped += next(a for a in Approach if exact[a] == best) is not answer.recommendation
    assert wrong == 3_200
    assert flipped == 883


def score_all_points(facts: Facts) -> dict[Approach, int]:
    """The four sums in hundredths by the book's rules: an independent count, without the corrected boundary."""
    prompt = 50 + 30 * (facts.task_complexity == "simple") + 20 * (facts.data_availability == "low")
    prompt += 20 * (facts.budget_constraint == "low") + 30 * (facts.time_to_market == "urgent")
    prompt += 20 * facts.requires_flexibility
    rag = 50 + 30 * facts.requires_factual_accuracy + 30 * facts.has_knowledge_base
    rag += 20 * facts.data_changes_frequently + 20 * facts.requires_citations + 10 * facts.domain_specific
    fine = 30 + 40 * (facts.data_availability == facts.data_quality == "high")
    fine += 20 * (facts.task_complexity == "complex") + 20 * facts.requires_consistency
    fine += 20 * (facts.volume_per_day > 10_000) + 30 * facts.requires_specialised_behaviour
    fine += 10 * (facts.budget_constraint == "high") - 40 * (facts.data_availability == "low")
    fine -= 20 * (facts.time_to_market == "urgent")
    prompt, rag, fine = (max(0, min(100, score)) for score in (prompt, rag, fine))
    hybrid = 85 if rag > 60 and fine > 60 else (rag + fine) * 2 // 5
    return {PROMPT: prompt, RAG: rag, FINE: fine, HYBRID: hybrid}


def test_d7_the_book_trains_without_data(grid):
    won = [facts for facts, answer in grid if answer.recommendation is FINE]
    assert len(won) == 4_152
    assert sum(facts.data_availability is Level.LOW for facts in won) == 78
    lacking = [f for f in won if not (f.data_availability is Level.HIGH and f.data_quality is Level.HIGH)]
    assert len(lacking) == 2_723


def test_s15_documentation_is_rag_in_240_of_864_completions_and_a_tie_in_624(grid):
    # Stated: low data, factual, knowledge base, changes, citations, domain. The rest is free.
    answers = [
        answer
        for facts, answer in grid
        if facts.data_availability is Level.LOW
        and facts.requires_factual_accuracy
        and facts.has_knowledge_base
        and facts.data_changes_frequently
        and facts.requires_citations
        and facts.domain_specific
    ]
    assert len(answers) == 864
    assert sum(answer.recommendation is RAG for answer in answers) == 240
    assert sum(answer.recommendation is PROMPT and bool(answer.tied) for answer in answers) == 624
