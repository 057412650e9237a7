"""The decision tree of pitfall 6 and the few-shot matrix, question by question."""

from __future__ import annotations

from dataclasses import replace

import pytest

from decisions.domain.approaches import Approach
from decisions.domain.facts import Facts, Level
from decisions.domain.tree import Answer, Answers, matrix, walk
from decisions.tests.builders import CUSTOMER_SUPPORT, DOCUMENTATION

PROMPT, RAG, FINE, HYBRID = Approach
READY = Answers(prompt_solves_it=False, examples_in_hand=2_000, expected_gain=0.15)


@pytest.mark.parametrize(
    ("facts", "answers", "ends_at", "n_questions"),
    [
        pytest.param(
            CUSTOMER_SUPPORT, replace(READY, prompt_solves_it=True), PROMPT, 1, id="a prompt solves it"
        ),
        pytest.param(DOCUMENTATION, READY, RAG, 2, id="the knowledge changes"),
        pytest.param(Facts("x"), READY, PROMPT, 3, id="no behaviour to teach"),
        pytest.param(CUSTOMER_SUPPORT, replace(READY, examples_in_hand=499), PROMPT, 4, id="499 examples"),
        pytest.param(
            CUSTOMER_SUPPORT, replace(READY, expected_gain=0.10), PROMPT, 5, id="10% is not more than 10%"
        ),
        pytest.param(CUSTOMER_SUPPORT, READY, FINE, 5, id="every question says fine-tune"),
    ],
)
def test_s12_the_first_question_that_settles_it_ends_the_walk(facts, answers, ends_at, n_questions):
    steps = walk(facts, answers)
    assert steps.names is ends_at
    assert len(steps.steps) == n_questions
    assert steps.steps[-1].is_last
    assert steps.is_firm


def test_s12_five_hundred_examples_are_enough():
    steps = walk(CUSTOMER_SUPPORT, replace(READY, examples_in_hand=500))
    assert (steps.names, steps.steps[3].answer) == (FINE, Answer.YES)


def test_s13_at_exactly_a_hundred_examples_and_a_thousand_a_day_nothing_speaks_for_few_shot():
    table = matrix(Facts("x", volume_per_day=1_000), Answers(examples_in_hand=100))
    assert table.n_few_shot == 0


def test_s12_an_open_question_is_never_taken_for_a_no():
    steps = walk(CUSTOMER_SUPPORT, Answers())
    assert steps.names is FINE
    assert not steps.is_firm
    assert [step.answer for step in steps.steps] == [
        Answer.OPEN,
        Answer.NO,
        Answer.YES,
        Answer.OPEN,
        Answer.OPEN,
    ]
    assert "1 to 2 weeks" in steps.steps[0].then


def test_s12_low_availability_answers_for_examples_nobody_counted():
    steps = walk(replace(CUSTOMER_SUPPORT, data_availability=Level.LOW), Answers())
    assert (steps.steps[3].answer, steps.names) == (Answer.NO, PROMPT)


def test_a_measured_answer_says_where_it_comes_from():
    answers = replace(READY, sources={"expected_gain": "comparison 12"})
    assert "comparison 12" in walk(CUSTOMER_SUPPORT, answers).steps[-1].because


def test_s13_every_condition_for_few_shot_can_hold():
    facts = Facts("x", volume_per_day=999, requires_flexibility=True)
    table = matrix(facts, Answers(examples_in_hand=99, is_prototype=True, behaviour_changes_often=True))
    assert (table.n_few_shot, table.n_fine_tuning) == (5, 0)
    assert table.sentence.startswith("Leans to few-shot")


def test_s13_every_condition_for_fine_tuning_can_hold_at_exactly_its_figure():
    facts = replace(CUSTOMER_SUPPORT, volume_per_day=10_000)
    table = matrix(facts, Answers(examples_in_hand=500, roi_is_positive=True))
    assert (table.n_few_shot, table.n_fine_tuning) == (0, 5)


def test_s13_what_is_not_known_counts_for_neither():
    table = matrix(Facts("x", volume_per_day=5_000), Answers())
    assert [row.holds for row in (*table.few_shot, *table.fine_tuning)].count(Answer.OPEN) == 3
    assert "3 not known yet" in table.sentence
