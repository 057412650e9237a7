"""Files in which nearly nothing can be used: reading stops with a sentence, before every line has become an error to keep."""

from __future__ import annotations

import gzip

import pytest

from datasets import jobs
from datasets.models import BadRow, Example
from datasets.tests.conftest import jsonl, tickets

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _soon(monkeypatch):
    """A hundred thousand in life; two hundred here."""
    monkeypatch.setattr(jobs, "HOPELESS", 200)
    monkeypatch.setattr(jobs.bulk.Pace, "most", 50)


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.jsonl.gz", "rows.csv"])
@pytest.mark.parametrize("n_good", [0, 1])
def test_a_file_of_nothing_stops_early(dataset, bring_in, name, n_good):
    rows, nothing = tickets(n_good), 3000
    if name == "rows.csv":
        data = (
            b"text,label\n"
            + "".join(f"{r['text']},{r['label']}\n" for r in rows).encode()
            + b"a,b,c\n" * nothing
        )
    else:
        data = jsonl(rows).encode() + b'{"text":"","label":"x"}\n' * nothing
    done = bring_in(dataset, gzip.compress(data) if name.endswith("gz") else data, name, skip=True)
    assert done.state == "failed"
    assert "can be used, so reading stopped" in done.error
    assert ("None of" if not n_good else "Only 1 of") in done.error
    assert Example.objects.count() == dataset.n_active == 0
    assert 200 <= BadRow.objects.count() < 1000


def test_parts_too_short_to_say_so_are_counted_together(dataset, bring_in, monkeypatch):
    # 100 lines a part: none of them holds 200 rows of nothing
    line = b'{"text":"","label":"x"}\n'
    monkeypatch.setattr(jobs, "SHARD_BYTES", 100 * len(line))
    done = bring_in(dataset, line * 3000, skip=True)
    assert done.state == "failed"
    assert "can be used, so reading stopped" in done.error
    assert 200 <= BadRow.objects.count() < 1000


def test_a_file_with_many_bad_rows_comes_in_when_they_may_be_skipped(dataset, bring_in):
    rows = tickets(40)
    data = "".join(jsonl([row]) + "nothing\n" * 15 for row in rows)
    done = bring_in(dataset, data, skip=True)
    assert (done.state, done.n_good, done.n_bad) == ("done", 40, 600)
