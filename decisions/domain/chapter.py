"""The decision framework as the source book runs it: its binary floats, its `>`, its order of ties.

Kept only to be shown beside the corrected rules (`framework.py`), which every recommendation rests on.
"""

from __future__ import annotations

from dataclasses import dataclass

from decisions.domain.approaches import Approach
from decisions.domain.facts import Complexity, Facts, Level, Timing


@dataclass(frozen=True, slots=True)
class ChapterAnswer:
    """Scores from 0 to 1 in the order the book prints them, highest first, and its recommendation."""

    scores: tuple[tuple[Approach, float], ...]
    recommendation: Approach
    tied: tuple[Approach, ...]

    def score(self, approach: Approach) -> float:
        """The book's score of one approach, 0 to 1."""
        return dict(self.scores)[approach]


def chapter_answer(facts: Facts) -> ChapterAnswer:
    """What the book's code answers, bit for bit: a tie goes to whichever approach its array lists first."""
    rag = _rag(facts)
    fine_tuning = _fine_tuning(facts)
    in_array_order = [
        (Approach.PROMPT, _prompt(facts)),
        (Approach.RAG, rag),
        (Approach.FINE_TUNING, fine_tuning),
        (Approach.HYBRID, _hybrid(rag, fine_tuning)),
    ]
    # arsort() of PHP 8 is stable, as `sorted` is.
    ranked = tuple(sorted(in_array_order, key=lambda pair: -pair[1]))
    best = ranked[0][1]
    tied = tuple(approach for approach, score in ranked if score == best)
    return ChapterAnswer(ranked, ranked[0][0], tied if len(tied) > 1 else ())


def _prompt(facts: Facts) -> float:
    score = 0.5
    if facts.task_complexity == Complexity.SIMPLE:
        score += 0.3
    if facts.data_availability == Level.LOW:
        score += 0.2
    if facts.budget_constraint == Level.LOW:
        score += 0.2
    if facts.time_to_market == Timing.URGENT:
        score += 0.3
    if facts.requires_flexibility:
        score += 0.2
    return min(1.0, score)


def _rag(facts: Facts) -> float:
    score = 0.5
    if facts.requires_factual_accuracy:
        score += 0.3
    if facts.has_knowledge_base:
        score += 0.3
    if facts.data_changes_frequently:
        score += 0.2
    if facts.requires_citations:
        score += 0.2
    if facts.domain_specific:
        score += 0.1
    return min(1.0, score)


def _fine_tuning(facts: Facts) -> float:
    score = 0.3
    if facts.data_availability == Level.HIGH and facts.data_quality == Level.HIGH:
        score += 0.4
    if facts.task_complexity == Complexity.COMPLEX:
        score += 0.2
    if facts.requires_consistency:
        score += 0.2
    if facts.volume_per_day > 10_000:
        score += 0.2
    if facts.requires_specialised_behaviour:
        score += 0.3
    if facts.budget_constraint == Level.HIGH:
        score += 0.1
    if facts.data_availability == Level.LOW:
        score -= 0.4
    if facts.time_to_market == Timing.URGENT:
        score -= 0.2
    return max(0.0, min(1.0, score))


def _hybrid(rag: float, fine_tuning: float) -> float:
    if rag > 0.6 and fine_tuning > 0.6:
        return 0.85
    return (rag + fine_tuning) / 2.5
