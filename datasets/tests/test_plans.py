"""What PostgreSQL is told so that it plans well."""

from __future__ import annotations

import json

import pytest
from django.db import connection

from datasets import bulk
from datasets.models import CheckRun, Example, Finding, FindingRow, Fix
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


def rows_read(queryset, *models) -> int:
    """How many rows of these tables PostgreSQL reads to answer, with those it reads in vain."""
    [plan] = json.loads(queryset.explain(format="json", analyze=True))
    tables = [model._meta.db_table for model in models]

    def of(node) -> int:
        own = 0
        if node.get("Relation Name") in tables:
            each = node["Actual Rows"] + sum(n for what, n in node.items() if what.startswith("Rows Removed"))
            own = round(each * node["Actual Loops"])
        return own + sum(of(part) for part in node.get("Plans", ()))

    return of(plan["Plan"])


@pytest.mark.parametrize("n_reports", [1, 20])
def test_whether_a_finding_is_mended_is_read_from_its_own_rows(dataset, bring_in, n_reports):
    """Of a plain EXISTS it thinks that some row will come soon, and reads those of others, or all active ones, before it."""
    bring_in(dataset, jsonl(tickets(1000)))
    ids = list(Example.objects.filter(dataset=dataset).order_by("id").values_list("id", flat=True))
    for _ in range(n_reports):
        found(dataset, "pii", ids)
    mine = found(dataset, "pii", ids[-20:])
    for model in (FindingRow, Example):
        bulk.learn_sizes(model, n_rows=bulk.WORTH_A_LOOK)
    asked = Finding.objects.filter(run=mine.run_id)
    # Its 20 rows and their examples, twice at most: rows as they are found, and those that no fix touched.
    assert rows_read(asked.unmended(), FindingRow, Example) <= 80
    assert rows_read(asked.with_mended(), FindingRow, Example) <= 80
    Fix.objects.create(team=dataset.team, dataset=dataset, finding=mine, rule="pii", action="mask", n_rows=3)
    assert rows_read(asked.with_mended(), FindingRow, Example) <= 80
