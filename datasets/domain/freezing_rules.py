"""Which findings and which gaps stop a freeze: a team's own choice, with a sane start.

A blocking rule never stops anybody for good: a reason of MIN_REASON characters lifts it and stays on the version.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from datasets.domain.rules import RULES

MIN_REASON = 10


class Stance(StrEnum):
    """What a rule does to a freeze."""

    BLOCKS = "blocks"
    WARNS = "warns"
    IGNORED = "ignored"


@dataclass(frozen=True, slots=True)
class GateRule:
    """One line of the gate: its key, its name, and how it starts."""

    key: str
    title: str
    start: Stance
    why: str


# What is asked of the whole dataset, before its findings. `quality` uses the one bar that "Good" begins at.
WHOLE = (
    GateRule("size", "Fewer than 500 rows", Stance.BLOCKS, "A test on them says little."),
    GateRule("review", "Sample not looked at", Stance.BLOCKS, "Nobody trusts rows that nobody saw."),
    GateRule("quality", "Judged below 0.7 on average", Stance.BLOCKS, "The bar at which “Good” begins."),
    GateRule("unchecked", "Rows changed since the checks", Stance.WARNS, "The findings speak of older rows."),
)
# Exact duplicates are left out by freezing itself; the others of these spoil what a model learns or may say.
_BLOCKING = frozenset({"pii", "conflict", "empty_answer"})
GATE_RULES: dict[str, GateRule] = {
    rule.key: rule
    for rule in (
        *WHOLE,
        *(
            GateRule(
                rule.key,
                rule.title,
                Stance.BLOCKS
                if rule.key in _BLOCKING
                else Stance.IGNORED
                if rule.severity == "note"
                else Stance.WARNS,
                rule.why,
            )
            for rule in RULES.values()
        ),
    )
}


def stances(chosen: Mapping[str, Any]) -> dict[str, Stance]:
    """The stance of every rule: as chosen, else as it starts. What is not a rule or not a stance is left out."""
    known = {stance.value for stance in Stance}
    return {
        key: Stance(chosen[key]) if chosen.get(key) in known else rule.start
        for key, rule in GATE_RULES.items()
    }


@dataclass(frozen=True, slots=True)
class Standing:
    """One thing in the way of a freeze, or only worth a warning."""

    rule: str
    sentence: str
    blocks: bool

    def as_json(self) -> dict[str, str]:
        """Plain values for the record of a version."""
        return {"rule": self.rule, "sentence": self.sentence}


def judged(troubles: Iterable[tuple[str, str]], chosen: Mapping[str, Any]) -> list[Standing]:
    """Troubles as (rule, sentence), each with what the team's gate makes of it; ignored ones are gone."""
    by_rule = stances(chosen)
    found = [
        Standing(rule, sentence, by_rule.get(rule) is Stance.BLOCKS)
        for rule, sentence in troubles
        if by_rule.get(rule) is not Stance.IGNORED
    ]
    return sorted(found, key=lambda standing: not standing.blocks)
