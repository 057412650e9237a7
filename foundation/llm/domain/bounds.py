"""How many tokens a request can be at most, without asking anybody. For caps, never for display as a
count."""

from __future__ import annotations

import json
import math

from foundation.llm.domain.messages import Request

# Words the provider adds around a conversation, each turn and a schema. Generous: a bound may be high, never
# low.
FRAME_TOKENS = 64
TURN_TOKENS = 16
SCHEMA_TOKENS = 800


def prompt_tokens_bound(request: Request) -> int:
    """An upper bound on the prompt's tokens.

    A byte-level tokenizer never makes more tokens than UTF-8 bytes.
    """
    text_bytes = _bytes(request.system) + sum(_bytes(m.content) for m in request.messages)
    schema = 0
    if request.output_schema is not None:
        schema = SCHEMA_TOKENS + _bytes(json.dumps(request.output_schema, ensure_ascii=False))
    return FRAME_TOKENS + TURN_TOKENS * len(request.messages) + text_bytes + schema


def prompt_tokens_estimate(text: str, *, bytes_per_token: float = 2.8) -> int:
    """A likely token count of `text`, to be labelled “estimate” wherever it is shown."""
    # Binary fractions: 28 bytes at 2.8 are 10, not 10.000000000000002 and so 11.
    return max(1, math.ceil(_bytes(text) / bytes_per_token - 1e-9)) if text else 0


def _bytes(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))
