"""The same question with different answers: a model cannot learn both."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Conflict:
    """Positions of rows that ask the same and are answered differently; `majority` is the answer most give, or ''."""

    members: tuple[int, ...]
    n_answers: int
    majority: object
    minority: tuple[int, ...]


def find_conflicts(prompts: np.ndarray, answers: np.ndarray) -> list[Conflict]:
    """Groups with one prompt key and more than one answer, in order of first appearance.

    `minority` are the positions that a majority rule would drop; with a tie there is no majority and nothing to drop.
    Shapes: equal lengths, of keys that can be sorted; position i is the same row in both.
    """
    # Most prompts stand once, and most that do not are answered alike: only the rest is looked at one by one.
    order = np.argsort(prompts, kind="stable")
    asked, answered = prompts[order], answers[order]
    same = asked[1:] == asked[:-1]
    starts = np.flatnonzero(np.concatenate(([True], ~same)))[: len(order)]
    group = np.repeat(np.arange(len(starts)), np.diff(np.append(starts, len(order))))
    torn = np.unique(group[1:][same & (answered[1:] != answered[:-1])])
    ends = np.append(starts[1:], len(order))
    groups = sorted(order[starts[at] : ends[at]].tolist() for at in torn.tolist())
    found = []
    for members in groups:
        given = answers[members].tolist()
        (first, most), (_, second), *_ = Counter(given).most_common()
        has_majority = most > second
        found.append(
            Conflict(
                tuple(members),
                len(set(given)),
                first if has_majority else "",
                tuple(
                    i for i, answer in zip(members, given, strict=True) if has_majority and answer != first
                ),
            )
        )
    return found
