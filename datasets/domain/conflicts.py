"""The same question with different answers: a model cannot learn both."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Conflict:
    """Positions of rows that ask the same and are answered differently; `majority` is the answer most give, or ''."""

    members: tuple[int, ...]
    n_answers: int
    majority: object
    minority: tuple[int, ...]


def find_conflicts(prompts: Sequence[object], answers: Sequence[Hashable]) -> list[Conflict]:
    """Groups with one prompt key and more than one answer, in order of first appearance.

    `minority` are the positions that a majority rule would drop; with a tie there is no majority and nothing to drop.
    Shapes: equal lengths; position i is the same row in both.
    """
    groups: dict[object, list[int]] = {}
    for position, prompt in enumerate(prompts):
        groups.setdefault(prompt, []).append(position)
    found = []
    for members in groups.values():
        if len(members) < 2:
            continue
        votes = Counter(answers[i] for i in members)
        if len(votes) < 2:
            continue
        (first, most), (_, second) = votes.most_common(2)
        majority = first if most > second else ""
        minority = tuple(i for i in members if answers[i] != majority) if majority else ()
        found.append(Conflict(tuple(members), len(votes), majority, minority))
    return found
