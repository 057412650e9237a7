"""What a team says about a use case: the fifteen facts every score rests on, and the task behind them.

Pure values. Knows no table and no page.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any

MINIMUM_EXAMPLES = 500
RECOMMENDED_EXAMPLES = 2000
# The framework's word for "high volume". Exactly this many a day counts (the chapter's `>` left it out).
HIGH_VOLUME_PER_DAY = 10_000
LOW_VOLUME_PER_DAY = 1_000
FEW_EXAMPLES = 100


class Complexity(StrEnum):
    SIMPLE = "simple"
    MODERATE = "moderate"
    COMPLEX = "complex"

    @property
    def label(self) -> str:
        """The word people read."""
        return self.value.capitalize()


class Level(StrEnum):
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"

    @property
    def label(self) -> str:
        """The word people read."""
        return self.value.capitalize()


class Timing(StrEnum):
    URGENT = "urgent"
    NORMAL = "normal"
    # Scores as normal; kept apart because people mean something else by it.
    RELAXED = "relaxed"

    @property
    def label(self) -> str:
        """The word people read."""
        return self.value.capitalize()


class TaskKind(StrEnum):
    CLASSIFY = "classify"
    EXTRACT = "extract"
    ANSWER = "answer"
    WRITE = "write"

    @property
    def label(self) -> str:
        """The words people read."""
        return {
            "classify": "Classify: pick one label",
            "extract": "Extract: fill in fields",
            "answer": "Answer: reply to a question",
            "write": "Write: produce a text",
        }[self.value]


@dataclass(frozen=True, slots=True)
class Facts:
    """The fifteen facts of one use case. `volume_per_day` is in requests."""

    name: str
    task_complexity: Complexity = Complexity.MODERATE
    data_availability: Level = Level.MEDIUM
    data_quality: Level = Level.MEDIUM
    volume_per_day: int = 0
    budget_constraint: Level = Level.MEDIUM
    time_to_market: Timing = Timing.NORMAL
    requires_factual_accuracy: bool = False
    requires_consistency: bool = False
    requires_specialised_behaviour: bool = False
    has_knowledge_base: bool = False
    data_changes_frequently: bool = False
    requires_citations: bool = False
    requires_flexibility: bool = False
    domain_specific: bool = False

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> Facts:
        """Facts from plain values, such as a saved snapshot. Raises ValueError for a word outside the scales."""
        return cls(
            name=str(values["name"]),
            task_complexity=Complexity(values["task_complexity"]),
            data_availability=Level(values["data_availability"]),
            data_quality=Level(values["data_quality"]),
            volume_per_day=int(values["volume_per_day"]),
            budget_constraint=Level(values["budget_constraint"]),
            time_to_market=Timing(values["time_to_market"]),
            **{name: bool(values[name]) for name in NEEDS},
        )

    def as_mapping(self) -> dict[str, Any]:
        """The facts as plain JSON values, in the order of the fields."""
        return {
            field.name: (value.value if isinstance(value := getattr(self, field.name), StrEnum) else value)
            for field in fields(self)
        }


FACT_NAMES: tuple[str, ...] = tuple(field.name for field in fields(Facts))
# The eight yes-or-no facts, in the chapter's order.
NEEDS: tuple[str, ...] = FACT_NAMES[7:]


@dataclass(frozen=True, slots=True)
class Label:
    """One answer a classifier may give, and what it means."""

    name: str
    definition: str = ""


@dataclass(frozen=True, slots=True)
class Task:
    """What the model is to produce. Length limits, scorers, splits and formats follow from it."""

    kind: TaskKind
    labels: tuple[Label, ...] = ()
    output_schema: Mapping[str, Any] | None = None

    @property
    def label_names(self) -> tuple[str, ...]:
        """The labels' names, in the team's order; empty when the task has none or they are not named yet."""
        return tuple(label.name for label in self.labels)

    @classmethod
    def from_columns(
        cls, kind: str, labels: Sequence[Mapping[str, str]], schema: Mapping[str, Any] | None
    ) -> Task:
        """The task as its row keeps it."""
        return cls(
            TaskKind(kind),
            tuple(Label(row["name"], row.get("definition", "")) for row in labels),
            schema or None,
        )


class EvidenceKind(StrEnum):
    """What the floors above have measured. The newest value of a kind stands beside what the team stated."""

    EXAMPLES_IN_HAND = "examples_in_hand"
    VOLUME_PER_DAY = "volume_per_day"
    MEASURED_GAIN = "measured_gain"
    # Where no prompt took part in the comparison: shown, and read by no rule.
    GAIN_OVER_BASELINE = "measured_gain_over_baseline"
    PROMPT_SOLVES_IT = "prompt_solves_it"
    DATA_QUALITY_SCORE = "data_quality_score"
    TRAINING_COST = "training_cost_microusd"
    COST_PER_REQUEST = "cost_per_request_microusd"
    FINE_TUNED_COST_PER_REQUEST = "fine_tuned_cost_per_request_microusd"
    BASE_MODEL_RETIRES = "base_model_retires_on"

    @property
    def label(self) -> str:
        """The words people read."""
        return {
            "examples_in_hand": "examples in hand",
            "volume_per_day": "requests a day",
            "measured_gain": "gain over the best prompt",
            "measured_gain_over_baseline": "gain over the baseline",
            "prompt_solves_it": "a prompt solves it",
            "data_quality_score": "data quality, 0 to 1",
            "training_cost_microusd": "training cost",
            "cost_per_request_microusd": "cost of a request today",
            "fine_tuned_cost_per_request_microusd": "cost of a fine-tuned request",
            "base_model_retires_on": "base model retires on",
        }[self.value]
