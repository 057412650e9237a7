"""The database in a backup: a copy as of one moment while others write, and the way back. SQLite whole, PostgreSQL by COPY.

COPY needs no program beside the driver and no equal release of the server. What lives for a day (sign-ins, whose keys
are the cookies themselves, and the cache) is not in it, and neither is the search index, which is made anew.
"""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from allauth.usersessions.models import UserSession
from django.contrib.sessions.models import Session
from django.core.management import call_command
from django.db import connection, transaction
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder

from datasets import bulk_keys, searching
from ftportal.backup.archive import SQLITE, BadArchive, Say

MIGRATIONS = MigrationRecorder.Migration._meta.db_table
# Emptied in the copy. Who finds a backup must not be able to go on as somebody who is signed in.
LEFT_OUT = (Session._meta.db_table, UserSession._meta.db_table, "portal_cache")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The database as of one moment: files by their name in the archive, and what stands in them."""

    engine: str
    parts: dict[str, Path]
    rows: dict[str, int]
    migrations: list[tuple[str, str]]
    # SHA-256 of every file the database names.
    blobs: list[str]
    # PostgreSQL only: the order in which COPY wrote them.
    columns: dict[str, list[str]] = field(default_factory=dict)


def snapshot(folder: Path, say: Say) -> Snapshot:
    """A copy of the database under `folder`. Writers are not kept waiting."""
    if connection.vendor == "sqlite":
        say("copying the database")
        return _snapshot_sqlite(folder)
    return _snapshot_postgresql(folder, say)


# -- SQLite ------------------------------------------------------------------------------------------------------


def sqlite_path() -> Path:
    """The database's file."""
    return Path(connection.settings_dict["NAME"])


def _snapshot_sqlite(folder: Path) -> Snapshot:
    copy = folder / SQLITE
    with contextlib.closing(sqlite3.connect(sqlite_path(), timeout=20)) as source:
        # A reader of the write-ahead log: it sees one moment, and nobody waits for it.
        source.execute("VACUUM INTO ?", (str(copy),))
    with contextlib.closing(sqlite3.connect(copy)) as db:
        there = rows_of(db)
        for table in LEFT_OUT:
            if table in there:
                db.execute(f'DELETE FROM "{table}"')  # noqa: S608 - our own constants
        for statement in searching.SQLITE_DROP:
            db.execute(statement)
        db.commit()
        # Deleted rows stay in the file's free pages until it is written anew.
        db.execute("VACUUM")
        return Snapshot("sqlite", {SQLITE: copy}, rows_of(db), _migrations(db), _blobs(db))


def rows_of(db: sqlite3.Connection) -> dict[str, int]:
    """Rows by table."""
    names = [
        row[0]
        for row in db.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name"
        )
    ]
    # The names come from the schema itself.
    return {name: db.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0] for name in names}  # noqa: S608


def _migrations(db: sqlite3.Connection) -> list[tuple[str, str]]:
    return db.execute(f"SELECT app, name FROM {MIGRATIONS} ORDER BY app, name").fetchall()  # noqa: S608


def _blobs(db: sqlite3.Connection) -> list[str]:
    return [row[0] for row in db.execute("SELECT DISTINCT sha256 FROM files_blob ORDER BY sha256")]


def check_sqlite(copy: Path, manifest: dict[str, Any]) -> None:
    """Raises BadArchive unless the unpacked database is whole and holds what the manifest says."""
    try:
        with contextlib.closing(sqlite3.connect(copy)) as db:
            found = db.execute("PRAGMA integrity_check").fetchone()[0]
            if found != "ok":
                raise BadArchive(f"Its database is damaged: {found[:100]}.")
            if broken := db.execute("PRAGMA foreign_key_check").fetchall():
                raise BadArchive(f"{len(broken):,} rows of its database point to rows that are missing.")
            if rows_of(db) != manifest["rows"]:
                raise BadArchive("Its database holds other rows than its manifest says.")
    except sqlite3.DatabaseError as error:
        raise BadArchive(f"Its database cannot be read ({error}).") from None


def put_sqlite(copy: Path, old: Path) -> None:
    """Make `copy` the database; the one before goes to the folder `old`, whole."""
    connection.close()
    place = sqlite_path()
    for file in (place, place.with_name(place.name + "-wal"), place.with_name(place.name + "-shm")):
        if file.exists():
            old.mkdir(parents=True, exist_ok=True, mode=0o700)
            shutil.move(file, old / file.name)
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(copy, place)


# -- PostgreSQL --------------------------------------------------------------------------------------------------


def _tables() -> list[str]:
    names = connection.introspection.django_table_names(only_existing=True, include_views=False)
    return sorted(set(names) - set(LEFT_OUT))


def _columns(table: str) -> list[str]:
    with connection.cursor() as cursor:
        return [column.name for column in connection.introspection.get_table_description(cursor, table)]


def _quoted(names: list[str]) -> str:
    return ", ".join(connection.ops.quote_name(name) for name in names)


def _snapshot_postgresql(folder: Path, say: Say) -> Snapshot:
    parts, rows, columns = {}, {}, {table: _columns(table) for table in _tables()}
    (folder / "tables").mkdir()
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        for table, names in columns.items():
            say(f"copying {table}")
            place = folder / "tables" / f"{table}.copy"
            name = connection.ops.quote_name(table)
            with place.open("wb") as out, cursor.copy(f"COPY {name} ({_quoted(names)}) TO STDOUT") as copy:
                for data in copy:
                    out.write(data)
            cursor.execute(f"SELECT count(*) FROM {name}")  # noqa: S608 - a name of our own models
            rows[table] = cursor.fetchone()[0]
            parts[f"tables/{table}.copy"] = place
        cursor.execute("SELECT DISTINCT sha256 FROM files_blob ORDER BY sha256")
        blobs = [row[0] for row in cursor.fetchall()]
        cursor.execute(f"SELECT app, name FROM {MIGRATIONS} ORDER BY app, name")  # noqa: S608
        return Snapshot("postgresql", parts, rows, cursor.fetchall(), blobs, columns)


def check_nobody_else() -> None:
    """Raises BadArchive when other programs use the PostgreSQL database: they would go on with rows that are gone."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
        )
        if n := cursor.fetchone()[0]:
            raise BadArchive(
                f"{n} other connections use this database. Stop web, gateway, workers and beat first."
            )


def put_postgresql(folder: Path, manifest: dict[str, Any], say: Say) -> None:
    """The tables of the archive in the place of the database's own, all or nothing. Raises BadArchive."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            if there := connection.introspection.table_names(cursor):
                cursor.execute(f"DROP TABLE {_quoted(there)} CASCADE")
            cursor.execute("DROP FUNCTION IF EXISTS audit_refuse() CASCADE")
            cursor.execute("DROP FUNCTION IF EXISTS audit_seal_only() CASCADE")
        say("making the tables as they were")
        executor = MigrationExecutor(connection)
        executor.migrate([(app, name) for app, name in _ends(manifest["migrations"])])
        with connection.cursor() as cursor:
            tables = [name for name in manifest["rows"] if name not in (MIGRATIONS, *bulk_keys.FILLED_LAST)]
            tables += [name for name in bulk_keys.FILLED_LAST if name in manifest["rows"]]
            for table in tables:
                if table not in connection.introspection.table_names(cursor) or set(
                    manifest["columns"][table]
                ) - set(_columns(table)):
                    raise BadArchive(f"{table[:60]!r} is no table of this portal, or has other columns.")
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
            # Along with what refers to them and is not in the archive: sign-ins and the search index.
            cursor.execute(f"TRUNCATE {_quoted(tables)} CASCADE")
            cursor.execute("SET CONSTRAINTS ALL DEFERRED")
            for table in tables:
                say(f"filling {table}")
                name, names = connection.ops.quote_name(table), _quoted(manifest["columns"][table])
                place = folder / "tables" / f"{table}.copy"
                with place.open("rb") as source, cursor.copy(f"COPY {name} ({names}) FROM STDIN") as copy:
                    while data := source.read(1024 * 1024):
                        copy.write(data)
                cursor.execute(f"SELECT count(*) FROM {name}")  # noqa: S608 - a name of our own table
                if cursor.fetchone()[0] != manifest["rows"][table]:
                    raise BadArchive(f"{table} holds other rows than the manifest says.")
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
            _move_sequences(cursor, tables)


def _move_sequences(cursor: Any, tables: list[str]) -> None:
    for table in tables:
        for found in connection.introspection.get_sequences(cursor, table):
            name, column = connection.ops.quote_name(table), connection.ops.quote_name(found["column"])
            cursor.execute(
                f"SELECT setval(pg_get_serial_sequence(%s, %s), coalesce(max({column}), 1), max({column}) IS NOT NULL)"  # noqa: S608
                f" FROM {name}",
                [name, found["column"]],
            )


# -- migrations --------------------------------------------------------------------------------------------------


def check_known(migrations: list[list[str]]) -> None:
    """Raises BadArchive when the archive was made by a newer portal than this one."""
    # None: the files are read and no database is asked, which may not be there yet.
    known = set(MigrationLoader(None).disk_migrations)
    apps = {app for app, _ in known}
    unknown = [(app, name) for app, name in migrations if (app, name) not in known]
    if unknown:
        app, name = unknown[0]
        word = "a newer" if app in apps else "another"
        raise BadArchive(
            f"It was made by {word} portal: {app}.{name} is not known here. Bring this one up to date."
        )


def _ends(migrations: list[list[str]]) -> list[tuple[str, str]]:
    """Of each app the last migration that was applied."""
    last: dict[str, str] = {}
    graph = MigrationExecutor(connection).loader.graph
    applied = {(app, name) for app, name in migrations}
    for node in sorted(applied):
        if node in graph.nodes and not any(
            child.key in applied and child.key[0] == node[0] for child in graph.node_map[node].children
        ):
            last[node[0]] = node[1]
    return sorted(last.items())


def migrate_forward() -> None:
    """Bring the tables up to this portal."""
    call_command("migrate", verbosity=0, interactive=False)
