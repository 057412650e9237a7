"""A fix taken back after the label was renamed, or a person wrote: what comes back, and what is said of it."""

from __future__ import annotations

import pytest
from django.contrib.messages import get_messages
from django.urls import reverse

from datasets import services
from datasets.models import Example, Finding, Fix
from datasets.services import labels
from datasets.tests.conftest import jsonl, tickets
from datasets.tests.test_services_labels import rename
from datasets.tests.test_services_mending import state_of
from foundation.jobs.services import run_until_idle

pytestmark = pytest.mark.django_db


@pytest.fixture
def mailed(dataset, bring_in):
    """Thirty sound rows, and five of the label "card" that hold an address each."""
    rows = [
        {"text": f"Please write to user{i}@example.com about card {i}", "label": "card"} for i in range(5)
    ]
    bring_in(dataset, jsonl([*tickets(30), *rows]))
    return dataset


def finding(dataset, rule) -> Finding:
    return Finding.objects.get(run=dataset.checks, rule=rule)


def n_rows_with(text: str) -> int:
    return Example.objects.filter(content__prompt__contains=text).count()


def test_after_a_renaming_the_text_comes_back_and_the_new_label_stays(mailed, editor):
    before = state_of(mailed)
    fix = services.apply_fix(actor=editor, finding=finding(mailed, "pii"), action="mask")
    change = rename(editor, mailed, "card", "cards")
    fix = services.undo_fix(actor=editor, fix=fix)
    assert fix.undone_at and fix.undo_said == "Undone. The rows are as they were."
    assert (n_rows_with("@example.com"), n_rows_with("[EMAIL]")) == (5, 0)
    rows = Example.objects.filter(content__prompt__contains="@example.com")
    assert set(rows.values_list("label", "content__completion")) == {("cards", "cards")}
    labels.undo_rename(actor=editor, change=change)
    assert run_until_idle(30)
    assert state_of(mailed) == before


def test_rows_that_somebody_changed_since_are_told_and_the_fix_stands_for_them(mailed, editor, client_for):
    found = finding(mailed, "pii")
    fix = services.apply_fix(actor=editor, finding=found, action="mask")
    row = fix.edits.first().example
    row.refresh_from_db()
    mine = services.edit_example(
        actor=editor, example=row, edition=row.edition, prompt="Write to us", completion="card"
    )
    client = client_for(editor)
    answer = client.post(reverse("datasets:fix-undo", args=[fix.pk]))
    assert [str(m) for m in get_messages(answer.wsgi_request)] == [
        "4 rows are as before. 1 row was changed since and stays so."
    ]
    fix.refresh_from_db()
    assert (fix.undone_at, fix.n_rows, n_rows_with("@example.com")) == (None, 1, 4)
    # the four can be masked again from the page, and what a person wrote stands in the way of nothing
    page = client.get(reverse("datasets:finding-detail", args=[found.pk]))
    assert "mask" in {action.key for action in page.context["actions"]}
    again = services.undo_fix(actor=editor, fix=fix)
    assert again.undo_said == "Nothing was undone. 1 row was changed since and stays so."
    # once the person takes their own back, the rest of the fix can be undone as well
    assert services.undo_example_edit(actor=editor, edit=mine)
    assert services.undo_fix(actor=editor, fix=Fix.objects.get(pk=fix.pk)).undone_at
    assert n_rows_with("@example.com") == 5


def test_dropped_rows_come_back_under_the_label_theirs_was_merged_into(dataset, bring_in, editor):
    bring_in(dataset, jsonl([*tickets(60), *tickets(60)]))
    before = state_of(dataset)
    fix = services.apply_fix(actor=editor, finding=finding(dataset, "exact_duplicate"))
    change = rename(editor, dataset, "login", "billing")
    fix = services.undo_fix(actor=editor, fix=fix)
    # 120 rows in three labels of 40; the 20 copies of "login" were away while it was merged
    assert fix.undo_said == "Undone. 20 rows have the new name of a label that was renamed since."
    assert state_of(dataset)[3] == {"billing": 80, "card": 40}
    assert not Example.objects.filter(dataset=dataset, label="login").exists()
    change.refresh_from_db()
    assert change.n_rows == 40
    labels.undo_rename(actor=editor, change=change)
    assert run_until_idle(30)
    assert state_of(dataset) == before
