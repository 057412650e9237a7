"""From one record of a file (a dict) to the parts of an example, or to a named error.

Knows no database and no file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from collections.abc import Mapping as MappingType
from datetime import UTC, datetime
from typing import Any, NamedTuple

from datasets.domain.cleaning import normalise
from datasets.domain.conversations import KINDS, ROW_FIELDS, RowError, as_json, read_conversation
from datasets.domain.limits import MAX_COLUMNS
from datasets.domain.mapping import ColumnMapping

MAX_TAG = 200  # characters of a label or group, as the tables hold them
MAX_META = 65_536  # characters of JSON in columns without a part
# What columns are counted as that are too many to be told apart.
FURTHER = "(further columns)"
# A constant that some formats write on every line.
NAMELESS = frozenset({"schemaVersion"})


class Parts(NamedTuple):
    """What one example needs, normalised. `turns` is JSON of earlier [role, text] pairs, usually empty.

    `extra` is JSON of what the text cannot say (domain/conversations.py), `meta` of columns without a part.
    """

    system: str
    turns: str
    prompt: str
    completion: str
    label: str
    group: str
    at: datetime | None
    extra: str = ""
    meta: str = ""


def _text(record: MappingType[str, Any], column: str, part: str) -> str:
    value = record.get(column)
    if type(value) is str:
        if value.isascii() and "\r" not in value and "\0" not in value:
            return value.strip()  # most text: what `normalise` would do
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
        f"{column!r} is {KINDS.get(type(value), 'not text')}, text was expected",
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
            f"{column!r} is {KINDS.get(type(value), 'not text')}, a label was expected",
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


def converter(
    mapping: ColumnMapping, *, task_kind: str = "", left_out: Counter[str] | None = None
) -> Callable[[MappingType[str, Any]], Parts]:
    """A function from one record to its parts. The function raises RowError with what is wrong.

    `left_out` gets the rows counted that had a column which the mapping leaves out, by column.
    """
    if left_out is None:
        left_out = Counter()
    chat = _chat_converter(mapping, task_kind, left_out)
    if mapping.messages:
        return chat
    used, keeps = mapping.columns | NAMELESS, mapping.others != "drop"
    prompt_column, context_column = mapping.prompt, mapping.context
    completion_column = mapping.completion or mapping.label
    label_column = mapping.label or (mapping.completion if task_kind == "classify" else "")
    system_column, group_column, at_column = mapping.system, mapping.group, mapping.at
    same = label_column == completion_column
    has_turns = bool(mapping.history or mapping.tools)
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

    others = _Others(used)

    def convert(record: MappingType[str, Any]) -> Parts:
        if has_turns or (type(record.get(prompt_column)) is list and _are_messages(record[prompt_column])):
            return chat(record)
        prompt = _text(record, prompt_column, "the prompt")
        if context_column:
            context = _text(record, context_column, "the context") if record.get(context_column) else ""
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
            "",
            others.meta(record) if keeps else others.count(record, left_out),
        )

    return convert


def _are_messages(value: Any) -> bool:
    return type(value) is list and bool(value) and type(value[0]) is dict


class _Others:
    """The columns of a record that play no part. Records of a file have the same few sets of columns, each seen once."""

    def __init__(self, used: frozenset[str]) -> None:
        self.used = used
        self.known: dict[tuple[str, ...], tuple[str, ...]] = {}

    def meta(self, record: MappingType[str, Any]) -> str:
        """Those that are filled, as JSON; empty when there are none."""
        names = self._names(record)
        if not names:
            return ""
        others = {k: v for k in names if (v := record[k]) is not None and v != ""}
        return _as_meta(others) if others else ""

    def count(self, record: MappingType[str, Any], left_out: Counter[str]) -> str:
        """Count those that are filled and left out; what is kept of them is nothing."""
        for name in self._names(record):
            if (value := record[name]) is not None and value != "":
                left_out[name if name in left_out or len(left_out) < MAX_COLUMNS else FURTHER] += 1
        return ""

    def _names(self, record: MappingType[str, Any]) -> tuple[str, ...]:
        columns = tuple(record)
        names = self.known.get(columns)
        if names is None:
            names = tuple(name for name in columns if name not in self.used)
            if len(self.known) < 1000:
                self.known[columns] = names
        return names


def _as_meta(others: dict[str, Any]) -> str:
    text = as_json(others, "its further columns")
    if len(text) > MAX_META:
        largest = max(others, key=lambda k: len(str(others[k])))
        raise RowError(
            f"carries {len(text):,} characters in columns without a part, at most {MAX_META:,} are kept",
            column=largest[:100],
            fix="Give the column a part, or leave the other columns out.",
        )
    return text


def _chat_converter(
    mapping: ColumnMapping, task_kind: str, left_out: Counter[str]
) -> Callable[[MappingType[str, Any]], Parts]:
    keeps, others = mapping.others != "drop", _Others(mapping.columns | NAMELESS | ROW_FIELDS)
    fields = sorted(ROW_FIELDS - mapping.columns)

    def convert(record: MappingType[str, Any]) -> Parts:
        column = mapping.messages or mapping.prompt
        messages = record.get(column) if mapping.messages else _pair_messages(record, mapping)
        talk = read_conversation(
            messages,
            column=column,
            system=record.get(mapping.system) if mapping.system else None,
            tools=record.get(mapping.tools) if mapping.tools else None,
            fields={
                name: value
                for name in fields
                if name in record and (value := record[name]) is not None and value not in ("", [], {})
            },
        )
        label = _tag(record, mapping.label) if mapping.label else ""
        if task_kind == "classify" and not mapping.label and len(talk.completion) <= MAX_TAG:
            label = talk.completion
        return Parts(
            talk.system,
            talk.turns,
            talk.prompt,
            talk.completion,
            label,
            _tag(record, mapping.group) if mapping.group else "",
            parse_time(record.get(mapping.at), mapping.at) if mapping.at else None,
            talk.extra,
            others.meta(record) if keeps else others.count(record, left_out),
        )

    return convert


def _pair_messages(record: MappingType[str, Any], mapping: ColumnMapping) -> list[Any]:
    """A pair as one conversation: earlier turns, the prompt (text or messages), the answer (text or messages)."""
    out: list[Any] = []
    history = record.get(mapping.history) if mapping.history else None
    if history is not None and not isinstance(history, list):
        raise RowError(
            f"{mapping.history!r} must be a list of [question, answer]",
            column=mapping.history,
            fix="Map no history.",
        )
    for number, pair in enumerate(history or [], 1):
        if not (isinstance(pair, list) and len(pair) == 2 and all(isinstance(text, str) for text in pair)):
            raise RowError(
                f"turn {number} of {mapping.history!r} is not [question, answer]",
                column=mapping.history,
                fix='Write [["question", "answer"], …].',
            )
        out += [{"role": "user", "content": pair[0]}, {"role": "assistant", "content": pair[1]}]
    prompt: Any = record.get(mapping.prompt)
    if _are_messages(prompt):
        out += prompt
    else:
        text = _text(record, mapping.prompt, "the prompt")
        context = _text(record, mapping.context, "the context") if record.get(mapping.context) else ""
        out.append({"role": "user", "content": f"{text}\n\n{context}" if context else text})
    column = mapping.completion or mapping.label
    answer: Any = record.get(column)
    if _are_messages(answer) and mapping.completion:
        out += answer
    else:
        text = _text(record, column, "the answer") if mapping.completion else _tag(record, column)
        out.append({"role": "assistant", "content": text})
    return out
