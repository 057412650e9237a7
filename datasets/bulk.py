"""The one bulk writer: many rows of one table in one statement, with ids known beforehand.

Callers keep each transaction small (ROWS_A_TRANSACTION), because writers share SQLite's one lock.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from django.db import connection, models, transaction

# About 20 ms of lock for an example with its content on SQLite.
ROWS_A_TRANSACTION = 800


def reserve_ids(model: type[models.Model], n: int) -> Sequence[int]:
    """`n` ids for new rows of `model`. On SQLite call it inside the transaction that writes them.

    SQLite has one writer at a time (transactions begin IMMEDIATE), so the next free numbers are ours.
    """
    table = model._meta.db_table
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(
                "SELECT nextval(pg_get_serial_sequence(%s, 'id')) FROM generate_series(1, %s)", [table, n]
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
    columns = ", ".join(quote(str(fields[name])) for name in names)
    table = quote(model._meta.db_table)
    if connection.vendor == "postgresql" and not ignore:
        with connection.cursor() as cursor, cursor.copy(f"COPY {table} ({columns}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)
        return
    # Names come from the model, values are bound.
    places = ", ".join(["%s"] * len(names))
    tail = " ON CONFLICT DO NOTHING" if ignore else ""
    sql = f"INSERT INTO {table} ({columns}) VALUES ({places}){tail}"  # noqa: S608
    if connection.vendor == "sqlite":
        connection.ensure_connection()
        connection.connection.executemany(sql.replace("%s", "?"), rows)
        return
    with connection.cursor() as cursor:
        cursor.executemany(sql, rows)


def moment(value: Any) -> Any:
    """An instant as the database's driver wants it."""
    return None if value is None else connection.ops.adapt_datetimefield_value(value)


def chunks(rows: Sequence[Any], size: int = ROWS_A_TRANSACTION) -> Iterable[Sequence[Any]]:
    """Slices of at most `size`."""
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


def insert_in_chunks(model: type[models.Model], names: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Many rows, a short transaction for each slice. For rows that stay unseen until something else flips."""
    for part in chunks(rows):
        with transaction.atomic():
            insert(model, names, part)
