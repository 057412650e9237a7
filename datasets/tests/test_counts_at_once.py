"""Two people take out one row in the same moment: stored counts say what stands, on a database where both may write."""

from __future__ import annotations

from threading import Event, Thread

import pytest
from django.db import connection, transaction

from datasets import services
from datasets.domain.rules import RULES
from datasets.models import Example, Finding, Fix
from datasets.services import checks, undoing
from datasets.tests.conftest import jsonl, tickets

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif("connection.vendor != 'postgresql'", reason="SQLite has one writer at a time"),
]


def wait_until_somebody_waits() -> None:
    """Until another transaction waits for a lock of ours."""
    with connection.cursor() as cursor:
        for _ in range(100_000):
            cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
            if cursor.fetchone()[0]:
                return
    raise AssertionError("nobody waited")


@pytest.mark.parametrize("way", ["fix", "undo"])
def test_counts_are_those_of_the_rows_that_moved(dataset, bring_in, editor, way):
    bring_in(dataset, jsonl([*tickets(30), *tickets(30)]))
    finding = Finding.objects.get(run=dataset.checks, rule="exact_duplicate")
    action = RULES[finding.rule].actions[0]
    row = Example.objects.get(pk=checks._to_drop(finding, action)[0])
    if way == "undo":
        fix = checks.apply_fix(actor=editor, finding=finding)
    else:
        # As if it had been stopped before its first row: what is left of it meets nothing but the row.
        fix = Fix.objects.create(
            team=dataset.team,
            dataset=dataset,
            finding=finding,
            rule=finding.rule,
            action=action.key,
            by=editor,
        )
    moved, troubles = Event(), []

    def by_hand() -> None:
        try:
            with transaction.atomic():
                services.set_state(actor=editor, example=row, active=way == "undo")
                moved.set()
                wait_until_somebody_waits()
        except BaseException as trouble:
            troubles.append(trouble)
        finally:
            moved.set()
            connection.close()

    other = Thread(target=by_hand)
    other.start()
    assert moved.wait(30)
    if way == "fix":
        assert checks.apply_fix(actor=editor, finding=finding) == fix
    else:
        undoing.undo_fix(actor=editor, fix=fix)
    other.join()
    assert not troubles
    dataset.refresh_from_db()
    stands = {
        s: Example.objects.filter(dataset=dataset, state=s).count() for s in ("active", "dropped", "rejected")
    }
    counted = {"active": dataset.n_active, "dropped": dataset.n_dropped, "rejected": dataset.n_rejected}
    assert counted == stands
    assert stands == (
        {"active": 30, "dropped": 29, "rejected": 1}
        if way == "fix"
        else {"active": 60, "dropped": 0, "rejected": 0}
    )
    assert sum(dataset.label_counts.values()) == stands["active"]
