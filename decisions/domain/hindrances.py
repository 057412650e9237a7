"""Which facts hold fine-tuning back across a team's use cases, and where one of them alone would turn the answer.

Pure. Nothing here says that fine-tuning should be wanted: "no" may be the right answer everywhere.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from decisions.domain.approaches import Approach
from decisions.domain.facts import HIGH_VOLUME_PER_DAY, Complexity, Facts, Level, Timing
from decisions.domain.flips import recommended
from decisions.domain.scoring import Untaken, score_all
from decisions.domain.tree import Answers

# By the factor's name: the facts that would have to be said for it to count for fine-tuning.
SAID: dict[str, Mapping[str, Any]] = {
    "Plenty of good data": {"data_availability": Level.HIGH, "data_quality": Level.HIGH},
    "Complex task": {"task_complexity": Complexity.COMPLEX},
    "Consistency": {"requires_consistency": True},
    "High volume": {"volume_per_day": HIGH_VOLUME_PER_DAY},
    "Specialised behaviour": {"requires_specialised_behaviour": True},
    "High budget": {"budget_constraint": Level.HIGH},
    "Little data": {"data_availability": Level.MEDIUM},
    "Urgent": {"time_to_market": Timing.NORMAL},
}
TRAINS = (Approach.FINE_TUNING, Approach.HYBRID)


@dataclass(frozen=True, slots=True)
class Case:
    """One use case as the rules see it; `key` is whatever the caller knows it by."""

    key: int
    facts: Facts
    answers: Answers


@dataclass(frozen=True, slots=True)
class Hindrance:
    """One factor that is missing: its points, at which use cases, and at which of them it alone would turn the answer."""

    name: str
    points: int
    would_need: str
    missing_at: tuple[int, ...]
    turns_at: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Overview:
    """What a team's use cases are answered, and what holds fine-tuning back where it is not."""

    by_answer: tuple[tuple[Approach, int], ...]
    hindrances: tuple[Hindrance, ...]
    n_gated: int
    n: int

    @property
    def n_trained(self) -> int:
        """How many are answered with training: fine-tuning or hybrid."""
        return sum(n for approach, n in self.by_answer if approach in TRAINS)

    @property
    def most(self) -> tuple[Approach, int] | None:
        """The most frequent answer and how often it is given; None without use cases."""
        return max(self.by_answer, key=lambda pair: pair[1], default=None)


def overview(cases: Sequence[Case]) -> Overview:
    """The answers of these use cases and the factors missing at those that are not answered with training.

    Hindrances come most frequent first, then by points.
    """
    answered: Counter[Approach] = Counter()
    missing: dict[str, list[int]] = {}
    turning: dict[str, list[int]] = {}
    words: dict[str, Untaken] = {}
    n_gated = 0
    for case in cases:
        now = recommended(case.facts, case.answers)
        answered[now] += 1
        if now in TRAINS:
            continue
        tuned = score_all(case.facts, case.answers)[Approach.FINE_TUNING]
        n_gated += not tuned.gate.is_open
        for untaken in tuned.untaken:
            words.setdefault(untaken.name, untaken)
            missing.setdefault(untaken.name, []).append(case.key)
            changed = replace(case.facts, **SAID[untaken.name])
            if recommended(changed, case.answers) in TRAINS:
                turning.setdefault(untaken.name, []).append(case.key)
    found = [
        Hindrance(name, words[name].points, words[name].would_need, tuple(at), tuple(turning.get(name, ())))
        for name, at in missing.items()
    ]
    found.sort(key=lambda each: (-len(each.missing_at), -each.points, each.name))
    by_answer = tuple((approach, answered[approach]) for approach in Approach if answered[approach])
    return Overview(by_answer, tuple(found), n_gated, len(cases))
