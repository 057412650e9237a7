"""Recognising how a file is to be read: its format, encoding, separator and columns, from its first bytes.

Knows no database and no file.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from collections.abc import Mapping as MappingType
from dataclasses import asdict, dataclass, fields
from statistics import fmean
from typing import Any

import orjson

from datasets.domain.json_lists import elements, list_start, lists_of_objects
from datasets.domain.limits import MAX_COLUMNS, MAX_LINE_BYTES
from datasets.domain.mapping import ALL_NAMES, guess_mapping


class Unreadable(ValueError):
    """The file as a whole cannot be used; the text is one sentence for a person."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How a file is read: its format, encoding and columns. `notes` say in words what was recognised."""

    format: str  # jsonl, json (one list of rows), csv, tsv, parquet
    encoding: str = "utf-8"
    delimiter: str = ""
    header: bool = True
    columns: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    compression: str = ""  # gzip
    # The key of the object that a JSON list stands under; empty where the file is the list itself.
    inside: str = ""

    @property
    def name(self) -> str:
        """What the file is, for a person: "CSV in gzip"."""
        name = {"parquet": "Parquet", "json": "JSON list"}.get(self.format, self.format.upper())
        return f"{name} in {self.compression}" if self.compression else name

    @property
    def place(self) -> str:
        """What the number of a row counts in this file."""
        return "Row" if self.format in ("json", "parquet") else "Line"

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


_MAGIC = [
    (
        b"PK\x03\x04",
        "This is a zip archive (or an Excel file). Unpack it, or save the sheet as CSV, and import that.",
    ),
    # Both are read elsewhere, where they are the file itself; here they stand inside something else.
    (b"\x1f\x8b", "This is a gzip file inside another. Unpack it once and import what is inside."),
    (b"PAR1", "This is a Parquet file inside something else. Import the Parquet file itself."),
    (b"%PDF", "This is a PDF. Import JSONL, a JSON list, CSV or TSV."),
    (b"SQLite format 3", "This is a database file. Export the table as CSV and import that."),
    (b"\x80\x04\x95", "This is a Python pickle, which is never opened here. Save the data as JSONL."),
    (b"\x93NUMPY", "This is a NumPy file. Save the data as JSONL or CSV."),
    (b"\xd0\xcf\x11\xe0", "This is an old Office file. Save the sheet as CSV and import that."),
    (b"<!DOCTYPE", "This is a web page, not data. Download the file itself."),
    (b"<html", "This is a web page, not data. Download the file itself."),
]

# Under one of these keys an object keeps its rows, whatever else stands beside them.
_LIST_KEYS = frozenset(
    "data rows train training test validation valid dev examples instances items records samples dataset entries "
    "results".split()
)
_OBJECTS = 'Rows are objects like {"prompt": "…", "completion": "…"}'


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
        raise Unreadable("This is not a text file. Import JSONL, a JSON list, CSV or TSV.")
    text = sample.decode(encoding if encoding != "utf-8-sig" else "utf-8", errors="replace").lstrip("\ufeff")
    if not text.strip():
        raise Unreadable("The file holds only blank lines.")
    notes = (note,) if note else ()
    lower = name.lower()
    if text.lstrip()[:1] in "[{" and (found := _json_list(text, is_whole=is_whole)):
        key, columns = found
        if key:
            notes = (*notes, f"the rows stand under “{key[:60]}”")
        return Layout("json", encoding, columns=columns, notes=notes, inside=key)
    if not is_whole and "\n" in text:
        text = text[: text.rindex("\n") + 1]  # the last line is cut
    start = text.lstrip()
    if start.startswith("{") or lower.endswith((".jsonl", ".ndjson")):
        if start.startswith(("{\n", "{\r")):
            raise Unreadable(
                "This looks like one JSON object over many lines. Write one whole object per line instead (JSONL), "
                "or a list of such objects."
            )
        return Layout("jsonl", encoding, columns=_json_columns(text), notes=notes)
    return _recognise_table(text, lower, encoding, notes)


def _loaded(text: str) -> Any:
    try:
        return orjson.loads(text)
    except (orjson.JSONDecodeError, UnicodeEncodeError):
        return None


def _json_list(text: str, *, is_whole: bool) -> tuple[str, tuple[str, ...]] | None:
    """(the key it stands under or nothing, its columns) of the one list of rows a text is; None for another text.

    Raises: Unreadable for a list that cannot be the rows, or for several of them.
    """
    start = text.strip()
    first, _, rest = start.partition("\n")
    whole = _loaded(start) if is_whole else None
    head = start.encode("utf-8", "replace")
    found = list_start(head)
    if start.startswith("["):
        if rest.lstrip().startswith("[") and isinstance(_loaded(first), list):
            raise Unreadable(
                f"Each line is a list. {_OBJECTS}: write one of them a line, or one list of them."
            )
        if whole == []:
            raise Unreadable("The JSON list is empty.")
        if isinstance(whole, list) and found is None:
            raise Unreadable(f"This JSON list begins with something that is no object. {_OBJECTS}.")
    elif isinstance(whole, dict):
        lists = lists_of_objects(whole)
        if not lists or _is_row(whole, lists, is_line=not rest):
            return None
        if len(lists) > 1:
            shown = ", ".join(f"“{key[:40]}”" for key in lists[:8])
            raise Unreadable(
                f"This JSON object holds {len(lists)} lists ({shown}), and only one can be the rows. Write each list into a "
                "file of its own."
            )
    elif isinstance(_loaded(first), dict) or isinstance(_loaded(rest.lstrip().partition("\n")[0]), dict):
        return None  # rows a line, the first of them maybe broken
    if found is None:
        return None
    columns: dict[str, None] = {}
    for number, element in enumerate(elements([head], found.key, is_cut=True)):
        record = _loaded(element.raw.decode("utf-8", "replace"))
        if not isinstance(record, dict):
            continue
        if not number and _is_message(record):
            if found.key:
                return None  # one row over many lines
            raise Unreadable(
                "This JSON list is one conversation: its elements are messages. Rows are objects that hold one each, like "
                '{"messages": [{"role": "user", "content": "…"}, {"role": "assistant", "content": "…"}]}.'
            )
        for name in record:
            if len(columns) < MAX_COLUMNS:
                columns.setdefault(name, None)
        if number >= 200:
            break
    return found.key, tuple(columns)


def _is_message(record: MappingType[str, Any]) -> bool:
    said = record.get("content", record.get("value"))
    return isinstance(record.get("role", record.get("from")), str) and isinstance(said, (str, list))


def _is_row(whole: dict[str, Any], lists: Sequence[str], *, is_line: bool) -> bool:
    """Whether an object is a row that has lists, rather than what rows are kept in."""
    if any(_is_message(whole[key][0]) for key in lists):
        return True
    if not is_line or (len(lists) == 1 and lists[0].lower() in _LIST_KEYS):
        return False
    return not guess_mapping([whole], list(whole)).problem(list(whole))[1]


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
                "The format is not recognised: neither JSON lines, a JSON list nor a table with commas, tabs or semicolons. "
                "Write one JSON object per line, one list of them, or a CSV with a header."
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


def _is_header(first: Sequence[str], rest: Sequence[Sequence[str]]) -> bool:
    names = [cell.lower().replace(" ", "_") for cell in first]
    if any(name in ALL_NAMES for name in names):
        return True
    if not rest:
        return False
    # Names are short and appear nowhere below; a first row of data is as long as the others.
    longest = max(range(len(first)), key=lambda i: fmean(len(r[i]) if i < len(r) else 0 for r in rest))
    below = {cell for row in rest for cell in row}
    is_short = len(first[longest]) < 0.5 * fmean(len(r[longest]) if longest < len(r) else 0 for r in rest)
    return is_short and all(len(cell) <= 40 and cell not in below for cell in first)
