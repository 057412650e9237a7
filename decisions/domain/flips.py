"""What would turn the answer: every change of one fact, and every change of two that does together what neither does.

Pure. Found by trying each: no rule is inverted here, so no rule can be inverted wrongly.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any

from decisions.domain.approaches import Approach
from decisions.domain.facts import (
    HIGH_VOLUME_PER_DAY,
    MINIMUM_EXAMPLES,
    NEEDS,
    Complexity,
    Facts,
    Level,
    Timing,
)
from decisions.domain.scoring import score_all
from decisions.domain.tree import GAIN_WORTH_IT, Answers, walk
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
class Change:
    """One fact (or answer to the tree) said otherwise, in words and as the value that replaces it."""

    fact: str
    when: str
    value: Any
    is_answer: bool = False

    def applied_to(self, facts: Facts, answers: Answers) -> tuple[Facts, Answers]:
        """Facts and answers with this change."""
        changed: dict[str, Any] = {self.fact: self.value}
        return (
            (facts, replace(answers, **changed)) if self.is_answer else (replace(facts, **changed), answers)
        )


@dataclass(frozen=True, slots=True)
class Flip:
    """One fact said otherwise, and the approach that would then be recommended."""

    fact: str
    when: str
    leads_to: Approach
    value: Any = None


@dataclass(frozen=True, slots=True)
class Pair:
    """Two facts said otherwise at once, and the approach that would then be recommended; neither does it alone."""

    first: Change
    second: Change
    leads_to: Approach

    @property
    def when(self) -> str:
        """Both conditions as one clause."""
        return f"{self.first.when} and {self.second.when}"


@dataclass(frozen=True, slots=True)
class Flips:
    """The smallest changes that turn the answer. `n_tried` says how many were looked at."""

    one: tuple[Flip, ...] = ()
    two: tuple[Pair, ...] = ()
    n_tried: int = 0


def find(facts: Facts, answers: Answers | None = None) -> Flips:
    """Every single change that turns the recommendation, and every minimal pair: a pair of which no half does.

    Two values of one fact are no pair. The order is that of the form.
    """
    search = _Search(answers or Answers(), facts)
    singles = list(changes(facts, search.answers))
    one = tuple(
        Flip(change.fact, change.when, leads_to, change.value)
        for change in singles
        if (leads_to := search.after(change)) is not search.now
    )
    turning = {(flip.fact, flip.when) for flip in one}
    quiet = [change for change in singles if (change.fact, change.when) not in turning]
    two = tuple(
        Pair(first, second, leads_to)
        for first, second in combinations(quiet, 2)
        if first.fact != second.fact and (leads_to := search.after(first, second)) is not search.now
    )
    return Flips(one, two, search.n_tried)


def one_away(facts: Facts, answers: Answers | None = None) -> tuple[Flip, ...]:
    """Every change of one fact that turns the recommendation, in the order of the facts."""
    answers = answers or Answers()
    now = recommended(facts, answers)
    return tuple(
        Flip(change.fact, change.when, leads_to, change.value)
        for change in changes(facts, answers)
        if (leads_to := recommended(*change.applied_to(facts, answers))) is not now
    )


@dataclass(slots=True)
class _Search:
    """Asks for the answer after some changes, each state once."""

    answers: Answers
    facts: Facts
    now: Approach = field(init=False)
    n_tried: int = 0

    def __post_init__(self) -> None:
        self.now = recommended(self.facts, self.answers)

    def after(self, *several: Change) -> Approach:
        """The recommendation once all of these are so."""
        facts, answers = self.facts, self.answers
        for change in several:
            facts, answers = change.applied_to(facts, answers)
        self.n_tried += 1
        return recommended(facts, answers)


def recommended(facts: Facts, answers: Answers) -> Approach:
    """The recommendation alone."""
    return judge(score_all(facts, answers), walk(facts, answers)).recommendation


def changes(facts: Facts, answers: Answers) -> Iterator[Change]:
    """Every fact and every answer of the tree said otherwise: each other value of a scale, each side of a threshold."""
    for fact, (text, scale) in SCALES.items():
        for value in scale:
            # Relaxed and normal timing score alike: moving between them is no change.
            if value != getattr(facts, fact) and not (fact == "time_to_market" and _is_calm(facts, value)):
                yield Change(fact, text.format(value), value)
    if facts.volume_per_day < HIGH_VOLUME_PER_DAY:
        reaches = f"volume reaches {HIGH_VOLUME_PER_DAY:,} requests a day"
        yield Change("volume_per_day", reaches, HIGH_VOLUME_PER_DAY)
    else:
        falls = f"volume falls below {HIGH_VOLUME_PER_DAY:,} requests a day"
        yield Change("volume_per_day", falls, HIGH_VOLUME_PER_DAY - 1)
    for need in NEEDS:
        wanted = not getattr(facts, need)
        yield Change(need, WHEN[need][0 if wanted else 1], wanted)
    yield from _answers_otherwise(answers)


def _answers_otherwise(answers: Answers) -> Iterator[Change]:
    solves, n, gain = answers.prompt_solves_it, answers.examples_in_hand, answers.expected_gain
    if solves is not True:
        yield Change("prompt_solves_it", "a good prompt turns out to solve it", True, is_answer=True)
    if solves is not False:
        yield Change("prompt_solves_it", "a good prompt was tried and falls short", False, is_answer=True)
    if n is None or n < MINIMUM_EXAMPLES:
        enough = f"{MINIMUM_EXAMPLES} good examples are in hand"
        yield Change("examples_in_hand", enough, MINIMUM_EXAMPLES, is_answer=True)
    if n is None or n >= MINIMUM_EXAMPLES:
        few = f"fewer than {MINIMUM_EXAMPLES} good examples are in hand"
        yield Change("examples_in_hand", few, MINIMUM_EXAMPLES - 1, is_answer=True)
    if gain is None or gain <= GAIN_WORTH_IT:
        more = f"the gain over the best prompt is more than {GAIN_WORTH_IT:.0%}"
        yield Change("expected_gain", more, GAIN_WORTH_IT + 0.01, is_answer=True)
    if gain is None or gain > GAIN_WORTH_IT:
        less = f"the gain over the best prompt is {GAIN_WORTH_IT:.0%} or less"
        yield Change("expected_gain", less, GAIN_WORTH_IT, is_answer=True)


def _is_calm(facts: Facts, value: Timing) -> bool:
    return Timing.URGENT not in (facts.time_to_market, value)


def grouped_by_answer(flips: Sequence[Any]) -> list[tuple[Approach, list[Any]]]:
    """Flips or pairs by the approach they lead to, in the order of effort."""
    return [(a, found) for a in Approach if (found := [flip for flip in flips if flip.leads_to is a])]


# A saved answer keeps so many pairs an approach, and how many there were.
PAIRS_KEPT = 12


def as_json(flips: Flips) -> Mapping[str, Any]:
    """The flips as plain values to be kept with an answer and drawn by its page."""
    return {
        "one_away": [
            {"label": a.label, "inline": a.inline, "whens": [flip.when for flip in found]}
            for a, found in grouped_by_answer(flips.one)
        ],
        "two_away": [
            {
                "label": a.label,
                "inline": a.inline,
                "n": len(found),
                "whens": [pair.when for pair in found[:PAIRS_KEPT]],
            }
            for a, found in grouped_by_answer(flips.two)
        ],
        "n_tried": flips.n_tried,
    }
