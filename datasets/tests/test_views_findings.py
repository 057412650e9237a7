"""Pages of findings whose groups are larger than a page."""

from __future__ import annotations

import pytest
from django.urls import reverse

from datasets import presenting_findings, services
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


def test_a_fix_that_found_no_row_leaves_the_rules_other_fixes_to_try(dataset, bring_in, editor, client_for):
    """A tie has no majority: the press changed nothing, yet it took "Drop all of them" off the page."""
    rows = [
        {"text": "Has my top up gone through today?", "label": label} for label in ("pending", "reverted")
    ]
    bring_in(dataset, jsonl([*tickets(30), *rows]))
    finding = Finding.objects.get(run=dataset.checks_id, rule="conflict")
    client, page = client_for(editor), reverse("datasets:finding-detail", args=[finding.pk])
    press = reverse("datasets:finding-fix", args=[finding.pk])
    assert [a.key for a in client.get(page).context["actions"]] == ["keep_majority", "drop"]

    told = client.post(press, {"action": "keep_majority"}, follow=True)
    assert "The fix found no row to change." in [str(m) for m in told.context["messages"]]
    assert [a.key for a in client.get(page).context["actions"]] == ["drop"]

    told = client.post(press, {"action": "drop"}, follow=True)
    assert "Done: 2 rows. You can undo it on the finding's page." in [
        str(m) for m in told.context["messages"]
    ]
    assert client.get(page).context["actions"] == []
    # of the two that stand, the dataset's page tells of the one that mended
    assert open_finding(dataset, "conflict").standing.n_rows == 2


def open_finding(dataset, rule: str) -> Finding:
    return next(f for f in services.checks.open_findings(dataset) if f.rule == rule)


def test_a_report_on_one_label_says_that_nothing_can_be_told_apart(dataset, bring_in, editor, client_for):
    """It offered to look for wrong labels, and the press ended on an error page."""
    bring_in(dataset, jsonl([{"text": f"Parcel {i} came broken", "label": "same"} for i in range(12)]))
    client, page = client_for(editor), reverse("datasets:report", args=[dataset.pk])
    shown = client.get(page).content.decode()
    assert "Nothing can be told apart with one label" in shown
    assert "Look for wrong labels" not in shown
    bring_in(dataset, jsonl([{"text": f"Invoice {i} is too high", "label": "other"} for i in range(12)]))
    shown = client.get(page).content.decode()
    assert "Nothing can be told apart" not in shown
    assert "Look for wrong labels" in shown
