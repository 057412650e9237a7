"""The one bulk writer: many rows of one table in one statement, with ids known beforehand; and a plain bulk reader.

Callers keep each transaction short, because writers share SQLite's one lock: ROWS_A_TRANSACTION rows where rows are
small, or as many as a `Pace` has measured to fit.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any

from django.core.exceptions import EmptyResultSet
from django.db import connection, models, transaction

from foundation.database import garbage, wal

# About 20 ms of lock for an example with its content on SQLite.
ROWS_A_TRANSACTION = 800
# Seconds a transaction should hold the lock: well under the 40 ms that others may have to wait.
TARGET_S = 0.015
BUSY_MACHINE = 3
# Past this others wait, whatever it was spent on: the next slice is smaller, down to so much work of its own.
MOST_HELD_S = 0.04
LEAST_WORK_S = 0.001
# Taking away and indexing: a thousand rows cost next to nothing or, in another part of an index, forty times that.
MOST_WHERE_ROWS_DIFFER = 1000
# Rows of a fix lie all over the tables: 200 of them were measured to take 7 ms where pages are shared, and 32 elsewhere.
MOST_FAR_APART = 200
# Rows of a transaction where writers do not wait for each other.
ROWS_WITHOUT_A_LOCK = 2000
# Rows in one INSERT of SQLite: it keeps its table of ids once a statement, and 50 rows are as quick as 400.
ROWS_A_STATEMENT = 50
# And of PostgreSQL where COPY cannot be had: one at a time, a row takes four times as long.
ROWS_AN_INSERT = 500
# Fewer rows are found soon enough by any plan.
WORTH_A_LOOK = 1000


class Pace:
    """How many rows the next transaction takes, so that each holds the lock for about TARGET_S.

    Rows differ by a hundred times in size and machines by ten in speed, so the number is measured and not chosen:
    it follows a slow transaction down at once and a quick one up by half. What a transaction waits for a processor
    that is busy elsewhere hardly hangs on its size: no more than BUSY_MACHINE times its own work counts, or slices would
    shrink to a few rows and cost several times as much. A slow disk looks the same from here, so a transaction past
    MOST_HELD_S halves the next until it is LEAST_WORK_S of work. PostgreSQL has no such lock; there a slice is long, because each
    transaction costs a few round trips whatever it holds.
    """

    least, most = 20, 4000

    def __init__(self, n_rows: int = 200, *, most: int | None = None) -> None:
        """`most`: where one row may cost many times what the one before it did, a slice must not grow past this."""
        self.is_measured = connection.vendor == "sqlite"
        if self.is_measured:
            self.most = min(self.most, most or self.most)
            self.n_rows = min(self.most, n_rows)
        else:
            self.n_rows = min(self.most, ROWS_WITHOUT_A_LOCK)

    @contextmanager
    def transaction(self, n_rows: int) -> Iterator[None]:
        """A transaction that writes `n_rows`; what it took sets the size of the next."""
        with garbage.put_off(), transaction.atomic():
            # The lock is ours from here on: waiting for it is not holding it.
            began, worked = time.perf_counter(), time.thread_time()
            yield
        held, work = time.perf_counter() - began, time.thread_time() - worked
        self.took(n_rows, held, work)
        wal.keep_short()

    def took(self, n_rows: int, held: float, work: float) -> None:
        """Learn from one transaction: how long it held the lock, and its own work in it. Seconds."""
        if not self.is_measured:
            return
        seconds = min(held, BUSY_MACHINE * work)
        if held > MOST_HELD_S and seconds < 2 * TARGET_S:
            worthwhile = int(n_rows * LEAST_WORK_S / max(work, 1e-6))
            self.n_rows = max(self.least, min(self.n_rows, max(n_rows // 2, worthwhile)))
            return
        fits = int(n_rows * TARGET_S / max(seconds, 1e-6))
        if fits < self.n_rows:
            self.n_rows = max(self.least, (self.n_rows + fits) // 2 if seconds < 2 * TARGET_S else fits)
        elif 2 * n_rows >= self.n_rows:  # a short last slice says nothing about long ones
            self.n_rows = min(self.most, fits, self.n_rows * 3 // 2)


def reserve_ids(model: type[models.Model], n: int) -> Sequence[int]:
    """`n` ids for new rows of `model`. On SQLite call it inside the transaction that writes them.

    SQLite has one writer at a time (transactions begin IMMEDIATE), so the next free numbers are ours.
    """
    table = model._meta.db_table
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            # OFFSET 0: the sequence is looked up once, which takes longer than to count it up.
            cursor.execute(
                "SELECT nextval(s.name) FROM "
                "(SELECT pg_get_serial_sequence(%s, 'id')::regclass AS name OFFSET 0) s, generate_series(1, %s)",
                [table, n],
            )
            return [row[0] for row in cursor.fetchall()]
        cursor.execute("SELECT seq FROM sqlite_sequence WHERE name = %s", [table])
        found = cursor.fetchone()
    first = (found[0] if found else 0) + 1
    return range(first, first + n)


def insert(
    model: type[models.Model], names: Sequence[str], rows: Iterable[Sequence[Any]], *, ignore: bool = False
) -> None:
    """Write rows given as tuples in the order of `names` (attribute names of columns, such as "dataset_id").

    Values are as the database wants them; instants go through `moment()`. `ignore` leaves out rows that a unique
    constraint refuses.
    """
    rows = list(rows)
    if not rows:
        return
    fields = {field.attname: field.column for field in model._meta.concrete_fields}
    quote = connection.ops.quote_name
    # Both drivers are asked directly; what they refuse is told in Django's words (`wrap_database_errors`).
    columns = ", ".join(quote(str(fields[name])) for name in names)
    table = quote(model._meta.db_table)
    if connection.vendor == "postgresql" and not ignore:
        with (
            connection.wrap_database_errors,
            connection.cursor() as cursor,
            cursor.copy(f"COPY {table} ({columns}) FROM STDIN") as copy,
        ):
            for row in rows:
                copy.write_row(row)
        return
    # Names come from the model, values are bound.
    places = ", ".join(["%s"] * len(names))
    tail = " ON CONFLICT DO NOTHING" if ignore else ""
    sql = f"INSERT INTO {table} ({columns}) VALUES ({places}){tail}"  # noqa: S608
    if connection.vendor == "sqlite":
        connection.ensure_connection()
        raw, size = connection.connection, ROWS_A_STATEMENT
        one = f"({', '.join('?' * len(names))})"
        whole = len(rows) - len(rows) % size
        with connection.wrap_database_errors:
            if whole:
                many = f"INSERT INTO {table} ({columns}) VALUES {', '.join([one] * size)}{tail}"  # noqa: S608
                for start in range(0, whole, size):
                    raw.execute(many, list(chain.from_iterable(rows[start : start + size])))
            if rows[whole:]:
                raw.executemany(sql.replace("%s", "?"), rows[whole:])
        return
    one = f"({places})"
    with connection.cursor() as cursor:
        for part in chunks(rows, ROWS_AN_INSERT):
            many = f"INSERT INTO {table} ({columns}) VALUES {', '.join([one] * len(part))}{tail}"  # noqa: S608
            cursor.execute(many, list(chain.from_iterable(part)))


def learn_sizes(*tables: type[models.Model], n_rows: int) -> None:
    """Have PostgreSQL look at tables a job has filled with `n_rows`, where those are a good part of the first.

    By itself it looks a minute later. Until then it plans as for a table of a few rows, and a person who goes on at
    once finds pages and jobs slow.
    """
    if connection.vendor != "postgresql" or n_rows < WORTH_A_LOOK:
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT reltuples FROM pg_class WHERE oid = %s::regclass", [tables[0]._meta.db_table])
        if n_rows * 10 < cursor.fetchone()[0]:
            return
        names = ", ".join(connection.ops.quote_name(table._meta.db_table) for table in tables)
        cursor.execute(f"ANALYZE (SKIP_LOCKED) {names}")


def plain_rows(rows: models.QuerySet[Any]) -> list[tuple[Any, ...]]:
    """The rows of a `values_list` as the driver gives them: nothing is done to each. No column may need converting."""
    try:
        sql, params = rows.query.sql_with_params()
    except EmptyResultSet:
        return []
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return cursor.fetchall()


def moment(value: Any) -> Any:
    """An instant as the database's driver wants it."""
    return None if value is None else connection.ops.adapt_datetimefield_value(value)


def chunks(rows: Sequence[Any], size: int = ROWS_A_TRANSACTION) -> Iterable[Sequence[Any]]:
    """Slices of at most `size`."""
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


def insert_in_chunks(model: type[models.Model], names: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Many rows, a short transaction for each slice. For rows that stay unseen until something else flips."""
    pace, start = Pace(), 0
    while start < len(rows):
        part = rows[start : start + pace.n_rows]
        with pace.transaction(len(part)):
            insert(model, names, part)
        start += len(part)
