"""What every adapter hands back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from foundation.llm.domain.messages import Usage


@dataclass(frozen=True, slots=True)
class Answer:
    """A finished answer of a provider, before anything is booked."""

    text: str
    stop_reason: str
    usage: Usage
    request_id: str = ""
    sent_parameters: Mapping[str, Any] = field(default_factory=dict)
    confidence: float | None = None
