"""Recognising what a file holds, turning its records into examples, and examples into provider lines.

A record is what one line of a file says (a dict); parts are what an example needs. Knows no database and no file.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Sequence
from collections.abc import Mapping as MappingType
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from statistics import fmean
from typing import Any, NamedTuple

import orjson

from datasets.domain.cleaning import normalise

MAX_COLUMNS = 1000
MAX_LINE_BYTES = 4 * 1024 * 1024
MAX_TAG = 200  # characters of a label or group, as the tables hold them


class Unreadable(ValueError):
    """The file as a whole cannot be used; the text is one sentence for a person."""


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


@dataclass(frozen=True, slots=True)
class Layout:
    """How a file is read: its format, encoding and columns. `notes` say in words what was recognised."""

    format: str  # jsonl, csv, tsv
    encoding: str = "utf-8"
    delimiter: str = ""
    header: bool = True
    columns: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Plain values for a JSON column."""
        return {**asdict(self), "columns": list(self.columns), "notes": list(self.notes)}

    @classmethod
    def from_json(cls, value: MappingType[str, Any]) -> Layout:
        """The layout that `as_json` wrote."""
        known = {f.name: value[f.name] for f in fields(cls) if f.name in value}
        return cls(
            **{**known, "columns": tuple(known.get("columns", ())), "notes": tuple(known.get("notes", ()))}
        )


@dataclass(frozen=True, slots=True)
class ColumnMapping:
    """Which column plays which part. A chat needs `messages`; a pair needs `prompt` and `completion` or `label`."""

    messages: str = ""
    system: str = ""
    prompt: str = ""
    context: str = ""
    completion: str = ""
    label: str = ""
    group: str = ""
    at: str = ""

    def as_json(self) -> dict[str, str]:
        """Plain values for a JSON column."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: MappingType[str, Any]) -> ColumnMapping:
        """The mapping that `as_json` wrote; unknown names are ignored."""
        return cls(**{f.name: str(value.get(f.name, "") or "") for f in fields(cls)})

    def problem(self, columns: Sequence[str]) -> tuple[str, str]:
        """(field, sentence) of what is missing, or two empty strings when the mapping can be used."""
        for name, column in asdict(self).items():
            if column and columns and column not in columns:
                return name, f"There is no column {column!r} in this file."
        if self.messages:
            return "", ""
        if not self.prompt:
            return "prompt", "Choose the column that holds the prompt (or the text to classify)."
        if not self.completion and not self.label:
            return "completion", "Choose the column that holds the answer, or the label."
        if self.prompt == self.completion or self.prompt == self.label:
            return "prompt", "The prompt and the answer must be different columns."
        return "", ""


# --- recognising -------------------------------------------------------------------------------------------------

_MAGIC = [
    (
        b"PK\x03\x04",
        "This is a zip archive (or an Excel file). Unpack it, or save the sheet as CSV, and import that.",
    ),
    (b"\x1f\x8b", "This is a gzip file. Unpack it and import what is inside."),
    (b"PAR1", "This is a Parquet file. Save it as JSONL or CSV and import that."),
    (b"%PDF", "This is a PDF. Import a JSONL, CSV or TSV file."),
    (b"SQLite format 3", "This is a database file. Export the table as CSV and import that."),
    (b"\x80\x04\x95", "This is a Python pickle, which is never opened here. Save the data as JSONL."),
    (b"\x93NUMPY", "This is a NumPy file. Save the data as JSONL or CSV."),
    (b"\xd0\xcf\x11\xe0", "This is an old Office file. Save the sheet as CSV and import that."),
    (b"<!DOCTYPE", "This is a web page, not data. Download the file itself."),
    (b"<html", "This is a web page, not data. Download the file itself."),
]

_PROMPT_NAMES = (
    "prompt instruction question text input query utterance sentence message body ticket email user_input request "
    "review comment description content document title_and_body source inputs user human"
).split()
_COMPLETION_NAMES = (
    "completion response answer output reply target assistant expected ideal chosen generation summary translation "
    "targets outputs expected_output bot gold"
).split()
_LABEL_NAMES = (
    "label category class intent queue topic sentiment tag labels categories target_label type".split()
)
_GROUP_NAMES = (
    "group customer customer_id user_id account account_id conversation_id session_id thread_id".split()
)
_AT_NAMES = "at timestamp created_at time date datetime created sent_at received_at".split()
_MESSAGES_NAMES = "messages conversations conversation dialogue dialog".split()
_SYSTEM_NAMES = "system system_prompt".split()


def sniff_encoding(sample: bytes) -> tuple[str, str]:
    """(encoding, note for a person); the note is empty for plain UTF-8."""
    if sample.startswith(b"\xef\xbb\xbf"):
        return "utf-8-sig", "UTF-8 with a byte order mark"
    if sample.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16", "UTF-16"
    zeros_even, zeros_odd = sample[::2].count(0), sample[1::2].count(0)
    if zeros_odd > len(sample) // 8 and zeros_odd > 4 * zeros_even:
        return "utf-16-le", "UTF-16 without a byte order mark"
    if zeros_even > len(sample) // 8 and zeros_even > 4 * zeros_odd:
        return "utf-16-be", "UTF-16 without a byte order mark"
    valid = invalid = 0
    for line in sample.split(b"\n")[:-1] or [sample]:
        if line.isascii():
            continue
        try:
            line.decode("utf-8")
            valid += 1
        except UnicodeDecodeError:
            invalid += 1
    if invalid > valid:
        return "cp1252", "not UTF-8; read as Windows-1252, change it if letters look wrong"
    if invalid:
        return "utf-8", f"mostly UTF-8, but {invalid} of the first lines are not"
    return "utf-8", ""


def _n_controls(sample: bytes) -> int:
    """Bytes that no text holds."""
    return len(sample) - len(sample.translate(None, bytes([*range(9), *range(14, 32), 127])))


def recognise(sample: bytes, name: str, *, is_whole: bool) -> Layout:
    """How to read a file from its first bytes (a megabyte is plenty) and its name.

    Raises: Unreadable with a sentence when there is nothing to read.
    """
    if not sample:
        raise Unreadable("The file is empty.")
    for magic, sentence in _MAGIC:
        if sample[: len(magic)].lower() == magic.lower():
            raise Unreadable(sentence)
    encoding, note = sniff_encoding(sample)
    if not encoding.startswith("utf-16") and _n_controls(sample) > max(3, len(sample) // 20):
        raise Unreadable("This is not a text file. Import a JSONL, CSV or TSV file.")
    text = sample.decode(encoding if encoding != "utf-8-sig" else "utf-8", errors="replace").lstrip("\ufeff")
    if not text.strip():
        raise Unreadable("The file holds only blank lines.")
    if not is_whole and "\n" in text:
        text = text[: text.rindex("\n") + 1]  # the last line is cut
    notes = (note,) if note else ()
    start = text.lstrip()
    lower = name.lower()
    if start.startswith("["):
        try:
            whole = orjson.loads(text)
        except orjson.JSONDecodeError:
            whole = None
        if whole is not None and isinstance(whole, list) and whole and isinstance(whole[0], dict):
            raise Unreadable(
                "This is one JSON list. Write one object per line instead (JSONL), without the outer brackets and commas."
            )
        if not is_whole and re.match(r"\[\s*\{", start):
            raise Unreadable(
                "This looks like one JSON list. Write one object per line instead (JSONL), without the outer brackets."
            )
    if start.startswith("{") or lower.endswith((".jsonl", ".ndjson")):
        if start.startswith(("{\n", "{\r")):
            raise Unreadable(
                "This looks like one JSON object over many lines. Write one whole object per line instead (JSONL)."
            )
        return Layout("jsonl", encoding, columns=_json_columns(text), notes=notes)
    return _recognise_table(text, lower, encoding, notes)


def _json_columns(text: str) -> tuple[str, ...]:
    seen: dict[str, None] = {}
    for line in text.split("\n")[:200]:
        try:
            record = orjson.loads(line)
        except (orjson.JSONDecodeError, UnicodeEncodeError):
            continue
        if isinstance(record, dict):
            for key in record:
                if len(seen) < MAX_COLUMNS:
                    seen.setdefault(key, None)
    return tuple(seen)


def _recognise_table(text: str, name: str, encoding: str, notes: tuple[str, ...]) -> Layout:
    lines = text.split("\n", 60)[:60]
    head = "\n".join(lines)
    if name.endswith((".tsv", ".tab")):
        delimiter = "\t"
    else:
        delimiter = max(",\t;|", key=lambda d: _column_score(head, d))
        if _column_score(head, delimiter) == 0:
            raise Unreadable(
                "The format is not recognised: neither JSON lines nor a table with commas, tabs or semicolons. "
                "Write one JSON object per line, or a CSV with a header."
            )
    try:
        rows = _rows(head, delimiter)
    except csv.Error:
        rows = [lines[0].rstrip("\r").split(delimiter)]
    if not rows:
        raise Unreadable("The file holds only blank lines.")
    first = [cell.strip().lstrip("\ufeff") for cell in rows[0]]
    if len(first) > MAX_COLUMNS:
        raise Unreadable(f"The first line has {len(first):,} columns; at most {MAX_COLUMNS:,} can be read.")
    header = _is_header(first, rows[1:])
    columns = tuple(unique_names(first)) if header else tuple(f"column {i + 1}" for i in range(len(first)))
    if not header:
        notes = (*notes, "no header line found, the columns are numbered")
    return Layout("tsv" if delimiter == "\t" else "csv", encoding, delimiter, header, columns, notes)


def _rows(head: str, delimiter: str) -> list[list[str]]:
    csv.field_size_limit(MAX_LINE_BYTES)
    rows = []
    for row in csv.reader(io.StringIO(head, newline=""), delimiter=delimiter):
        if row:
            rows.append(row)
        if len(rows) >= 40:
            break
    return rows


def _column_score(head: str, delimiter: str) -> float:
    """Columns of the first row, weighted by how many of the rows have as many; 0 when there is one column."""
    try:
        rows = _rows(head, delimiter)
    except csv.Error:
        rows = [line.split(delimiter) for line in head.split("\n") if line]
    if not rows or len(rows[0]) < 2:
        return 0
    same = sum(len(row) == len(rows[0]) for row in rows) / len(rows)
    return same * (1 + min(len(rows[0]), 20) / 100)


def unique_names(names: Iterable[str]) -> list[str]:
    """Column names with blanks named and repeats numbered, in order."""
    out: list[str] = []
    seen: set[str] = set()
    for position, name in enumerate(names, 1):
        candidate = base = name[:100] or f"column {position}"
        count = 1
        while candidate in seen:
            count += 1
            candidate = f"{base} ({count})"
        seen.add(candidate)
        out.append(candidate)
    return out


_ALL_NAMES = frozenset(
    _PROMPT_NAMES
    + _COMPLETION_NAMES
    + _LABEL_NAMES
    + _GROUP_NAMES
    + _AT_NAMES
    + _SYSTEM_NAMES
    + _MESSAGES_NAMES
    + ["id"]
)


def _is_header(first: Sequence[str], rest: Sequence[Sequence[str]]) -> bool:
    names = [cell.lower().replace(" ", "_") for cell in first]
    if any(name in _ALL_NAMES for name in names):
        return True
    if not rest:
        return False
    # Names are short and appear nowhere below; a first row of data is as long as the others.
    longest = max(range(len(first)), key=lambda i: fmean(len(r[i]) if i < len(r) else 0 for r in rest))
    below = {cell for row in rest for cell in row}
    is_short = len(first[longest]) < 0.5 * fmean(len(r[longest]) if longest < len(r) else 0 for r in rest)
    return is_short and all(len(cell) <= 40 and cell not in below for cell in first)


def guess_mapping(records: Sequence[MappingType[str, Any]], columns: Sequence[str]) -> ColumnMapping:
    """Which column plays which part, by names first and by what the cells hold second."""
    known = {c.lower().strip().replace(" ", "_").replace("-", "_"): c for c in reversed(columns)}

    def named(names: Iterable[str], *, taken: Iterable[str] = ()) -> str:
        for name in names:
            if name in known and known[name] not in taken:
                return known[name]
        return ""

    messages = ""
    for name in _MESSAGES_NAMES:
        column = known.get(name, "")
        if column and any(isinstance(r.get(column), list) for r in records):
            messages = column
            break
    system = named(_SYSTEM_NAMES)
    extras = {"group": named(_GROUP_NAMES), "at": named(_AT_NAMES)}
    if messages:
        return ColumnMapping(messages=messages, system=system, label=named(_LABEL_NAMES), **extras)
    context = ""
    prompt = named(_PROMPT_NAMES)
    if {"instruction", "input", "output"} <= known.keys():  # Alpaca
        prompt, context = known["instruction"], known["input"]
    completion = named(_COMPLETION_NAMES, taken=(prompt,))
    label = named(_LABEL_NAMES, taken=(prompt, completion))
    used = {prompt, context, completion, label, system, *extras.values()}
    if not prompt or not (completion or label):
        texts = [c for c in columns if c not in used and _is_text(records, c)]
        texts.sort(key=lambda c: -_mean_length(records, c))
        if not prompt and texts:
            prompt = texts.pop(0)
        if not (completion or label) and texts:
            few = [c for c in texts if _is_tag(records, c)]
            if few:
                label = min(few, key=lambda c: len({str(r.get(c)) for r in records}))
            else:
                completion = texts[0]
    return ColumnMapping(
        system=system, prompt=prompt, context=context, completion=completion, label=label, **extras
    )


def _values(records: Sequence[MappingType[str, Any]], column: str) -> list[Any]:
    return [r[column] for r in records if r.get(column) not in (None, "")]


def _is_text(records: Sequence[MappingType[str, Any]], column: str) -> bool:
    values = _values(records, column)
    return bool(values) and all(isinstance(v, (str, int)) for v in values)


def _mean_length(records: Sequence[MappingType[str, Any]], column: str) -> float:
    values = _values(records, column)
    return fmean(len(str(v)) for v in values) if values else 0.0


def _is_tag(records: Sequence[MappingType[str, Any]], column: str) -> bool:
    """Whether the cells look like labels: short, and the same few again and again."""
    values = [str(v) for v in _values(records, column)]
    return bool(values) and max(map(len, values)) <= 60 and len(set(values)) <= max(2, 0.5 * len(values))


# --- records to parts --------------------------------------------------------------------------------------------

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


# --- parts to provider lines -------------------------------------------------------------------------------------


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
