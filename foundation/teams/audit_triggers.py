"""Database triggers that keep the audit record append-only, for SQLite and PostgreSQL.

The one permitted UPDATE puts a seal on a row that has none. Used by the migration, and by tests that need it.
"""

from __future__ import annotations

from typing import Any

_CONTENT = (
    "id",
    "team_id",
    "actor_id",
    "verb",
    "target_type",
    "target_id",
    "fields",
    "digests",
    "note",
    "at",
)
_REFUSAL = "The audit record is append-only."

_SQLITE = [
    f"""CREATE TRIGGER audit_event_no_delete BEFORE DELETE ON teams_auditevent
        BEGIN SELECT RAISE(ABORT, '{_REFUSAL}'); END""",
    f"""CREATE TRIGGER audit_event_no_update BEFORE UPDATE ON teams_auditevent
        WHEN OLD.seal_number IS NOT NULL
          OR {" OR ".join(f'OLD."{name}" IS NOT NEW."{name}"' for name in _CONTENT)}
        BEGIN SELECT RAISE(ABORT, '{_REFUSAL}'); END""",
    f"""CREATE TRIGGER audit_seal_no_delete BEFORE DELETE ON teams_auditseal
        BEGIN SELECT RAISE(ABORT, '{_REFUSAL}'); END""",
    f"""CREATE TRIGGER audit_seal_no_update BEFORE UPDATE ON teams_auditseal
        BEGIN SELECT RAISE(ABORT, '{_REFUSAL}'); END""",
]
_NAMES = ["audit_event_no_delete", "audit_event_no_update", "audit_seal_no_delete", "audit_seal_no_update"]

# Whole rows are compared as JSON, less the seal: a column added later is protected without being named.
_POSTGRESQL = [
    f"""CREATE FUNCTION audit_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN RAISE EXCEPTION '{_REFUSAL}' USING ERRCODE = 'restrict_violation'; END $$""",
    f"""CREATE FUNCTION audit_seal_only() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
          IF OLD.seal_number IS NOT NULL
             OR (to_jsonb(OLD) - 'seal_number' - 'sha256')
                IS DISTINCT FROM (to_jsonb(NEW) - 'seal_number' - 'sha256')
          THEN RAISE EXCEPTION '{_REFUSAL}' USING ERRCODE = 'restrict_violation';
          END IF;
          RETURN NEW;
        END $$""",
    """CREATE TRIGGER audit_event_no_delete BEFORE DELETE ON teams_auditevent
        FOR EACH ROW EXECUTE FUNCTION audit_refuse()""",
    """CREATE TRIGGER audit_event_no_update BEFORE UPDATE ON teams_auditevent
        FOR EACH ROW EXECUTE FUNCTION audit_seal_only()""",
    """CREATE TRIGGER audit_seal_no_delete BEFORE DELETE ON teams_auditseal
        FOR EACH ROW EXECUTE FUNCTION audit_refuse()""",
    """CREATE TRIGGER audit_seal_no_update BEFORE UPDATE ON teams_auditseal
        FOR EACH ROW EXECUTE FUNCTION audit_refuse()""",
]


def install(connection: Any) -> None:
    """Put the triggers on the database of `connection`; other databases than the two are left as they are."""
    statements = {"sqlite": _SQLITE, "postgresql": _POSTGRESQL}.get(connection.vendor, [])
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def remove(connection: Any) -> None:
    """Take the triggers off again."""
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            for name in _NAMES:
                cursor.execute(f"DROP TRIGGER IF EXISTS {name}")
        elif connection.vendor == "postgresql":
            for name in _NAMES:
                table = "teams_auditevent" if "event" in name else "teams_auditseal"
                cursor.execute(f"DROP TRIGGER IF EXISTS {name} ON {table}")
            cursor.execute("DROP FUNCTION IF EXISTS audit_refuse()")
            cursor.execute("DROP FUNCTION IF EXISTS audit_seal_only()")
