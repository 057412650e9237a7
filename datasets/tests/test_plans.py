"""What PostgreSQL is told so that it plans well."""

from __future__ import annotations

import pytest
from django.db import connection

from datasets import bulk
from datasets.models import CheckRun, Example, Finding, FindingRow
from datasets.tests.conftest import jsonl, tickets

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.skipif(connection.vendor != "postgresql", reason="about the plans of PostgreSQL"),
]
ROW = ("finding_id", "example_id", "cluster", "keep", "note", "suggestion")


def found(dataset, rule: str, example_ids) -> Finding:
    run = CheckRun.objects.create(team=dataset.team, dataset=dataset)
    finding = Finding.objects.create(
        team=dataset.team, run=run, dataset=dataset, rule=rule, severity="warning", n_rows=len(example_ids)
    )
    bulk.insert(FindingRow, ROW, [(finding.pk, key, 0, False, "", "") for key in example_ids])
    return finding


def test_a_table_that_a_job_has_filled_is_known_to_the_planner(dataset, bring_in):
    bring_in(dataset, jsonl(tickets(1000)))

    def n_known() -> float:
        with connection.cursor() as cursor:
            cursor.execute("SELECT reltuples FROM pg_class WHERE oid = 'datasets_findingrow'::regclass")
            return cursor.fetchone()[0]

    ids = list(Example.objects.filter(dataset=dataset).values_list("id", flat=True))
    found(dataset, "pii", ids)
    before = n_known()
    bulk.learn_sizes(FindingRow, n_rows=bulk.WORTH_A_LOOK - 1)
    assert n_known() == before
    bulk.learn_sizes(FindingRow, n_rows=len(ids))
    assert n_known() == FindingRow.objects.count()
