"""From stored bytes to parsed rows: samples, numbered lines, previews. Reads files, writes no table."""

from __future__ import annotations

import codecs
import io
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, BinaryIO, cast

import orjson

from datasets.domain.json_lists import Element, elements, elements_by_block
from datasets.domain.layouts import Layout, Unreadable, recognise
from datasets.domain.limits import MAX_LINE_BYTES
from datasets.domain.mapping import ColumnMapping
from datasets.domain.parsing import (
    ELEMENT,
    LINE,
    Bad,
    Batch,
    Converter,
    giant,
    parse_elements,
    parse_json_lines,
    parse_lines,
    parse_table,
    table_records,
)
from datasets.domain.records import converter
from datasets.errors import UnusableFile
from datasets.unpacking import (
    BLOCK_BYTES,
    GZIP_MAGIC,
    PARQUET_MAGIC,
    Unzipped,
    parquet_lines,
    zipped_parquet_lines,
)
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
        magic = stream.read(4)
    compression = "gzip" if magic.startswith(GZIP_MAGIC) else ""
    if magic == PARQUET_MAGIC:
        return _parquet_layout(blob, compression)
    name = blob.name.lower().removesuffix(".gz").removesuffix(".gzip") if compression else blob.name
    with opened(blob, Layout("", compression=compression)) as source:
        sample = source.stream.read(SAMPLE_BYTES)
        if compression and sample.startswith(PARQUET_MAGIC):
            return _parquet_layout(blob, compression)
        is_whole = len(sample) < SAMPLE_BYTES
        layout = (
            None if not is_whole and b"\n" not in sample else _recognised(sample, name, is_whole=is_whole)
        )
        if layout is None or (layout.format == "json" and not layout.columns and not is_whole):
            # One line or element may be long; one over the limit is the file's trouble and is said so.
            sample += source.stream.read(MAX_LINE_BYTES - SAMPLE_BYTES)
            is_whole = len(sample) < MAX_LINE_BYTES
            layout = _recognised(sample, name, is_whole=is_whole)
    is_list = layout.format == "json"
    if not is_whole and (not layout.columns if is_list else b"\n" not in sample):
        too_long = giant(1, blob.size, ELEMENT if is_list else LINE)
        raise UnusableFile(f"{layout.place} 1 {too_long.reason}. {too_long.fix}", field="file")
    return replace(layout, compression=compression)


def _recognised(sample: bytes, name: str, *, is_whole: bool) -> Layout:
    try:
        return recognise(sample, name, is_whole=is_whole)
    except Unreadable as error:
        raise UnusableFile(str(error), field="file") from None


def _parquet_layout(blob: Blob, compression: str) -> Layout:
    with _parquet(blob, compression, rows=1) as (head, lines):
        lines.read()
    if not head["rows"]:
        raise UnusableFile("The Parquet file holds no rows.", field="file")
    return Layout("parquet", columns=tuple(head["columns"]), compression=compression)


@contextmanager
def _parquet(
    blob: Blob, compression: str, *, rows: int = 0, n_bytes: int = 0
) -> Iterator[tuple[dict[str, Any], BinaryIO]]:
    path = store.path(blob)
    if not compression:
        with parquet_lines(path, rows=rows, n_bytes=n_bytes) as found:
            yield found
        return
    with (
        store.open(blob) as packed,
        zipped_parquet_lines(packed, blob.size, path.parent, rows=rows, n_bytes=n_bytes) as found,
    ):
        yield found


@dataclass(slots=True)
class Source:
    """A file being read: its bytes as text, and how much of it was consumed of how much."""

    stream: BinaryIO
    size: int
    position: Callable[[], int]


@contextmanager
def opened(blob: Blob, layout: Layout, *, rows: int = 0, n_bytes: int = 0) -> Iterator[Source]:
    """The text of a file, unpacked where it is packed. `rows` and `n_bytes` say that no more will be read."""
    if layout.format == "parquet":
        with _parquet(blob, layout.compression, rows=rows, n_bytes=n_bytes) as (head, stream):
            yield Source(stream, max(1, head["rows"]), lambda: 0)
        return
    with store.open(blob) as packed:
        if layout.compression == "gzip":
            unzipped = cast(BinaryIO, io.BufferedReader(Unzipped(packed, blob.size), BLOCK_BYTES))
            yield Source(unzipped, max(1, blob.size), packed.tell)
        else:
            yield Source(packed, max(1, blob.size), packed.tell)


def is_sharded(layout: Layout) -> bool:
    """Whether the file can be cut at any line end and read by several workers at once."""
    return layout.format == "jsonl" and not layout.compression and layout.encoding in ("utf-8", "utf-8-sig")


def numbered_lines(stream: BinaryIO, encoding: str) -> Iterator[tuple[int, str]]:
    """Decoded lines with their numbers, line ends kept; a line over the limit is cut just above it.

    Bytes that are not UTF-8 become lone surrogates, which the parser names; other encodings get U+FFFD.
    """
    errors = "surrogateescape" if encoding.startswith("utf-8") else "replace"
    codecs.lookup(encoding)
    text = io.TextIOWrapper(stream, encoding=encoding, errors=errors, newline="")
    number = 0
    try:
        while line := text.readline(MAX_LINE_BYTES + 1):
            number += 1
            if len(line) > MAX_LINE_BYTES and not line.endswith("\n"):
                while (rest := text.readline(MAX_LINE_BYTES)) and not rest.endswith("\n"):
                    pass
            yield number, line
    finally:
        # The stream belongs to whoever opened it, and is asked where it stands after the last line.
        if not stream.closed:
            text.detach()


def byte_lines(stream: BinaryIO) -> Iterator[bytes | int]:
    """Lines without their ends; a line over the limit is passed over and its length given instead."""
    while line := stream.readline(MAX_LINE_BYTES + 2):
        if len(line) <= MAX_LINE_BYTES + 1:
            yield line.removesuffix(b"\n")
            continue
        n_bytes = len(line)
        while not line.endswith(b"\n") and (line := stream.readline(MAX_LINE_BYTES)):
            n_bytes += len(line)
        yield n_bytes


def stream_batches(
    stream: BinaryIO,
    layout: Layout,
    mapping: ColumnMapping,
    *,
    task_kind: str,
    n_lines: Callable[[], int] = lambda: 1000,
    is_cut: bool = False,
    left_out: Counter[str] | None = None,
) -> Iterator[Batch]:
    """Rows of a file that is read from its beginning, about `n_lines()` at a time.

    `is_cut`: the stream is the beginning of a file, so that a list may well have no end. `left_out`: see `converter`.
    """
    convert = converter(mapping, task_kind=task_kind, left_out=left_out)
    if layout.format == "json":
        yield from _list_batches(stream, layout, convert, n_lines, is_cut=is_cut)
        return
    if layout.format in ("jsonl", "parquet") and layout.encoding in ("utf-8", "utf-8-sig"):
        yield from _json_batches(stream, layout, convert, n_lines)
        return
    lines = numbered_lines(stream, layout.encoding)
    rows = (
        parse_json_lines(lines, layout.encoding, convert)
        if layout.format == "jsonl"
        else parse_table(lines, layout, convert)
    )
    batch, most = Batch(), n_lines()
    for n, row in enumerate(rows, 1):
        if row is None:
            batch.n_blank += 1
        elif isinstance(row, Bad):
            batch.bad.append(row)
        else:
            batch.good.append(row)
        if n % most == 0:
            yield batch
            batch = Batch()
    yield batch


def _json_batches(
    stream: BinaryIO, layout: Layout, convert: Converter, n_lines: Callable[[], int]
) -> Iterator[Batch]:
    waiting: list[bytes] = []
    line, size = 1, 0
    for raw in byte_lines(stream):
        if line == 1 and not waiting and layout.encoding == "utf-8-sig" and isinstance(raw, bytes):
            raw = raw.removeprefix(b"\xef\xbb\xbf")
        if isinstance(raw, int):
            yield parse_lines(waiting, line, convert)
            line += len(waiting)
            yield Batch(bad=[giant(line, raw)])
            line, waiting, size = line + 1, [], 0
            continue
        waiting.append(raw)
        size += len(raw)
        if len(waiting) >= n_lines() or size > MAX_LINE_BYTES:
            yield parse_lines(waiting, line, convert)
            line, waiting, size = line + len(waiting), [], 0
    yield parse_lines(waiting, line, convert)


def utf8_blocks(stream: BinaryIO, encoding: str) -> Iterator[bytes]:
    """The bytes of a text in blocks, as UTF-8 without a byte order mark; what its encoding cannot be becomes U+FFFD."""
    is_utf8 = encoding in ("utf-8", "utf-8-sig")
    decoder = codecs.getincrementaldecoder(encoding)(errors="replace")
    is_first = True
    while data := stream.read(BLOCK_BYTES):
        block = data if is_utf8 else decoder.decode(data).encode()
        if is_first and block:
            block, is_first = block.removeprefix(codecs.BOM_UTF8), False
        yield block
    if not is_utf8:
        yield decoder.decode(b"", final=True).encode()


def _list_batches(
    stream: BinaryIO, layout: Layout, convert: Converter, n_lines: Callable[[], int], *, is_cut: bool
) -> Iterator[Batch]:
    waiting: list[Element] = []
    size = 0
    blocks = utf8_blocks(stream, layout.encoding)
    for found in elements_by_block(blocks, layout.inside, is_cut=is_cut):
        for element in found:
            waiting.append(element)
            size += len(element.raw)
            if len(waiting) >= n_lines() or size > MAX_LINE_BYTES:
                yield parse_elements(waiting, layout.encoding, convert)
                waiting, size = [], 0
        if not found:
            yield Batch()  # within a long row: whoever reads says that it lives
    yield parse_elements(waiting, layout.encoding, convert)


def shard_rows(
    blob: Blob,
    start: int,
    end: int,
    first_line: int,
    mapping: ColumnMapping,
    *,
    task_kind: str,
    n_lines: Callable[[], int],
    left_out: Counter[str] | None = None,
) -> Iterator[Batch]:
    """Rows of one byte range of a JSONL file, `n_lines()` lines at a time."""
    with store.open(blob) as stream:
        stream.seek(start)
        lines = stream.read(end - start).split(b"\n")
    if not lines[-1]:
        lines.pop()
    convert = converter(mapping, task_kind=task_kind, left_out=left_out)
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


def _head(blob: Blob, layout: Layout, n_bytes: int) -> tuple[bytes, bool]:
    """(the first whole lines, whether that is all) of a file's text."""
    with opened(blob, layout, rows=PREVIEW_ROWS, n_bytes=n_bytes) as source:
        data = source.stream.read(n_bytes)
        whole = not source.stream.read(1) and (layout.format != "parquet" or source.size < PREVIEW_ROWS)
        while source.stream.read(SAMPLE_BYTES) and layout.format == "parquet":
            pass  # so that the child ends by itself
    if not whole and layout.format != "json" and (cut := data.rfind(b"\n")) > 0:
        data = data[: cut + 1]
    return data, whole


def sample_records(blob: Blob, layout: Layout, n: int = 200) -> list[dict[str, Any]]:
    """The first records as they stand in the file, for guessing columns."""
    data, _ = _head(blob, layout, MAX_LINE_BYTES if layout.format == "json" else SAMPLE_BYTES)
    if layout.format == "json":
        blocks = utf8_blocks(io.BytesIO(data), layout.encoding)
        found_in = (_object(element.raw) for element in elements(blocks, layout.inside, is_cut=True))
        return list(islice((record for record in found_in if record is not None), n))
    lines = numbered_lines(io.BytesIO(data), layout.encoding)
    if layout.format not in ("jsonl", "parquet"):
        records = (
            found
            for found in table_records(lines, layout)
            if isinstance(found, tuple) and not isinstance(found, Bad)
        )
        return [record for _, record in islice(records, n)]
    read = (_object(line.strip().lstrip("\ufeff")) for _, line in islice(lines, n * 2))
    return [record for record in read if record is not None][:n]


def _object(text: str | bytes) -> dict[str, Any] | None:
    try:
        record = orjson.loads(text)
    except (orjson.JSONDecodeError, UnicodeEncodeError):
        return None
    return record if isinstance(record, dict) else None


def preview(blob: Blob, layout: Layout, mapping: ColumnMapping, *, task_kind: str) -> Preview:
    """The first rows as they would become examples, and a validity count over the beginning of the file."""
    data, whole = _head(blob, layout, PREVIEW_BYTES)
    found = Preview(is_whole=whole)
    shown: list[dict[str, Any]] = []
    for batch in stream_batches(io.BytesIO(data), layout, mapping, task_kind=task_kind, is_cut=not whole):
        found.n_blank += batch.n_blank
        found.n_bad += len(batch.bad)
        found.n_good += len(batch.good)
        found.errors.extend(batch.bad[: 100 - len(found.errors)])
        if len(shown) < 2 * SHOWN_ROWS:
            shown += [{"line": bad.line, "error": bad} for bad in batch.bad[:SHOWN_ROWS]]
            shown += [{"line": line, "parts": parts} for line, parts in batch.good[:SHOWN_ROWS]]
        for _, parts in batch.good:
            if parts.label:
                found.labels[parts.label] = found.labels.get(parts.label, 0) + 1
        if found.n_checked >= PREVIEW_ROWS:
            found.is_whole = False
            break
    found.rows = sorted(shown, key=lambda row: row["line"])[:SHOWN_ROWS]
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
