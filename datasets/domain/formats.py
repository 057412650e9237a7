"""From the parts of an example to the line a provider reads. The same parts give the same bytes, on any machine."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import orjson

from datasets.domain.conversations import all_messages, row_fields
from foundation.teams.domain.csv_cells import safe_cell

# What a message may carry beside its role and text, by what the format can hold.
_OPENAI_FIELDS = frozenset(
    {"role", "content", "name", "weight", "tool_calls", "tool_call_id", "function_call"}
)

# What a row may carry beside its messages and tools.
OPENAI_ROW_FIELDS = frozenset({"parallel_tool_calls", "functions"})
TRL_ROW_FIELDS = frozenset({"chat_template_kwargs"})

Line = Callable[[str, list[list[str]], str, str, str], bytes]


def _dumped(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE)


def _row(messages: list[dict[str, Any]], tools: list[Any], fields: dict[str, Any]) -> bytes:
    return _dumped({"messages": messages, **({"tools": tools} if tools else {}), **fields})


def _kept(extra: str, known: frozenset[str]) -> dict[str, Any]:
    return {name: value for name, value in row_fields(extra).items() if name in known}


def _plain(system: str, turns: Iterable[Iterable[str]], prompt: str, completion: str) -> list[dict[str, Any]]:
    """Messages of text alone; the system prompt is the first one."""
    messages = [{"role": "system", "content": system}] if system else []
    messages += [{"role": role, "content": text} for role, text in turns]
    return [*messages, {"role": "user", "content": prompt}, {"role": "assistant", "content": completion}]


def chat_line(system: str, turns: list[list[str]], prompt: str, completion: str, extra: str = "") -> bytes:
    """One line of chat messages as they came, tools beside them: what this portal reads back without loss."""
    if not extra:
        if not system and not turns:  # most rows: the same bytes without the objects
            return b'{"messages":[{"role":"user","content":%b},{"role":"assistant","content":%b}]}\n' % (
                orjson.dumps(prompt),
                orjson.dumps(completion),
            )
        return _dumped({"messages": _plain(system, turns, prompt, completion)})
    messages, tools = all_messages(system, turns, prompt, completion, extra)
    return _row(messages, tools, row_fields(extra))


def openai_line(system: str, turns: list[list[str]], prompt: str, completion: str, extra: str = "") -> bytes:
    """One line for OpenAI's fine-tuning: its fields and no others."""
    if not extra:
        return chat_line(system, turns, prompt, completion)
    messages, tools = all_messages(system, turns, prompt, completion, extra)
    known = [{k: v for k, v in message.items() if k in _OPENAI_FIELDS} for message in messages]
    return _row(known, tools, _kept(extra, OPENAI_ROW_FIELDS))


def bedrock_line(system: str, turns: list[list[str]], prompt: str, completion: str, extra: str = "") -> bytes:
    """One line in Bedrock's shape for Claude: text alone, the system prompt beside the messages."""
    body: dict[str, Any] = {"system": system} if system else {}
    body["messages"] = _plain("", turns, prompt, completion)
    return _dumped(body)


def converse_line(
    system: str, turns: list[list[str]], prompt: str, completion: str, extra: str = ""
) -> bytes:
    """One line in Bedrock's Converse shape (Nova, Llama): every text is a list of parts."""
    body: dict[str, Any] = {"schemaVersion": "bedrock-conversation-2024"}
    if system:
        body["system"] = [{"text": system}]
    body["messages"] = [
        {"role": m["role"], "content": [{"text": m["content"]}]}
        for m in _plain("", turns, prompt, completion)
    ]
    return _dumped(body)


def together_line(
    system: str, turns: list[list[str]], prompt: str, completion: str, extra: str = ""
) -> bytes:
    """One line for Together: messages of text, nothing beside them."""
    return _dumped({"messages": _plain(system, turns, prompt, completion)})


def trl_line(system: str, turns: list[list[str]], prompt: str, completion: str, extra: str = "") -> bytes:
    """One line for TRL: prompt and completion as messages, so that only the answer is learnt."""
    messages, tools = all_messages(system, turns, prompt, completion, extra)
    body: dict[str, Any] = {"prompt": messages[:-1], "completion": messages[-1:]}
    if tools:
        body["tools"] = tools
    return _dumped({**body, **_kept(extra, TRL_ROW_FIELDS)})


def pair_line(system: str, turns: list[list[str]], prompt: str, completion: str, extra: str = "") -> bytes:
    """One line of prompt and completion; a system prompt and earlier turns are written before the prompt."""
    before = [system] if system else []
    before += [f"{role.capitalize()}: {text}" for role, text in turns]
    return _dumped({"prompt": "\n\n".join([*before, prompt]), "completion": completion})


def table_line(system: str, turns: list[list[str]], prompt: str, completion: str, extra: str = "") -> bytes:
    """One record of CSV, safe to open in a spreadsheet. Earlier turns stand before the prompt, as in a pair."""
    before = "\n\n".join(f"{role.capitalize()}: {text}" for role, text in turns)
    whole = f"{before}\n\n{prompt}" if before else prompt
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator="\n").writerow([safe_cell(cell) for cell in (system, whole, completion)])
    return out.getvalue().encode()


@dataclass(frozen=True, slots=True)
class ExportFormat:
    """One way to write examples: its key, names, file ending, and the line of a row as bytes with its newline."""

    key: str
    name: str
    use: str
    line: Line = field(repr=False)
    suffix: str = "jsonl"
    head: bytes = b""


EXPORTS: dict[str, ExportFormat] = {
    e.key: e
    for e in (
        ExportFormat(
            "chat", "Chat messages (JSONL)", "Everything a row holds; reads back without loss.", chat_line
        ),
        ExportFormat("pairs", "Prompt and completion (JSONL)", "Trainers that know no roles.", pair_line),
        ExportFormat("openai", "OpenAI", "Fine-tuning jobs.", openai_line),
        ExportFormat(
            "bedrock",
            "Bedrock, Claude",
            "Claude 3 Haiku.",
            bedrock_line,
        ),
        ExportFormat("converse", "Bedrock, Converse", "Nova and Llama on Bedrock.", converse_line),
        ExportFormat("together", "Together", "Open weights on Together.", together_line),
        ExportFormat("trl", "TRL (JSONL)", "Training at home; only the answer is learnt.", trl_line),
        ExportFormat(
            "csv",
            "Table (CSV)",
            "Reading in a spreadsheet; a cell that could run as a formula gets an apostrophe.",
            table_line,
            suffix="csv",
            head=b"system,prompt,completion\n",
        ),
    )
}
