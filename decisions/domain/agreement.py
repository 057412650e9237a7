"""Where several people read the same use case differently: per fact, and whether the difference matters.

Pure. Knows the readings, not who may see them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from decisions.domain.approaches import Approach
from decisions.domain.facts import FACT_NAMES, HIGH_VOLUME_PER_DAY, Facts
from decisions.domain.flips import recommended
from decisions.domain.tree import Answers


@dataclass(frozen=True, slots=True)
class FactReadings:
    """One fact as everybody read it, in the order of the readings. `matters` when the answer hangs on who is right."""

    fact: str
    values: tuple[Any, ...]
    is_agreed: bool
    matters: bool

    @property
    def n_values(self) -> int:
        """How many different readings there are."""
        return len(set(self.values))


@dataclass(frozen=True, slots=True)
class Agreement:
    """All readings side by side, with the approach each one leads to."""

    facts: tuple[FactReadings, ...]
    leads_to: tuple[Approach, ...]

    @property
    def disputed(self) -> tuple[FactReadings, ...]:
        """The facts on which not everybody agrees."""
        return tuple(each for each in self.facts if not each.is_agreed)

    @property
    def agreed(self) -> dict[str, Any]:
        """The facts everybody read alike."""
        return {each.fact: each.values[0] for each in self.facts if each.is_agreed and each.values}


def agreement(readings: Sequence[Facts], answers: Answers | None = None) -> Agreement:
    """Where the readings differ. A fact matters when the answer changes with its reading, all others held at what
    most people said (the first said, where as many said one thing as another).

    Volumes on the same side of high volume are one reading: the rules ask nothing finer.
    """
    answers = answers or Answers()
    names = FACT_NAMES[1:]
    if not readings:
        return Agreement(tuple(FactReadings(name, (), True, False) for name in names), ())
    middle = replace(
        readings[0], **{name: _most_common([getattr(r, name) for r in readings]) for name in names}
    )
    lines = []
    for name in names:
        values = tuple(getattr(reading, name) for reading in readings)
        leads = {recommended(replace(middle, **{name: value}), answers) for value in set(values)}
        kinds = (
            {value >= HIGH_VOLUME_PER_DAY for value in values} if name == "volume_per_day" else set(values)
        )
        lines.append(FactReadings(name, values, len(kinds) == 1, len(leads) > 1))
    return Agreement(tuple(lines), tuple(recommended(reading, answers) for reading in readings))


def _most_common(values: list[Any]) -> Any:
    return Counter(values).most_common(1)[0][0]
