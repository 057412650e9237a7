"""T52: no migration from here on holds up a large table while people work."""

from __future__ import annotations

import pytest
from django.apps import apps
from django.db import connection, migrations, models
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations.base import Operation
from django.db.models import NOT_PROVIDED

# Tables with a row for every example, prediction or answer.
LARGE = {
    ("datasets", "content"), ("datasets", "example"), ("datasets", "versionrow"), ("datasets", "findingrow"),
    ("datasets", "fixedrow"), ("datasets", "edit"), ("datasets", "judgement"), ("datasets", "reviewitem"),
    ("datasets", "foldanswer"),
    ("evaluations", "result"), ("deployments", "prediction"), ("deployments", "feedback"),
}  # fmt: skip
# Shipped before there was a million rows anywhere (a migration that has run is not written anew), or quick for the reason given.
SHIPPED = {
    ("datasets", "0002_keep_no_index_of_digests"): "drops an index: quick on both databases",
    ("datasets", "0004_review_by_need_and_twice"): "review queues held a few hundred rows",
    ("datasets", "0005_keep_tools_and_further_columns"): "SQLite rebuilds both tables; ran on empty ones",
    ("datasets", "0006_search_index"): "indexes without CONCURRENTLY; ran on empty tables",
    ("datasets", "0007_search_table"): "makes an empty table and its triggers",
    (
        "datasets",
        "0010_labels_and_gate",
    ): "SQLite rebuilds the rows of findings; a new check writes them anew",
    ("datasets", "0013_cross_validations"): "makes the tables of folds, and their indexes on nothing",
    ("datasets", "0026_search_in_stretches"): "makes an empty table; jobs fill it",
    ("decisions", "0003_frozen_rows"): "one row a use case, and triggers",
    ("decisions", "0004_ranges_scenarios_actuals"): "one row a decision",
    ("evaluations", "0002_looks_count_in_the_vault"): "one row a look: dozens",
}


def blocking(operation: Operation, *, app: str, atomic: bool) -> str:
    """Why an operation would hold up a large table; empty when it would not."""
    if isinstance(operation, migrations.SeparateDatabaseAndState):
        return "; ".join(
            filter(None, (blocking(o, app=app, atomic=atomic) for o in operation.database_operations))
        )
    if isinstance(operation, migrations.RunPython | migrations.RunSQL):
        hints = getattr(operation, "hints", None) or {}
        if isinstance(operation, migrations.RunPython) and hints.get("in_batches") and not atomic:
            return ""
        return "RunPython and RunSQL say hints={'in_batches': True} and atomic = False, or make no change of rows"
    name = getattr(operation, "model_name", "") or getattr(operation, "name", "")
    if isinstance(operation, migrations.CreateModel) or (app, name.lower()) not in LARGE:
        return ""
    if isinstance(operation, migrations.AddField):
        field = operation.field
        if isinstance(field, models.ForeignKey) and field.db_index:
            return "a foreign key builds its index with the table locked"
        if field.unique or getattr(field, "db_index", False):
            return "an index is built with the table locked"
        if not field.null or field.db_default is not NOT_PROVIDED:
            # SQLite adds a nullable column without a default at once, and copies the table for any other.
            return "SQLite rebuilds the table for a column that is not NULL without a default"
        return ""
    if type(operation).__name__ in {"AddIndexConcurrently", "RemoveIndexConcurrently"}:
        return "" if not atomic else "CONCURRENTLY needs atomic = False"
    if isinstance(operation, migrations.RenameIndex):
        return ""
    return f"{type(operation).__name__} rebuilds or locks the table"


def found(loader: MigrationLoader) -> dict[tuple[str, str], list[str]]:
    """What would block, by migration of ours."""
    ours = {config.label for config in apps.get_app_configs() if config.name.split(".")[0] in FLOORS}
    out: dict[tuple[str, str], list[str]] = {}
    for (app, name), migration in loader.disk_migrations.items():
        if app not in ours or migration.initial or name.startswith(("0001", "9")):
            continue
        reasons = [
            reason
            for operation in migration.operations
            if (reason := blocking(operation, app=app, atomic=migration.atomic))
        ]
        if reasons:
            out[(app, name)] = reasons
    return out


FLOORS = {"foundation", "decisions", "datasets", "evaluations", "deployments"}


@pytest.mark.django_db
def test_what_points_at_a_row_of_a_version_is_found_by_it():
    """Deleting 200 rows read all 100,000 answers of the folds: 0.54 s, again and again for a large version."""
    missing = []
    for relation in apps.get_model("datasets", "VersionRow")._meta.related_objects:
        table, column = relation.related_model._meta.db_table, relation.field.column
        with connection.cursor() as cursor:
            known = connection.introspection.get_constraints(cursor, table).values()
        if not any(one["index"] and one["columns"][:1] == [column] for one in known):
            missing.append(f"{table}.{column}")
    assert missing == []


def test_no_new_migration_blocks_a_large_table():
    """Two migrations rebuilt tables of a million rows on SQLite: the portal would have stood still for minutes."""
    blocked = found(MigrationLoader(None, ignore_no_migrations=True))
    assert {key: why for key, why in blocked.items() if key not in SHIPPED} == {}
    assert set(SHIPPED) <= set(blocked), "a migration that blocks nothing needs no excuse"


@pytest.mark.parametrize(
    ("operation", "words"),
    [
        (migrations.AddField("content", "x", models.TextField(null=True)), ""),
        (migrations.AddField("content", "x", models.TextField(default="")), "SQLite rebuilds"),
        (migrations.AddField("content", "x", models.TextField(default="", db_default="")), "SQLite rebuilds"),
        (
            migrations.AddField("example", "x", models.ForeignKey("teams.team", models.CASCADE, null=True)),
            "foreign key",
        ),
        (migrations.AddField("dataset", "x", models.TextField(default="")), ""),
        (migrations.AlterField("example", "label", models.TextField()), "AlterField"),
        (migrations.AddIndex("example", models.Index(fields=["label"], name="x")), "AddIndex"),
        (migrations.RemoveField("example", "label"), "RemoveField"),
        (migrations.RunPython(migrations.RunPython.noop), "in_batches"),
        (migrations.RunSQL("UPDATE datasets_example SET label = ''"), "in_batches"),
        (migrations.CreateModel("example", []), ""),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Operation) else None,
)
def test_an_operation_is_told_by_what_it_does_to_a_large_table(operation, words):
    said = blocking(operation, app="datasets", atomic=True)
    assert words in said
    assert bool(said) == bool(words)
    batches = migrations.RunPython(migrations.RunPython.noop, hints={"in_batches": True})
    assert not blocking(batches, app="datasets", atomic=False)
