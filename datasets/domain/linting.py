"""What a provider says against a row or a file before it is sent: refused rows, and what a format cannot hold.

The figures are the providers' own documentation as of November 2026; where they say nothing, nothing is checked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import ceil
from typing import Any

import orjson

from datasets.domain.conversations import ROW_FIELDS, all_messages
from datasets.domain.formats import OPENAI_ROW_FIELDS, TRL_ROW_FIELDS
from datasets.domain.tokens import tokens_estimate
from foundation.teams.domain.csv_cells import safe_cell

GB = 1024**3
SPLITS = ("train", "validation", "test")


@dataclass(frozen=True, slots=True)
class Rule:
    """One thing that may be wrong with a row. `blocks`: the provider refuses it; else something is lost or risked."""

    key: str
    sentence: str
    blocks: bool
    fix: str


RULES: dict[str, Rule] = {
    r.key: r
    for r in (
        Rule(
            "roles", "User and assistant do not take turns", True, "Join the messages that follow each other."
        ),
        Rule("first", "The first message is not one of the user", True, "Begin with the question."),
        Rule(
            "long", "More tokens than the provider takes for one row, by estimate", True, "Shorten the row."
        ),
        Rule(
            "unweighted",
            "No answer in the row has a weight above 0",
            True,
            "Give the last answer the weight 1.",
        ),
        Rule("weight", "A weight is neither 0 nor 1", True, "Write 0 or 1."),
        Rule(
            "weight_place",
            "A weight stands on a message that is no answer",
            True,
            "Leave it out: answers alone have weights.",
        ),
        Rule(
            "shape",
            "Tools, calls or parts of messages are written in another provider's shape",
            True,
            "Write calls as tool_calls, a tool's answer with the role tool, and tools with the type function.",
        ),
        Rule(
            "call_id",
            "A tool's answer does not say which call it answers",
            True,
            "Give the call an id, and its answer the same tool_call_id.",
        ),
        Rule(
            "parallel",
            "parallel_tool_calls is neither true nor false",
            True,
            "Write true or false, without quotes.",
        ),
        Rule("calls", "Tool calls are written as text", False, "Use chat, OpenAI or TRL to keep them."),
        Rule(
            "tools", "The definitions of tools are left out", False, "Use chat, OpenAI or TRL to keep them."
        ),
        Rule(
            "weights",
            "Weights are left out: every answer is learnt",
            False,
            "Use chat or OpenAI to keep them.",
        ),
        Rule("names", "Names and other fields of messages are left out", False, "Use chat to keep them."),
        Rule(
            "fields",
            "Fields beside the messages are left out: parallel_tool_calls, tool_choice and their like",
            False,
            "Use chat to keep them all; OpenAI keeps parallel_tool_calls.",
        ),
        Rule("flat", "Roles of earlier turns are written as words", False, "Use a format with messages."),
        Rule(
            "formula",
            "A cell gets an apostrophe, so that no spreadsheet runs it",
            False,
            "Use JSONL to keep the bytes.",
        ),
    )
}


@dataclass(frozen=True, slots=True)
class Provider:
    """What one format's reader asks of rows and files; 0 and empty mean that it says nothing."""

    alternates: bool = False
    keeps_tools: bool = False
    # Tools, calls and parts must have OpenAI's shape; strictly: with ids that pair them, and nothing else beside.
    wants_openai_shape: bool = False
    is_strict: bool = False
    keeps_weights: bool = False
    keeps_names: bool = False
    # Which fields of the whole row the format holds, beside messages and tools.
    keeps_fields: frozenset[str] = frozenset()
    keeps_roles: bool = True
    max_tokens: int = 0
    least_rows: int = 0
    most_rows: Mapping[str, int] = field(default_factory=dict)
    most_bytes: Mapping[str, int] = field(default_factory=dict)
    # Training and validation rows together.
    most_in_all: int = 0
    notes: tuple[str, ...] = ()


PROVIDERS: dict[str, Provider] = {
    "chat": Provider(keeps_tools=True, keeps_weights=True, keeps_names=True, keeps_fields=ROW_FIELDS),
    "pairs": Provider(keeps_roles=False),
    "csv": Provider(keeps_roles=False),
    # At least 10 examples, weight 0 or 1 on answers.
    "openai": Provider(
        keeps_tools=True,
        wants_openai_shape=True,
        is_strict=True,
        keeps_weights=True,
        keeps_fields=OPENAI_ROW_FIELDS,
        least_rows=10,
        notes=("OpenAI takes no new fine-tuning jobs from 6 January 2027.",),
    ),
    # Strict alternation, at least 32 records, 10,000 for training, 1,000 for validation, 32,000 tokens, 10 and 1 GB.
    "bedrock": Provider(
        alternates=True,
        max_tokens=32_000,
        least_rows=32,
        most_rows={"train": 10_000, "validation": 1_000},
        most_bytes={"train": 10 * GB, "validation": GB},
        most_in_all=10_000,
        notes=(
            "The only Claude that could be tuned on Bedrock reached its end of life on 10 September 2026.",
        ),
    ),
    # Llama 3.x on Bedrock: 100 to 10,000 records, 16,000 tokens; the strictest of the models this shape serves.
    "converse": Provider(alternates=True, max_tokens=16_000, least_rows=100, most_rows={"train": 10_000}),
    # Starts with system or user, then takes turns; at most 100 GB.
    "together": Provider(alternates=True, most_bytes=dict.fromkeys(SPLITS, 100 * GB)),
    "trl": Provider(
        keeps_tools=True,
        wants_openai_shape=True,
        keeps_names=True,
        keeps_weights=True,
        keeps_fields=TRL_ROW_FIELDS,
    ),
}


def lint_row(
    system: str, turns: Sequence[Sequence[str]], prompt: str, completion: str, extra: str = ""
) -> dict[str, list[str]]:
    """{format: keys of RULES} for one row; formats without anything against it are left out."""
    roles = [*(role for role, _ in turns), "user", "assistant"]
    takes_turns = all(a != b for a, b in pairwise(roles))
    n_bytes = len(f"{system}{prompt}{completion}".encode()) + sum(len(text.encode()) for _, text in turns)
    tokens = tokens_estimate(n_bytes, len(roles) + bool(system))
    beside = orjson.loads(extra) if extra else {}
    carried = list(beside.get("messages", {}).values())
    messages, tools = all_messages(system, turns, prompt, completion, extra) if extra else ([], [])
    has_calls = any(
        "tool_calls" in m or "function_call" in m or "content" in m or "role" in m for m in carried
    )
    fields = beside.get("row", {})
    weights = {place: m["weight"] for place, m in beside.get("messages", {}).items() if "weight" in m}
    answers = [str(i) for i, role in enumerate(roles) if role == "assistant"]
    # With earlier turns the cell of the prompt begins with whose turn it was.
    is_formula = any(safe_cell(text) != text for text in (system, completion, "" if turns else prompt))
    out: dict[str, list[str]] = {}
    for key, provider in PROVIDERS.items():
        found = []
        if provider.alternates:
            if not takes_turns:
                found.append("roles")
            if roles[0] != "user":
                found.append("first")
        if provider.max_tokens and tokens > provider.max_tokens:
            found.append("long")
        if key == "openai" and weights:
            # JSON's true and 1.0 equal 1 here, the reader takes whole numbers alone.
            if any(type(weight) is not int or weight not in (0, 1) for weight in weights.values()):
                found.append("weight")
            if weights.keys() - set(answers):
                found.append("weight_place")
            if not any(weights.get(place, 1) for place in answers):
                found.append("unweighted")
        if key == "openai" and not isinstance(fields.get("parallel_tool_calls", True), bool):
            found.append("parallel")
        if beside and provider.wants_openai_shape:
            found += _against_tools(messages, tools, is_strict=provider.is_strict)
        if not provider.keeps_tools:
            if has_calls:
                found.append("calls")
            if beside.get("tools"):
                found.append("tools")
        if weights and not provider.keeps_weights:
            found.append("weights")
        kept = _KNOWN | {"name"} if key == "openai" else _KNOWN
        if not provider.keeps_names and any(m.keys() - kept for m in carried):
            found.append("names")
        if fields.keys() - provider.keeps_fields:
            found.append("fields")
        if not provider.keeps_roles and turns:
            found.append("flat")
        if key == "csv" and is_formula:
            found.append("formula")
        if found:
            out[key] = found
    return out


_KNOWN = frozenset({"role", "content", "weight", "tool_calls", "tool_call_id", "function_call"})


def _against_tools(
    messages: Sequence[Mapping[str, Any]], tools: Sequence[Any], *, is_strict: bool
) -> list[str]:
    """Keys of RULES against tools, calls and parts in OpenAI's shape. TRL hands calls to a template: it is less strict."""
    found = []
    contents = [m["content"] for m in messages if isinstance(m.get("content"), list)]
    if (
        not all(_is_tool(tool) for tool in tools)
        or not all(_is_text_part(part, is_strict=is_strict) for content in contents for part in content)
        or (is_strict and not all(_are_calls(m) for m in messages))
    ):
        found.append("shape")
    if is_strict and any(
        m["role"] == "tool" and not (isinstance(m.get("tool_call_id"), str) and m["tool_call_id"])
        for m in messages
    ):
        found.append("call_id")
    return found


def _is_function(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("name"), str)


def _is_tool(tool: Any) -> bool:
    return isinstance(tool, dict) and tool.get("type") == "function" and _is_function(tool.get("function"))


def _is_text_part(part: Any, *, is_strict: bool) -> bool:
    return (
        isinstance(part, dict)
        and part.get("type") == "text"
        and isinstance(part.get("text"), str)
        and (not is_strict or part.keys() == {"type", "text"})
    )


def _are_calls(message: Mapping[str, Any]) -> bool:
    """Whether the calls of a message, if any, have an id, a name, and their arguments as a text."""
    calls = message.get("tool_calls") or []
    functions = [message["function_call"]] if message.get("function_call") else []
    if not isinstance(calls, list):
        return False
    for call in calls:
        if not (_is_tool(call) and isinstance(call.get("id"), str) and call["id"]):
            return False
        functions.append(call["function"])
    return all(_is_function(f) and isinstance(f.get("arguments"), str) for f in functions)


def lint_file(format: str, n_rows: Mapping[str, int], n_bytes: Mapping[str, int]) -> list[str]:
    """What the provider says against the files of a version as a whole, a sentence each."""
    provider = PROVIDERS[format]
    out = []
    if n_rows.get("train", 0) < provider.least_rows:
        out.append(
            f"The training file has {n_rows.get('train', 0):,} rows, at least {provider.least_rows:,} are asked for."
        )
    for split, most in provider.most_rows.items():
        if n_rows.get(split, 0) > most:
            out.append(f"The {split} file has {n_rows[split]:,} rows, at most {most:,} are taken.")
    in_all = n_rows.get("train", 0) + n_rows.get("validation", 0)
    if provider.most_in_all and in_all > provider.most_in_all:
        out.append(
            f"Training and validation have {in_all:,} rows together, at most {provider.most_in_all:,} are taken."
        )
    for split, most in provider.most_bytes.items():
        if n_bytes.get(split, 0) > most:
            out.append(
                f"The {split} file has {ceil(n_bytes[split] / GB):,} GB, at most {most // GB:,} are taken."
            )
    return out
