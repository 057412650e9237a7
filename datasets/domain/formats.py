"""From the parts of an example to the line a provider reads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import orjson


@dataclass(frozen=True, slots=True)
class ExportFormat:
    """One way to write examples: its key, its name, and the line of a row as bytes with its newline."""

    key: str
    name: str
    line: Callable[[str, list[list[str]], str, str], bytes] = field(repr=False)


def chat_line(system: str, turns: list[list[str]], prompt: str, completion: str) -> bytes:
    """One line in OpenAI's chat shape: the system prompt is the first message."""
    messages = [{"role": "system", "content": system}] if system else []
    messages += [{"role": role, "content": text} for role, text in turns]
    messages += [{"role": "user", "content": prompt}, {"role": "assistant", "content": completion}]
    return orjson.dumps({"messages": messages}, option=orjson.OPT_APPEND_NEWLINE)


def bedrock_line(system: str, turns: list[list[str]], prompt: str, completion: str) -> bytes:
    """One line in Bedrock's shape for Claude: the system prompt stands beside the messages."""
    messages = [{"role": role, "content": text} for role, text in turns]
    messages += [{"role": "user", "content": prompt}, {"role": "assistant", "content": completion}]
    body: dict[str, Any] = {"system": system} if system else {}
    body["messages"] = messages
    return orjson.dumps(body, option=orjson.OPT_APPEND_NEWLINE)


def pair_line(system: str, turns: list[list[str]], prompt: str, completion: str) -> bytes:
    """One line of prompt and completion; a system prompt and earlier turns are written before the prompt."""
    before = [system] if system else []
    before += [f"{role.capitalize()}: {text}" for role, text in turns]
    whole = "\n\n".join([*before, prompt])
    return orjson.dumps({"prompt": whole, "completion": completion}, option=orjson.OPT_APPEND_NEWLINE)


EXPORTS: dict[str, ExportFormat] = {
    e.key: e
    for e in (
        ExportFormat("chat", "Chat messages (JSONL)", chat_line),
        ExportFormat("bedrock", "Bedrock messages (JSONL)", bedrock_line),
        ExportFormat("pairs", "Prompt and completion (JSONL)", pair_line),
    )
}


def csv_safe(cell: str) -> str:
    """A cell that no spreadsheet runs as a formula: dangerous first characters get a leading apostrophe (OWASP)."""
    return "'" + cell if cell[:1] in ("=", "+", "-", "@", "\t", "\r") else cell
