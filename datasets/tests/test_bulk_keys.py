"""Keys of bulk rows on PostgreSQL, asked once a statement: what a foreign key refuses is refused, also in a race."""

from __future__ import annotations

from threading import Event, Thread

import pytest
from django.db import IntegrityError, connection, transaction

from datasets import bulk, bulk_keys
from datasets.models import Content, DatasetVersion, Example, Finding, FindingRow, Import, VersionRow
from datasets.services import contents
from datasets.tests.conftest import jsonl, tickets
from datasets.tests.test_counts_at_once import wait_until_somebody_waits

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.skipif("connection.vendor != 'postgresql'", reason="SQLite keeps its own keys"),
]
NOBODY = 10**9
MODELS = {"content": Content, "example": Example, "versionrow": VersionRow, "findingrow": FindingRow}


@pytest.fixture
def rows(dataset, bring_in):
    """One row of each table with such keys, among others, so that a copy of it is a row that may stand."""
    bring_in(dataset, jsonl([*tickets(30), *tickets(15)]))
    content = Content.objects.order_by("id")[0]
    version = DatasetVersion.objects.create(team=dataset.team, dataset=dataset, number=1)
    return {
        "content": content,
        "example": Example.objects.get(content=content),
        "versionrow": VersionRow.objects.create(version=version, content=content, split="train", position=0),
        "findingrow": FindingRow.objects.filter(finding__rule="exact_duplicate").order_by("id")[0],
    }


def copied(row, **changes) -> None:
    """Write a copy of a row with these columns changed, as bulk rows are written: by COPY."""
    fields = [field for field in row._meta.concrete_fields if not field.primary_key]
    values = {field.attname: getattr(row, field.attname) for field in fields} | changes
    bulk.insert(type(row), list(values), [list(values.values())])


def what_may_differ(row) -> dict[str, int]:
    """Changes that make a copy a row of its own."""
    if isinstance(row, FindingRow):
        others = Example.objects.exclude(finding_rows__finding=row.finding_id)
        return {"example_id": others.order_by("id")[0].pk}
    return {Example: {"line": 10_000}, VersionRow: {"position": 1}}.get(type(row), {})


def test_no_row_comes_that_names_a_missing_one(rows):
    for key in bulk_keys.KEYS:
        row = rows[key.model]
        changes = what_may_differ(row)
        with pytest.raises(IntegrityError, match=f"{key.parent} that is missing"), transaction.atomic():
            copied(row, **changes | {key.column: NOBODY})
        n = MODELS[key.model].objects.count()
        with transaction.atomic():
            copied(row, **changes)
            assert MODELS[key.model].objects.count() == n + 1
            transaction.set_rollback(True)


def test_no_row_is_changed_to_name_a_missing_one(rows):
    for key in bulk_keys.KEYS:
        found = MODELS[key.model].objects.filter(pk=rows[key.model].pk)
        with pytest.raises(IntegrityError, match=f"{key.parent} that is missing"), transaction.atomic():
            found.update(**{key.column: NOBODY})
        assert found.update(**{key.column: getattr(rows[key.model], key.column)}) == 1


def test_nothing_goes_that_a_row_still_names(rows):
    """Asked at the commit, as of a foreign key: until then a transaction deletes in any order."""
    for key in bulk_keys.KEYS:
        parent = getattr(rows[key.model], key.field)
        with transaction.atomic():
            type(parent).objects.filter(pk=parent.pk)._raw_delete("default")
            refused = pytest.raises(IntegrityError, match=f"names a row of {key.parent}")
            with refused, transaction.atomic(), connection.cursor() as cursor:
                cursor.execute("SET CONSTRAINTS bulk_keys_name_this IMMEDIATE")
            transaction.set_rollback(True)


def test_a_whole_dataset_goes_with_its_rows(dataset, rows):
    DatasetVersion.objects.all().delete()
    dataset.delete()
    connection.check_constraints()
    assert not Example.objects.exists() and not Import.objects.exists() and not Finding.objects.exists()


def beside(work) -> tuple[Thread, list[BaseException]]:
    """Begin `work(done)` in another transaction; it is open and has done its part once this returns."""
    done, troubles = Event(), []

    def run() -> None:
        try:
            with transaction.atomic():
                work()
                done.set()
                wait_until_somebody_waits()
        except BaseException as trouble:
            troubles.append(trouble)
        finally:
            done.set()
            connection.close()

    thread = Thread(target=run)
    thread.start()
    assert done.wait(30)
    return thread, troubles


@pytest.mark.django_db(transaction=True)
def test_a_file_does_not_go_while_rows_of_it_are_written(rows):
    """Whoever is second waits, and then finds what the first has written: no orphan of either."""
    row = rows["example"]
    spare = Import.objects.create(team=row.team, dataset=row.dataset, blob=row.source.blob, name="spare")
    other, troubles = beside(lambda: copied(row, line=10_000))
    with pytest.raises(IntegrityError), transaction.atomic():
        # All that named the file when its deletion began, as Django finds it.
        Example.objects.filter(source_id=row.source_id, line__lt=10_000).update(source_id=spare.pk)
        Import.objects.filter(pk=row.source_id)._raw_delete("default")
    other.join(30)
    assert troubles == []
    assert Import.objects.filter(pk=row.source_id).exists()
    assert Example.objects.filter(source_id=row.source_id, line=10_000).exists()


@pytest.mark.django_db(transaction=True)
def test_no_row_comes_to_a_version_that_is_just_going(rows):
    row = rows["versionrow"]

    def take_away() -> None:
        VersionRow.objects.filter(version=row.version_id)._raw_delete("default")
        DatasetVersion.objects.filter(pk=row.version_id)._raw_delete("default")

    other, troubles = beside(take_away)
    with pytest.raises(IntegrityError, match="datasets_datasetversion that is missing"):
        copied(row, position=7)
    other.join(30)
    assert troubles == []
    assert not VersionRow.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_text_that_a_version_is_just_taking_up_is_not_swept(rows):
    """The sweep saw that nothing names it, and the version was not committed yet."""
    text = Content.objects.create(
        team=rows["content"].team, digest=b"x" * 32, prompt="p", completion="c", n_chars=2
    )
    other, troubles = beside(lambda: copied(rows["versionrow"], content_id=text.pk, position=9))
    with pytest.raises(IntegrityError):
        contents.remove_unreferenced([text.pk])
    other.join(30)
    assert troubles == []
    assert Content.objects.filter(pk=text.pk).exists()
    assert VersionRow.objects.get(position=9).content_id == text.pk


def test_the_keys_stand_in_the_place_of_foreign_keys_and_nothing_else_went():
    """Every foreign key of the models is in the database, as one or as triggers."""
    wanted, by_trigger = set(), {(key.child, key.column) for key in bulk_keys.KEYS}
    for model in MODELS.values():
        for field in model._meta.concrete_fields:
            if field.remote_field is not None and getattr(field, "db_constraint", False):
                wanted.add((model._meta.db_table, field.column))
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT conrelid::regclass::text, attname FROM pg_constraint JOIN pg_attribute"
            " ON attrelid = conrelid AND attnum = conkey[1] WHERE contype = 'f'"
        )
        there = set(cursor.fetchall())
        cursor.execute(
            "SELECT tgrelid::regclass::text, tgname FROM pg_trigger WHERE tgname LIKE 'bulk_keys%' AND tgenabled = 'O'"
        )
        triggers = set(cursor.fetchall())
    assert by_trigger == wanted - there
    assert triggers == {
        (child, name) for child, _ in by_trigger for name in ("bulk_keys", "bulk_keys_changed")
    } | {(key.parent, "bulk_keys_name_this") for key in bulk_keys.KEYS}
