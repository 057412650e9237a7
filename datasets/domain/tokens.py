"""How many tokens a row can be at most, against what providers take. A bound and an estimate, never a count."""

from __future__ import annotations

from dataclasses import dataclass

# What a provider adds around each turn, as in the bound of paid calls; and a likely number of bytes a token.
TURN_TOKENS = 16
BYTES_PER_TOKEN = 2.8


@dataclass(frozen=True, slots=True)
class Limit:
    """The most tokens one row may have at a provider."""

    name: str
    max_tokens: int


# Smallest first. Source: the providers' limits of fine-tuning records, November 2026; what is not listed
# (OpenAI, Together, Fireworks) names no limit of its own beside the base model's context.
LIMITS = (
    Limit("Bedrock, Llama 3", 16_000),
    Limit("Bedrock, Claude 3 Haiku", 32_000),
    Limit("context of Claude Haiku 4.5", 200_000),
    Limit("context of Claude 5", 1_000_000),
)
# A UTF-8 character has at most four bytes: rows with fewer characters cannot pass the smallest limit.
WORTH_COUNTING_CHARS = (LIMITS[0].max_tokens - 64) // 4


def tokens_bound(n_bytes: int, n_turns: int) -> int:
    """An upper bound: a byte-level tokenizer never makes more tokens than UTF-8 bytes."""
    return n_bytes + TURN_TOKENS * n_turns


def tokens_estimate(n_bytes: int, n_turns: int) -> int:
    """A likely number, to be called an estimate wherever it is shown."""
    return int(n_bytes / BYTES_PER_TOKEN) + TURN_TOKENS * n_turns


def passed_limits(tokens: int) -> tuple[Limit, ...]:
    """The limits that a row of so many tokens passes."""
    return tuple(limit for limit in LIMITS if tokens > limit.max_tokens)
