"""The shapes clients see: messages, events and errors as Anthropic's API words them. Bytes in, bytes out."""

from __future__ import annotations

import os
import time
import uuid
from typing import Any

import orjson

# What the API calls an error, by status; the SDK picks its exception by the status.
ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    502: "api_error",
    503: "api_error",
    504: "timeout_error",
    529: "overloaded_error",
}


def uuid7() -> uuid.UUID:
    """A UUIDv7: 48 bits of milliseconds, then 74 random bits (RFC 9562)."""
    milliseconds = time.time_ns() // 1_000_000
    number = milliseconds << 80 | int.from_bytes(os.urandom(10), "big")
    number = number & ~(0xF << 76) | 7 << 76
    return uuid.UUID(int=number & ~(0x3 << 62) | 2 << 62)


def first_id_at(seconds: float) -> uuid.UUID:
    """The lowest UUIDv7 of a moment (seconds since 1970): "since then" as a range of the primary key."""
    return uuid.UUID(int=int(seconds * 1000) << 80 | 7 << 76 | 2 << 62)


def error_object(status: int, sentence: str) -> dict[str, Any]:
    """The body of an error, as a value."""
    return {"type": "error", "error": {"type": ERROR_TYPES.get(status, "api_error"), "message": sentence}}


def error_body(status: int, sentence: str) -> bytes:
    """The body of an error."""
    return orjson.dumps(error_object(status, sentence))


def event(kind: str, fields: dict[str, Any]) -> bytes:
    """One server-sent event."""
    return b"event: %s\ndata: %s\n\n" % (kind.encode(), orjson.dumps({"type": kind, **fields}))


def error_event(status: int, sentence: str) -> bytes:
    """The event that ends a stream which cannot be finished."""
    return b"event: error\ndata: %s\n\n" % error_body(status, sentence)


def error_in(piece: bytes) -> str:
    """What a stream's error event says, or that it could not be read."""
    for line in piece.split(b"\n"):
        if line.startswith(b"data:"):
            try:
                error = orjson.loads(line[5:])["error"]
                return f"The provider answered: {error['message']} ({error['type']})"[:300]
            except (orjson.JSONDecodeError, KeyError, TypeError):
                break
    return "The provider ended its answer with an error."


def message(identity: str, model: str, text: str) -> dict[str, Any]:
    """A whole answer of a model that answers in process: it has no tokens, so none are counted."""
    return {
        "id": f"msg_{identity}",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [{"type": "text", "text": text}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 0, "output_tokens": 0},
    }


def message_as_events(whole: dict[str, Any]) -> bytes:
    """The same answer as the events of a stream."""
    begun = {**whole, "content": [], "stop_reason": None}
    text = whole["content"][0]["text"]
    return b"".join(
        (
            event("message_start", {"message": begun}),
            event("content_block_start", {"index": 0, "content_block": {"type": "text", "text": ""}}),
            event("content_block_delta", {"index": 0, "delta": {"type": "text_delta", "text": text}}),
            event("content_block_stop", {"index": 0}),
            event(
                "message_delta",
                {
                    "delta": {"stop_reason": whole["stop_reason"], "stop_sequence": None},
                    "usage": {"output_tokens": 0},
                },
            ),
            event("message_stop", {}),
        )
    )


class Reply:
    """What the record needs of an answer: text, tokens, why it ended. Missing parts stay None."""

    __slots__ = ("input_tokens", "output_tokens", "stop_reason", "text", "usage", "usage_is_final")

    def __init__(self) -> None:
        self.text = ""
        self.stop_reason = ""
        self.usage: dict[str, Any] = {}
        self.usage_is_final = False


def read_message(whole: dict[str, Any]) -> Reply:
    """An answer that came as one JSON value."""
    reply = Reply()
    content = whole.get("content")
    if isinstance(content, list):
        reply.text = "".join(
            block["text"]
            for block in content
            if isinstance(block, dict) and isinstance(block.get("text"), str)
        )
    reply.stop_reason = str(whole.get("stop_reason") or "")
    if isinstance(usage := whole.get("usage"), dict):
        reply.usage, reply.usage_is_final = usage, True
    return reply


def read_events(chunks: list[bytes]) -> Reply:
    """An answer that came as events, perhaps cut in the middle; what cannot be read is passed over."""
    reply, pieces = Reply(), []
    for line in b"".join(chunks).split(b"\n"):
        if not line.startswith(b"data:"):
            continue
        try:
            data = orjson.loads(line[5:])
        except orjson.JSONDecodeError:
            continue
        if not isinstance(data, dict):
            continue
        kind = data.get("type")
        if kind == "content_block_delta":
            delta = data.get("delta")
            if isinstance(delta, dict) and isinstance(delta.get("text"), str):
                pieces.append(delta["text"])
        elif kind == "message_start":
            begun = data.get("message")
            if isinstance(begun, dict) and isinstance(begun.get("usage"), dict):
                reply.usage = dict(begun["usage"])
        elif kind == "message_delta":
            if isinstance(delta := data.get("delta"), dict):
                reply.stop_reason = str(delta.get("stop_reason") or "")
            if isinstance(usage := data.get("usage"), dict):
                # Counts are cumulative: the last ones said are the right ones.
                reply.usage = {**reply.usage, **{k: v for k, v in usage.items() if v is not None}}
                reply.usage_is_final = True
    reply.text = "".join(pieces)
    return reply
