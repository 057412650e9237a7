"""Files that are packed: gzip of every format, Parquet; what is inside comes in, what is a bomb is named."""

from __future__ import annotations

import gzip
import io
import json
import os

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from datasets import importing, services, unpacking
from datasets.domain.layouts import Layout
from datasets.errors import UnusableFile
from datasets.models import Content, Example
from datasets.tests.conftest import jsonl, tickets
from foundation.jobs.services import run_until_idle

ROWS = tickets(40)
CSV = "text,label\n" + "".join(f"{r['text']},{r['label']}\n" for r in ROWS)


def parquet_of(tmp_path, columns, **more):
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table(columns), path, **more)
    return path.read_bytes()


def shown_texts(dataset):
    return sorted(Example.objects.filter(dataset=dataset).values_list("content__prompt", flat=True))


@pytest.mark.parametrize(
    ("data", "name", "words"),
    [
        pytest.param(gzip.compress(jsonl(ROWS).encode()), "rows.jsonl.gz", "JSONL in gzip", id="JSONL"),
        pytest.param(gzip.compress(CSV.encode()), "rows.csv.gz", "CSV in gzip", id="CSV"),
        pytest.param(
            gzip.compress(CSV.replace(",", "\t").encode("utf-16")),
            "rows.tsv.gz",
            "TSV in gzip",
            id="TSV in UTF-16",
        ),
        pytest.param(
            gzip.compress(jsonl(ROWS[:20]).encode()) + gzip.compress(jsonl(ROWS[20:]).encode()) + b"\0" * 64,
            "rows.jsonl.gz",
            "JSONL in gzip",
            id="two members and padding",
        ),
        pytest.param(
            gzip.compress(jsonl(ROWS).encode("utf-8-sig")), "x", "JSONL in gzip", id="byte order mark"
        ),
    ],
)
def test_gzip_of_every_format_comes_in_whole(dataset, bring_in, client_for, editor, data, name, words):
    done = bring_in(dataset, data, name)
    assert (done.state, done.n_good) == ("done", 40), done.error
    assert shown_texts(dataset) == sorted(row["text"] for row in ROWS)
    assert words in client_for(editor).get(f"/imports/{done.pk}/").content.decode()


def test_parquet_comes_in_with_its_columns(dataset, bring_in, tmp_path):
    data = parquet_of(
        tmp_path,
        {"text": [r["text"] for r in ROWS], "label": [r["label"] for r in ROWS], "score": [0.5] * 40},
    )
    done = bring_in(dataset, data, "rows.parquet")
    assert (done.state, done.n_good) == ("done", 40), done.error
    assert shown_texts(dataset) == sorted(row["text"] for row in ROWS)
    assert {json.loads(meta)["score"] for meta in Example.objects.values_list("meta", flat=True)} == {0.5}
    assert dataset.label_counts == {"billing": 14, "login": 13, "card": 13}


def test_parquet_of_conversations_keeps_roles_and_leaves_empty_fields_out(dataset, bring_in, tmp_path):
    talk = [
        {"role": "system", "content": "Be brief.", "name": None},
        {"role": "user", "content": "Where?", "name": "Ana"},
        {"role": "assistant", "content": "There.", "name": None},
    ]
    done = bring_in(dataset, parquet_of(tmp_path, {"messages": [talk] * 3}), "chat.parquet")
    assert (done.state, done.n_good) == ("done", 3), done.error
    content = Content.objects.first()
    assert (content.system, content.prompt, content.completion) == ("Be brief.", "Where?", "There.")
    assert json.loads(content.extra) == {"messages": {"0": {"name": "Ana"}}}


def test_odd_cells_of_parquet_are_text_or_named(dataset, stage, bring_in, tmp_path):
    data = parquet_of(
        tmp_path,
        {
            "text": [b"bytes as text", "Grüße".encode(), b"a\0b", None, b"fine"],
            "label": ["a", "b", "c", "d", "e"],
            "x": [float("nan"), 1.0, 2.0, 3.0, None],
        },
    )
    done = bring_in(dataset, data, "rows.parquet", skip=True)
    assert (done.state, done.n_good, done.n_bad) == ("done", 3, 2), done.error
    assert list(done.bad_rows.values_list("line", "reason")) == [
        (3, "holds a NUL character"),
        (4, "the column 'text' is missing"),
    ]


@pytest.mark.parametrize(
    ("data", "name", "words"),
    [
        pytest.param(
            gzip.compress(gzip.compress(b'{"a": 1}\n')), "x.gz", "gzip file inside another", id="gz in gz"
        ),
        pytest.param(gzip.compress(b"PAR1rest"), "x.gz", "Parquet file is broken", id="broken Parquet in gz"),
        pytest.param(gzip.compress(b"PK\x03\x04rest"), "x.gz", "zip archive", id="zip in gz"),
        pytest.param(gzip.compress(jsonl(ROWS).encode())[:-20], "x.gz", "cut off", id="cut off"),
        pytest.param(b"\x1f\x8b\x08\x00broken all the way", "x.gz", "broken after", id="broken"),
        pytest.param(gzip.compress(jsonl(ROWS).encode()) + b"tail", "x.gz", "not gzip follows", id="a tail"),
        pytest.param(gzip.compress(b""), "x.gz", "empty", id="empty inside"),
        pytest.param(
            b"PAR1 and nothing else PAR1", "x.parquet", "Parquet file is broken", id="broken Parquet"
        ),
    ],
)
def test_what_is_packed_wrongly_is_refused_with_a_sentence(dataset, stage, data, name, words):
    with pytest.raises(UnusableFile, match=words):
        stage(dataset, data, name)
    assert not dataset.imports.exists()


def test_a_gzip_bomb_stops_the_import_and_leaves_nothing(dataset, stage, editor, monkeypatch):
    """8 MB of one repeated row pack to 25 kB: 320 to 1, more than any table of text reaches."""
    monkeypatch.setattr(unpacking, "FREE_BYTES", 2 * 1024 * 1024)
    line = json.dumps({"text": "a" * 200, "label": "b"}) + "\n"
    staged = stage(dataset, gzip.compress(line.encode() * 36_000), "bomb.jsonl.gz")
    services.start_import(actor=editor, import_=staged)
    assert run_until_idle(120)
    staged.refresh_from_db()
    assert staged.state == "failed"
    assert "unpacks to more than" in staged.error
    assert not Example.objects.exists()


def test_a_parquet_bomb_is_named_by_its_row_and_its_child_ends(dataset, stage, editor, tmp_path):
    """Less than a kilobyte that decodes to 2 GB: 2,000 rows of one million letters, kept once in a dictionary."""
    data = parquet_of(tmp_path, {"text": ["a" * 1_000_000] * 2000, "label": ["b"] * 2000}, compression="zstd")
    assert len(data) < 1000
    staged = stage(dataset, data, "bomb.parquet")
    services.start_import(actor=editor, import_=staged)
    assert run_until_idle(120)
    staged.refresh_from_db()
    assert staged.state == "failed"
    assert "Row 65: the file holds" in staged.error, staged.error
    assert not Example.objects.exists()


def test_the_columns_people_chose_are_remembered_for_files_like_it(dataset, stage, bring_in, editor):
    rows = [
        {"text": f"my card number {i} is lost", "label": "a b"[i % 2 * 2], "queue": "x"} for i in range(4)
    ]
    staged = stage(dataset, jsonl(rows))
    assert staged.mapping["label"] == "label"
    services.set_mapping(
        actor=editor, import_=staged, mapping={"prompt": "text", "label": "queue", "others": "drop"}
    )
    services.start_import(actor=editor, import_=staged)
    assert run_until_idle(120)
    again = stage(dataset, jsonl([*rows, {"text": "one more", "label": "a", "queue": "y"}]))
    assert (again.mapping["label"], again.mapping["others"]) == ("queue", "drop")
    assert "columns as in the last import" in " ".join(again.layout["notes"])
    other = stage(dataset, jsonl([{"text": "another file", "label": "a", "subject": "x"}]))
    assert other.mapping["label"] == "label"


def test_layouts_from_before_packed_files_are_still_read():
    assert Layout.from_json({"format": "jsonl", "columns": ["a"]}).compression == ""
    assert importing.is_sharded(Layout.from_json({"format": "jsonl"}))


def test_parquet_in_gzip_may_unpack_to_four_times_its_size_and_no_more(dataset, stage, monkeypatch):
    """24 kB that hold 4 MB: a table of text may, at 250 to 1, but Parquet is packed already."""
    monkeypatch.setattr(unpacking, "FREE_BYTES", 2 * 1024 * 1024)
    data = gzip.compress(b"PAR1" + os.urandom(20_000) + bytes(4 * 1024 * 1024))
    assert 20_000 < len(data) < 30_000
    with pytest.raises(UnusableFile, match=r"more than 2 MB\. Parquet packs by itself"):
        stage(dataset, data, "rows.parquet.gz")


def test_parquet_in_gzip_never_unpacks_to_more_than_may_be_uploaded(tmp_path, settings):
    settings.UPLOAD_MAX_BYTES = 1024 * 1024
    data = gzip.compress(b"PAR1" + os.urandom(20_000) + bytes(2 * 1024 * 1024))
    with (
        pytest.raises(UnusableFile, match="more than 1 MB"),
        unpacking.zipped_parquet_lines(io.BytesIO(data), len(data), tmp_path),
    ):
        pass


def test_a_full_disk_is_a_sentence(tmp_path, monkeypatch):
    data = gzip.compress(b"PAR1" + os.urandom(400_000))
    # Every write to this device says that there is no room.
    monkeypatch.setattr(unpacking.tempfile, "TemporaryFile", lambda dir: open("/dev/full", "wb"))
    with (
        pytest.raises(UnusableFile, match="no room to unpack"),
        unpacking.zipped_parquet_lines(io.BytesIO(data), len(data), tmp_path),
    ):
        pass
