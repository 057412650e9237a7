"""A report is the old one or the new one, never half of either; and the findings about labels as a whole."""

from __future__ import annotations

import pytest

from datasets import services
from datasets.models import CheckRun, Finding, FindingRow
from datasets.services import reports
from datasets.tests.conftest import jsonl, tickets
from foundation.jobs.services import run_until_idle

pytestmark = pytest.mark.django_db


def test_a_worker_killed_while_writing_a_report_leaves_the_old_one_and_the_next_one_finishes(
    dataset, bring_in, editor, monkeypatch
):
    rows = tickets(40)
    rows += [rows[0], {"text": "write to me at ada@example.org about the invoice", "label": "billing"}]
    bring_in(dataset, jsonl(rows))
    old = dataset.checks
    was = [(f.rule, f.n_rows, f.headline) for f in services.open_findings(dataset)]
    assert {"exact_duplicate", "pii"} <= {rule for rule, *_ in was}
    services.apply_fix(actor=editor, finding=Finding.objects.get(run=old, rule="exact_duplicate"))
    real, calls, seen = reports._write_finding, [], []

    def die(run, found, beat):
        calls.append(found.rule)
        if len(calls) == 1:
            real(run, found, beat)
            # What a page shows at this moment: the old report, whole.
            dataset.refresh_from_db()
            seen.append((dataset.checks, [f.rule for f in services.open_findings(dataset)]))
            raise RuntimeError("the machine went away")
        return real(run, found, beat)

    monkeypatch.setattr(reports, "_write_finding", die)
    services.start_checks(actor=editor, dataset=dataset)
    assert run_until_idle(60)
    assert seen and seen[0][0] == old and set(seen[0][1]) == {rule for rule, *_ in was}
    dataset.refresh_from_db()
    assert dataset.checks != old and dataset.checks_are_current
    assert "exact_duplicate" not in {f.rule for f in services.open_findings(dataset)}
    # Nothing is left of the half that was written.
    assert not CheckRun.objects.filter(dataset=dataset, finished_at=None).exists()
    runs = set(FindingRow.objects.values_list("finding__run", flat=True))
    assert runs == {old.pk, dataset.checks_id}


def test_rows_of_one_label_are_named_for_what_they_are(dataset, bring_in):
    bring_in(dataset, jsonl([{**row, "label": "billing"} for row in tickets(30)]))
    found = {f.rule: f for f in services.open_findings(dataset)}
    assert found["one_label"].headline == "Every row carries the label “billing”"
    assert found["one_label"].n_rows == 0 and not found["one_label"].is_mended
    assert "thin_label" not in found and "imbalance" not in found


def test_labels_out_of_balance_and_thin_ones_are_named_with_their_rows(dataset, bring_in, editor):
    rows = [{**row, "label": "billing"} for row in tickets(60)]
    rows += [
        {"text": f"My card number {i} was swallowed by a machine in town {i * 7}", "label": "card"}
        for i in range(4)
    ]
    bring_in(dataset, jsonl(rows))
    found = {f.rule: f for f in services.open_findings(dataset)}
    # 60 against 4: 15 times, at least ten; 4 rows are fewer than ten.
    assert found["imbalance"].headline == "“billing” has 15 times the rows of “card” (60 against 4)"
    assert (found["imbalance"].severity, found["imbalance"].n_rows, found["imbalance"].facts) == (
        "note",
        0,
        {"ratio": 15.0},
    )
    assert found["thin_label"].headline == "1 label has fewer than 10 rows"
    assert (found["thin_label"].n_rows, found["thin_label"].facts) == (4, {"labels": {"card": 4}})
    fix = services.apply_fix(actor=editor, finding=found["thin_label"])
    dataset.refresh_from_db()
    assert (fix.n_rows, dataset.label_counts, dataset.n_active) == (4, {"billing": 60}, 60)
    services.undo_fix(actor=editor, fix=fix)
    dataset.refresh_from_db()
    assert dataset.label_counts == {"billing": 60, "card": 4}


def test_rows_with_personal_data_can_be_dropped_and_brought_back(dataset, bring_in, editor):
    rows = [*tickets(20), {"text": "write to me at ada@example.org about the invoice", "label": "billing"}]
    bring_in(dataset, jsonl(rows))
    finding = Finding.objects.get(run=dataset.checks, rule="pii")
    fix = services.apply_fix(actor=editor, finding=finding, action="drop")
    dataset.refresh_from_db()
    assert (fix.n_rows, dataset.n_active, dataset.n_dropped) == (1, 20, 1)
    services.undo_fix(actor=editor, fix=fix)
    dataset.refresh_from_db()
    assert (dataset.n_active, dataset.n_dropped) == (21, 0)
