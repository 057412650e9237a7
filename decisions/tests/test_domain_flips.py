"""One answer away: what is found is a flip, and no flip of one fact is missed."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings

from decisions.domain.approaches import Approach
from decisions.domain.facts import Level
from decisions.domain.flips import _changes, grouped_by_answer, one_away
from decisions.domain.framework import decide
from decisions.tests.builders import CUSTOMER_SUPPORT, DOCUMENTATION, EMAILS
from decisions.tests.test_domain_framework import facts_of_any_kind


def test_the_emails_are_one_answer_away_from_hybrid_where_there_is_a_knowledge_base():
    # RAG .60 + .30 = .90, fine-tuning 1.00: both strong, .10 apart.
    flips = {(flip.when, flip.leads_to) for flip in one_away(EMAILS)}
    assert ("there is a knowledge base", Approach.HYBRID) in flips


def test_low_data_takes_the_hybrid_away():
    by_answer = dict(grouped_by_answer(one_away(CUSTOMER_SUPPORT)))
    assert {"data availability is low", "data quality is low"} <= {
        flip.when for flip in by_answer[Approach.RAG]
    }


def test_an_answer_that_one_fact_does_not_turn_has_no_flips():
    safe = replace(DOCUMENTATION, data_availability=Level.MEDIUM)
    assert one_away(safe) == ()


@settings(max_examples=30, deadline=None)
@given(facts_of_any_kind)
def test_every_flip_found_is_one_and_none_is_missed(facts):
    now = decide(facts).verdict.recommendation
    found = {flip.when: flip.leads_to for flip in one_away(facts)}
    for _, when, changed in _changes(facts):
        answer = decide(changed).verdict.recommendation
        assert found.get(when, now) is answer
