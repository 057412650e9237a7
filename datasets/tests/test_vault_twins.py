"""Twins of a sealed row: the same words in other capitals, spaces or punctuation are as closed as the row itself."""

from __future__ import annotations

import numpy as np
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from datasets import asked, services
from datasets.models import Edit, Example, Finding, SealedDigests, VersionRow
from datasets.novelty import unsealed
from datasets.reporting import findings_csv
from datasets.services import fixing, judging, queueing
from datasets.tests.conftest import jsonl, tickets
from datasets.vault import Vault, sealed_contents
from foundation.jobs.services import run_until_idle

pytestmark = pytest.mark.django_db


def freeze(dataset, editor):
    version = services.start_freeze(actor=editor, dataset=dataset, override_reason="a test of the vault")
    assert run_until_idle(60)
    version.refresh_from_db()
    assert version.is_frozen
    return version


def rows_of(version, split) -> list[Example]:
    ids = VersionRow.objects.filter(version=version, split=split).values_list("example_id", flat=True)
    return list(Example.objects.filter(pk__in=list(ids)).select_related("content").order_by("pk"))


def other_formatting(text: str) -> str:
    return f"“{text.upper().replace(' ', '  ')}” ..."


def twins_of(rows) -> list[dict]:
    return [{"text": other_formatting(row.content.prompt), "label": row.content.completion} for row in rows]


def newest(dataset, n) -> list[Example]:
    found = Example.objects.filter(dataset=dataset).order_by("-pk").select_related("content")[:n]
    return sorted(found, key=lambda row: row.pk)


def change(row, prompt):
    row.refresh_from_db()
    services.edit_example(
        actor=None, example=row, edition=row.edition, prompt=prompt, completion=row.content.completion
    )
    row.refresh_from_db()


@pytest.fixture
def version(dataset, bring_in, editor):
    bring_in(dataset, jsonl(tickets(60)))
    return freeze(dataset, editor)


@pytest.fixture
def twins(version, dataset, bring_in):
    """Rows imported since: three that say what is tested, three that say what teaches, and one of their own."""
    said = [*rows_of(version, "test")[:3], *rows_of(version, "train")[:3]]
    bring_in(dataset, jsonl([*twins_of(said), *tickets(90)[89:]]))
    found = newest(dataset, 7)
    assert found[0].content.prompt.startswith("“TICKET")
    return found


def test_a_copy_in_capitals_that_a_fix_dropped_is_closed(dataset, bring_in, editor, client_for, viewer):
    plain = tickets(60)
    capitals = [{**row, "text": row["text"].upper()} for row in plain]
    bring_in(dataset, jsonl([*plain, *capitals]))
    finding = Finding.objects.get(run=dataset.checks, rule="loose_duplicate")
    fixing.apply_fix(actor=editor, finding=finding, action="drop_extra")
    version = freeze(dataset, editor)
    asked_words = {row.content.prompt.upper() for row in rows_of(version, "test")}
    dropped = Example.objects.filter(dataset=dataset, state="dropped").select_related("content")
    closed = {row for row in dropped if row.content.prompt.upper() in asked_words}
    assert len(closed) == version.n_test and len(dropped) == 60
    contents = {row.content_id for row in closed}
    assert sealed_contents(dataset, [row.content_id for row in dropped]) == contents
    assert sealed_contents(dataset) == contents | {row.content_id for row in rows_of(version, "test")}
    client, one = client_for(viewer), min(closed, key=lambda row: row.pk)
    rows_url = reverse("datasets:example-list", args=[dataset.pk])
    pages = [
        client.get(rows_url, {"state": "dropped"}),
        client.get(reverse("datasets:example-detail", args=[one.pk])),
        client.get(reverse("datasets:finding-detail", args=[finding.pk])),
    ]
    told = [page.content.decode() for page in pages]
    told.append(b"".join(findings_csv(dataset=dataset, user=viewer)).decode())
    for page in told:
        assert not any(row.content.prompt in page for row in closed)
    assert any(row.content.prompt in told[0] for row in dropped if row not in closed)
    searched = client.get(rows_url, {"state": "dropped", "q": one.content.prompt[:14]}).content.decode()
    assert "<tr data-row" not in searched
    services.open_test_rows(actor=editor, version=version, reason="a complaint about one row")
    page = client_for(editor).get(reverse("datasets:example-detail", args=[one.pk])).content.decode()
    assert one.content.prompt in page


def test_a_twin_imported_later_is_closed_and_twins_of_training_rows_are_not(dataset, twins):
    closed = {row.content_id for row in twins[:3]}
    assert sealed_contents(dataset, [row.content_id for row in twins]) == closed
    assert closed <= sealed_contents(dataset)
    assert not {row.content_id for row in twins[3:]} & sealed_contents(dataset)


def test_no_queue_and_no_judge_gets_a_twin(dataset, twins, editor):
    chosen = set(judging.sample(dataset, how="all"))
    review = queueing.plan_review(actor=editor, dataset=dataset, share=1.0)
    queued = set(review.items.values_list("example_id", flat=True))
    for held in (chosen, queued):
        assert not held & {row.pk for row in twins[:3]}
        assert held >= {row.pk for row in twins[3:]}


def test_new_rows_are_not_written_from_a_twin(dataset, twins, version):
    contents = {row.content_id: bytes(row.content.digest) for row in twins}
    for at_once in (True, False):
        assert unsealed(dataset, contents, at_once=at_once) == {row.content_id for row in twins[3:]}


def test_a_twin_stays_closed_under_the_texts_it_had_and_got(dataset, twins, client_for, viewer):
    row = twins[0]
    first = row.content_id
    change(row, "almost the same words")
    between = row.content_id
    change(row, "quite another text now")
    assert sealed_contents(dataset, [first, between, row.content_id]) == {first, between, row.content_id}
    assert sealed_contents(dataset, [between]) == {between}
    assert row.content_id in sealed_contents(dataset)
    page = client_for(viewer).get(reverse("datasets:example-detail", args=[row.pk])).content.decode()
    assert "quite another text now" not in page
    assert "almost the same words" not in page


def test_a_row_that_was_edited_into_a_twin_is_closed_with_what_it_said_before(version, dataset, twins):
    row, before = twins[6], twins[6].content_id
    like = next(r for r in rows_of(version, "test") if r.content.completion == row.content.completion)
    change(row, other_formatting(like.content.prompt))
    assert sealed_contents(dataset, [before, row.content_id]) == {before, row.content_id}
    assert row.content_id in sealed_contents(dataset)


def test_a_copy_of_what_a_tested_row_said_before_it_was_mended_is_closed(dataset, bring_in, editor):
    bring_in(dataset, jsonl(tickets(60)))
    said = {row.pk: row.content.prompt for row in newest(dataset, 60)}
    for row in newest(dataset, 60):
        change(row, f"{row.content.prompt} indeed")
    version = freeze(dataset, editor)
    tested = rows_of(version, "test")[:3]
    late = [{"text": other_formatting(said[row.pk]), "label": row.content.completion} for row in tested]
    bring_in(dataset, jsonl(late))
    copies = {row.content_id for row in newest(dataset, 3)}
    assert sealed_contents(dataset, copies) == copies
    assert copies <= sealed_contents(dataset)


def test_rows_of_another_split_stay_readable_whatever_their_form(version, dataset):
    """A frozen version keeps such rows in one split; should one stand elsewhere, it is read there as it was."""
    tested, taught = rows_of(version, "test")[0], rows_of(version, "train")[0]
    content = taught.content
    content.prompt, content.completion = other_formatting(tested.content.prompt), tested.content.completion
    content.save()
    assert sealed_contents(dataset, [content.pk]) == frozenset()
    assert content.pk not in sealed_contents(dataset)


def test_all_that_is_closed_is_what_each_row_by_itself_is(version, dataset, twins):
    change(twins[1], "mended since")
    change(rows_of(version, "test")[4], "mended since as well")
    change(rows_of(version, "train")[4], "and this one teaches")
    contents = set(Example.objects.filter(dataset=dataset).values_list("content_id", flat=True))
    one_by_one = {pk for pk in contents if sealed_contents(dataset, [pk])}
    assert sealed_contents(dataset) == sealed_contents(dataset, contents) == one_by_one
    assert len(one_by_one) == version.n_test + 3


def test_many_texts_are_asked_about_a_part_at_a_time(version, dataset, twins, monkeypatch):
    contents = set(Example.objects.filter(dataset=dataset).values_list("content_id", flat=True))
    whole = Vault(dataset).closed(contents)
    monkeypatch.setattr("datasets.vault.OF_A_PAGE", 2)
    monkeypatch.setattr("datasets.active.MOST_CHARS", 300)
    assert Vault(dataset).closed(contents) == whole


def test_keys_are_kept_at_the_freeze_and_read_anew_where_they_were_not(version, dataset, twins):
    kept = SealedDigests.objects.get(version=version)
    assert np.array_equal(np.frombuffer(kept.loose, "<u8"), asked.loose_of(version.pk))
    assert len(kept.loose) == 8 * version.n_test  # nobody had been edited
    contents = [row.content_id for row in twins]
    before = sealed_contents(dataset, contents)
    SealedDigests.objects.update(loose=None)
    asked.forget()
    assert sealed_contents(dataset, contents) == before
    with CaptureQueriesContext(connection) as queries:
        assert sealed_contents(dataset, contents) == before
    assert not any("sealeddigests" in q["sql"] for q in queries)


def test_twins_cost_a_page_no_further_question(version, dataset, twins):
    contents = [row.content_id for row in twins]
    sealed_contents(dataset, contents)
    with CaptureQueriesContext(connection) as queries:
        sealed_contents(dataset, contents)
    assert len(queries) == 3  # the version, the texts, their edits
    assert not Edit.objects.exists()


def test_the_file_that_rows_came_in_is_handed_back_where_no_test_is_closed(
    dataset, bring_in, editor, viewer, client_for
):
    staged = bring_in(dataset, jsonl(tickets(60)))
    url = reverse("files:blob-download", args=[staged.blob_id])
    assert client_for(viewer).get(url).status_code == 200
    version = freeze(dataset, editor)
    refused = client_for(viewer).get(url)
    assert refused.status_code == 403
    assert "This file may hold sealed test rows." in refused.content.decode()
    services.open_test_rows(actor=editor, version=version, reason="a complaint about one row")
    assert client_for(viewer).get(url).status_code == 403
    assert client_for(editor).get(url).status_code == 200
