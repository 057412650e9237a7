"""One JSON list on its way in: uploaded, packed, pasted; its rows are those of the same objects one a line."""

from __future__ import annotations

import gzip
import json

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from datasets import importing
from datasets.domain.layouts import Layout
from datasets.domain.mapping import ColumnMapping
from datasets.models import Content, Example, Import
from datasets.tests.conftest import jsonl, tickets

pytestmark = pytest.mark.django_db

ROWS = tickets(40)
ALPACA = [
    {"instruction": f"Say {i}", "input": "" if i % 2 else f"as {i}", "output": f"Said {i}"} for i in range(9)
]
SHAREGPT = [
    {
        "id": f"talk_{i}",
        "conversations": [
            {"from": "human", "value": f"Where is {i}?"},
            {"from": "gpt", "value": f"There, {i}."},
        ],
    }
    for i in range(9)
]
ONE = {"text": "Ticket", "label": "card"}


def rows_of(source):
    """Everything that is kept of the rows of an import, but for their place in the file."""
    rows = Example.objects.filter(source=source).order_by("line").select_related("content")
    return [
        (bytes(row.content.digest), row.content.extra, row.label, row.group, row.at, row.meta) for row in rows
    ]


@pytest.mark.parametrize(
    ("rows", "shape"),
    [
        pytest.param(ALPACA, "Alpaca instructions", id="Alpaca"),
        pytest.param(SHAREGPT, "ShareGPT conversations", id="ShareGPT"),
        pytest.param(ROWS, "text and label", id="text and label"),
    ],
)
@pytest.mark.parametrize("indent", [None, 2])
def test_a_list_brings_the_rows_of_the_same_objects_one_a_line(dataset, bring_in, rows, shape, indent):
    lines = bring_in(dataset, jsonl(rows), "rows.jsonl")
    listed = bring_in(dataset, json.dumps(rows, indent=indent), "rows.json")
    assert (listed.state, listed.n_good, listed.n_bad) == ("done", len(rows), 0), listed.error
    assert rows_of(listed) == rows_of(lines)
    assert list(Example.objects.filter(source=listed).order_by("line").values_list("line", flat=True)) == [
        *range(1, len(rows) + 1)
    ]
    assert Layout.from_json(listed.layout).columns == Layout.from_json(lines.layout).columns
    assert listed.mapping == lines.mapping
    assert shape in listed.layout["notes"]


@pytest.mark.parametrize(
    ("data", "name", "words"),
    [
        pytest.param(gzip.compress(json.dumps(ROWS).encode()), "rows.json.gz", "JSON list in gzip", id="gzip"),
        pytest.param(json.dumps(ROWS).encode("utf-16"), "rows.json", "UTF-16", id="UTF-16"),
        pytest.param(json.dumps({"version": 1, "data": ROWS}).encode(), "rows.json", "“data”", id="under a key"),
        pytest.param(json.dumps({"data": ROWS}, indent=2).encode("utf-8-sig"), "x", "JSON list", id="byte order mark"),
    ],
)  # fmt: skip
def test_lists_come_in_however_they_are_packed(
    dataset, stage, bring_in, client_for, editor, data, name, words
):
    draft = stage(dataset, data, name)
    page = client_for(editor).get(reverse("datasets:import-detail", args=[draft.pk])).content.decode()
    assert words in page
    assert '<th scope="col" class="num">Row</th>' in page
    done = bring_in(dataset, data, name)
    assert (done.state, done.n_good) == ("done", 40), done.error
    assert sorted(Content.objects.values_list("prompt", flat=True)) == sorted(row["text"] for row in ROWS)


def test_what_is_wrong_with_a_list_is_said_on_its_page_with_row_and_line(
    dataset, bring_in, client_for, editor
):
    text = json.dumps([*ROWS[:3], {"text": "no label"}], indent=0) + "trailing"
    done = bring_in(dataset, text, "rows.json")
    assert (done.state, done.n_good, done.n_bad) == ("failed", 3, 2)
    # "[" is line 1, each row before it has "{", two fields and "},": 4 lines, so the fourth row begins on 2 + 12
    assert "Row 4: the label is empty (begins on line 14)" in done.error
    page = client_for(editor).get(reverse("datasets:import-detail", args=[done.pk])).content.decode()
    assert "more text follows after the end of the list" in page
    assert '<th scope="col" class="num">Row</th>' in page
    skipped = bring_in(dataset, text + " ", "other.json", skip=True)
    assert (skipped.state, skipped.n_good, skipped.n_bad) == ("done", 3, 2)


def test_a_pasted_list_and_an_uploaded_one_get_a_preview(dataset, client_for, editor):
    client = client_for(editor)
    address = reverse("datasets:import-create", args=[dataset.pk])
    page = client.get(address).content.decode()
    assert "JSON lists" in page and "a JSON list of them" in page
    text = json.dumps(ROWS, indent=2)
    upload = SimpleUploadedFile("rows.json", text.encode())
    for sent in ({"pasted": text.replace("\n", "\r\n")}, {"file": upload}):
        answer = client.post(address, sent)
        assert answer.status_code == 302
        draft = Import.objects.latest("pk")
        shown = client.get(answer.url).content.decode()
        assert draft.layout["format"] == "json"
        assert "every row can be used" in shown and "<b>40</b> of 40 rows" in shown.replace("\n", "")
        assert ROWS[0]["text"] in shown
    several = client.post(address, {"pasted": json.dumps({"train": [ONE], "test": [ONE]})})
    assert several.status_code == 422
    assert "holds 2 lists" in several.content.decode()


def test_the_preview_of_a_long_list_on_one_line_counts_its_beginning_and_reads_no_more(
    dataset, stage, monkeypatch
):
    monkeypatch.setattr(importing, "PREVIEW_BYTES", 3000)
    draft = stage(dataset, json.dumps(ROWS), "rows.json")
    found = importing.preview(
        draft.blob,
        Layout.from_json(draft.layout),
        ColumnMapping.from_json(draft.mapping),
        task_kind="classify",
    )
    assert not found.is_whole
    assert 10 < found.n_good < 40 and found.n_bad == 0
    assert [row["line"] for row in found.rows] == [*range(1, 21)]


def test_the_page_of_a_row_says_which_of_the_list_it_is(dataset, bring_in, client_for, editor):
    bring_in(dataset, json.dumps(ROWS), "rows.json")
    row = Example.objects.get(line=7)
    page = client_for(editor).get(reverse("datasets:example-detail", args=[row.pk])).content.decode()
    assert "Row 7 of" in page
