"""From one record of a file (a dict) to the parts of an example, or to a named error.

Knows no database and no file.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping as MappingType
from datetime import UTC, datetime
from typing import Any, NamedTuple

import orjson

from datasets.domain.cleaning import normalise
from datasets.domain.mapping import ColumnMapping

MAX_TAG = 200  # characters of a label or group, as the tables hold them


class RowError(ValueError):
    """One record cannot become an example: which column, why, and what to do."""

    def __init__(self, reason: str, *, column: str = "", fix: str = "") -> None:
        super().__init__(reason)
        self.reason, self.column, self.fix = reason, column, fix


class Parts(NamedTuple):
    """What one example needs, normalised. `turns` is JSON of earlier [role, text] pairs, usually empty."""

    system: str
    turns: str
    prompt: str
    completion: str
    label: str
    group: str
    at: datetime | None


_KINDS = {
    type(None): "missing",
    bool: "true or false",
    int: "a number",
    float: "a number",
    list: "a list",
    dict: "an object",
}
_ROLES = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "model": "assistant",
    "bot": "assistant",
}


def _text(record: MappingType[str, Any], column: str, part: str) -> str:
    value = record.get(column)
    if type(value) is str:
        if "\0" in value:
            raise RowError("holds a NUL character", column=column, fix="Remove the character \\u0000.")
        return normalise(value)
    if value is None:
        if column in record:
            return ""
        raise RowError(
            f"the column {column!r} is missing",
            column=column,
            fix=f"Add it, or map {part} to another column.",
        )
    raise RowError(
        f"{column!r} is {_KINDS.get(type(value), 'not text')}, text was expected",
        column=column,
        fix="Write it as text in quotes.",
    )


def _tag(record: MappingType[str, Any], column: str) -> str:
    """A label or group: text, or a whole number or boolean written as text."""
    value = record.get(column)
    if type(value) is str:
        if "\0" in value:
            raise RowError("holds a NUL character", column=column, fix="Remove the character \\u0000.")
        value = normalise(value)
    elif value is None:
        return ""
    elif isinstance(value, (bool, int)):
        value = str(value).lower() if isinstance(value, bool) else str(value)
    elif isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        value = str(int(value))
    else:
        raise RowError(
            f"{column!r} is {_KINDS.get(type(value), 'not text')}, a label was expected",
            column=column,
            fix="Write it as text in quotes.",
        )
    if len(value) > MAX_TAG:
        raise RowError(
            f"{column!r} has {len(value)} characters, a label has at most {MAX_TAG}",
            column=column,
            fix="Map this column to the answer instead of the label.",
        )
    return value


def parse_time(value: Any, column: str) -> datetime | None:
    """An instant from ISO 8601 text or seconds since 1970; without a zone it is read as UTC."""
    if value is None or value == "":
        return None
    try:
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return datetime.fromtimestamp(value / 1000 if abs(value) > 1e11 else value, UTC)
        moment = datetime.fromisoformat(str(value).strip())
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        shown = str(value)[:40]
        raise RowError(
            f"{shown!r} is not a time", column=column, fix="Write times like 2026-03-01T09:30:00Z."
        ) from None


def converter(mapping: ColumnMapping, *, task_kind: str = "") -> Callable[[MappingType[str, Any]], Parts]:
    """A function from one record to its parts. The function raises RowError with what is wrong."""
    if mapping.messages:
        return _chat_converter(mapping, task_kind)
    prompt_column, context_column = mapping.prompt, mapping.context
    completion_column = mapping.completion or mapping.label
    label_column = mapping.label or (mapping.completion if task_kind == "classify" else "")
    system_column, group_column, at_column = mapping.system, mapping.group, mapping.at
    same = label_column == completion_column
    # Labels are few: each is looked at once. Bounded, because a wrong column may hold a million different ones.
    known: dict[str, str] = {}

    def tag_of(record: MappingType[str, Any]) -> str:
        value = record.get(label_column)
        if type(value) is str and value in known:
            return known[value]
        label = _tag(record, label_column)
        if type(value) is str and len(known) < 10_000:
            known[value] = label
        return label

    def convert(record: MappingType[str, Any]) -> Parts:
        prompt = _text(record, prompt_column, "the prompt")
        if context_column:
            context = _text(record, context_column, "the context")
            prompt = f"{prompt}\n\n{context}" if context else prompt
        label = tag_of(record) if label_column else ""
        completion = label if same else _text(record, completion_column, "the answer")
        if not prompt:
            raise RowError("the prompt is empty", column=prompt_column, fix="Fill it in, or skip bad rows.")
        if not completion:
            what = "label" if same else "answer"
            raise RowError(
                f"the {what} is empty", column=completion_column, fix="Fill it in, or skip bad rows."
            )
        return Parts(
            _text(record, system_column, "the system prompt") if record.get(system_column) else "",
            "",
            prompt,
            completion,
            label,
            _tag(record, group_column) if group_column else "",
            parse_time(record.get(at_column), at_column) if at_column else None,
        )

    return convert


def _content(value: Any, place: str) -> str:
    if isinstance(value, str):
        text = value
    elif isinstance(value, list):
        pieces = []
        for piece in value:
            if not isinstance(piece, dict) or not isinstance(piece.get("text"), str):
                raise RowError(
                    f"{place} holds something other than text",
                    column="messages",
                    fix="Only text parts can be used.",
                )
            pieces.append(piece["text"])
        text = "\n".join(pieces)
    else:
        raise RowError(
            f"{place} has no text ({_KINDS.get(type(value), 'unknown')})",
            column="messages",
            fix="Give every message a 'content' text. Tool calls cannot be used yet.",
        )
    if "\0" in text:
        raise RowError(
            f"{place} holds a NUL character", column="messages", fix="Remove the character \\u0000."
        )
    return normalise(text)


def _chat_converter(mapping: ColumnMapping, task_kind: str) -> Callable[[MappingType[str, Any]], Parts]:
    column = mapping.messages

    def convert(record: MappingType[str, Any]) -> Parts:
        messages = record.get(column)
        if not isinstance(messages, list) or not messages:
            raise RowError(
                f"{column!r} must be a list of messages",
                column=column,
                fix='Write [{"role": "user", "content": "…"}, {"role": "assistant", "content": "…"}].',
            )
        system = _text(record, mapping.system, "the system prompt") if record.get(mapping.system) else ""
        turns: list[list[str]] = []
        for number, message in enumerate(messages, 1):
            place = f"message {number}"
            if not isinstance(message, dict):
                raise RowError(
                    f"{place} is not an object", column=column, fix="Give it a role and a content."
                )
            raw_role = message.get("role", message.get("from"))
            role = _ROLES.get(raw_role) if isinstance(raw_role, str) else None
            if role is None:
                shown = str(raw_role)[:30]
                raise RowError(
                    f"{place} has the role {shown!r}",
                    column=column,
                    fix="Use system, user or assistant. Tool messages cannot be used yet.",
                )
            text = _content(message.get("content", message.get("value")), place)
            if role == "system":
                if turns:
                    raise RowError(
                        f"{place} is a system message after the conversation began",
                        column=column,
                        fix="Put it first.",
                    )
                system = f"{system}\n\n{text}" if system and text != system else text
                continue
            if not text:
                raise RowError(f"{place} is empty", column=column, fix="Fill it in, or skip bad rows.")
            turns.append([role, text])
        if len(turns) < 2 or turns[-1][0] != "assistant" or turns[-2][0] != "user":
            raise RowError(
                "the last two messages must be one of the user and its answer by the assistant",
                column=column,
                fix="End each conversation with the answer to learn.",
            )
        answer = turns[-1][1]
        label = _tag(record, mapping.label) if mapping.label else ""
        if task_kind == "classify" and not mapping.label and len(answer) <= MAX_TAG:
            label = answer
        return Parts(
            system,
            orjson.dumps(turns[:-2]).decode() if len(turns) > 2 else "",
            turns[-2][1],
            answer,
            label,
            _tag(record, mapping.group) if mapping.group else "",
            parse_time(record.get(mapping.at), mapping.at) if mapping.at else None,
        )

    return convert
