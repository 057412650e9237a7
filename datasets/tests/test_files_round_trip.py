"""Whole files: written in every format, read back as they were; broken in every way, read or refused and never a crash."""

from __future__ import annotations

import csv
import gzip
import io
import itertools
import json
import random
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from datasets import importing
from datasets.domain.cleaning import normalise
from datasets.domain.formats import EXPORTS
from datasets.domain.mapping import guess_mapping
from datasets.errors import UnusableFile
from datasets.tests.conftest import SHARED
from foundation.files import store

QUICK = settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def read(tmp_path, monkeypatch):
    """Read bytes as an import does: recognise, sample, guess, preview, every row. [parts], [bad], or the refusal's words."""
    numbers = itertools.count()

    def run(data: bytes, name: str = "rows.jsonl", task_kind: str = "answer"):
        path = tmp_path / f"{next(numbers)}.bin"
        path.write_bytes(data)
        monkeypatch.setattr(store, "path", lambda blob: path)
        monkeypatch.setattr(store, "open", lambda blob: path.open("rb"))
        blob = SimpleNamespace(name=name, size=len(data), sha256="0" * 64)
        try:
            layout = importing.layout_of(blob)
            mapping = guess_mapping(importing.sample_records(blob, layout), layout.columns)
            if problem := mapping.problem(layout.columns)[1]:
                return [], [], problem
            importing.preview(blob, layout, mapping, task_kind=task_kind)
            good, bad = [], []
            if importing.is_sharded(layout):
                at, line = 3 if layout.encoding == "utf-8-sig" else 0, 1
                with store.open(blob) as stream:
                    ranges = importing.byte_ranges(stream, at, line, size=64 * 1024, most=10_000)
                for part in ranges:
                    batches = (
                        ()
                        if part.is_giant
                        else importing.shard_rows(
                            blob,
                            part.start,
                            part.end,
                            part.first_line,
                            mapping,
                            task_kind=task_kind,
                            n_lines=lambda: 500,
                        )
                    )
                    for batch in batches:
                        good += batch.good
                        bad += batch.bad
            else:
                with importing.opened(blob, layout) as source:
                    for batch in importing.stream_batches(
                        source.stream, layout, mapping, task_kind=task_kind
                    ):
                        good += batch.good
                        bad += batch.bad
            return [parts for _, parts in sorted(good)], bad, ""
        except UnusableFile as refused:
            return [], [], str(refused)
        finally:
            path.unlink()

    return run


# --- written and read back ---------------------------------------------------------------------------------------

# No controls: a file of them is refused as no text. Tabs and line ends are text.
said = st.text(
    st.characters(blacklist_categories=("Cs", "Cc"), blacklist_characters="\ufeff\ufffd") | st.sampled_from("\n\t\r\"',;|\\[]{}"),
    min_size=1, max_size=60,
).map(normalise).filter(bool)  # fmt: skip
pairs = st.lists(st.tuples(said, said), min_size=1, max_size=8)


def _jsonl(rows, shape, **dump):
    return "".join(json.dumps(shape(p, c), **dump) + "\n" for p, c in rows).encode()


def _table(rows, delimiter, end, quoting=csv.QUOTE_MINIMAL):
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=delimiter, lineterminator=end, quoting=quoting)
    writer.writerow(["prompt", "completion"])
    writer.writerows(rows)
    return out.getvalue().encode()


def _turn(p, c):
    return [{"role": "user", "content": p}, {"role": "assistant", "content": c}]


FORMATS = {
    "jsonl": (lambda rows: _jsonl(rows, lambda p, c: {"prompt": p, "completion": c}), "x.jsonl"),
    "jsonl, letters as they are": (lambda rows: _jsonl(rows, lambda p, c: {"prompt": p, "completion": c}, ensure_ascii=False), "x.jsonl"),
    "jsonl, CRLF and a mark": (lambda rows: b"\xef\xbb\xbf" + _jsonl(rows, lambda p, c: {"prompt": p, "completion": c}).replace(b"\n", b"\r\n"), "x"),
    "csv": (lambda rows: _table(rows, ",", "\n"), "x.csv"),
    "csv, CRLF, all quoted": (lambda rows: _table(rows, ",", "\r\n", csv.QUOTE_ALL), "x.csv"),
    "csv with semicolons": (lambda rows: _table(rows, ";", "\r\n", csv.QUOTE_ALL), "x.csv"),
    "tsv": (lambda rows: _table(rows, "\t", "\n"), "x.tsv"),
    "csv in UTF-16": (lambda rows: _table(rows, ",", "\n", csv.QUOTE_ALL).decode().encode("utf-16"), "x.csv"),
    "OpenAI": (lambda rows: _jsonl(rows, lambda p, c: {"messages": _turn(p, c)}), "x.jsonl"),
    "Anthropic": (lambda rows: _jsonl(rows, lambda p, c: {"system": "", "messages": _turn(p, c)}), "x.jsonl"),
    "Converse": (
        lambda rows: _jsonl(rows, lambda p, c: {"schemaVersion": "bedrock-conversation-2024", "messages": [
            {"role": m["role"], "content": [{"text": m["content"]}]} for m in _turn(p, c)]}),
        "x.jsonl",
    ),
    "ShareGPT": (lambda rows: _jsonl(rows, lambda p, c: {"conversations": [{"from": "human", "value": p}, {"from": "gpt", "value": c}]}), "x.jsonl"),
    "Alpaca": (lambda rows: _jsonl(rows, lambda p, c: {"instruction": p, "input": "", "output": c}), "x.jsonl"),
    "TRL": (lambda rows: _jsonl(rows, lambda p, c: {"prompt": _turn(p, c)[:1], "completion": _turn(p, c)[1:]}), "x.jsonl"),
}  # fmt: skip


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gz"])
@pytest.mark.parametrize("format", FORMATS)
@given(rows=pairs)
@QUICK
def test_a_file_of_every_format_comes_in_as_it_was_written(read, format, packed, rows):
    written, name = FORMATS[format]
    data = written(rows)
    found, bad, refused = read(gzip.compress(data) if packed else data, f"{name}.gz" if packed else name)
    assert (refused, bad) == ("", [])
    assert [(parts.prompt, parts.completion) for parts in found] == rows
    # What the portal writes out of it comes in once more, and goes out as the same bytes.
    for key in ("chat", "openai", "bedrock", "converse", "together", "trl", "pairs"):
        lines = b"".join(EXPORTS[key].line(p.system, [], p.prompt, p.completion, p.extra) for p in found)
        again, bad, refused = read(lines, "x.jsonl")
        assert (refused, bad, [p[:4] for p in again]) == ("", [], [p[:4] for p in found])
        assert (
            b"".join(EXPORTS[key].line(p.system, [], p.prompt, p.completion, p.extra) for p in again) == lines
        )


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gz"])
def test_parquet_comes_in_as_it_was_written(read, packed):
    rows = [(f'Frage {i}: «Größe», "x"\n{i}', f"Antwort, {i}\t=1+1") for i in range(70)]
    out = io.BytesIO()
    pq.write_table(pa.table({"prompt": [p for p, _ in rows], "completion": [c for _, c in rows]}), out)
    data = gzip.compress(out.getvalue()) if packed else out.getvalue()
    found, bad, refused = read(data, "x.parquet.gz" if packed else "x.parquet")
    assert (refused, bad) == ("", [])
    assert [(p.prompt, p.completion) for p in found] == rows


# --- broken in every way -----------------------------------------------------------------------------------------


@given(
    data=st.binary(max_size=600),
    name=st.sampled_from(["x", "x.jsonl", "x.csv", "x.tsv", "x.parquet", "x.gz"]),
    packed=st.integers(0, 2),
)
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_are_read_or_refused_in_a_sentence(read, data, name, packed):
    if data.startswith(b"PAR1"):
        data = b"x" + data  # a process of its own each time: asked below
    for _ in range(packed):
        data = gzip.compress(data)
    found, bad, refused = read(data, name)
    assert refused or found or bad or not data.strip()
    assert not refused or refused.endswith((".", "…"))


def _mutations(data: bytes, rng: random.Random) -> list[bytes]:
    """Ways in which files come to harm on their way."""
    out = []
    for n in (1, 20, 400):
        flipped = bytearray(data)
        for _ in range(n):
            flipped[rng.randrange(len(flipped))] ^= 1 << rng.randrange(8)
        out.append(bytes(flipped))
    cut = rng.randrange(1, len(data))
    text = data.decode("utf-8", "replace")
    lines = text.split("\n")
    out += [
        data[:cut], data[cut:], data[:cut] + b"\0" * 50 + data[cut:], data[:cut] + data[cut // 2 :], data * 2,
        text.encode("utf-16"), text.encode("utf-16-le"), text.encode("cp1252", "replace"), text.encode("utf-8").decode("latin-1").encode(),
        "".join(line + rng.choice(["\n", "\r\n", "\r"]) for line in lines).encode(), "\n\n".join(lines).encode(),
        text.replace('"', "").encode(), text.replace('"', '""').encode(), text.replace(",", ";").encode(), b"\xef\xbb\xbf" + data,
        b"\x1f\x8b" + data, gzip.compress(data)[:-9], gzip.compress(gzip.compress(data)), gzip.compress(data[:cut]) + gzip.compress(data[cut:]),
        gzip.compress(data) + b"rest", "".join(rng.sample(text, len(text))).encode(), b"[" + data.replace(b"\n", b",") + b"]",
    ]  # fmt: skip
    return out


REAL = sorted(path.name for path in SHARED.glob("*.*")) if SHARED.exists() else []
REAL = [name for name in REAL if name.endswith(("sv", "jsonl"))]


@pytest.mark.skipif(not REAL, reason="the public files are not here")
@pytest.mark.parametrize("name", REAL)
def test_real_files_that_came_to_harm_are_read_or_refused(read, name):
    rng = random.Random(f"harm {name}")
    data = (SHARED / name).read_bytes()[:30_000]
    data = data[: data.rindex(b"\n") + 1]
    whole, bad, refused = read(data, name)
    assert whole and not bad and not refused
    for number, harmed in enumerate(_mutations(data, rng)):
        found, bad, refused = read(harmed, name)
        assert refused or found or bad, (name, number)
        for row in bad:
            assert row.reason and len(row.reason) <= 300 and len(row.excerpt) <= 120, (name, number)
            row.excerpt.encode()
        assert all(parts.prompt and parts.completion for parts in found), (name, number)
        for parts in found[:50]:
            "\0".join(parts[:6]).encode()


def test_parquet_that_came_to_harm_is_refused(read):
    rng = random.Random("harm")
    out = io.BytesIO()
    pq.write_table(
        pa.table({"prompt": [f"a question {i}" for i in range(300)], "completion": ["b"] * 300}), out
    )
    data = out.getvalue()
    flipped = bytearray(data)
    for _ in range(30):
        flipped[rng.randrange(4, len(flipped))] ^= 255
    for harmed in (data[:-5], data[: len(data) // 2], b"PAR1" + bytes(200) + b"PAR1", bytes(flipped)):
        found, bad, refused = read(harmed, "x.parquet")
        assert refused.endswith((".", "…")) or found or bad


def test_a_folder_of_files_that_are_no_data_is_refused(read):
    root = Path(__file__).parents[2]
    for name in ("README.md", "LICENSE", "docs/use-case.png", "manage.py", "pyproject.toml"):
        found, bad, refused = read((root / name).read_bytes(), name)
        assert refused or bad or found, name
