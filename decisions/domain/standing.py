"""How firmly an answer stands, in one word: what must change before anybody is told that the facts moved.

Pure. A hundredth more or less is no news; another approach, or a lead that became a tie, is.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from decisions.domain.approaches import Approach
from decisions.domain.verdicts import Verdict

# In hundredths. The smallest factor moves a score by 0.10, and 0.15 is what the rules call close.
NARROW_UP_TO = 15


class MarginClass(StrEnum):
    TIE = "tie"
    NARROW = "narrow"
    CLEAR = "clear"
    # The hybrid rule weighs two approaches against each other; it has no runner-up to be ahead of.
    BOTH = "both"

    @property
    def label(self) -> str:
        """The words after the approach's name."""
        return {
            "tie": "settled from a tie",
            "narrow": "narrowly ahead",
            "clear": "clearly ahead",
            "both": "because RAG and fine-tuning are both needed",
        }[self.value]


@dataclass(frozen=True, slots=True)
class Standing:
    """A recommendation and how firmly it stands."""

    recommendation: Approach
    margin: MarginClass

    @property
    def word(self) -> str:
        """Both as one word for a column, as in "rag:narrow"."""
        return f"{self.recommendation.value}:{self.margin.value}"

    @property
    def text(self) -> str:
        """Both as people say it, as in "RAG, narrowly ahead"."""
        return f"{self.recommendation.label}, {self.margin.label}"

    @classmethod
    def of_word(cls, word: str) -> Standing | None:
        """The standing a column keeps; None for an empty or unknown one."""
        approach, _, margin = word.partition(":")
        try:
            return cls(Approach(approach), MarginClass(margin))
        except ValueError:
            return None


def margin_class(margin: int | None) -> MarginClass:
    """The class of a lead in hundredths; None is the hybrid rule's."""
    if margin is None:
        return MarginClass.BOTH
    if margin <= 0:
        return MarginClass.TIE
    return MarginClass.NARROW if margin <= NARROW_UP_TO else MarginClass.CLEAR


def standing_of(verdict: Verdict) -> Standing:
    """How firmly this verdict stands."""
    return Standing(verdict.recommendation, margin_class(verdict.margin))


def news(name: str, known: Standing, now: Standing, decided: Approach) -> str:
    """What to tell whoever decided `decided`: one line, empty when approach and margin class are as they were known."""
    if now == known:
        return ""
    if now.recommendation is not known.recommendation:
        if now.recommendation is decided:
            return f"{name}: the facts say {decided.inline} again, as decided"
        return f"{name}: the facts now say {now.recommendation.inline}, not {decided.inline}"
    return f"{name}: {now.recommendation.inline} is now {now.margin.label}, before {known.margin.label}"
