"""What is asked of a model and what comes back, as plain values. Knows no provider and no table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Role = Literal["user", "assistant"]
Effort = Literal["low", "medium", "high", "xhigh", "max"]


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation. `content` is text; what a stranger wrote stays text."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class Request:
    """One question to a model. `max_tokens` bounds the answer, thinking included."""

    model: str
    system: str
    messages: tuple[Message, ...]
    max_tokens: int
    output_schema: dict[str, Any] | None = None
    stop: tuple[str, ...] = ()
    effort: Effort | None = None
    # Only for models that still take them; others never see them (Completion.sent_parameters tells).
    sampling: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one call; the three input counts add up to the prompt."""

    input_tokens: int = 0
    output_tokens: int = 0
    cache_write_5m_tokens: int = 0
    cache_write_1h_tokens: int = 0
    cache_read_tokens: int = 0

    @property
    def prompt_tokens(self) -> int:
        """All tokens of the prompt, cached or not."""
        return (
            self.input_tokens
            + self.cache_write_5m_tokens
            + self.cache_write_1h_tokens
            + self.cache_read_tokens
        )


@dataclass(frozen=True, slots=True)
class Completion:
    """A finished answer. `stop_reason` is never None: an answer without one has failed."""

    text: str
    stop_reason: str
    usage: Usage
    latency_ms: float
    cost_microusd: int
    request_id: str = ""
    from_cache: bool = False
    sent_parameters: Mapping[str, Any] = field(default_factory=dict)
    confidence: float | None = None  # 0 to 1, only from local models; a language model's is not known
    tries: int = 1
