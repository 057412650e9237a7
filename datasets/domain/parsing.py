"""Reading lines into parts: every line becomes an example, a named error, or a counted blank. Never a crash.

Bytes or text in, parts out. Where the bytes come from and where the parts go is nobody's business here.
"""

from __future__ import annotations

import csv
import json
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson

from datasets.domain.json_lists import Element
from datasets.domain.layouts import Layout, unique_names
from datasets.domain.limits import MAX_COLUMNS, MAX_LINE_BYTES
from datasets.domain.records import Parts, RowError

# A table whose quotes are broken this often is not read further: the rest would be guesswork.
MAX_BROKEN_RECORDS = 1000
MAX_RECORD_LINES = 5000
# What one row is written in: a line of JSONL, or an element of a JSON list.
LINE, ELEMENT = "line", "row"
_SURROGATE = re.compile("[\ud800-\udfff]")

_REPLACED = "\ufffd".encode()

Converter = Callable[[Mapping[str, Any]], Parts]


class Bad(NamedTuple):
    """One line that cannot be used: its number in the file, the column, why, what to do, and how it begins."""

    line: int
    column: str
    reason: str
    fix: str
    excerpt: str


@dataclass(slots=True)
class Batch:
    """What some lines became. `good` pairs the line number with its parts."""

    good: list[tuple[int, Parts]] = field(default_factory=list)
    bad: list[Bad] = field(default_factory=list)
    n_blank: int = 0


def excerpt(raw: bytes | str) -> str:
    """The first 120 characters of a line, safe to store and show."""
    text = raw[:480].decode("utf-8", errors="replace") if isinstance(raw, bytes) else raw[:120]
    return _SURROGATE.sub("\ufffd", text[:120]).replace("\0", "\u2400")


def _json_problem(raw: bytes, error: Exception, what: str) -> tuple[str, str]:
    """(reason, fix) for a line or element that is not JSON, in words."""
    text = str(error)
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError as wrong:
        byte = raw[wrong.start]
        return (
            f"not UTF-8: byte 0x{byte:02x} at position {wrong.start + 1}",
            "Save the file as UTF-8, or choose Windows-1252 as its encoding.",
        )
    if b"\0" in raw:
        return "holds a NUL byte", "Remove it: the file was probably cut or is not text."
    if "surrogate" in text:
        return "holds half of a character (a lone surrogate escape)", "Remove or complete the \\ud… escape."
    if "ecursion" in text:
        return "is nested too deeply", "Flatten the object: only its top level is used."
    if re.search(rb"[:\[,]\s*-?(NaN|Infinity)\b", raw):
        return "holds NaN or Infinity, which JSON does not know", "Write null, or leave the key out."
    if "umber" in text:
        return "holds a number that is too large or malformed", "Write it as text in quotes."
    if raw.lstrip()[:1] == b"{" and not raw.rstrip().endswith(b"}"):
        return f"the {what} is cut off: a closing }} is missing", f"Write one whole object per {what}."
    where = f" (character {error.pos + 1})" if isinstance(error, json.JSONDecodeError) else ""
    return f"is not JSON{where}: {text.split(':')[0]}", f"Write one JSON object per {what}."


def _no_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise RowError(
                    f"the key {key[:40]!r} appears twice", column=key[:100], fix="Keep one of them."
                )
            seen.add(key)
    return record


def _n_keys(value: Any) -> int:
    """Keys in an object and the objects in it."""
    count, todo = 0, [value]
    while todo:
        part = todo.pop()
        if type(part) is dict:
            count += len(part)
            todo.extend(v for v in part.values() if type(v) is dict or type(v) is list)
        else:
            todo.extend(v for v in part if type(v) is dict or type(v) is list)
    return count


def json_record(raw: bytes, what: str = LINE) -> dict[str, Any]:
    """The object on one line, or in one element of a list. Raises: RowError with reason and fix."""
    if len(raw) > MAX_LINE_BYTES:
        raise RowError(*_too_long(len(raw), what)[:1], fix=_too_long(len(raw), what)[1])
    try:
        record = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        reason, fix = _json_problem(raw, error, what)
        raise RowError(reason, fix=fix) from None
    if type(record) is not dict:
        raise RowError(
            f"the {what} is not an object",
            fix='Write objects like {"prompt": "…", "completion": "…"}'
            + (", one on each line." if what == LINE else "."),
        )
    # orjson keeps the last of repeated keys in silence. Counting colons after quotes tells which lines need a look.
    if raw.count(b'":') + raw.count(b'" :') > _n_keys(record):
        try:
            json.loads(raw, object_pairs_hook=_no_repeats)
        except RowError:
            raise
        except (ValueError, RecursionError):
            pass
    if len(record) > MAX_COLUMNS:
        raise RowError(
            f"has {len(record):,} keys, at most {MAX_COLUMNS:,} can be read", fix="Keep the keys you need."
        )
    return record


def _too_long(n_bytes: int, what: str = LINE) -> tuple[str, str]:
    ends = "line ends" if what == LINE else "brackets and quotes"
    return (
        f"is longer than {MAX_LINE_BYTES // 1024 // 1024} MB ({n_bytes / 1024 / 1024:,.0f} MB)",
        f"One {what} is one example. Split the text, or check the {ends}.",
    )


def giant(line: int, n_bytes: int, what: str = LINE) -> Bad:
    """The named error of a line or element that was not even read."""
    reason, fix = _too_long(n_bytes, what)
    return Bad(line, "", reason, fix, "")


def parse_jsonl(data: bytes, first_line: int, convert: Converter) -> Batch:
    """Lines of JSONL in UTF-8 as parts. `first_line` is the number of the first line in the whole file."""
    lines = data.split(b"\n")
    if not lines[-1]:
        lines.pop()
    return parse_lines(lines, first_line, convert)


def parse_lines(lines: Iterable[bytes], first_line: int, convert: Converter, what: str = LINE) -> Batch:
    """The same for bytes that are cut into lines, or elements of a list, already."""
    batch = Batch()
    good, bad = batch.good, batch.bad
    loads = orjson.loads
    for line, raw in enumerate(lines, first_line):
        try:
            record = loads(raw)
            # The quick way: a flat object with no room for repeated keys; everything else is looked at closely.
            if (
                type(record) is not dict
                or raw.count(b'":') != len(record)
                or len(raw) > MAX_LINE_BYTES
                or len(record) > MAX_COLUMNS
            ):
                record = json_record(raw, what)
            good.append((line, convert(record)))
        except RowError as error:
            bad.append(Bad(line, error.column[:100], error.reason[:300], error.fix[:300], excerpt(raw)))
        except orjson.JSONDecodeError:
            if not raw.strip():
                batch.n_blank += 1
                continue
            try:
                good.append((line, convert(json_record(raw, what))))
            except RowError as error:
                bad.append(Bad(line, error.column[:100], error.reason[:300], error.fix[:300], excerpt(raw)))
        except UnicodeEncodeError:
            bad.append(Bad(line, "", "holds half of a character", "Remove the \\ud… escape.", excerpt(raw)))
    return batch


def parse_elements(found: Sequence[Element], encoding: str, convert: Converter) -> Batch:
    """Elements of a JSON list that follow each other, as parts. The number of a row is its place in the list.

    The line an element begins on is said with what is wrong with it.
    """
    batch = Batch()
    whole: list[Element] = []

    def parse() -> None:
        if not whole:
            return
        first = whole[0].number
        part = parse_lines([element.raw for element in whole], first, convert, ELEMENT)
        batch.good += part.good
        batch.bad += [_on_line(bad, whole[bad.line - first].line) for bad in part.bad]
        whole.clear()

    for element in found:
        if problem := _element_problem(element, encoding):
            parse()
            batch.bad.append(_on_line(problem, element.line))
        else:
            whole.append(element)
    parse()
    return batch


def _element_problem(element: Element, encoding: str) -> Bad | None:
    """What is wrong with an element before it is read: it is no whole one, or its encoding could not be read."""
    if element.n_bytes:
        return giant(element.number, element.n_bytes, ELEMENT)
    reason, fix = element.problem
    if not reason and not encoding.startswith("utf-8") and _REPLACED in element.raw:
        reason, fix = f"holds bytes that are not {encoding}", "Save the file as UTF-8."
    return Bad(element.number, "", reason, fix, excerpt(element.raw)) if reason else None


def _on_line(bad: Bad, line: int) -> Bad:
    return bad._replace(reason=f"{bad.reason[:260]} (begins on line {line:,})")


def text_problem(line: str, encoding: str) -> tuple[str, str] | None:
    """(reason, fix) when a decoded line holds what its encoding could not read."""
    if line.isascii():
        return (
            ("holds a NUL character", "Remove it: the file was probably cut or is not text.")
            if "\0" in line
            else None
        )
    if found := _SURROGATE.search(line):
        byte = ord(found.group()) - 0xDC00
        return (
            f"not UTF-8: byte 0x{byte & 0xFF:02x} at position {found.start() + 1}",
            "Save the file as UTF-8, or choose Windows-1252 as its encoding.",
        )
    if "\0" in line:
        return "holds a NUL character", "Remove it: the file was probably cut or is not text."
    if "\ufffd" in line and not encoding.startswith("utf-8"):
        return f"holds bytes that are not {encoding}", "Save the file as UTF-8."
    return None


def parse_json_lines(
    lines: Iterable[tuple[int, str]], encoding: str, convert: Converter
) -> Iterator[tuple[int, Parts] | Bad | None]:
    """The same for decoded lines (files that are not UTF-8); None stands for a blank line."""
    for number, line in lines:
        if not line.strip():
            yield None
            continue
        problem = text_problem(line, encoding)
        if problem:
            yield Bad(number, "", *problem, excerpt(line))
            continue
        try:
            yield number, convert(json_record(line.strip().lstrip("\ufeff").encode()))
        except RowError as error:
            yield Bad(number, error.column[:100], error.reason[:300], error.fix[:300], excerpt(line))
        except UnicodeEncodeError:
            yield Bad(number, "", "holds half of a character", "Remove it.", excerpt(line))


class _Feed:
    """Physical lines for the csv reader, remembering those of the record being read so that they can be put back."""

    def __init__(self, lines: Iterable[tuple[int, str]]) -> None:
        self._lines = iter(lines)
        self._back: deque[tuple[int, str]] = deque()
        self.record: list[tuple[int, str]] = []
        self.n_chars = 0

    def __iter__(self) -> _Feed:
        return self

    def __next__(self) -> str:
        if len(self.record) >= MAX_RECORD_LINES or self.n_chars > MAX_LINE_BYTES:
            raise csv.Error("unexpected end of data")
        item = self._back.popleft() if self._back else next(self._lines)
        self.record.append(item)
        self.n_chars += len(item[1])
        return item[1]

    def begin(self) -> None:
        self.record, self.n_chars = [], 0

    def put_back_all_but_the_first(self) -> None:
        self._back.extendleft(reversed(self.record[1:]))
        self.begin()


_CSV_WORDS = [
    (
        "unexpected end",
        "a quote opens here and never closes",
        'Close the quote, or write "" for a quote inside a cell.',
    ),
    ("expected after", "a quote closes in the middle of a cell", 'Write "" for a quote inside a cell.'),
    (
        "field larger",
        "a cell is too long, a quote probably never closes",
        "Close the quote, or split the text.",
    ),
    ("NUL", "holds a NUL character", "Remove it: the file was probably cut or is not text."),
]


def table_records(
    lines: Iterable[tuple[int, str]], layout: Layout
) -> Iterator[tuple[int, dict[str, str]] | Bad | None]:
    """Records of a table with the line each begins on; Bad for a record that cannot be read, None for a blank one.

    The first record is taken as names when the layout says so.
    """
    csv.field_size_limit(MAX_LINE_BYTES)
    feed = _Feed(lines)
    columns: list[str] | None = None if layout.header else list(layout.columns)
    broken = 0
    # In a TSV of real exports a quote is a character, unless a cell begins with one and the file closes it.
    reader = csv.reader(feed, delimiter=layout.delimiter or ",", strict=True)
    while True:
        feed.begin()
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            broken += 1
            number, text = feed.record[0] if feed.record else (0, "")
            words = (
                _too_long(len(text))
                if len(text) > MAX_LINE_BYTES
                else next(
                    ((r, f) for key, r, f in _CSV_WORDS if key in str(error)),
                    (str(error), "Check the quotes."),
                )
            )
            yield Bad(number, "", *words, excerpt(text))
            if broken >= MAX_BROKEN_RECORDS:
                yield Bad(
                    number + 1, "", f"reading stopped after {broken} broken records", "Check the quotes.", ""
                )
                return
            feed.put_back_all_but_the_first()
            reader = csv.reader(feed, delimiter=layout.delimiter or ",", strict=True)
            continue
        number, text = feed.record[0]
        if len(text) > MAX_LINE_BYTES:
            yield Bad(number, "", *_too_long(len(text)), excerpt(text))
            continue
        if not row or all(not cell.strip() for cell in row):
            yield None
            continue
        if columns is None:
            columns = unique_names(cell.strip().lstrip("\ufeff") for cell in row)
            continue
        problem = next((p for _, part in feed.record if (p := text_problem(part, layout.encoding))), None)
        if problem:
            yield Bad(number, "", *problem, excerpt(text))
        elif len(row) != len(columns):
            yield Bad(
                number,
                "",
                f"has {len(row)} column{'' if len(row) == 1 else 's'}, the header has {len(columns)}",
                "Put cells that hold the separator in quotes.",
                excerpt(text),
            )
        else:
            yield number, dict(zip(columns, row, strict=True))


def parse_table(
    lines: Iterable[tuple[int, str]], layout: Layout, convert: Converter
) -> Iterator[tuple[int, Parts] | Bad | None]:
    """Lines of CSV or TSV as parts, named errors and (None) blanks."""
    for found in table_records(lines, layout):
        if found is None or isinstance(found, Bad):
            yield found
            continue
        number, record = found
        try:
            yield number, convert(record)
        except RowError as error:
            shown = (layout.delimiter or ",").join(record.values())
            yield Bad(number, error.column[:100], error.reason[:300], error.fix[:300], excerpt(shown))
