"""Files on their way in: all or nothing, skipping, repeats, encodings, bombs, kills."""

from __future__ import annotations

import json

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from datasets import importing, jobs, services
from datasets.domain.limits import MAX_LINE_BYTES
from datasets.domain.mapping import ColumnMapping
from datasets.domain.parsing import Bad
from datasets.errors import UnusableFile
from datasets.models import BadRow, Content, Example, Import
from datasets.services import exports, imports
from datasets.tests.conftest import SHARED, jsonl, tickets
from foundation.jobs.models import Job, Shard
from foundation.jobs.services import cancel_job, run_until_idle
from foundation.teams.errors import BadInput, Conflict
from foundation.teams.models import AuditEvent

pytestmark = pytest.mark.django_db


def shown(dataset):
    return Example.objects.filter(dataset=dataset).shown().count()


def test_one_bad_row_stops_everything_and_is_named(dataset, bring_in):
    done = bring_in(dataset, jsonl(tickets(5)) + '{"text": "no label"}\n')
    assert (done.state, done.n_good, done.n_bad) == ("failed", 5, 1)
    assert "1 row of 6 cannot be used" in done.error
    assert "Line 6: the label is empty" in done.error
    assert Example.objects.count() == Content.objects.count() == 0
    assert dataset.n_active == 0
    assert BadRow.objects.get().line == 6


def test_bad_rows_are_skipped_when_asked_and_all_are_listed(dataset, bring_in, client_for, editor):
    broken = "".join(f'{{"text": "=cmd {i}"}}\n' for i in range(150))
    done = bring_in(dataset, jsonl(tickets(5)) + broken + "\n\n", skip=True)
    assert (done.state, done.n_good, done.n_bad, done.n_blank) == ("done", 5, 150, 2)
    assert shown(dataset) == dataset.n_active == 5
    client = client_for(editor)
    page = client.get(reverse("datasets:import-detail", args=[done.pk])).content.decode()
    assert "The first 100 of 150" in page
    csv = b"".join(client.get(reverse("datasets:import-bad-rows", args=[done.pk])).streaming_content).decode()
    assert len(csv.splitlines()) == 151
    assert not [line for line in csv.splitlines()[1:] if any(cell[:1] in "=+-@" for cell in line.split(","))]


def test_the_file_of_bad_rows_is_read_page_by_page(dataset, bring_in, monkeypatch):
    done = bring_in(dataset, jsonl(tickets(5)) + "broken\n" * 25)
    monkeypatch.setattr(exports, "BAD_ROWS_A_PIECE", 10)
    pieces = []
    with CaptureQueriesContext(connection) as asked:
        for piece in exports.bad_rows_csv(import_=done):
            pieces.append(piece.decode().splitlines())
    assert [len(piece) for piece in pieces] == [1, 10, 10, 5]  # the header, then 25 rows by tens
    lines = [int(line.split(",")[0]) for piece in pieces[1:] for line in piece]
    assert lines == list(done.bad_rows.order_by("line").values_list("line", flat=True))
    # every page is a question of its own, and the empty one says that it is over
    assert [q["sql"].count("LIMIT 10") for q in asked] == [1, 1, 1, 1]


def test_a_failed_import_can_be_mended_and_started_again(dataset, bring_in, editor):
    done = bring_in(dataset, jsonl(tickets(5)) + "broken\n")
    services.start_import(actor=editor, import_=done, skip_bad_rows=True)
    assert run_until_idle(60)
    done.refresh_from_db()
    assert (done.state, done.n_good, done.n_bad) == ("done", 5, 1)
    assert shown(dataset) == 5


def of_two_columns():
    # Column a cannot be used on lines 4 to 6, column b on line 10.
    return jsonl(
        [
            {
                "a": 5 if i in (3, 4, 5) else f"text number {i} of a",
                "b": None if i == 9 else f"text number {i} of b",
                "label": ["x", "y"][i % 2],
            }
            for i in range(40)
        ]
    )


@pytest.fixture
def failed_by_column_a(dataset, stage, editor):
    draft = stage(dataset, of_two_columns())
    columns = {**draft.mapping, "prompt": "a", "completion": "", "label": "label"}
    services.set_mapping(actor=editor, import_=draft, mapping=columns)
    services.start_import(actor=editor, import_=draft)
    assert run_until_idle(60)
    draft.refresh_from_db()
    assert list(draft.bad_rows.values_list("line", flat=True)) == [4, 5, 6]
    services.set_mapping(actor=editor, import_=draft, mapping={**columns, "prompt": "b"})
    return draft


def test_an_import_started_again_names_its_own_errors_and_not_those_of_before(
    failed_by_column_a, dataset, editor, client_for
):
    again = failed_by_column_a
    services.start_import(actor=editor, import_=again)
    assert run_until_idle(60)
    again.refresh_from_db()
    assert "1 row of 40 cannot be used" in again.error
    assert "Line 10:" in again.error
    services.start_import(actor=editor, import_=again, skip_bad_rows=True)
    assert run_until_idle(60)
    again.refresh_from_db()
    assert (again.state, again.n_good, again.n_bad) == ("done", 39, 1)
    assert list(again.bad_rows.values_list("line", flat=True)) == [10]
    csv = b"".join(exports.bad_rows_csv(import_=again)).decode()
    assert len(csv.splitlines()) == 2  # the header and line 10


def test_errors_of_before_go_in_slices_and_never_those_of_the_attempt_at_work(
    failed_by_column_a, editor, monkeypatch
):
    again = failed_by_column_a
    job = services.start_import(actor=editor, import_=again)
    monkeypatch.setattr(imports, "BAD_ROWS_A_TRANSACTION", 2)
    assert imports.clear_bad_rows(import_=again, job=job) == 3  # slices of 2 and 1
    # Parts of the file are planned: what stands from now on is this attempt's, and a worker that took
    # itself for the planner and was suspended takes none of it away.
    Shard.objects.create(job=job, position=0)
    imports.write_bad_rows(import_=again, rows=[Bad(7, "b", "it is empty", "", "")])
    assert imports.clear_bad_rows(import_=again, job=job) == 0
    assert list(again.bad_rows.values_list("line", flat=True)) == [7]


def test_an_import_cancelled_before_it_read_anything_keeps_no_errors_of_before(failed_by_column_a, editor):
    job = services.start_import(actor=editor, import_=failed_by_column_a)
    cancel_job(actor=editor, job=job)
    assert run_until_idle(60)
    failed_by_column_a.refresh_from_db()
    assert failed_by_column_a.state == "cancelled"
    assert not failed_by_column_a.bad_rows.exists()


def test_the_same_file_twice_is_recognised_and_needs_a_tick(dataset, bring_in, stage, editor):
    first = bring_in(dataset, jsonl(tickets(5)))
    second = stage(dataset, jsonl(tickets(5)), "other-name.jsonl")
    assert second.repeats == first
    with pytest.raises(BadInput, match="imported before"):
        services.start_import(actor=editor, import_=second)
    services.start_import(actor=editor, import_=second, again=True)
    assert run_until_idle(60)
    assert shown(dataset) == 10


def test_two_presses_are_one_job(dataset, stage, editor):
    staged = stage(dataset, jsonl(tickets(5)))
    one = services.start_import(actor=editor, import_=staged)
    other = services.start_import(actor=editor, import_=staged)
    assert one == other
    assert run_until_idle(60)
    assert shown(dataset) == 5
    with pytest.raises(Conflict):
        services.start_import(actor=editor, import_=staged)


def test_nothing_is_seen_of_rows_until_the_whole_file_is_in(dataset, stage, editor, client_for, monkeypatch):
    monkeypatch.setattr(jobs, "SHARD_BYTES", 2000)
    staged = stage(dataset, jsonl(tickets(200)))
    services.start_import(actor=editor, import_=staged)
    seen = []
    real = imports.write_examples

    def write(**kwargs):
        real(**kwargs)
        seen.append((Example.objects.filter(dataset=dataset).count(), shown(dataset)))

    monkeypatch.setattr(imports, "write_examples", write)
    assert run_until_idle(60)
    assert len(seen) > 5
    assert seen[-1][0] == 200
    assert {n for _, n in seen} == {0}
    assert shown(dataset) == 200


def test_a_slice_written_twice_stands_once(dataset, stage):
    staged = stage(dataset, jsonl(tickets(50)))
    mapping = ColumnMapping.from_json(staged.mapping)
    for size in (50, 50, 7):  # cut elsewhere the third time
        for batch in importing.shard_rows(
            staged.blob,
            0,
            staged.blob.size,
            1,
            mapping,
            task_kind="classify",
            n_lines=lambda n=size: n,
        ):
            imports.write_examples(import_=staged, rows=batch.good)
    assert Example.objects.count() == Content.objects.count() == 50


def test_a_part_that_was_written_half_is_written_to_its_end(dataset, stage):
    staged = stage(dataset, jsonl(tickets(50)))
    mapping = ColumnMapping.from_json(staged.mapping)
    slices = importing.shard_rows(
        staged.blob, 0, staged.blob.size, 1, mapping, task_kind="classify", n_lines=lambda: 50
    )
    rows = next(iter(slices)).good
    imports.write_examples(import_=staged, rows=rows[:20])
    imports.write_examples(import_=staged, rows=rows[10:])
    lines = list(Example.objects.order_by("line").values_list("line", "content__prompt"))
    assert [line for line, _ in lines] == list(range(1, 51))
    assert [text for _, text in lines] == [row["text"] for row in tickets(50)]
    assert Content.objects.count() == 50


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.csv", "rows.json"])
def test_a_worker_killed_in_the_middle_changes_nothing_and_the_next_one_finishes(
    dataset, stage, editor, monkeypatch, name
):
    """The work is thrown away after some slices, as a killed worker leaves it; the lease runs out; another goes on."""
    rows = tickets(300)
    content = {
        "rows.jsonl": jsonl(rows),
        "rows.csv": "text,label\n" + "".join(f"{r['text']},{r['label']}\n" for r in rows),
        "rows.json": json.dumps(rows, indent=1),
    }[name]
    monkeypatch.setattr(jobs, "SHARD_BYTES", 4000)
    monkeypatch.setattr(jobs.bulk.Pace, "most", 20)
    monkeypatch.setattr(jobs.bulk.Pace.__init__, "__defaults__", (20,))
    staged = stage(dataset, content, name)
    services.start_import(actor=editor, import_=staged)
    real, calls = imports.write_examples, []

    def die(**kwargs):
        calls.append(1)
        if len(calls) == 4:
            raise RuntimeError("the machine went away")
        real(**kwargs)

    monkeypatch.setattr(imports, "write_examples", die)
    assert run_until_idle(60)
    staged.refresh_from_db()
    dataset.refresh_from_db()
    assert (staged.state, staged.n_good) == ("done", 300), staged.error
    assert shown(dataset) == dataset.n_active == 300
    lines = list(Example.objects.order_by("line").values_list("line", flat=True))
    assert len(set(lines)) == 300


def test_a_cancelled_import_leaves_what_was_there(dataset, bring_in, stage, editor):
    bring_in(dataset, jsonl(tickets(5)))
    staged = stage(dataset, jsonl(tickets(9)))
    job = services.start_import(actor=editor, import_=staged)
    cancel_job(actor=editor, job=job)
    assert run_until_idle(60)
    staged.refresh_from_db()
    assert staged.state == "cancelled"
    assert Example.objects.count() == shown(dataset) == 5


@pytest.mark.parametrize(
    ("encoding", "name"),
    [("utf-8-sig", "x.jsonl"), ("utf-16", "x.jsonl"), ("utf-16", "x.csv"), ("cp1252", "x.csv")],
)
def test_other_encodings_come_in_with_their_letters(dataset, bring_in, encoding, name):
    rows = [{"text": f"Grüße aus Köln, zum {i}. Mal", "label": "hello"} for i in range(5)]
    text = (
        jsonl(rows)
        if name == "x.jsonl"
        else "text;label\r\n" + "".join(f"{r['text']};hello\r\n" for r in rows)
    )
    done = bring_in(dataset, text.encode(encoding), name)
    assert (done.state, done.n_good) == ("done", 5), done.error
    assert Content.objects.first().prompt == "Grüße aus Köln, zum 0. Mal"


def test_a_mixed_file_names_the_lines_that_are_not_utf8(dataset, bring_in):
    data = jsonl([{"text": "Grüße", "label": "a"}] * 3).encode() + '{"text": "Köln", "label": "a"}\n'.encode(
        "latin-1"
    )
    done = bring_in(dataset, data, skip=True)
    assert (done.n_good, done.n_bad) == (3, 1)
    bad = BadRow.objects.get()
    assert (bad.line, "byte 0xf6" in bad.reason) == (4, True)


def test_one_giant_line_is_named_and_its_neighbours_come_in(dataset, bring_in):
    """T28: a line over the limit is passed by in pieces; the rows around it come in."""
    giant = b'{"text": "' + b"x" * (6 * MAX_LINE_BYTES) + b'", "label": "a"}\n'
    data = jsonl(tickets(3)).encode() + giant + jsonl(tickets(2)).encode()
    done = bring_in(dataset, data, skip=True)
    assert (done.state, done.n_good, done.n_bad) == ("done", 5, 1), done.error
    bad = BadRow.objects.get()
    assert bad.line == 4
    assert "longer than 4 MB" in bad.reason
    assert sorted(Example.objects.values_list("line", flat=True)) == [1, 2, 3, 5, 6]


BOMBS = {
    "zip": (b"PK\x03\x04" + b"\0" * 100, "zip archive"),
    "gzip in gzip": (b"\x1f\x8b" * 50, "gzip"),
    "parquet": (b"PAR1" + b"\0" * 469, "Parquet"),
    "empty": (b"", "empty"),
    "a million columns": (b",".join(b"c%d" % i for i in range(100_000)) + b"\n", "columns"),
    "binary": (bytes(range(256)) * 100, "not a text file"),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_with_a_sentence_and_stores_nothing(dataset, stage, name):
    data, words = BOMBS[name]
    with pytest.raises(UnusableFile, match=words):
        stage(dataset, data, "bomb.csv")
    assert not Import.objects.exists()


@pytest.mark.parametrize(
    "name",
    [
        "../../etc/passwd",
        "..\\..\\x",
        "%252e%252e/x",
        "CON",
        "a" * 4000,
        "\u202egnp.exe",
        "<script>.csv",
        "x\ny.csv",
        "  ",
    ],
)
def test_file_names_are_text_and_nothing_else(dataset, stage, settings, name, client_for, editor):
    """T30: what a person calls a file never becomes a path."""
    from pathlib import Path

    before = {p for p in Path(settings.FILES_DIR).parent.rglob("*") if p.is_file()}
    staged = stage(dataset, jsonl(tickets(2)), name)
    new = {p for p in Path(settings.FILES_DIR).parent.rglob("*") if p.is_file()} - before
    assert {p.name for p in new} == {staged.blob.sha256}
    page = client_for(editor).get(reverse("datasets:import-detail", args=[staged.pk]))
    assert page.status_code == 200
    assert "<script>.csv" not in page.content.decode()


def test_the_mapping_may_be_changed_until_the_start_and_not_after(dataset, stage, editor):
    staged = stage(dataset, jsonl([{"a": "a question about cards", "b": "an answer", "c": "x"}] * 3))
    with pytest.raises(BadInput, match="no column 'zzz'"):
        services.set_mapping(actor=editor, import_=staged, mapping={"prompt": "zzz", "completion": "b"})
    with pytest.raises(BadInput, match="encodings"):
        services.set_mapping(
            actor=editor, import_=staged, mapping={"prompt": "a", "completion": "b"}, encoding="rot13"
        )
    services.set_mapping(
        actor=editor, import_=staged, mapping={"prompt": "a", "completion": "c", "label": "c"}
    )
    services.start_import(actor=editor, import_=staged)
    assert run_until_idle(60)
    assert Content.objects.first().completion == "x"
    with pytest.raises(Conflict):
        services.set_mapping(actor=editor, import_=staged, mapping={"prompt": "a", "completion": "b"})


def test_every_change_is_on_the_record_without_its_text(dataset, bring_in):
    bring_in(dataset, jsonl(tickets(3)))
    verbs = set(AuditEvent.objects.values_list("verb", flat=True))
    assert {
        "dataset.created",
        "import.staged",
        "import.started",
        "import.finished",
        "dataset.checked",
    } <= verbs
    assert not [e for e in AuditEvent.objects.all() if "Ticket 0" in f"{e.note}{e.fields}{e.digests}"]


def test_running_every_part_of_an_import_twice_changes_nothing(dataset, bring_in):
    """T05: finishing, planning and clearing again leave the same rows and counts."""
    done = bring_in(dataset, jsonl(tickets(20)))
    job = Job.objects.get(kind="datasets.import")
    kind = jobs.ImportRows()
    before = (shown(dataset), dataset.n_active, dict(dataset.label_counts), Shard.objects.count())
    assert kind.finish(job)["rows"] == 20
    kind.abandoned(job)
    dataset.refresh_from_db()
    assert (shown(dataset), dataset.n_active, dict(dataset.label_counts), Shard.objects.count()) == before
    done.refresh_from_db()
    assert done.state == "done"


@pytest.mark.skipif(not SHARED.exists(), reason="the public files are not here")
def test_real_files_come_in_whole(dataset, bring_in):
    tickets_file = bring_in(dataset, (SHARED / "insurance-tickets-train.tsv").read_bytes(), "insurance.tsv")
    assert (tickets_file.state, tickets_file.n_good) == ("done", 68), tickets_file.error
    chat = bring_in(dataset, (SHARED / "json-mode.jsonl").read_bytes(), "json-mode.jsonl")
    assert (chat.state, chat.n_good) == ("done", 500), chat.error
    assert Content.objects.filter(system="JSON Mode: Enabled").exists()


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.json"])
def test_a_page_says_which_columns_were_left_out_and_of_how_many_rows(
    dataset, stage, editor, client_for, monkeypatch, name
):
    monkeypatch.setattr(jobs, "SHARD_BYTES", 2000)
    rows = [
        {
            "messages": [
                {"role": "user", "content": row["text"]},
                {"role": "assistant", "content": row["label"]},
            ],
            "parallel_tool_calls": False,
            "metadata": {"n": i},
            **({"user_id": "u"} if i % 4 == 0 else {}),
        }
        for i, row in enumerate(tickets(40))
    ]
    draft = stage(dataset, jsonl(rows) if name == "rows.jsonl" else json.dumps(rows), name)
    client = client_for(editor)
    address = reverse("datasets:import-detail", args=[draft.pk])
    page = client.get(address).content.decode()
    assert "exported where the format can hold them: parallel_tool_calls." in page
    assert "as metadata: metadata." in page  # the user is the group
    services.set_mapping(
        actor=editor, import_=draft, mapping={**draft.mapping, "group": "", "others": "drop"}
    )
    services.start_import(actor=editor, import_=draft)
    assert run_until_idle(60)
    draft.refresh_from_db()
    assert (draft.state, draft.left_out) == ("done", {"metadata": 40, "user_id": 10})
    assert "left out: metadata in 40 rows, user_id in 10 rows" in client.get(address).content.decode()
    assert json.loads(Content.objects.first().extra) == {"row": {"parallel_tool_calls": False}}
