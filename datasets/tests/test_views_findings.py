"""Pages of findings whose groups are larger than a page."""

from __future__ import annotations

import pytest
from django.urls import reverse

from datasets import presenting_findings
from datasets.models import Example, Finding, FindingRow
from datasets.tests.conftest import jsonl, tickets
from datasets.views.examples import PAGE


@pytest.fixture
def large(dataset, bring_in):
    """A finding with one group of 2 * PAGE + 10 rows, whose row to keep is the third."""
    bring_in(dataset, jsonl(tickets(2 * PAGE + 10)))
    Finding.objects.filter(run=dataset.checks_id, rule="near_duplicate").delete()
    finding = Finding.objects.create(
        team=dataset.team,
        run_id=dataset.checks_id, dataset=dataset, rule="near_duplicate", severity="warning",
        headline="rows repeat", n_rows=2 * PAGE + 10, facts={"groups": 1},
    )  # fmt: skip
    examples = Example.objects.filter(dataset=dataset).order_by("pk")
    FindingRow.objects.bulk_create(
        FindingRow(finding=finding, example=example, cluster=1, keep=i == 2)
        for i, example in enumerate(examples)
    )
    return finding


def test_a_group_that_goes_on_over_pages_is_held_against_the_row_that_stays_on_each(
    large, editor, client_for
):
    """Each page once took its own first row for the one that stays."""
    client = client_for(editor)
    kept = large.rows.get(keep=True)
    page, after = reverse("datasets:finding-detail", args=[large.pk]), None
    sizes = []
    while True:
        context = client.get(page, {"after": after} if after else {}).context
        [group] = context["groups"]
        assert group.twins[0].row.pk == kept.pk
        sizes.append(len(group.twins))
        after = context["next"]
        if after is None:
            break
    # the row that stays comes again on the pages that do not hold it
    assert sizes == [PAGE, PAGE + 1, 11]


def test_groups_are_counted_by_their_rows_before_a_page_counts_them(large, monkeypatch):
    """A dozen groups of ten thousand rows each passed for a dozen."""
    counted = []
    monkeypatch.setattr(presenting_findings, "chart_of_sizes", lambda sizes: counted.append(sizes) or "chart")
    large.facts = {"groups": 12}
    rows = list(large.rows.order_by("pk"))
    for row in rows[:12]:
        row.cluster = 2
        row.save()
    assert presenting_findings.sizes_chart(large) == "chart"
    large.n_rows = presenting_findings.COUNTED_UP_TO + 1
    assert presenting_findings.sizes_chart(large) == ""
