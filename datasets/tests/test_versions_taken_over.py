"""A worker that was suspended, or whose version was cancelled, takes nothing away and leaves nothing behind."""

from __future__ import annotations

import pytest
from django.db import DatabaseError, connection

from datasets import freezing_rows, services
from datasets.domain.recipe import Recipe
from datasets.domain.statuses import VersionState
from datasets.freezing import compose
from datasets.models import Content, DatasetVersion, VersionRow
from datasets.services import contents, mixing, versions
from datasets.tests.conftest import jsonl, tickets
from foundation.jobs.errors import LeaseLost
from foundation.jobs.services import run_until_idle
from foundation.teams.errors import Conflict

REASON = "a test of workers"


def building(editor, dataset) -> DatasetVersion:
    return services.start_freeze(actor=editor, dataset=dataset, override_reason=REASON)


def silent(step: str) -> None:
    """Nobody watches."""


def lost() -> None:
    raise LeaseLost("another worker took over")


@pytest.mark.django_db
def test_a_worker_that_wakes_up_late_leaves_a_frozen_version_whole(dataset, bring_in, editor):
    bring_in(dataset, jsonl(tickets(40)))
    stale = building(editor, dataset)
    assert run_until_idle(60)
    assert not stale.is_frozen  # as it read it, before it was suspended
    contents.clear_rows(stale)
    assert VersionRow.objects.filter(version=stale).count() == 40
    assert DatasetVersion.objects.frozen().get(pk=stale.pk).n_rows == 40


@pytest.mark.django_db
def test_a_worker_that_wakes_up_late_leaves_the_rows_of_the_next_one(dataset, bring_in, editor):
    bring_in(dataset, jsonl(tickets(40)))
    version = building(editor, dataset)
    assert versions.build_version(version=version, progress=silent)
    with pytest.raises(LeaseLost):
        versions.build_version(version=version, progress=silent, still_mine=lost)
    with pytest.raises(LeaseLost):
        contents.clear_rows(version, still_mine=lost)
    assert VersionRow.objects.filter(version=version).count() == 40


@pytest.mark.django_db
def test_nothing_is_written_into_a_version_that_was_cancelled_meanwhile(dataset, bring_in, editor):
    bring_in(dataset, jsonl(tickets(40)))
    version = building(editor, dataset)
    frozen = compose(dataset, Recipe.from_json(version.recipe), progress=silent)

    def cancel(step: str) -> None:
        versions.fail_version(version=DatasetVersion.objects.get(pk=version.pk), error="Cancelled.")

    with pytest.raises(Conflict, match="no longer being made"):
        freezing_rows.write_rows(version=version, frozen=frozen, progress=cancel)
    assert not VersionRow.objects.filter(version=version).exists()


@pytest.mark.django_db
def test_nothing_is_written_into_a_mix_that_was_cancelled_meanwhile(team, editor, use_case, bring_in):
    members = []
    for at, name in enumerate(("One", "Two")):
        dataset = services.create_dataset(actor=editor, team=team, use_case=use_case, name=name)
        bring_in(dataset, jsonl(tickets(80)[at * 40 : at * 40 + 30]))
        members.append((building(editor, dataset), name))
    assert run_until_idle(60)
    members = [(DatasetVersion.objects.get(pk=version.pk), name) for version, name in members]
    mix = mixing.mix_versions(actor=editor, use_case=use_case, name="Both", members=members)
    before = Content.objects.count()

    def cancel(step: str) -> None:
        if step == "Writing rows":
            DatasetVersion.objects.filter(pk=mix.pk).update(state=VersionState.FAILED)

    with pytest.raises(Conflict, match="no longer being made"):
        mixing.build_mix(version=mix, progress=cancel)
    assert not VersionRow.objects.filter(version=mix).exists()
    assert Content.objects.count() == before


@pytest.mark.django_db
def test_a_sweep_stops_taking_away_when_its_time_is_over(dataset, bring_in, editor, monkeypatch):
    bring_in(dataset, jsonl(tickets(40)))
    version = building(editor, dataset)
    assert versions.build_version(version=version, progress=silent)
    DatasetVersion.objects.filter(pk=version.pk).update(state=VersionState.FAILED)
    monkeypatch.setattr(contents, "MOST_S", -1.0)
    contents.sweep_contents()
    assert VersionRow.objects.filter(version=version).count() == 40
    monkeypatch.undo()
    contents.sweep_contents()
    assert not VersionRow.objects.filter(version=version).exists()


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif("connection.vendor != 'sqlite'", reason="PostgreSQL always looks up its keys")
def test_foreign_keys_are_looked_up_again_after_a_slice_that_failed(dataset, bring_in, editor, monkeypatch):
    bring_in(dataset, jsonl(tickets(40)))
    version = building(editor, dataset)
    seen = []

    def keys() -> int:
        with connection.cursor() as cursor:
            return int(cursor.execute("PRAGMA foreign_keys").fetchone()[0])

    def fail(*given: object) -> int:
        seen.append(keys())
        raise DatabaseError("the disk is full")

    real = freezing_rows._select
    monkeypatch.setattr(freezing_rows, "_select", fail)
    with pytest.raises(DatabaseError, match="the disk is full"):
        versions.build_version(version=version, progress=silent)
    assert (seen, keys()) == ([0], 1)
    monkeypatch.setattr(freezing_rows, "_select", real)
    assert versions.build_version(version=version, progress=silent)
    assert keys() == 1
    with connection.cursor() as cursor:
        assert cursor.execute("PRAGMA foreign_key_check").fetchall() == []
    assert VersionRow.objects.filter(version=version).count() == 40
