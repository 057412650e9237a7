"""Conversations as the field writes them (OpenAI, Anthropic, Bedrock, ShareGPT, TRL), read into one shape and back.

The one shape is text a person can read: a system prompt, turns of user and assistant, the last question, its answer. What
text cannot say (tool calls, weights, names) stands beside it as JSON, `extra`:
{"tools": [...], "messages": {"<place>": {...}}, "row": {...}}, where a place counts turns, then the question, then the
answer, and `row` has the format's own fields of the whole row, such as parallel_tool_calls.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from collections.abc import Mapping as MappingType
from types import MappingProxyType
from typing import Any, NamedTuple

import orjson

from datasets.domain.cleaning import normalise

# Fields beside the messages that change what the row asks of the model. Others (an id, a source) describe the row: they
# are its further columns, and make no difference to what is learnt.
ROW_FIELDS = frozenset(
    {
        "parallel_tool_calls",
        "tool_choice",
        "functions",
        "function_call",
        "response_format",
        "toolConfig",
        "chat_template_kwargs",
    }
)
MAX_EXTRA = 1_000_000  # characters of JSON beside a conversation


class RowError(ValueError):
    """One record cannot become an example: which column, why, and what to do."""

    def __init__(self, reason: str, *, column: str = "", fix: str = "") -> None:
        super().__init__(reason)
        self.reason, self.column, self.fix = reason, column, fix


class Conversation(NamedTuple):
    """One conversation, normalised. `turns` and `extra` are JSON, usually empty."""

    system: str
    turns: str
    prompt: str
    completion: str
    extra: str


KINDS = {
    type(None): "missing",
    bool: "true or false",
    int: "a number",
    float: "a number",
    list: "a list",
    dict: "an object",
}
# Whose turn it is. A tool's answer is put to the model, so it stands on the user's side and keeps its own name in `extra`.
_ROLES = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "model": "assistant",
    "bot": "assistant",
    "function_call": "assistant",
    "tool": "user",
    "function": "user",
    "observation": "user",
    "ipython": "user",
}
_TOOL_ROLES = {
    "tool": "tool",
    "function": "function",
    "observation": "tool",
    "ipython": "tool",
}
_SAID = frozenset({"role", "from", "content", "value"})
_MEDIA = frozenset({"image", "image_url", "input_audio", "audio", "video", "document", "file", "input_image"})


def as_json(value: Any, what: str) -> str:
    """`value` as JSON text. Raises RowError naming `what` when it is nested too deeply."""
    try:
        return orjson.dumps(value).decode()
    except orjson.JSONEncodeError as error:
        if "ecursion" not in str(error):
            try:  # a whole number of more than 64 bits
                text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
                orjson.loads(text)
                return text
            except (ValueError, RecursionError):
                pass
        raise RowError(
            f"{what} cannot be kept: nested too deeply, or a number too large",
            fix="Flatten it, or leave it out.",
        ) from None


def tool_calls_as_text(calls: Any) -> str:
    """Calls of tools as a person reads them: one `name(arguments)` a line. Takes OpenAI's shape."""
    lines = []
    for call in calls if isinstance(calls, list) else [calls]:
        function = call.get("function", call) if isinstance(call, dict) else {}
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise RowError(
                "a tool call has no name", column="messages", fix="Give each call a function with a name."
            )
        arguments = function.get("arguments", "")
        if not isinstance(arguments, str):
            arguments = as_json(arguments, "the arguments of a tool call")
        lines.append(f"{function['name']}({arguments})")
    return "\n".join(lines)


def _block_text(block: Any, place: str) -> str:
    if isinstance(block, str):
        return block
    if not isinstance(block, dict):
        raise RowError(f"{place} holds something other than text", column="messages", fix="Write text parts.")
    kind = block.get("type")
    if isinstance(block.get("text"), str):
        return block["text"]
    if kind == "tool_use" or isinstance(block.get("toolUse"), dict):
        call = block.get("toolUse") or block
        return f"{call.get('name', 'tool')}({as_json(call.get('input', {}), place)})"
    if kind == "tool_result" or isinstance(block.get("toolResult"), dict):
        return content_text((block.get("toolResult") or block).get("content", ""), place)
    if kind == "json" or "json" in block:
        return as_json(block.get("json"), place)
    shown = str(kind if isinstance(kind, str) else next(iter(block), ""))[:30]
    what = f"a part of the kind {shown!r}" if shown and shown not in _MEDIA else (shown or "an empty part")
    raise RowError(
        f"{place} holds something other than text: {what}",
        column="messages",
        fix="Only text and tool calls can be used.",
    )


def content_text(value: Any, place: str) -> str:
    """The text of a message's content: a string, or a list of parts joined by line ends. Raises RowError."""
    if isinstance(value, str):
        text = value
    elif isinstance(value, list):
        text = "\n".join(_block_text(block, place) for block in value)
    else:
        raise RowError(
            f"{place} has no text ({KINDS.get(type(value), 'unknown')})",
            column="messages",
            fix="Give every message a 'content' text.",
        )
    if "\0" in text:
        raise RowError(
            f"{place} holds a NUL character", column="messages", fix="Remove the character \\u0000."
        )
    return normalise(text)


def message_text(message: MappingType[str, Any], place: str = "a message") -> str:
    """What a message says as text: its content, then its tool calls."""
    content = message.get("content", message.get("value"))
    calls = message.get("tool_calls") or message.get("function_call")
    said = content_text(content, place) if content not in (None, []) or not calls else ""
    if not calls:
        return said
    called = normalise(tool_calls_as_text(calls))
    if "\0" in called:
        raise RowError(
            f"{place} holds a NUL character", column="messages", fix="Remove the character \\u0000."
        )
    return f"{said}\n{called}" if said else called


def _is_plain(content: Any) -> bool:
    """Whether the text says all there is in the content: a string, or parts that are text and nothing more."""
    if not isinstance(content, list):
        return isinstance(content, str)
    return all(
        isinstance(b, str)
        or (isinstance(b, dict) and isinstance(b.get("text"), str) and b.keys() <= {"type", "text"})
        for b in content
    )


def _beside(message: MappingType[str, Any], raw_role: str) -> dict[str, Any]:
    """What a message carries besides its role and its text; fields without a value carry nothing."""
    more = {k: v for k, v in message.items() if k not in _SAID and v is not None and v != []}
    content = message.get("content", message.get("value"))
    if not _is_plain(content):
        more["content"] = content
    if raw_role in _TOOL_ROLES:
        more["role"] = _TOOL_ROLES[raw_role]
    return more


def _system_text(value: Any, column: str) -> str:
    if value is None or value == "" or value == []:
        return ""
    if isinstance(value, (str, list)):
        return content_text(value, "the system prompt")
    raise RowError(
        f"the system prompt is {KINDS.get(type(value), 'not text')}",
        column=column,
        fix="Write it as text in quotes.",
    )


def read_conversation(
    messages: Any,
    *,
    column: str,
    system: Any = None,
    tools: Any = None,
    fields: MappingType[str, Any] = MappingProxyType({}),
) -> Conversation:
    """One conversation that ends with an answer; `fields` are those of ROW_FIELDS that the row has.

    Raises: RowError with the message's number and what is wrong.
    """
    if not isinstance(messages, list) or not messages:
        raise RowError(
            f"{column!r} must be a list of messages",
            column=column,
            fix='Write [{"role": "user", "content": "…"}, {"role": "assistant", "content": "…"}].',
        )
    instruction = _system_text(system, "system")
    turns: list[list[str]] = []
    beside: dict[str, dict[str, Any]] = {}
    for number, message in enumerate(messages, 1):
        place = f"message {number}"
        if not isinstance(message, dict):
            raise RowError(f"{place} is not an object", column=column, fix="Give it a role and a content.")
        raw_role = message.get("role", message.get("from"))
        role = _ROLES.get(raw_role) if isinstance(raw_role, str) else None
        if role is None:
            raise RowError(
                f"{place} has the role {str(raw_role)[:30]!r}",
                column=column,
                fix="Use system, user, assistant or tool.",
            )
        text = message_text(message, place)
        if role == "system":
            if turns:
                raise RowError(
                    f"{place} is a system message after the conversation began",
                    column=column,
                    fix="Put it first.",
                )
            instruction = f"{instruction}\n\n{text}" if instruction and text != instruction else text
            continue
        if not text:
            raise RowError(f"{place} is empty", column=column, fix="Fill it in, or skip bad rows.")
        if more := _beside(message, str(raw_role)):
            beside[str(len(turns))] = more
        turns.append([role, text])
    if len(turns) < 2 or turns[-1][0] != "assistant" or turns[-2][0] != "user":
        raise RowError(
            "the last two messages must be one of the user and its answer by the assistant",
            column=column,
            fix="End each conversation with the answer to learn.",
        )
    return Conversation(
        instruction,
        orjson.dumps(turns[:-2]).decode() if len(turns) > 2 else "",
        turns[-2][1],
        turns[-1][1],
        _extra(tools, beside, fields, column),
    )


def _extra(tools: Any, beside: dict[str, dict[str, Any]], fields: MappingType[str, Any], column: str) -> str:
    if isinstance(tools, str) and tools.strip():
        try:  # ShareGPT writes its tools as a text that holds JSON
            tools = orjson.loads(tools)
        except orjson.JSONDecodeError:
            raise RowError("the tools are not JSON", column="tools", fix="Write a list of tools.") from None
    if tools and not isinstance(tools, list):
        raise RowError("the tools are not a list", column="tools", fix="Write a list of tools.")
    if not tools and not beside and not fields:
        return ""
    extra: dict[str, Any] = {}
    if tools:
        extra["tools"] = tools
    if beside:
        extra["messages"] = beside
    if fields:
        extra["row"] = dict(fields)
    text = as_json(extra, "what stands beside the messages")
    if "\\u0000" in text:
        raise RowError("holds a NUL character", column=column, fix="Remove the character \\u0000.")
    if len(text) > MAX_EXTRA:
        raise RowError(
            f"carries {len(text):,} characters of tools and tool calls, at most {MAX_EXTRA:,} can be kept",
            column=column,
            fix="Shorten the descriptions of the tools.",
        )
    return text


def all_messages(
    system: str, turns: Iterable[Iterable[str]], prompt: str, completion: str, extra: str = ""
) -> tuple[list[dict[str, Any]], list[Any]]:
    """(messages as they came, tools): what stands in `extra` is put back where its text was not edited since.

    The first message is the system prompt when there is one.
    """
    beside = orjson.loads(extra) if extra else {}
    more = beside.get("messages", {})
    out: list[dict[str, Any]] = [{"role": "system", "content": system}] if system else []
    whole = [*turns, ("user", prompt), ("assistant", completion)]
    for place, (role, text) in enumerate(whole):
        out.append(as_it_came(role, text, more.get(str(place)))[0])
    return out, beside.get("tools", [])


def row_fields(extra: str) -> dict[str, Any]:
    """The fields of the whole row that stand beside its messages, as they came."""
    return orjson.loads(extra).get("row", {}) if extra else {}


def as_it_came(role: str, text: str, kept: dict[str, Any] | None) -> tuple[dict[str, Any], bool]:
    """(a message with what stands beside its text, whether that text is still the one it came with).

    A text that a person wrote since stands; what it replaced does not.
    """
    message: dict[str, Any] = {"role": role, "content": text}
    if not kept:
        return message, True
    first = {**message, **kept}
    calls = kept.get("tool_calls") or kept.get("function_call")
    if calls and "content" not in kept:
        # The text is the content and the calls below it; the calls go back to their own field.
        called = normalise(tool_calls_as_text(calls))
        if text == called:
            first["content"] = None
        elif text.endswith("\n" + called):
            first["content"] = text[: -len(called) - 1]
    said = message_text(first) if calls or "content" in kept else text
    if said == text:
        return first, True
    few = ("role", "name", "weight", "tool_call_id")
    return {**message, **{key: value for key, value in kept.items() if key in few}}, False
