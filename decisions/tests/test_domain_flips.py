"""One answer away: what is found is a flip, and no flip of one fact is missed."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

from hypothesis import given, settings

from decisions.domain.approaches import Approach
from decisions.domain.facts import NEEDS, Level
from decisions.domain.flips import changes, find, grouped_by_answer, one_away
from decisions.domain.framework import decide
from decisions.domain.tree import Answers
from decisions.tests.builders import CUSTOMER_SUPPORT, DOCUMENTATION, EMAILS
from decisions.tests.test_domain_framework import answers_of_any_kind, facts_of_any_kind


def test_the_emails_are_one_answer_away_from_hybrid_where_there_is_a_knowledge_base():
    # RAG .60 + .30 = .90, fine-tuning 1.00: both strong, .10 apart.
    flips = {(flip.when, flip.leads_to) for flip in one_away(EMAILS)}
    assert ("there is a knowledge base", Approach.HYBRID) in flips


def test_low_data_takes_the_hybrid_away():
    by_answer = dict(grouped_by_answer(one_away(CUSTOMER_SUPPORT)))
    assert {"data availability is low", "data quality is low"} <= {
        flip.when for flip in by_answer[Approach.RAG]
    }


def test_an_answer_that_one_fact_does_not_turn_has_no_flips_of_one_but_of_two():
    # RAG 1.00 (.50+.30+.30+.20+.20+.10, capped) against prompt .50, which a simple task lifts to .80 and urgency then
    # to 1.00: a tie, which the tree leaves with RAG while the knowledge changes. Without the change: 1.00 and the tree
    # ends at prompting, but those are three facts.
    safe = replace(DOCUMENTATION, data_availability=Level.MEDIUM)
    assert one_away(safe) == ()
    found = find(safe)
    assert found.one == ()
    # Fine-tuning .30 + .40 (good data) is .70, .30 behind RAG: two facts do not reach hybrid's .15, nor anything else.
    assert found.two == ()


def test_the_emails_without_good_data_need_two_facts_for_fine_tuning():
    # Medium data: fine-tuning .30 + .20 (consistency) + .20 (10,000 a day) = .70 against RAG .60 (domain): ahead.
    # At 5,000 a day it is .50 and RAG leads with .60. Volume alone turns it; so does complexity alone.
    few = replace(EMAILS, data_availability=Level.MEDIUM, data_quality=Level.MEDIUM, volume_per_day=5_000)
    found = find(few)
    assert ("volume reaches 10,000 requests a day", Approach.FINE_TUNING) in {
        (f.when, f.leads_to) for f in found.one
    }
    pairs = {(p.first.when, p.second.when): p.leads_to for p in found.two}
    # No pair holds a fact that turns the answer by itself: the changes listed are the smallest.
    alone = {flip.when for flip in found.one}
    assert not {when for pair in pairs for when in pair} & alone
    # High availability alone gives nothing, high quality alone gives nothing; together 0.40: .90 against .60.
    assert pairs[("data availability is high", "data quality is high")] is Approach.FINE_TUNING


@settings(max_examples=12, deadline=None)
@given(facts_of_any_kind, answers_of_any_kind)
def test_flips_found_are_flips_minimal_and_none_is_missed_by_brute_force(facts, answers):
    now = decide(facts, answers).verdict.recommendation
    found = find(facts, answers)
    singles = list(changes(facts, answers))
    alone = {(c.fact, c.when): decide(*c.applied_to(facts, answers)).verdict.recommendation for c in singles}
    assert {(f.fact, f.when): f.leads_to for f in found.one} == {
        k: a for k, a in alone.items() if a is not now
    }
    wanted = {}
    for first, second in product(singles, repeat=2):
        if singles.index(first) >= singles.index(second) or first.fact == second.fact:
            continue
        if alone[(first.fact, first.when)] is not now or alone[(second.fact, second.when)] is not now:
            continue  # not minimal: one of the two does it by itself
        both = decide(*second.applied_to(*first.applied_to(facts, answers))).verdict.recommendation
        if both is not now:
            wanted[first.when, second.when] = both
    assert {(p.first.when, p.second.when): p.leads_to for p in found.two} == wanted


@given(facts_of_any_kind, answers_of_any_kind)
def test_every_change_tried_is_a_change_of_one_named_fact(facts, answers):
    for change in changes(facts, answers):
        changed = change.applied_to(facts, answers)
        side, was = (changed[1], answers) if change.is_answer else (changed[0], facts)
        assert getattr(side, change.fact) == change.value != getattr(was, change.fact)
        assert replace(side, **{change.fact: getattr(was, change.fact)}) == was


def test_every_other_value_and_both_sides_of_each_threshold_are_tried():
    # Five scales: 2 + 2 + 2 + 2 other values and 1 for timing; volume 1; eight needs; the tree's three answers, each
    # unknown, both ways: 6.
    tried = {(c.fact, c.value) for c in changes(EMAILS, Answers())}
    assert len(tried) == 9 + 1 + 8 + 6
    assert {value for fact, value in tried if fact == "data_quality"} == {Level.LOW, Level.MEDIUM}
    assert ("volume_per_day", 9_999) in tried
    assert {(f, v) for f, v in tried if f in ("prompt_solves_it", "examples_in_hand")} == {
        ("prompt_solves_it", True),
        ("prompt_solves_it", False),
        ("examples_in_hand", 500),
        ("examples_in_hand", 499),
    }
    gains = sorted(value for fact, value in tried if fact == "expected_gain")
    assert gains[0] == 0.10
    assert gains[1] > 0.10
    known = Answers(prompt_solves_it=False, examples_in_hand=500, expected_gain=0.10)
    tried = {
        (c.fact, c.value)
        for c in changes(replace(EMAILS, volume_per_day=9_999), known)
        if c.fact not in NEEDS
    }
    assert ("volume_per_day", 10_000) in tried
    assert {f for f, _ in tried} >= {"prompt_solves_it", "examples_in_hand", "expected_gain"}
    assert ("prompt_solves_it", True) in tried
    assert ("examples_in_hand", 499) in tried
    assert len(tried) == 9 + 1 + 3
