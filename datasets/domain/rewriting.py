"""Changing every text of a conversation, those beside it too: definitions of tools, their calls, their results.

A call stands twice, as text a person reads and as the object it came as. Both are changed as one, and stay JSON.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import orjson

from datasets.domain.cleaning import normalise
from datasets.domain.conversations import as_it_came, as_json, message_text

Change = Callable[[str], str]

# What pairs a call with its result, and words of the formats: never data of a person, and changed they fit no more.
_NAMELESS = frozenset(
    {"id", "tool_call_id", "tool_use_id", "toolUseId", "call_id", "type", "role", "$schema", "$ref"}
)
# Under these stands what a call hands over or gets back. Its keys are data as well, those of a JSON schema are not.
_DATA = frozenset({"arguments", "input", "json"})
IN_A_TOOL, IN_A_CALL, IN_A_RESULT, BESIDE = (
    "in a tool",
    "in a tool call",
    "in a tool result",
    "beside a message",
)


class Rewritten(NamedTuple):
    """The texts of a row after a change. `turns` and `extra` are JSON, as they were."""

    system: str
    turns: str
    prompt: str
    completion: str
    extra: str


def rewrite(system: str, turns: str, prompt: str, completion: str, extra: str, change: Change) -> Rewritten:
    """The row with `change` applied to every text in it. What `change` leaves alone keeps its bytes."""
    told: list[list[str]] = orjson.loads(turns) if turns else []
    beside: dict[str, Any] = orjson.loads(extra) if extra else {}
    kept: dict[str, Any] = beside.get("messages", {})
    said: list[str] = []
    for place, (role, text) in enumerate([*told, ["user", prompt], ["assistant", completion]]):
        more = kept.get(str(place))
        if not more:
            said.append(normalise(change(text)))
            continue
        message, is_as_it_came = as_it_came(role, text, more)
        kept[str(place)] = changed = _walk(more, change)
        if not is_as_it_came:
            said.append(normalise(change(text)))
            continue
        content = message.get("content")
        said.append(message_text({**message, "content": _walk(content, change), **changed}))
    for key in beside.keys() - {"messages"}:
        beside[key] = _walk(beside[key], change)
    new_turns = [[role, text] for (role, _), text in zip(told, said, strict=False)]
    return Rewritten(
        normalise(change(system)),
        turns if new_turns == told else orjson.dumps(new_turns).decode(),
        said[-2],
        said[-1],
        extra
        if not extra or beside == orjson.loads(extra)
        else as_json(beside, "what stands beside the messages"),
    )


def texts_beside(extra: str) -> Iterator[tuple[str, str]]:
    """(where, texts) of what stands beside the messages: everything that `rewrite` would change there."""
    if not extra:
        return
    beside: dict[str, Any] = orjson.loads(extra)
    yield from _texts(IN_A_TOOL, {key: value for key, value in beside.items() if key != "messages"})
    for message in beside.get("messages", {}).values():
        if "role" in message:
            yield from _texts(IN_A_RESULT, message)
            continue
        calls = {key: message[key] for key in ("tool_calls", "function_call", "content") if key in message}
        yield from _texts(IN_A_CALL, calls)
        yield from _texts(BESIDE, {key: value for key, value in message.items() if key not in calls})


def _texts(where: str, value: Any) -> Iterator[tuple[str, str]]:
    found: list[str] = []

    def keep(text: str) -> str:
        found.append(text)
        return text

    _walk(value, keep)
    if found:
        yield where, "\n".join(found)


def _walk(value: Any, change: Change, *, is_data: bool = False) -> Any:
    if isinstance(value, str):
        return _in_json(value, change) if is_data else change(value)
    if isinstance(value, list):
        return [_walk(part, change, is_data=is_data) for part in value]
    if isinstance(value, dict):
        out: dict[str, Any] = {}
        for key, part in value.items():
            if not is_data and key in _NAMELESS and isinstance(part, str):
                out[key] = part
                continue
            name = change(key) if is_data else key
            while name in out or (name != key and name in value):  # two addresses that are both [EMAIL] now
                name += "'"
            out[name] = _walk(part, change, is_data=is_data or key in _DATA)
        return out
    if is_data and isinstance(value, int) and not isinstance(value, bool):
        # A card number may stand there without quotes.
        text = str(value)
        return value if (changed := change(text)) == text else changed
    return value


def _in_json(text: str, change: Change) -> str:
    """A text that may hold JSON, as arguments of calls do: what is in it changes, and JSON stays JSON."""
    if not text.lstrip().startswith(("{", "[")):
        return change(text)
    try:
        value = json.loads(text)
        changed = _walk(value, change, is_data=True)
        if changed == value:
            return text
        separators = None if '": ' in text else (",", ":")
        return json.dumps(changed, ensure_ascii=False, separators=separators)
    except (ValueError, RecursionError):
        return change(text)
