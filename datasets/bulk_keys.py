"""Foreign keys of bulk rows on PostgreSQL, asked once a statement instead of once a row (docs/decisions/0023).

The promise is that of a foreign key: no row names another that is missing, whoever writes or deletes, and a parent
that goes while rows are written makes one of the two fail. SQLite keeps its own keys and knows nothing of this.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from django.db.backends.base.schema import BaseDatabaseSchemaEditor


@dataclass(frozen=True, slots=True)
class Key:
    """One column that names a row of another table."""

    model: str
    field: str
    child: str
    parent: str
    # Whether nearly every row of a statement names another parent; else many rows name one.
    each: bool = False
    # Whether those parents are as new as the rows, made by the same transaction.
    along: bool = False

    @property
    def column(self) -> str:
        """The column's name."""
        return f"{self.field}_id"


KEYS = (
    Key("content", "team", "datasets_content", "teams_team"),
    Key("example", "team", "datasets_example", "teams_team"),
    Key("example", "dataset", "datasets_example", "datasets_dataset"),
    Key("example", "source", "datasets_example", "datasets_import"),
    Key("example", "content", "datasets_example", "datasets_content", each=True, along=True),
    Key("versionrow", "version", "datasets_versionrow", "datasets_datasetversion"),
    Key("versionrow", "content", "datasets_versionrow", "datasets_content", each=True),
    Key("findingrow", "finding", "datasets_findingrow", "datasets_finding"),
    Key("findingrow", "example", "datasets_findingrow", "datasets_example", each=True),
)
# Tables to be filled last, in this order, by whoever fills them as a whole: these keys do not wait for the commit.
FILLED_LAST = ("datasets_content", "datasets_example", "datasets_versionrow", "datasets_findingrow")

# A statement is planned once a session, maybe while a table is empty: never to read all of it.
_FUNCTION = (
    "CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql SET enable_seqscan = off AS $$"
)


def create(schema_editor: BaseDatabaseSchemaEditor, apps: Any) -> None:
    """Put the triggers in the place of the foreign keys. Changes the catalogue only, however many rows there are."""
    if schema_editor.connection.vendor != "postgresql":
        return
    for key in KEYS:
        model = apps.get_model("datasets", key.model)
        for name in schema_editor._constraint_names(model, [key.column], foreign_key=True):  # type: ignore[attr-defined]
            schema_editor.execute(schema_editor._delete_fk_sql(model, name))  # type: ignore[attr-defined]
    for statement in statements():
        schema_editor.execute(statement)


def drop(schema_editor: BaseDatabaseSchemaEditor, apps: Any) -> None:
    """The foreign keys again; every row is looked at once."""
    if schema_editor.connection.vendor != "postgresql":
        return
    for child in {key.child for key in KEYS}:
        schema_editor.execute(f"DROP FUNCTION {child}_keys CASCADE")
        schema_editor.execute(f"DROP FUNCTION {child}_key_changed CASCADE")
    for parent in {key.parent for key in KEYS}:
        schema_editor.execute(f"DROP FUNCTION {parent}_is_named CASCADE")
    for key in KEYS:
        model = apps.get_model("datasets", key.model)
        schema_editor.execute(
            schema_editor._create_fk_sql(  # type: ignore[attr-defined]
                model, model._meta.get_field(key.field), "_fk_%(to_table)s_%(to_column)s"
            )
        )


def statements() -> Iterator[str]:
    """The functions and triggers, in PostgreSQL's own words; every name in them is one of ours."""
    for child, keys in groupby(sorted(KEYS, key=lambda key: key.child), lambda key: key.child):
        yield from _of_child(child, list(keys))
    for parent, keys in groupby(sorted(KEYS, key=lambda key: key.parent), lambda key: key.parent):
        yield from _of_parent(parent, list(keys))


def _of_child(child: str, keys: list[Key]) -> Iterator[str]:
    """Rows that come, a statement at a time, and the rare one whose key changes."""
    few = [key for key in keys if not key.each]
    named = f"SELECT DISTINCT {', '.join(key.column for key in few)} FROM written"  # noqa: S608
    looked_up = " ".join(_one(key, "one") for key in few)
    yield (
        _FUNCTION.format(name=f"{child}_keys")  # noqa: S608 - our own constants
        + " DECLARE one record; n_written bigint; n_found bigint; BEGIN"
        + f" FOR one IN {named} LOOP {looked_up} END LOOP; SELECT count(*) INTO n_written FROM written; "  # noqa: S608
        + " ".join(_each(key) for key in keys if key.each)
        + " RETURN NULL; END $$"
    )
    yield (
        f"CREATE TRIGGER bulk_keys AFTER INSERT ON {child} REFERENCING NEW TABLE AS written"
        f" FOR EACH STATEMENT EXECUTE FUNCTION {child}_keys()"
    )
    yield (
        _FUNCTION.format(name=f"{child}_key_changed")
        + " BEGIN "
        + " ".join(_one(key, "NEW") for key in keys)
        + " RETURN NULL; END $$"
    )
    changed = " OR ".join(f"OLD.{key.column} IS DISTINCT FROM NEW.{key.column}" for key in keys)
    yield (
        f"CREATE TRIGGER bulk_keys_changed AFTER UPDATE OF {', '.join(key.column for key in keys)} ON {child}"
        f" FOR EACH ROW WHEN ({changed}) EXECUTE FUNCTION {child}_key_changed()"
    )


def _one(key: Key, row: str) -> str:
    """The parent stays until the end of our transaction, or there is none."""
    return (
        f"PERFORM 1 FROM {key.parent} WHERE id = {row}.{key.column} FOR KEY SHARE;"
        f" IF NOT FOUND THEN {_refused(key)} END IF;"
    )


def _each(key: Key) -> str:
    """Parents that this transaction has made itself can be taken away by nobody else; others are held."""
    found = (
        f"SELECT count(*) INTO n_found FROM written CROSS JOIN LATERAL (SELECT 1 FROM {key.parent} p"  # noqa: S608
        f" WHERE p.id = written.{key.column}"
    )
    held = f"{found} OFFSET 0 FOR KEY SHARE) p; IF n_found <> n_written THEN {_refused(key)} END IF;"
    if not key.along:
        return held
    return f"{found} AND p.xmin = pg_current_xact_id()::xid OFFSET 0) p; IF n_found <> n_written THEN {held} END IF;"


def _of_parent(parent: str, keys: list[Key]) -> Iterator[str]:
    """A row that goes at the commit must be named by none that stays; one that is just going is waited for."""
    yield (
        _FUNCTION.format(name=f"{parent}_is_named")
        + " BEGIN "
        + " ".join(
            f"PERFORM 1 FROM {key.child} WHERE {key.column} = OLD.id LIMIT 1 FOR KEY SHARE;"
            f" IF FOUND THEN {_refused(key)} END IF;"
            for key in keys
        )
        + " RETURN NULL; END $$"
    )
    yield (
        f"CREATE CONSTRAINT TRIGGER bulk_keys_name_this AFTER DELETE ON {parent} DEFERRABLE INITIALLY DEFERRED"
        f" FOR EACH ROW EXECUTE FUNCTION {parent}_is_named()"
    )


def _refused(key: Key) -> str:
    return (
        f"RAISE EXCEPTION 'a row of {key.child} names a row of {key.parent} that is missing'"
        " USING ERRCODE = 'foreign_key_violation';"
    )
