"""T28: files made to hurt. Each is named with its line, in little memory and time, by a process that lives on.

All of them go through a process of its own that reads them as the portal does (recognise, sample, preview, every row),
so that its peak memory says something.
"""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

MB = 1024 * 1024
GOOD = b'{"text": "where is my parcel", "label": "delivery"}\n'
READER = """
import json, os, resource, sys, time
import django
django.setup()
from django.conf import settings
from datasets import importing
from datasets.domain.mapping import guess_mapping
from datasets.errors import UnusableFile
from foundation.files import store
from foundation.files.models import Blob

def read(path):
    blob = Blob(name=os.path.basename(path), sha256="0" * 64, size=os.path.getsize(path))
    store.path = lambda blob: __import__("pathlib").Path(path)
    found = {"good": 0, "bad": []}
    try:
        layout = importing.layout_of(blob)
        mapping = guess_mapping(importing.sample_records(blob, layout), layout.columns)
        if mapping.problem(layout.columns)[1]:
            return {"refused": mapping.problem(layout.columns)[1]}
        importing.preview(blob, layout, mapping, task_kind="classify")
        if importing.is_sharded(layout):
            at, line = 3 if layout.encoding == "utf-8-sig" else 0, 1
            while True:
                with store.open(blob) as stream:
                    ranges = importing.byte_ranges(stream, at, line, size=2 * 1024 * 1024, most=64)
                for part in ranges:
                    if part.is_giant:
                        found["bad"].append([part.first_line, "a giant line"])
                        continue
                    for batch in importing.shard_rows(blob, part.start, part.end, part.first_line, mapping,
                                                      task_kind="classify", n_lines=lambda: 500):
                        found["good"] += len(batch.good)
                        found["bad"] += [[bad.line, bad.reason] for bad in batch.bad[:20]]
                if len(ranges) < 64:
                    return found
                at, line = ranges[-1].end, ranges[-1].first_line + ranges[-1].n_lines
        with importing.opened(blob, layout) as source:
            for batch in importing.stream_batches(source.stream, layout, mapping, task_kind="classify"):
                found["good"] += len(batch.good)
                found["bad"] += [[bad.line, bad.reason] for bad in batch.bad[:200]]
    except UnusableFile as error:
        return {"refused": str(error), **found}
    return found

for path in sys.argv[1:]:
    began = time.process_time()
    answer = read(path)
    answer["cpu_s"] = time.process_time() - began
    status = open("/proc/self/status").read()  # getrusage would tell of the process that forked us, too
    answer["peak_mb"] = int(status.split("VmHWM:")[1].split()[0]) / 1024
    answer["child_mb"] = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(json.dumps({"name": os.path.basename(path), **answer}), flush=True)
"""


def _lines(raw: bytes) -> bytes:
    return GOOD + raw + b"\n" + GOOD


def _list(raw: bytes) -> bytes:
    """The row between two good ones, in one JSON list."""
    return b"[" + GOOD + b"," + raw + b",\n" + GOOD + b"]"


def _a_giant_in_a_list(path: Path) -> None:
    """A string in a list that closes after 300 MB of nothing."""
    with path.open("wb") as out:
        out.write(b"[" + GOOD + b', {"text": "' + b"a" * (6 * MB))
        out.seek(300 * MB, os.SEEK_SET)
        out.write(b'"},' + GOOD + b"]")


def _two_gigabytes_in_one_line(path: Path) -> None:
    """Half a gigabyte would do; a hole in the file costs no disk."""
    with path.open("wb") as out:
        out.write(GOOD + b'{"text": "' + b"a" * (6 * MB))
        out.seek(2 * 1024 * MB, os.SEEK_SET)
        out.write(b'"}\n' + GOOD)


def _parquet(path: Path, *, keeps_dictionary: bool) -> None:
    """2,000 rows that point at one text of a megabyte: 2 GB once they are read."""
    column = pa.DictionaryArray.from_arrays(pa.array([0] * 2000, pa.int32()), pa.array(["a" * MB]))
    table = pa.table({"text": column, "label": ["b"] * 2000})
    pq.write_table(table, path, compression="zstd", store_schema=keeps_dictionary)


def _list_of_brackets(path: Path) -> None:
    """Brackets in one row of a list, three deep again and again: the most to do for a byte."""
    path.write_bytes(b"[" + GOOD + b"," + b"[" + b"[[[{}]]]" * MB + b"]," + GOOD + b"]")


# name: (how it is made, what must be said: a refusal of the file, or {line: words} of its bad rows)
BOMBS = {
    "zip.jsonl": (b"PK\x03\x04" + b"\0" * 5000, "zip archive"),
    "bomb.parquet": (
        lambda p: _parquet(p, keeps_dictionary=False),
        "unpacks to more than",
    ),
    # The reader counts a text once that 2,000 rows point at; the lines written tell.
    "dictionary.parquet": (
        lambda p: _parquet(p, keeps_dictionary=True),
        "unpacks to more than",
    ),
    "one-line.jsonl": (_two_gigabytes_in_one_line, {2: "giant"}),
    "only-line.jsonl": (b'{"text": "' + b"a" * (9 * MB) + b'"}', "Line 1 is longer than 4 MB"),
    "one-row.json": (_a_giant_in_a_list, {2: "longer than 4 MB"}),
    "first-row.json": (b'[{"text": "' + b"a" * (9 * MB) + b'"}, ' + GOOD + b"]", "Row 1 is longer than 4 MB"),
    "brackets.json": (_list_of_brackets, {2: "longer than 4 MB"}),
    "opening.json": (b"[" + GOOD + b"," + b'[{"a":' * MB, {2: "middle of this row"}),
    "commas.json": (b"[" + GOOD + b"," * 100 + b"]", dict.fromkeys(range(2, 102), "between two commas")),
    "depth.json": (_list(b'{"a":' * 200_000 + b"1" + b"}" * 200_000), {2: "JSON|nested"}),
    "digits.json": (_list(b'{"text": ' + b"9" * 1_000_000 + b', "label": "b"}'), {2: "number"}),
    "keys.json": (_list(json.dumps({f"k{i}": 1 for i in range(100_000)}).encode()), {2: "100,000 keys"}),
    "repeated.json": (_list(b'{"text": "a", "text": "b", "label": "c"}'), {2: "appears twice"}),
    "nan.json": (_list(b'{"text": -Infinity, "label": "b"}'), {2: "NaN or Infinity"}),
    "surrogate.json": (_list(b'{"text": "\\ud800", "label": "b"}'), {2: "surrogate"}),
    "cut.json": (b"[" + GOOD + b', {"text": "where', {2: "middle of this row"}),
    "after.json": (b"[" + GOOD + b"]\n" + GOOD, {2: "more text follows"}),
    "ratio.json.gz": (lambda p: _ratio(p, b"["), "unpacks to more than"),
    "columns.csv": (b",".join(b"c%d" % i for i in range(400_000)) + b"\n", "columns; at most 1,000"),
    "a-million-columns.csv": (
        b",".join(b"c%d" % i for i in range(1_000_000)) + b"\n1\n",
        "Line 1 is longer than 4 MB|columns",
    ),
    "keys.jsonl": (_lines(json.dumps({f"k{i}": 1 for i in range(100_000)}).encode()), {2: "100,000 keys"}),
    "depth.jsonl": (_lines(b'{"a":' * 200_000 + b"1" + b"}" * 200_000), {2: "JSON|nested"}),
    "digits.jsonl": (_lines(b'{"text": ' + b"9" * 5000 + b', "label": "b"}'), {2: "number"}),
    "nan.jsonl": (_lines(b'{"text": NaN, "label": "b"}'), {2: "NaN"}),
    "nul.jsonl": (_lines(b'{"text": "a\\u0000b", "label": "b"}'), {2: "NUL"}),
    "surrogate.jsonl": (_lines(b'{"text": "\\ud800", "label": "b"}'), {2: "surrogate"}),
    "latin-1.jsonl": (
        '{"text": "Grüße", "label": "b"}\n'.encode() * 2
        + '{"text": "café", "label": "b"}\n'.encode("latin-1"),
        {3: "not UTF-8: byte 0xe9"},
    ),
    "repeated.jsonl": (_lines(b'{"text": "a", "text": "b", "label": "c"}'), {2: "appears twice"}),
    "quote.csv": (b'text,label\nfine,x\n"never closed,y\nmore,z\n', {3: "never closes"}),
    "empty.csv": (b"", "empty"),
    "twice.gz": (gzip.compress(gzip.compress(GOOD)), "gzip file inside another"),
    "ratio.jsonl.gz": (lambda p: _ratio(p), "unpacks to more than"),
    "columns.parquet": (
        lambda p: pq.write_table(pa.table({f"c{i}": [1] for i in range(1_001)}), p),
        "1,001 columns; at most",
    ),
    "one-cell.parquet": (
        lambda p: pq.write_table(pa.table({"text": ["a" * 70 * MB], "label": ["b"]}), p, compression="zstd"),
        "unpacks to more than",
    ),
    "twice.parquet": (lambda p: _same_name_twice(p), "stands twice"),
    "cell.csv": (b'text,label\nfine,x\n"' + b"a" * (10 * MB) + b'",y\nmore,z\n', {3: "longer than 4 MB"}),
    "line.csv": (b"text,label\nfine,x\n" + b"a" * (10 * MB) + b",y\nmore,z\n", {3: "longer than 4 MB"}),
    "members.jsonl.gz": (lambda p: _members(p, 1_000_200), "more than 1,000,000 parts of under 1,000 bytes"),
    "empty-members.jsonl.gz": (
        gzip.compress(GOOD) + gzip.compress(b"") * 100_000,
        "more than 1,000 empty parts",
    ),
    # These are no bombs: they come in, and nothing is said against them.
    "turns.jsonl": (lambda p: p.write_bytes(_lines(_conversation(99_999))), {}),
    "utf-16.csv": ("text,label\ngrüße,b\n".encode("utf-16"), {}),
    "bom.jsonl": (b"\xef\xbb\xbf" + GOOD, {}),
    "few-members.jsonl.gz": (lambda p: _members(p, 20_000), {}),
    "crlf.csv": (b"text,label\r\na b c,x\nd e f,y\r\n\r\n", {}),
}


def _packed(made) -> object:
    """The same file inside gzip."""

    def pack(path: Path) -> None:
        if callable(made):
            made(path)
        path.write_bytes(gzip.compress(path.read_bytes() if callable(made) else made, 1))

    return pack


# T28 once more, each inside gzip. A hole of two gigabytes is only slow to pack; "ratio" is a bomb of that kind.
BOMBS |= {
    f"{name}.gz": (_packed(made), expected)
    for name, (made, expected) in BOMBS.items()
    if not name.endswith(".gz")
    and name not in ("one-line.jsonl", "one-row.json", "brackets.json", "opening.json", "turns.jsonl")
}


def _conversation(n: int) -> bytes:
    turns = [{"role": ("user", "assistant")[i % 2], "content": "a"} for i in range(n)]
    return json.dumps({"text": turns, "label": "b"}, separators=(",", ":")).encode()


def _same_name_twice(path: Path) -> None:
    column = pa.array(["a"])
    pq.write_table(pa.Table.from_arrays([column, column], names=["text", "text"]), path)


def _ratio(path: Path, first: bytes = b"") -> None:
    """300 MB of one row in about 300 kB; behind a bracket they are a list."""
    with gzip.open(path, "wb", compresslevel=9) as out:
        out.write(first)
        block = (b'{"text": "' + b"a" * 1000 + b'", "label": "b"}' + (b"," if first else b"\n")) * 1000
        for _ in range(300):
            out.write(block)


def _members(path: Path, n: int) -> None:
    """A part for every byte of the text, `n` in all."""
    parts = [gzip.compress(bytes([byte])) for byte in GOOD]
    whole, rest = divmod(n, len(parts))
    with path.open("wb") as out:
        for _ in range(whole):
            out.write(b"".join(parts))
        out.write(gzip.compress(b"\n") * rest)


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bombs")
    paths = []
    for name, (made, _) in BOMBS.items():
        path = folder / name
        made(path) if callable(made) else path.write_bytes(made)
        paths.append(str(path))
    done = subprocess.run(
        [sys.executable, "-c", READER, *paths],
        cwd=Path(__file__).resolve().parents[2],
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "ftportal.settings", "VAR_DIR": str(folder / "var")},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return {found["name"]: found for found in map(json.loads, done.stdout.splitlines())}


@pytest.mark.parametrize("name", BOMBS)
def test_a_file_made_to_hurt_is_named_in_little_memory_and_time(answers, name):
    import re

    expected, found = BOMBS[name][1], answers[name]
    if isinstance(expected, str):
        assert re.search(expected, found.get("refused", "")), found
    else:
        assert "refused" not in found, found
        assert {line for line, _ in found["bad"]} == set(expected)
        assert all(re.search(expected[line], reason) for line, reason in found["bad"]), found
        assert found["good"] >= 1
    assert found["cpu_s"] < 30
    # Peaks only grow: the last file's is that of all.
    assert max(found["peak_mb"], found["child_mb"]) < 300
