"""The seven pitfalls of fine-tuning as a checklist whose state comes from what was recorded, not from a tick.

Pure. What the floors above know comes as signs; where nobody knows, the line stays open and says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from decisions.domain.facts import MINIMUM_EXAMPLES, RECOMMENDED_EXAMPLES


class State(StrEnum):
    GOOD = "good"
    WARN = "warn"
    BAD = "bad"
    OPEN = "open"

    @property
    def label(self) -> str:
        """The word people read."""
        return {"good": "avoided", "warn": "look at it", "bad": "fallen into", "open": "not known yet"}[
            self.value
        ]


# What counts when several signs speak of one pitfall: the worst of them, and a known one before an open one.
_WEIGHT = {State.BAD: 3, State.WARN: 2, State.GOOD: 1, State.OPEN: 0}


@dataclass(frozen=True, slots=True)
class Sign:
    """One thing the portal knows about one pitfall; `url` is the page that shows it."""

    pitfall: int
    state: State
    text: str
    url: str = ""


@dataclass(frozen=True, slots=True)
class Pitfall:
    """One line of the checklist."""

    number: int
    title: str
    aim: str
    state: State
    signs: tuple[Sign, ...]


PITFALLS: tuple[tuple[int, str, str], ...] = (
    (1, "Data leakage", "Test rows train, tune and decide nothing."),
    (
        2,
        "Overfitting on little data",
        f"{MINIMUM_EXAMPLES} good examples or more, {RECOMMENDED_EXAMPLES:,} recommended; the gap to the validation rows is small.",
    ),
    (
        3,
        "No baseline",
        "The best prompt was measured on the same rows, and the difference is more than chance.",
    ),
    (
        4,
        "Poor examples",
        "A tenth was reviewed by people; duplicates and contradictions are out; quality 0.70 or more.",
    ),
    (5, "A careless split", "Seeded, stratified or by time, near-duplicates kept together."),
    (6, "Training for its own sake", "A good prompt was tried first, and the gain carries the cost."),
    (
        7,
        "The wrong measure",
        "Several measures, the majority class beside accuracy, and a figure of the business.",
    ),
)


def checklist(signs: Iterable[Sign]) -> tuple[Pitfall, ...]:
    """The seven lines in their order; a pitfall without any sign is open."""
    given = list(signs)
    lines = []
    for number, title, aim in PITFALLS:
        own = tuple(sign for sign in given if sign.pitfall == number)
        worst = max((sign.state for sign in own), key=_WEIGHT.__getitem__, default=State.OPEN)
        lines.append(Pitfall(number, title, aim, worst, own))
    return tuple(lines)


def signs_of_decision(inputs: Mapping[str, Any], *, trains: bool) -> list[Sign]:
    """What the answers of a decision say about pitfalls 2, 3, 4 and 6; `trains` whether it recommends training."""
    answers, sources = inputs["answers"], inputs["sources"]
    n, gain, solved = answers["examples_in_hand"], answers["expected_gain"], answers["prompt_solves_it"]
    return [
        _of_examples(n, sources),
        _of_gain(gain, sources),
        _of_quality(inputs["facts"]["data_quality"]),
        *_of_prompt(solved, gain, trains=trains),
    ]


def _of_examples(n: int | None, sources: Mapping[str, str]) -> Sign:
    if n is None:
        return Sign(2, State.OPEN, "Nobody has counted the examples.")
    where = sources.get("examples_in_hand") or "as the team states it"
    state = State.BAD if n < MINIMUM_EXAMPLES else State.WARN if n < RECOMMENDED_EXAMPLES else State.GOOD
    return Sign(2, state, f"{n:,} examples in hand, {where}.")


def _of_gain(gain: float | None, sources: Mapping[str, str]) -> Sign:
    if source := sources.get("expected_gain"):
        return Sign(3, State.GOOD, f"Measured against the best prompt: {gain:+.1%}, {source}.")
    if gain is None:
        return Sign(3, State.OPEN, "Nobody has compared with the best prompt.")
    return Sign(3, State.WARN, f"A gain of {gain:+.1%} is assumed; nobody has measured it.")


def _of_quality(quality: str) -> Sign:
    state = {"low": State.BAD, "medium": State.WARN}.get(quality, State.OPEN)
    return Sign(4, state, f"The team calls the quality of its data {quality}.")


def _of_prompt(solved: bool | None, gain: float | None, *, trains: bool) -> list[Sign]:
    if not trains:
        return [Sign(6, State.GOOD, "Nothing is to be trained.")]
    if solved:
        return [Sign(6, State.BAD, "A good prompt solves it, and yet training is recommended.")]
    if solved is None:
        return [Sign(6, State.WARN, "Nobody has tried a good prompt yet.")]
    signs = [Sign(6, State.GOOD, "A good prompt was tried and falls short.")]
    if gain is not None and gain <= 0.10:
        signs.append(Sign(6, State.WARN, f"The gain of {gain:+.1%} is not above 10%."))
    return signs
