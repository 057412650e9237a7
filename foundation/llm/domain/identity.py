"""When two questions are the same question: the digest answers are kept under."""

from __future__ import annotations

import hashlib
import json

from foundation.llm.domain.messages import Request


def request_digest(request: Request, *, provider: str, host: str) -> str:
    """SHA-256, as hex, of everything that can change the answer: provider, host and the whole request."""
    whole = {
        "provider": provider,
        "host": host,
        "model": request.model,
        "system": request.system,
        "messages": [[m.role, m.content] for m in request.messages],
        "max_tokens": request.max_tokens,
        "output_schema": request.output_schema,
        "stop": list(request.stop),
        "effort": request.effort,
        "sampling": dict(sorted(request.sampling.items())),
    }
    # ASCII escapes make every string encodable, lone surrogates included, and keep the digest one-to-one.
    text = json.dumps(whole, sort_keys=True, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode("ascii")).hexdigest()
