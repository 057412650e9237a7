"""Reading rows in blocks."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from datasets import active
from datasets.services import checks
from datasets.tests.conftest import jsonl, tickets

pytestmark = pytest.mark.django_db


def test_a_stretch_is_read_in_one_query_and_is_what_blocks_would_give(dataset, bring_in, monkeypatch):
    """It was measured when it was planned: measuring it again read every row of a check twice."""
    bring_in(dataset, jsonl(tickets(25)))
    monkeypatch.setattr(checks, "BLOCK", 10)
    stretches, is_last = checks.check_stretches(dataset=dataset, after=0, most=9)
    # 25 rows by tens.
    assert is_last and len(stretches) == 3
    with CaptureQueriesContext(connection) as asked:
        read = [list(active.active_rows(dataset, after=after, upto=upto)) for after, upto in stretches]
    assert [[len(block) for block in blocks] for blocks in read] == [[10], [10], [5]]
    assert len(asked) == 3 + sum(
        "datasets_import" in q["sql"] and "datasets_content" not in q["sql"] for q in asked
    )
    assert [row for blocks in read for row in blocks[0]] == [
        row for part in active.active_rows(dataset) for row in part
    ]
