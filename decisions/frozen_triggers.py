"""Database triggers that keep saved answers as they were saved, for SQLite and PostgreSQL.

The one permitted UPDATE forgets a person who left. Rows go by no road: use cases are archived, not deleted.
"""

from __future__ import annotations

from typing import Any

# Table, and the column that may become NULL when its person is erased.
TABLES: tuple[tuple[str, str], ...] = (
    ("decisions_decision", "author_id"),
    ("decisions_roianalysis", "author_id"),
    ("decisions_evidence", "recorded_by_id"),
    ("decisions_signoff", "approver_id"),
    ("decisions_blindanswer", "author_id"),
)
REFUSAL = "A saved answer is never changed."
# Set by the tests, which take the triggers off after they have looked.
missing_after_migrating: list[str] = []


def install(connection: Any) -> None:
    """Put the triggers on, replacing those there are: to be called again by any migration that remakes a table.

    SQLite drops a table's triggers when Django alters it by copying.
    """
    remove(connection)
    statements = {"sqlite": _sqlite, "postgresql": _postgresql}.get(connection.vendor)
    if statements is None:
        return
    with connection.cursor() as cursor:
        for statement in statements(connection):
            cursor.execute(statement)


def remove(connection: Any) -> None:
    """Take the triggers off."""
    with connection.cursor() as cursor:
        for table, _ in TABLES:
            for name in _names(table):
                if connection.vendor == "sqlite":
                    cursor.execute(f"DROP TRIGGER IF EXISTS {name}")
                elif connection.vendor == "postgresql":
                    cursor.execute(f"DROP TRIGGER IF EXISTS {name} ON {table}")
        if connection.vendor == "postgresql":
            cursor.execute("DROP FUNCTION IF EXISTS decisions_refuse()")
            cursor.execute("DROP FUNCTION IF EXISTS decisions_forget_only()")


def missing(connection: Any) -> list[str]:
    """The triggers that should be on the database and are not."""
    query = {
        "sqlite": "SELECT name FROM sqlite_master WHERE type = 'trigger'",
        "postgresql": "SELECT tgname FROM pg_trigger WHERE NOT tgisinternal",
    }.get(connection.vendor)
    if query is None:
        return []
    with connection.cursor() as cursor:
        cursor.execute(query)
        there = {row[0] for row in cursor.fetchall()}
    return [name for table, _ in TABLES for name in _names(table) if name not in there]


def _names(table: str) -> tuple[str, str]:
    return f"{table}_no_delete", f"{table}_no_update"


def _sqlite(connection: Any) -> list[str]:
    statements = []
    for table, person in TABLES:
        no_delete, no_update = _names(table)
        with connection.cursor() as cursor:
            columns = [c.name for c in connection.introspection.get_table_description(cursor, table)]
        moved = " OR ".join(f'OLD."{name}" IS NOT NEW."{name}"' for name in columns if name != person)
        statements += [
            f"CREATE TRIGGER {no_delete} BEFORE DELETE ON {table} BEGIN SELECT RAISE(ABORT, '{REFUSAL}'); END",
            f"CREATE TRIGGER {no_update} BEFORE UPDATE ON {table} "
            f'WHEN {moved} OR NEW."{person}" IS NOT NULL '
            f"BEGIN SELECT RAISE(ABORT, '{REFUSAL}'); END",
        ]
    return statements


def _postgresql(connection: Any) -> list[str]:
    # Whole rows are compared as JSON, less the person: a column added later is protected without being named.
    refuse = f"RAISE EXCEPTION '{REFUSAL}' USING ERRCODE = 'restrict_violation'"
    statements = [
        f"CREATE FUNCTION decisions_refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {refuse}; END $$",
        f"""CREATE FUNCTION decisions_forget_only() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
              IF (to_jsonb(OLD) - TG_ARGV[0]) IS DISTINCT FROM (to_jsonb(NEW) - TG_ARGV[0])
                 OR to_jsonb(NEW) ->> TG_ARGV[0] IS NOT NULL
              THEN {refuse};
              END IF;
              RETURN NEW;
            END $$""",
    ]
    for table, person in TABLES:
        no_delete, no_update = _names(table)
        statements += [
            f"CREATE TRIGGER {no_delete} BEFORE DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION decisions_refuse()",
            f"CREATE TRIGGER {no_update} BEFORE UPDATE ON {table} "
            f"FOR EACH ROW EXECUTE FUNCTION decisions_forget_only('{person}')",
        ]
    return statements
