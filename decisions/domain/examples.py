"""Use cases to start from: the source book's own examples, with every figure it states and the rest filled in.

Values only, as `services.create_use_case` takes them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Example:
    """One starting point. `expect` says what the corrected rules answer, so that a reader knows what to look for."""

    key: str
    name: str
    summary: str
    expect: str
    values: Mapping[str, Any] = field(default_factory=dict)


EXAMPLES: tuple[Example, ...] = (
    Example(
        "email",
        "Email classification",
        "10,000 e-mails a day sorted into phishing, work and promotional; plenty of good data.",
        "Fine-tuning, ahead by score",
        {
            "description": "Sort each incoming e-mail: phishing, work or promotional. The same answer every time.",
            "task_kind": "classify",
            "labels": [
                {
                    "name": "phishing",
                    "definition": "Pretends to be somebody trusted to get a password or money.",
                },
                {"name": "work", "definition": "Written by a colleague or a client about work."},
                {"name": "promotional", "definition": "Advertises an offer."},
            ],
            "task_complexity": "moderate",
            "data_availability": "high",
            "data_quality": "high",
            "volume_per_day": 10_000,
            "budget_constraint": "medium",
            "time_to_market": "normal",
            "requires_consistency": True,
            "domain_specific": True,
            "expected_gain": "0.25",
            "rates": {
                "prompt_engineering": {"per_request_microusd": 4_000},
                "fine_tuning": {
                    "setup_microusd": 3_000_000_000,
                    "training_microusd": 0,
                    "per_request_microusd": 2_000,
                    "monthly_microusd": 500_000_000,
                },
            },
        },
    ),
    Example(
        "support",
        "Customer support automation",
        "5,000 questions a day, answered from a knowledge base in the company's own manner.",
        "Hybrid: RAG and fine-tuning tie",
        {
            "description": "Answer customers' questions from the knowledge base, in the company's own manner.",
            "task_kind": "answer",
            "task_complexity": "complex",
            "data_availability": "high",
            "data_quality": "high",
            "volume_per_day": 5_000,
            "budget_constraint": "medium",
            "time_to_market": "normal",
            "requires_factual_accuracy": True,
            "requires_consistency": True,
            "requires_specialised_behaviour": True,
            "has_knowledge_base": True,
            "domain_specific": True,
            "expected_gain": "0.15",
            "rates": {
                "prompt_engineering": {"per_request_microusd": 5_000},
                "fine_tuning": {
                    "setup_microusd": 5_000_000_000,
                    "training_microusd": 0,
                    "per_request_microusd": 3_000,
                    "monthly_microusd": 500_000_000,
                },
            },
        },
    ),
    Example(
        "documentation",
        "Documentation Q&A",
        "Questions about a product, answered from documentation that changes, with the place it stands.",
        "RAG; fine-tuning is not eligible yet",
        {
            "description": "Answer questions about the product from its documentation, and say where it stands.",
            "task_kind": "answer",
            "task_complexity": "moderate",
            "data_availability": "low",
            "data_quality": "medium",
            "volume_per_day": 1_000,
            "budget_constraint": "medium",
            "time_to_market": "normal",
            "requires_factual_accuracy": True,
            "has_knowledge_base": True,
            "data_changes_frequently": True,
            "requires_citations": True,
            "domain_specific": True,
        },
    ),
    Example(
        "quick-start",
        "Quick start",
        "A small, urgent e-mail sorter with little data and little money: the book's first example.",
        "Prompt engineering, 0.30 ahead of RAG",
        {
            "description": "Sort incoming e-mails into a few folders, soon and cheaply.",
            "task_kind": "classify",
            "task_complexity": "simple",
            "data_availability": "low",
            "data_quality": "medium",
            "volume_per_day": 1_000,
            "budget_constraint": "low",
            "time_to_market": "urgent",
            "requires_consistency": True,
            "data_changes_frequently": True,
            "requires_flexibility": True,
        },
    ),
)


def example(key: str) -> Example | None:
    """The example of this key, None when there is none."""
    return next((each for each in EXAMPLES if each.key == key), None)
