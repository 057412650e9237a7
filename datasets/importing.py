"""From stored bytes to parsed rows: samples, numbered lines, previews. Reads files, writes no table."""

from __future__ import annotations

import codecs
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, BinaryIO

import orjson

from datasets.domain.layouts import MAX_LINE_BYTES, Layout, Unreadable, recognise
from datasets.domain.mapping import ColumnMapping
from datasets.domain.parsing import (
    Bad,
    Batch,
    parse_json_lines,
    parse_lines,
    parse_table,
    table_records,
)
from datasets.domain.records import Parts, converter
from datasets.errors import UnusableFile
from foundation.files import store
from foundation.files.models import Blob

SAMPLE_BYTES = 1024 * 1024
# Live validity is counted over the beginning of a file, so that a preview never takes a second.
PREVIEW_BYTES = 4 * 1024 * 1024
PREVIEW_ROWS = 5000
SHOWN_ROWS = 20
ENCODINGS = {
    "utf-8": "UTF-8",
    "utf-8-sig": "UTF-8 with byte order mark",
    "utf-16": "UTF-16",
    "utf-16-le": "UTF-16 (little endian)",
    "utf-16-be": "UTF-16 (big endian)",
    "cp1252": "Windows-1252",
    "latin-1": "Latin-1",
}


def layout_of(blob: Blob) -> Layout:
    """What the file is. Raises UnusableFile with a sentence."""
    with store.open(blob) as stream:
        sample = stream.read(SAMPLE_BYTES)
    try:
        return recognise(sample, blob.name, is_whole=blob.size <= SAMPLE_BYTES)
    except Unreadable as error:
        raise UnusableFile(str(error), field="file") from None


def is_sharded(layout: Layout) -> bool:
    """Whether the file can be cut at any line end and read by several workers at once."""
    return layout.format == "jsonl" and layout.encoding in ("utf-8", "utf-8-sig")


def numbered_lines(stream: BinaryIO, encoding: str) -> Iterator[tuple[int, str]]:
    """Decoded lines with their numbers, line ends kept; a line over the limit is cut just above it.

    Bytes that are not UTF-8 become lone surrogates, which the parser names; other encodings get U+FFFD.
    """
    errors = "surrogateescape" if encoding.startswith("utf-8") else "replace"
    codecs.lookup(encoding)
    text = io.TextIOWrapper(stream, encoding=encoding, errors=errors, newline="")
    number = 0
    while line := text.readline(MAX_LINE_BYTES + 1):
        number += 1
        if len(line) > MAX_LINE_BYTES and not line.endswith("\n"):
            while (rest := text.readline(MAX_LINE_BYTES)) and not rest.endswith("\n"):
                pass
        yield number, line


def stream_rows(
    stream: BinaryIO, layout: Layout, mapping: ColumnMapping, *, task_kind: str
) -> Iterator[tuple[int, Parts] | Bad | None]:
    """Rows of a file that is read from its beginning: parts, named errors, None for blanks."""
    convert = converter(mapping, task_kind=task_kind)
    lines = numbered_lines(stream, layout.encoding)
    if layout.format == "jsonl":
        yield from parse_json_lines(lines, layout.encoding, convert)
    else:
        yield from parse_table(lines, layout, convert)


def shard_rows(
    blob: Blob,
    start: int,
    end: int,
    first_line: int,
    mapping: ColumnMapping,
    *,
    task_kind: str,
    n_lines: Callable[[], int],
) -> Iterator[Batch]:
    """Rows of one byte range of a JSONL file, `n_lines()` lines at a time."""
    with store.open(blob) as stream:
        stream.seek(start)
        lines = stream.read(end - start).split(b"\n")
    if not lines[-1]:
        lines.pop()
    convert = converter(mapping, task_kind=task_kind)
    at = 0
    while at < len(lines):
        part = lines[at : at + n_lines()]
        yield parse_lines(part, first_line + at, convert)
        at += len(part)


@dataclass(slots=True)
class Preview:
    """What an import would do, seen on the first rows: parts or errors, and how many are usable so far."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    n_good: int = 0
    n_bad: int = 0
    n_blank: int = 0
    errors: list[Bad] = field(default_factory=list)
    labels: dict[str, int] = field(default_factory=dict)
    is_whole: bool = True

    @property
    def n_checked(self) -> int:
        """Rows looked at, blank ones not counted."""
        return self.n_good + self.n_bad


def _head(blob: Blob, n_bytes: int) -> tuple[bytes, bool]:
    with store.open(blob) as stream:
        data = stream.read(n_bytes)
    whole = blob.size <= len(data)
    if not whole and (cut := data.rfind(b"\n")) > 0:
        data = data[: cut + 1]
    return data, whole


def sample_records(blob: Blob, layout: Layout, n: int = 200) -> list[dict[str, Any]]:
    """The first records as they stand in the file, for guessing columns."""
    data, _ = _head(blob, SAMPLE_BYTES)
    lines = numbered_lines(io.BytesIO(data), layout.encoding)
    if layout.format != "jsonl":
        records = (
            found
            for found in table_records(lines, layout)
            if isinstance(found, tuple) and not isinstance(found, Bad)
        )
        return [record for _, record in islice(records, n)]
    out = []
    for _, line in islice(lines, n * 2):
        try:
            record = orjson.loads(line.strip().lstrip("\ufeff"))
        except (orjson.JSONDecodeError, UnicodeEncodeError):
            continue
        if isinstance(record, dict):
            out.append(record)
    return out[:n]


def preview(blob: Blob, layout: Layout, mapping: ColumnMapping, *, task_kind: str) -> Preview:
    """The first rows as they would become examples, and a validity count over the beginning of the file."""
    data, whole = _head(blob, PREVIEW_BYTES)
    found = Preview(is_whole=whole)
    for n, row in enumerate(stream_rows(io.BytesIO(data), layout, mapping, task_kind=task_kind)):
        if n >= PREVIEW_ROWS:
            found.is_whole = False
            break
        if row is None:
            found.n_blank += 1
        elif isinstance(row, Bad):
            found.n_bad += 1
            if len(found.errors) < 100:
                found.errors.append(row)
            if len(found.rows) < SHOWN_ROWS:
                found.rows.append({"line": row.line, "error": row})
        else:
            line, parts = row
            found.n_good += 1
            if parts.label:
                found.labels[parts.label] = found.labels.get(parts.label, 0) + 1
            if len(found.rows) < SHOWN_ROWS:
                found.rows.append({"line": line, "parts": parts})
    found.labels = dict(sorted(found.labels.items(), key=lambda item: (-item[1], item[0])))
    return found


@dataclass(frozen=True, slots=True)
class ByteRange:
    """Whole lines of a file: bytes [start, end), the number of the first line, how many there are."""

    start: int
    end: int
    first_line: int
    n_lines: int
    is_giant: bool = False


def byte_ranges(stream: BinaryIO, start: int, first_line: int, *, size: int, most: int) -> list[ByteRange]:
    """The next ranges of about `size` bytes, at most `most`, each ending at a line end.

    A line longer than the limit gets a range of its own, marked, and is never held in memory.
    """
    stream.seek(start)
    out: list[ByteRange] = []
    rest = b""
    while len(out) < most:
        data = stream.read(size)
        block = rest + data
        if not block:
            break
        if data and (cut := block.rfind(b"\n")) < 0:
            if len(block) <= MAX_LINE_BYTES:
                rest = block
                continue
            length = len(block)
            while piece := stream.read(size):
                found = piece.find(b"\n")
                if found >= 0:
                    length += found + 1
                    break
                length += len(piece)
            out.append(ByteRange(start, start + length, first_line, 1, is_giant=True))
            start, first_line, rest = start + length, first_line + 1, b""
            stream.seek(start)
            continue
        end = len(block) if not data else cut + 1
        n_lines = block.count(b"\n", 0, end) + (0 if block[end - 1 : end] == b"\n" else 1)
        out.append(ByteRange(start, start + end, first_line, n_lines))
        start, first_line, rest = start + end, first_line + n_lines, b""
        stream.seek(start)
    return out
