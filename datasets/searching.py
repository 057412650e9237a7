"""The search index over row texts: made after an import, found by trigrams, emptied with the text it stands for.

FTS5 on SQLite, pg_trgm on PostgreSQL, both in a table of their own (datasets_searched) so that importing pays nothing
for it. A trigger takes a text out when its content goes or is blanked, whoever does that. The index only proposes;
whoever asks compares the texts themselves.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from django.db import DatabaseError, OperationalError, connection, transaction
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

from datasets.domain.listing import fts_expression, grams, like_pattern
from datasets.models import Content

log = logging.getLogger("datasets")

TABLE = "datasets_searched"
# What a question to PostgreSQL's index may take before the window's texts are read instead.
INDEX_MS = 80
# Pages: five milliseconds of lock.
MERGED_AT_ONCE = 16

SQLITE = (
    f"CREATE VIRTUAL TABLE {TABLE} USING fts5(prompt, completion, tokenize='trigram', detail=none)",
    f"""CREATE TRIGGER content_leaves_search AFTER DELETE ON datasets_content
        BEGIN DELETE FROM {TABLE} WHERE rowid = old.id; END""",  # noqa: S608 - our own constants
    f"""CREATE TRIGGER content_changes_in_search AFTER UPDATE OF prompt, completion ON datasets_content
        BEGIN DELETE FROM {TABLE} WHERE rowid = old.id; END""",  # noqa: S608
)
SQLITE_DROP = (
    "DROP TRIGGER IF EXISTS content_leaves_search",
    "DROP TRIGGER IF EXISTS content_changes_in_search",
    f"DROP TABLE IF EXISTS {TABLE}",
)
# No foreign key: emptying a table that another one refers to is refused, and the trigger keeps the two together.
POSTGRESQL = (
    f"CREATE TABLE {TABLE} (content_id bigint PRIMARY KEY, words text NOT NULL)",
    f"CREATE INDEX datasets_searched_grams ON {TABLE} USING gin (words gin_trgm_ops)",
    # Dropping the tables takes the triggers away and leaves the function.
    f"""CREATE OR REPLACE FUNCTION content_changes_in_search() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF TG_OP = 'TRUNCATE' THEN TRUNCATE {TABLE};
        ELSE DELETE FROM {TABLE} WHERE content_id = OLD.id; END IF; RETURN NULL; END $$""",  # noqa: S608
    """CREATE TRIGGER content_changes_in_search AFTER DELETE OR UPDATE OF prompt, completion ON datasets_content
        FOR EACH ROW EXECUTE FUNCTION content_changes_in_search()""",
    """CREATE TRIGGER contents_leave_search AFTER TRUNCATE ON datasets_content
        FOR EACH STATEMENT EXECUTE FUNCTION content_changes_in_search()""",
)
POSTGRESQL_DROP = (
    "DROP TRIGGER IF EXISTS content_changes_in_search ON datasets_content",
    "DROP TRIGGER IF EXISTS contents_leave_search ON datasets_content",
    "DROP FUNCTION IF EXISTS content_changes_in_search",
    f"DROP TABLE IF EXISTS {TABLE}",
)


# Filled once the table was seen: it stays as long as this process.
_KNOWN: list[str] = []


def create(schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Make the table and its triggers. A database that lacks trigrams goes without: rows are looked through then."""
    try:
        with transaction.atomic():
            if schema_editor.connection.vendor == "postgresql":
                schema_editor.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm")
            for statement in SQLITE if schema_editor.connection.vendor == "sqlite" else POSTGRESQL:
                schema_editor.execute(statement)
    except DatabaseError as error:
        log.warning("rows are searched without an index: %s", error)


def drop(schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Take it all away."""
    for statement in SQLITE_DROP if schema_editor.connection.vendor == "sqlite" else POSTGRESQL_DROP:
        schema_editor.execute(statement)


def make_anew() -> None:
    """An empty index in the place of whatever there is. Not inside a transaction."""
    with connection.schema_editor() as editor:
        drop(editor)
        create(editor)
    _KNOWN.clear()


def exists() -> bool:
    """Whether this database has the index: one without trigrams does without, and rows are looked through."""
    if not _KNOWN:
        _KNOWN.extend(name for name in connection.introspection.table_names() if name == TABLE)
    return bool(_KNOWN)


def add(content_ids: Sequence[int]) -> None:
    """Put the texts of these contents into the index, inside the caller's transaction. Twice is once."""
    if not content_ids or not exists():
        return
    marks = ", ".join(["%s"] * len(content_ids))
    if connection.vendor == "sqlite":
        sql = (
            f"INSERT OR REPLACE INTO {TABLE} (rowid, prompt, completion) SELECT id, prompt, completion "  # noqa: S608
            f"FROM datasets_content WHERE id IN ({marks}) AND erased_at IS NULL"
        )
        with connection.cursor() as cursor:
            cursor.execute(sql, list(content_ids))
        return
    texts = Content.objects.filter(pk__in=content_ids, erased_at=None).values_list(
        "id", "prompt", "completion"
    )
    # Folded here: what a database takes for lower case hangs on its locale.
    rows = [(key, f"{prompt}\n{completion}".lower()) for key, prompt, completion in texts]
    if not rows:
        return
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {TABLE} (content_id, words) VALUES {', '.join(['(%s, %s)'] * len(rows))}"  # noqa: S608
            " ON CONFLICT DO NOTHING",
            [value for row in rows for value in row],
        )


def prepare() -> None:
    """See that the index does not merge by itself. Called before many rows are added; once is enough.

    FTS5 merges inside whichever write comes next, some hundred pages at once: 33 ms of lock, where a slice takes 5.
    """
    if connection.vendor != "sqlite" or not exists():
        return
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT v FROM {TABLE}_config WHERE k = 'automerge'")  # noqa: S608
        if cursor.fetchone() != (0,):
            cursor.execute(f"INSERT INTO {TABLE} ({TABLE}, rank) VALUES ('automerge', 0)")  # noqa: S608


def merge() -> bool:
    """Merge a few pages of the index, in a transaction of its own. Whether there was anything to merge."""
    if connection.vendor != "sqlite" or not exists():
        return False
    with transaction.atomic(), connection.cursor() as cursor:
        before = connection.connection.total_changes
        cursor.execute(f"INSERT INTO {TABLE} ({TABLE}, rank) VALUES ('merge', %s)", [MERGED_AT_ONCE])  # noqa: S608
        # SQLite's documentation: fewer than two changes say that nothing was done.
        return bool(connection.connection.total_changes - before >= 2)


def can_help(needle: str) -> bool:
    """Whether the index knows anything about such a needle."""
    return bool(grams(needle))


def reads_in_order() -> bool:
    """Whether the index hands out texts in their order, so that a narrow window is a short question.

    PostgreSQL gathers every match there is, whatever the window: a second one would cost it all again, and of a narrow
    one it reads the texts instead.
    """
    return connection.vendor != "postgresql"


def propose(needle: str, *, above: int, upto: int, newest_first: bool, most: int) -> list[int]:
    """Content ids in (above, upto] that may hold the needle, in order, at most `most`. Every one that does is among them."""
    order = "DESC" if newest_first else "ASC"
    if connection.vendor == "postgresql":
        sql = (
            f"SELECT content_id FROM {TABLE} WHERE words LIKE %s AND content_id > %s AND content_id <= %s "  # noqa: S608
            f"ORDER BY content_id {order} LIMIT %s"
        )
        return _proposed_within(sql, [like_pattern(needle), above, upto, most])
    else:
        sql = (
            f"SELECT rowid FROM {TABLE} WHERE {TABLE} MATCH %s AND rowid > %s AND rowid <= %s "  # noqa: S608
            f"ORDER BY rowid {order} LIMIT %s"
        )
    with connection.cursor() as cursor:
        cursor.execute(sql, [fts_expression(needle), above, upto, most])
        return [row[0] for row in cursor.fetchall()]


class TooCommon(Exception):
    """Most texts hold the needle's parts: its index is no help, and a window of texts must be read."""


def _proposed_within(sql: str, values: list[Any]) -> list[int]:
    """What PostgreSQL proposes by its trigrams in INDEX_MS. Raises TooCommon.

    Its planner takes a needle of common parts for a rare one and would compare every text there is.
    """
    is_nested = connection.in_atomic_block
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL statement_timeout = {INDEX_MS}; {sql}", values)
            cursor.nextset()  # of two statements sent together the second one answers
            found = cursor.fetchall()
            if is_nested:  # else it ends with the transaction
                cursor.execute("SET LOCAL statement_timeout TO DEFAULT")
    except OperationalError:
        raise TooCommon from None
    return [row[0] for row in found]


def propose_by_texts(needle: str, *, above: int, upto: int, newest_first: bool, most: int) -> list[int]:
    """As `propose`, by reading the texts of a narrow window. For PostgreSQL."""
    order = "DESC" if newest_first else "ASC"
    sql = (
        f"SELECT content_id FROM {TABLE} WHERE (words || '') LIKE %s AND content_id > %s AND content_id <= %s "  # noqa: S608
        f"ORDER BY content_id {order} LIMIT %s"
    )
    with connection.cursor() as cursor:
        cursor.execute(sql, [like_pattern(needle), above, upto, most])
        return [row[0] for row in cursor.fetchall()]
