"""Risks and pitfalls are read off the figures: each line appears when its figure says so, and only then."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from decisions.domain import flips, framework
from decisions.domain.facts import Level
from decisions.domain.pitfalls import PITFALLS, Sign, State, checklist, signs_of_decision
from decisions.domain.risks import risks
from decisions.domain.tree import Answers
from decisions.tests.builders import CUSTOMER_SUPPORT, DOCUMENTATION, EMAILS

TODAY = date(2026, 11, 26)


def of(facts, answers=None, *, sources=None, roi=None, retires_on=None):
    answers = answers or Answers()
    result = {
        **framework.as_json(framework.decide(facts, answers)),
        **flips.as_json(flips.find(facts, answers)),
    }
    inputs = {
        "facts": facts.as_mapping(),
        "answers": {"expected_gain": answers.expected_gain},
        "sources": sources or {},
    }
    return [(r.tone, r.text) for r in risks(result, inputs, roi, retires_on=retires_on, today=TODAY)]


def texts(found):
    return [text for _, text in found]


def test_the_facts_that_would_turn_the_answer_are_risks():
    wanted = "It would be RAG when data availability is low, or data quality is low, or fewer than 500 good examples are in hand."
    assert ("warn", wanted) in of(CUSTOMER_SUPPORT)
    assert not any("It would be" in text for text in texts(of(DOCUMENTATION)))


def test_a_narrow_lead_is_a_risk_and_a_clear_one_is_not():
    # E-mails: .40 ahead of RAG. At 5,000 with medium data: fine-tuning .50 against RAG .60 and prompt .50: .10.
    narrow = replace(EMAILS, data_quality=Level.MEDIUM, volume_per_day=5_000)
    assert ("warn", "RAG is narrowly ahead.") in of(narrow)
    assert not any("ahead." in text for text in texts(of(EMAILS)))


@pytest.mark.parametrize(
    ("retires_on", "wanted"),
    [
        pytest.param(date(2026, 9, 10), ("bad", "The base model retired on 10 Sep 2026."), id="it is over"),
        pytest.param(TODAY, ("warn", "The base model retires on 26 Nov 2026, in 0 days."), id="its last day"),
        pytest.param(
            date(2027, 11, 26), ("warn", "The base model retires on 26 Nov 2027, in 365 days."), id="a year"
        ),
        pytest.param(
            date(2027, 11, 27), ("", "The base model retires on 27 Nov 2027."), id="more than a year"
        ),
        pytest.param(None, ("", "No base model is chosen, so nobody knows when it retires."), id="none"),
    ],
)
def test_a_base_model_that_ends_takes_the_training_along(retires_on, wanted):
    assert wanted in of(EMAILS, retires_on=retires_on)
    assert not any("base model" in text for text in texts(of(DOCUMENTATION, retires_on=retires_on)))


def test_an_assumed_gain_is_a_risk_and_a_measured_one_is_not():
    assumed = Answers(expected_gain=0.25)
    assert ("warn", "The gain of +25.0% is an assumption.") in of(EMAILS, assumed)
    assert ("warn", "Nobody has estimated the gain over the best prompt.") in of(EMAILS)
    measured = of(EMAILS, assumed, sources={"expected_gain": "comparison 3"})
    assert not any(text.startswith(("The gain", "Nobody has estimated")) for text in texts(measured))


def test_a_return_that_rests_on_an_assumption_is_a_risk():
    roi = {"break_even_cost": {"kind": "never"}, "rests_on_value": True, "flip_value_text": "$0.0020"}
    found = of(EMAILS, roi=roi)
    assert ("warn", "It never pays back on cost alone.") in found
    assert ("warn", "The return turns where a better answer is worth $0.0020.") in found
    assert ("warn", "The return is not worked out.") in of(EMAILS)
    good = {"break_even_cost": {"kind": "months"}, "rests_on_value": False, "flip_value_text": "$0.1"}
    assert not any("return" in text.lower() for text in texts(of(EMAILS, roi=good)))


def test_open_questions_and_changing_knowledge_are_risks_of_training():
    changing = replace(CUSTOMER_SUPPORT, data_changes_frequently=True)
    assert "The knowledge changes often; what was trained in ages." in texts(of(changing))
    assert "The knowledge changes often; what was trained in ages." not in texts(of(CUSTOMER_SUPPORT))
    assert any(
        text.startswith("Open in the decision tree: “Does a good prompt") for text in texts(of(EMAILS))
    )


def test_the_gravest_risk_stands_first():
    tones = [tone for tone, _ in of(EMAILS, retires_on=date(2026, 1, 1))]
    assert tones == sorted(tones, key=["bad", "warn", ""].index)
    assert tones[0] == "bad"


# --- pitfalls -------------------------------------------------------------------------------------------------------


def inputs(quality="high", n=None, gain=None, solved=None, **sources):
    return {
        "facts": {"data_quality": quality},
        "answers": {"examples_in_hand": n, "expected_gain": gain, "prompt_solves_it": solved},
        "sources": sources,
    }


def states(signs):
    return {line.number: line.state for line in checklist(signs)}


def test_there_are_seven_and_what_nobody_knows_is_open():
    lines = checklist([])
    assert [line.number for line in lines] == [1, 2, 3, 4, 5, 6, 7] == [number for number, *_ in PITFALLS]
    assert {line.state for line in lines} == {State.OPEN}


def test_the_worst_sign_counts_and_a_known_one_before_an_open_one():
    assert states([Sign(1, State.GOOD, "a"), Sign(1, State.WARN, "b")])[1] is State.WARN
    assert states([Sign(1, State.BAD, "a"), Sign(1, State.WARN, "b")])[1] is State.BAD
    assert states([Sign(4, State.OPEN, "a"), Sign(4, State.GOOD, "b")])[4] is State.GOOD


@pytest.mark.parametrize(
    ("n", "state"),
    [(None, State.OPEN), (499, State.BAD), (500, State.WARN), (1_999, State.WARN), (2_000, State.GOOD)],
)
def test_examples_are_too_few_enough_or_plenty_at_exactly_their_figures(n, state):
    assert states(signs_of_decision(inputs(n=n), trains=True))[2] is state


def test_a_gain_counts_as_a_baseline_only_when_it_was_measured():
    assert states(signs_of_decision(inputs(gain=0.2), trains=True))[3] is State.WARN
    assert states(signs_of_decision(inputs(), trains=True))[3] is State.OPEN
    measured = inputs(gain=0.2, expected_gain="comparison 3")
    assert states(signs_of_decision(measured, trains=True))[3] is State.GOOD


@pytest.mark.parametrize(
    ("solved", "gain", "trains", "state"),
    [
        pytest.param(None, None, True, State.WARN, id="nobody tried"),
        pytest.param(True, None, True, State.BAD, id="a prompt solves it and it is trained all the same"),
        pytest.param(True, None, False, State.GOOD, id="a prompt solves it and is taken"),
        pytest.param(False, 0.2, True, State.GOOD, id="tried, falls short, gain above the bar"),
        pytest.param(False, 0.10, True, State.WARN, id="exactly ten per cent is not above the bar"),
    ],
)
def test_training_for_its_own_sake(solved, gain, trains, state):
    assert states(signs_of_decision(inputs(solved=solved, gain=gain), trains=trains))[6] is state


def test_stated_quality_is_never_proof_of_quality():
    found = {
        q: states(signs_of_decision(inputs(quality=q), trains=True))[4] for q in ("low", "medium", "high")
    }
    assert found == {"low": State.BAD, "medium": State.WARN, "high": State.OPEN}
