"""The search index over row texts: made after an import, found by trigrams, emptied with the text it stands for.

FTS5 on SQLite, pg_trgm and btree_gin on PostgreSQL, both in a table of their own (datasets_searched) so that importing
pays nothing for it. A trigger takes a text out when its content goes or is blanked, whoever does that. The index only
proposes; whoever asks compares the texts themselves.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from django.db import DatabaseError, connection, transaction
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

from datasets.domain.listing import fts_expression, grams, like_pattern
from datasets.models import Content

log = logging.getLogger("datasets")

TABLE = "datasets_searched"
# PostgreSQL's index gathers every match before it hands out the first, so it is asked for one stretch of contents at a
# time: 16,384 of them, which takes it 40 ms where most hold the needle's parts, and a fifth of one where hardly any do.
STRETCH_BITS = 14
STRETCH = 1 << STRETCH_BITS
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
    f"""CREATE TABLE {TABLE} (content_id bigint PRIMARY KEY, words text NOT NULL,
        stretch integer GENERATED ALWAYS AS ((content_id >> {STRETCH_BITS})::integer) STORED)""",
    f"CREATE INDEX datasets_searched_grams ON {TABLE} USING gin (stretch, words gin_trgm_ops)",
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
                for extension in ("pg_trgm", "btree_gin"):
                    schema_editor.execute(f"CREATE EXTENSION IF NOT EXISTS {extension}")
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


def stretch() -> int:
    """Contents that a question to the index spans at least, beginning at a multiple of it; 1 where that is no matter.

    SQLite hands out matches in their order as it finds them, whatever the range.
    """
    return STRETCH if connection.vendor == "postgresql" else 1


def propose(needle: str, *, above: int, upto: int, newest_first: bool, most: int) -> list[int]:
    """Content ids in (above, upto] that may hold the needle, in order, at most `most`. Every one that does is among them."""
    order = "DESC" if newest_first else "ASC"
    values: list[Any]
    if connection.vendor == "postgresql":
        first = f"greatest(%s, (SELECT min(content_id) FROM {TABLE})) >> {STRETCH_BITS}"  # noqa: S608 - our own constants
        last = f"least(%s, coalesce((SELECT max(content_id) FROM {TABLE}), 0)) >> {STRETCH_BITS}"  # noqa: S608
        along = f"{last}, {first}, -1" if newest_first else f"{first}, {last}, 1"
        # The lateral part is asked once a stretch, in their order, and no more once there is enough. Nothing is added to
        # the numbers of contents but what keeps the planner from reading all texts of a stretch along them.
        # As an array, because a series is taken for a thousand stretches, which the planner then compiles code for.
        sql = f"""SELECT found.content_id FROM unnest(ARRAY(SELECT generate_series({along}))) AS part (stretch)
            CROSS JOIN LATERAL (
                SELECT content_id FROM {TABLE}
                WHERE {TABLE}.stretch = part.stretch::integer AND words LIKE %s
                    AND content_id + 0 > %s AND content_id + 0 <= %s
                ORDER BY content_id + 0 {order} LIMIT %s
            ) AS found LIMIT %s"""  # noqa: S608
        ends = [upto, above + 1] if newest_first else [above + 1, upto]
        values = [*ends, like_pattern(needle), above, upto, most, most]
    else:
        sql = (
            f"SELECT rowid FROM {TABLE} WHERE {TABLE} MATCH %s AND rowid > %s AND rowid <= %s "  # noqa: S608
            f"ORDER BY rowid {order} LIMIT %s"
        )
        values = [fts_expression(needle), above, upto, most]
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        return [row[0] for row in cursor.fetchall()]
