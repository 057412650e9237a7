"""Freezes that could not end well: each says before or after what is missing, and can be mended from the same page."""

from __future__ import annotations

import pytest
from django.urls import reverse

from datasets import services
from datasets.models import DatasetVersion
from datasets.tests.conftest import jsonl, tickets
from foundation.jobs.services import run_until_idle

pytestmark = pytest.mark.django_db

REASON = "the rows of a whole year"


def frozen(editor, dataset, **given) -> DatasetVersion:
    version = services.start_freeze(actor=editor, dataset=dataset, seed="s", **given)
    assert run_until_idle(60)
    version.refresh_from_db()
    return version


@pytest.fixture
def twice(dataset, bring_in, stage, editor):
    """300 rows imported twice: 600 to the gate, which counts copies, and 300 to the freeze."""
    bring_in(dataset, jsonl(tickets(300)))
    services.start_import(
        actor=editor, import_=stage(dataset, jsonl(tickets(300)), "again.jsonl"), again=True
    )
    assert run_until_idle(60)
    services.set_gate(
        actor=editor, team=dataset.team, chosen=dict.fromkeys(("review", "unchecked"), "ignored")
    )
    dataset.refresh_from_db()
    assert dataset.n_active == 600
    assert services.blockers(dataset) == []
    return dataset


def test_a_test_of_fresh_rows_is_not_frozen_empty_where_no_row_is_fresh(dataset, bring_in, editor):
    bring_in(dataset, jsonl(tickets(60)))
    assert frozen(editor, dataset, override_reason=REASON).state == "frozen"
    version = frozen(editor, dataset, override_reason=REASON, fresh_test=True)
    assert version.state == "failed"
    assert "Import rows that no version held" in version.error
    # A version that wants no test rows has none to draw.
    none = frozen(editor, dataset, override_reason=REASON, fresh_test=True, ratios=("0.9", "0.1", "0"))
    assert (none.state, none.n_test) == ("frozen", 0)


def test_copies_hide_few_rows_from_the_gate_and_the_form_takes_the_reason(twice, editor, client_for):
    failed = frozen(editor, twice)
    assert (failed.state, failed.n_rows) == ("failed", 0)
    assert "300 rows are fewer than 500" in failed.error
    client, url = client_for(editor), reverse("datasets:version-create", args=[twice.pk])
    page = client.get(url)
    assert b'name="override_reason"' in page.content
    given = {"train": "80", "validation": "10", "test": "10", "strategy": "stratified", "seed": "s"}
    press = page.context["form"]["press"].value()
    answer = client.post(url, {**given, "press": press, "override_reason": REASON})
    assert answer.status_code == 302
    assert run_until_idle(60)
    version = DatasetVersion.objects.order_by("-number").first()
    assert (version.state, version.n_rows, version.override_reason) == ("frozen", 300, REASON)
    assert [b["rule"] for b in version.report["blockers"]] == ["size"]
    assert "300 rows are fewer than 500" in version.report["blockers"][0]["sentence"]


def test_a_reason_that_nothing_asked_for_is_not_told_as_an_override(twice, bring_in, editor):
    bring_in(twice, jsonl(tickets(520)[300:]), "more.jsonl")
    version = frozen(editor, twice, override_reason=REASON)
    assert (version.state, version.n_rows) == ("frozen", 520)
    assert (version.override_reason, version.report["blockers"]) == ("", [])
