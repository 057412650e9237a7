"""Texts that nothing refers to go, with what the search knows of them; every other text stays."""

from __future__ import annotations

import pytest
from django.core.cache import cache
from django.db import connection, transaction

from datasets import searching, services
from datasets.models import Content, DatasetVersion, Edit, Example, Finding, Review, VersionRow
from datasets.services import contents, mixing
from datasets.services.checks import replace_contents
from datasets.tests.conftest import jsonl, tickets
from foundation.jobs.running import Run
from foundation.jobs.services import cancel_job, run_until_idle

pytestmark = pytest.mark.django_db


@pytest.fixture
def two(team, editor, use_case, bring_in):
    """Two frozen versions of 40 rows each."""
    found = []
    for at, name in enumerate(("One", "Two")):
        dataset = services.create_dataset(actor=editor, team=team, use_case=use_case, name=name)
        bring_in(dataset, jsonl(tickets(200)[at * 100 : at * 100 + 40]))
        version = services.start_freeze(actor=editor, dataset=dataset, override_reason="a test of texts")
        assert run_until_idle(60)
        version.refresh_from_db()
        found.append(version)
    return found


def content_ids() -> set[int]:
    return set(Content.objects.values_list("id", flat=True))


@pytest.mark.parametrize("how", ["cancelled", "failed"])
def test_a_mix_that_ends_before_it_is_whole_leaves_no_text(two, editor, use_case, monkeypatch, how):
    before, written = content_ids(), []
    real = mixing.bulk.insert

    def cut(model, names, rows, **more):
        real(model, names, rows, **more)
        if model is VersionRow:
            written.append(len(rows))
            if how == "failed":
                raise RuntimeError("the disk is full")
            cancel_job(actor=editor, job=DatasetVersion.objects.get(recipe__has_key="mix").job)

    monkeypatch.setattr(mixing.bulk, "insert", cut)
    monkeypatch.setattr(mixing.bulk, "ROWS_A_TRANSACTION", 20)
    # the question whether to stop is asked of the database once a second; here after the first slice
    monkeypatch.setattr(Run, "cancelled", property(lambda run: how == "cancelled" and bool(written)))
    members = [(v, v.dataset.name) for v in two]
    version = mixing.mix_versions(actor=editor, use_case=use_case, name="Both", members=members)
    assert run_until_idle(60)
    version.refresh_from_db()
    assert version.state == "failed"
    assert written == [20] * (3 if how == "failed" else 1)  # a failed job is tried three times
    assert not VersionRow.objects.filter(version=version).exists()
    assert content_ids() == before


def test_the_sweep_removes_what_nothing_refers_to_and_what_the_search_knows_of_it(dataset, editor, bring_in):
    bring_in(dataset, jsonl(tickets(30)))
    example = Example.objects.filter(dataset=dataset).select_related("content").first()
    services.edit_example(
        actor=editor, example=example, edition=example.edition, prompt="zweifelhaft", completion="card"
    )
    kept = content_ids()
    # Two people edit one row: the text of the one who came too late stands for nobody.
    stale = Example.objects.filter(dataset=dataset).select_related("content").last()
    stale.edition -= 1
    with transaction.atomic():
        assert not replace_contents(dataset, [(stale, ("", "", "verwaist", "card"), "card")], actor=editor)
    (orphan,) = content_ids() - kept
    if searching.exists():
        assert orphan in searching.propose("verwaist", above=0, upto=orphan, newest_first=False, most=9)
    assert contents.sweep_contents() == 1
    assert content_ids() == kept
    assert Edit.objects.get().before_id in kept  # the text before an edit is only an edit's, and stays
    if searching.exists():
        assert not searching.propose("verwaist", above=0, upto=orphan, newest_first=False, most=9)
    assert contents.sweep_contents() == 0


def test_a_sweep_goes_on_where_the_last_one_stopped_and_begins_again(dataset, bring_in, monkeypatch):
    bring_in(dataset, jsonl(tickets(30)))
    monkeypatch.setattr(contents, "LOOKED_AT", 10)
    monkeypatch.setattr(contents, "WINDOW", 10)
    ids = sorted(content_ids())
    cache.delete(contents.CURSOR)
    stops = []
    for _ in range(4):
        contents.sweep_contents()
        stops.append(cache.get(contents.CURSOR))
    assert stops == [ids[9], ids[19], ids[29], 0]


def test_rows_that_a_killed_cleaning_left_with_a_failed_mix_go_with_their_texts(two, editor, use_case):
    members = [(v, v.dataset.name) for v in two]
    version = mixing.mix_versions(actor=editor, use_case=use_case, name="Both", members=members)
    before = content_ids()
    assert mixing.build_mix(version=version, progress=lambda step: None)
    assert content_ids() > before
    cancel_job(actor=editor, job=version.job)
    DatasetVersion.objects.filter(pk=version.pk).update(state="failed")  # and then the worker was killed
    contents.sweep_contents()
    assert not VersionRow.objects.filter(version=version).exists()
    assert content_ids() == before


def test_every_table_that_refers_to_a_text_is_asked():
    asked = {field.model._meta.db_table for field in contents.references_to(Content)}
    with connection.cursor() as cursor:
        referring = {
            table
            for table in connection.introspection.table_names(cursor)
            for to in connection.introspection.get_relations(cursor, table).values()
            if to[1] == "datasets_content"
        }
    assert referring and referring <= asked


@pytest.mark.parametrize("target", [Content, Example, VersionRow, Finding, Review])
def test_whatever_refers_to_rows_that_go_by_the_thousand_can_be_looked_up(target):
    """Both databases look for each row's referrers as it is deleted: 200 texts beside 100,000 results took 5 s."""
    with connection.cursor() as cursor:
        for field in contents.references_to(target):
            table = field.model._meta.db_table
            found = connection.introspection.get_constraints(cursor, table).values()
            first = {each["columns"][0] for each in found if each["index"] and each["columns"]}
            assert field.column in first, f"{table}.{field.column}"
