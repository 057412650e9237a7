"""The four ways to make a model do what a team wants, and what each asks of the team.

Constants with their reasons; no rule stands here.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Approach(StrEnum):
    """In the order of effort, which is also the book's array order."""

    PROMPT = "prompt_engineering"
    RAG = "rag"
    FINE_TUNING = "fine_tuning"
    HYBRID = "hybrid"

    @property
    def label(self) -> str:
        """The words at the start of a sentence."""
        return {
            "prompt_engineering": "Prompt engineering",
            "rag": "RAG",
            "fine_tuning": "Fine-tuning",
            "hybrid": "Hybrid",
        }[self.value]

    @property
    def inline(self) -> str:
        """The words inside a sentence."""
        return self.label if self is Approach.RAG else self.label[0].lower() + self.label[1:]


@dataclass(frozen=True, slots=True)
class Effort:
    """How long an approach takes to stand, and what keeping it up asks."""

    approach: Approach
    weeks_low: int
    weeks_high: int
    upkeep: str
    upkeep_why: str

    @property
    def weeks(self) -> str:
        """The range in words."""
        return f"{self.weeks_low} to {self.weeks_high} weeks"


EFFORT: dict[Approach, Effort] = {
    Approach.PROMPT: Effort(
        Approach.PROMPT, 1, 2, "Low", "Prompts are changed as needed; nothing else runs."
    ),
    Approach.RAG: Effort(
        Approach.RAG, 2, 4, "Medium", "The knowledge base and its index must be kept up to date."
    ),
    Approach.FINE_TUNING: Effort(
        Approach.FINE_TUNING,
        4,
        8,
        "Medium to high",
        "The model is trained again as data and base models change.",
    ),
    Approach.HYBRID: Effort(
        Approach.HYBRID, 6, 12, "High", "Two systems are kept up: the index and the trained model."
    ),
}
