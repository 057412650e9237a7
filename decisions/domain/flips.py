"""One answer away: the single facts that would turn the recommendation, found by trying each.

Pure. Changes of two facts at once are nobody's business here yet.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from decisions.domain.approaches import Approach
from decisions.domain.facts import HIGH_VOLUME_PER_DAY, NEEDS, Complexity, Facts, Level, Timing
from decisions.domain.scoring import score_all
from decisions.domain.tree import Answers, walk
from decisions.domain.verdicts import judge

WHEN: dict[str, tuple[str, str]] = {
    "requires_factual_accuracy": ("facts must be right", "facts need not be right"),
    "requires_consistency": ("the same answer is needed every time", "answers may differ"),
    "requires_specialised_behaviour": (
        "specialised behaviour is needed",
        "no specialised behaviour is needed",
    ),
    "has_knowledge_base": ("there is a knowledge base", "there is no knowledge base"),
    "data_changes_frequently": ("the knowledge changes often", "the knowledge is stable"),
    "requires_citations": ("answers cite their source", "answers need no citation"),
    "requires_flexibility": ("it must stay flexible", "it need not be flexible"),
    "domain_specific": ("it has a domain of its own", "it has no domain of its own"),
}
SCALES: dict[str, tuple[str, Any]] = {
    "task_complexity": ("the task is {}", Complexity),
    "data_availability": ("data availability is {}", Level),
    "data_quality": ("data quality is {}", Level),
    "budget_constraint": ("the budget is {}", Level),
    "time_to_market": ("timing is {}", (Timing.URGENT, Timing.NORMAL)),
}


@dataclass(frozen=True, slots=True)
class Flip:
    """One fact said otherwise, and the approach that would then be recommended."""

    fact: str
    when: str
    leads_to: Approach


def one_away(facts: Facts, answers: Answers | None = None) -> tuple[Flip, ...]:
    """Every change of one fact that turns the recommendation, in the order of the facts."""
    answers = answers or Answers()
    now = _recommended(facts, answers)
    found = []
    for fact, when, changed in _changes(facts):
        leads_to = _recommended(changed, answers)
        if leads_to is not now:
            found.append(Flip(fact, when, leads_to))
    return tuple(found)


def _recommended(facts: Facts, answers: Answers) -> Approach:
    return judge(score_all(facts, answers), walk(facts, answers)).recommendation


def _changes(facts: Facts) -> Iterator[tuple[str, str, Facts]]:
    for fact, (text, scale) in SCALES.items():
        for value in scale:
            # Relaxed and normal timing score alike: moving between them is no change.
            if value != getattr(facts, fact) and not (fact == "time_to_market" and _is_calm(facts, value)):
                yield fact, text.format(value), replace(facts, **{fact: value})
    if facts.volume_per_day < HIGH_VOLUME_PER_DAY:
        more = replace(facts, volume_per_day=HIGH_VOLUME_PER_DAY)
        yield "volume_per_day", f"volume reaches {HIGH_VOLUME_PER_DAY:,} requests a day", more
    else:
        fewer = replace(facts, volume_per_day=HIGH_VOLUME_PER_DAY - 1)
        yield "volume_per_day", f"volume falls below {HIGH_VOLUME_PER_DAY:,} requests a day", fewer
    for fact in NEEDS:
        value = not getattr(facts, fact)
        changed: dict[str, Any] = {fact: value}
        yield fact, WHEN[fact][0 if value else 1], replace(facts, **changed)


def _is_calm(facts: Facts, value: Timing) -> bool:
    return Timing.URGENT not in (facts.time_to_market, value)


def grouped_by_answer(flips: tuple[Flip, ...]) -> list[tuple[Approach, list[Flip]]]:
    """The flips by the approach they lead to, in the order of effort."""
    return [(a, found) for a in Approach if (found := [flip for flip in flips if flip.leads_to is a])]
