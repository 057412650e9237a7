"""Many rows in few milliseconds: values are worked out before the transaction, which then holds only one executemany.

On SQLite a writer holds everybody else up, so what is done inside a transaction must be the writing alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connection, models

Row = tuple[Any, ...]


def _db_value(field: models.Field, value: Any) -> Any:
    """The value as the database takes it; a related row given as an object is written by its key."""
    if field.is_relation and isinstance(value, models.Model):
        value = value.pk
    return field.get_db_prep_save(value, connection)


@dataclass(frozen=True, slots=True)
class Inserts:
    """Rows ready to be inserted; one that breaks a unique constraint is left out."""

    sql: str
    rows: list[Row]

    def write(self) -> None:
        """Insert them, within the caller's transaction."""
        if self.rows:
            with connection.cursor() as cursor:
                cursor.executemany(self.sql, self.rows)


def inserts(model: type[models.Model], instances: Sequence[models.Model]) -> Inserts:
    """Unsaved instances as rows of their table. Their keys are given by the database."""
    fields = [field for field in model._meta.concrete_fields if not isinstance(field, models.AutoField)]
    quote = connection.ops.quote_name
    columns = ", ".join(quote(str(field.column)) for field in fields)
    marks = ", ".join(["%s"] * len(fields))
    sql = (
        f"INSERT INTO {quote(model._meta.db_table)} ({columns}) VALUES ({marks}) "  # noqa: S608 - names of columns
        "ON CONFLICT DO NOTHING"
    )
    rows = [
        tuple(_db_value(field, field.pre_save(instance, add=True)) for field in fields)
        for instance in instances
    ]
    return Inserts(sql, rows)


@dataclass(frozen=True, slots=True)
class Updates:
    """Columns to set on rows, by their keys, and what each row's cost grows by."""

    by_sql: dict[str, dict[int, Row]]

    def write(self, keys: Iterable[int]) -> None:
        """Set them on the rows with these keys, within the caller's transaction."""
        wanted = set(keys)
        with connection.cursor() as cursor:
            for sql, rows in self.by_sql.items():
                chosen = [row for key, row in rows.items() if key in wanted]
                if chosen:
                    cursor.executemany(sql, chosen)


def updates(
    model: type[models.Model],
    changes: Mapping[int, Mapping[str, Any]],
    *,
    grows: str = "",
    by: Mapping[int, int] | None = None,
) -> Updates:
    """Changes by key, ready to be written; the column `grows`, if any, is raised by `by[key]`, the others are set."""
    quote = connection.ops.quote_name
    by_sql: dict[str, dict[int, Row]] = defaultdict(dict)
    for key, values in changes.items():
        fields = [(model._meta.get_field(name), values[name]) for name in sorted(values)]
        sets = ", ".join(f"{quote(str(field.column))} = %s" for field, _ in fields)  # type: ignore[union-attr]
        raised = f", {quote(grows)} = {quote(grows)} + %s" if grows else ""
        more = ((by or {})[key],) if grows else ()
        sql = (
            f"UPDATE {quote(model._meta.db_table)} "  # noqa: S608 - names of columns
            f"SET {sets}{raised} WHERE {quote(str(model._meta.pk.column))} = %s"
        )
        by_sql[sql][key] = (*(_db_value(field, value) for field, value in fields), *more, key)  # type: ignore[arg-type]
    return Updates(dict(by_sql))
