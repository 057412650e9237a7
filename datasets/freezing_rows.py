"""Writing the rows of a version: INSERT … SELECT from the examples, in short transactions. Nobody sees them until the flip.

Only where each row goes is sent to the database; label, group and time are taken where they stand (docs/decisions/0016).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any

import numpy as np
from django.db import connection, transaction

from datasets import bulk
from datasets.domain.splitting import SPLITS, numbered
from datasets.domain.statuses import VersionState
from datasets.freezing import Frozen, FrozenRows
from datasets.models import DatasetVersion, VersionRow
from foundation.teams.errors import Conflict

_ROW = ("version_id", "content_id", "example_id", "label", "group", "at", "split", "position")
_INSERT = """INSERT INTO datasets_versionrow (version_id, content_id, example_id, label, "group", at, split, position)
    SELECT v.id, e.content_id, e.id, e.label, e."group", e.at, t.split, t.position FROM datasets_datasetversion v """
# What the split was made from must still stand there, or the row would not be the one the checksum names.
_SQLITE = (
    _INSERT
    + """CROSS JOIN temp.freezing t CROSS JOIN temp.freezing_labels l ON l.id = t.label
    CROSS JOIN datasets_example e ON e.id = t.example_id
    WHERE v.id = %s AND v.state = 'building' AND t.id BETWEEN %s AND %s
    AND e.content_id = t.content_id AND e.label = l.label"""
)
# Planned row by row with OFFSET 0: joined, PostgreSQL hashes every example there is for each slice.
_POSTGRESQL = (
    _INSERT  # noqa: S608 - our own constants
    + """CROSS JOIN unnest(%s::bigint[], %s::bigint[], %s::int[], %s::text[], %s::int[])
    AS t (example_id, content_id, label, split, position)
    JOIN unnest(%s::text[]) WITH ORDINALITY AS l (label, id) ON l.id = t.label + 1
    CROSS JOIN LATERAL (SELECT * FROM datasets_example e WHERE e.id = t.example_id OFFSET 0) e
    WHERE v.id = %s AND v.state = 'building' AND e.content_id = t.content_id AND e.label = l.label"""
)
_TEMPORARY = (
    "CREATE TEMP TABLE freezing (id INTEGER PRIMARY KEY, example_id, content_id, label, split, position)",
    "CREATE TEMP TABLE freezing_labels (id INTEGER PRIMARY KEY, label)",
)
# Rows sent to the temporary table at once, and in one statement.
SENT_AT_ONCE, SENT_A_STATEMENT = 20_000, 100


class _Changed(Exception):
    """A row of this slice is no longer what the split was made from."""


def write_rows(*, version: DatasetVersion, frozen: Frozen, progress: Callable[[str], None]) -> None:
    """Write the rows of a version that is being built. A row edited meanwhile goes in as it was read.

    Raises: Conflict where it is no longer being built.
    """
    rows = frozen.rows
    if rows is None or not frozen.n_rows:
        return
    sizes = [frozen.sizes[split.value] for split in SPLITS]
    splits = list(chain.from_iterable([split.value] * n for split, n in zip(SPLITS, sizes, strict=True)))
    positions = np.concatenate([np.arange(n) for n in sizes])
    order = _write_order(rows.content_ids)
    pace, start = bulk.Pace(), 0
    with _told(rows, splits, positions, order, progress):
        while start < len(order):
            here = order[start : start + pace.n_rows]
            progress("Writing rows")
            try:
                with _keys_trusted(), pace.transaction(len(here)):
                    if _select(version, rows, splits, positions, here, start) != len(here):
                        raise _Changed
            except _Changed:
                with transaction.atomic():
                    hold_building(version)
                    bulk.insert(VersionRow, _ROW, list(_as_read(version, rows, splits, positions, here)))
            start += len(here)


def hold_building(version: DatasetVersion) -> None:
    """Keep a version from being failed or frozen until the end of the caller's transaction. Raises Conflict too late."""
    held = DatasetVersion.objects.select_for_update().filter(pk=version.pk)
    if held.values_list("state", flat=True).first() != VersionState.BUILDING:
        raise Conflict("This version is no longer being made.")


def _write_order(content_ids: np.ndarray) -> np.ndarray:
    """Positions in the order they are written: blocks of neighbours in reading order, each sorted by content.

    One index grows by position and one by content, and each slice writes every page of either that it touches. Reading
    order touches few pages of the one and as many of the other as it has rows; blocks touch a quarter of that in all.
    """
    n = len(content_ids)
    size = max(1000, int((n * bulk.ROWS_A_TRANSACTION / 2) ** 0.5))
    return np.lexsort((content_ids, np.arange(n) // size))


@contextmanager
def _told(
    rows: FrozenRows,
    splits: list[str],
    positions: np.ndarray,
    order: np.ndarray,
    progress: Callable[[str], None],
) -> Iterator[None]:
    """SQLite is told all rows once, in a temporary table of this connection: writing that takes no lock of the portal."""
    if connection.vendor != "sqlite":
        yield
        return
    connection.ensure_connection()
    raw = connection.connection
    _forget()
    for statement in _TEMPORARY:
        raw.execute(statement)
    try:
        names, numbers = numbered(rows.labels)
        raw.executemany("INSERT INTO temp.freezing_labels VALUES (?, ?)", enumerate(names))
        one = "INSERT INTO temp.freezing (example_id, content_id, label, split, position) VALUES "
        for start in range(0, len(order), SENT_AT_ONCE):
            part = order[start : start + SENT_AT_ONCE]
            progress("Writing rows")
            columns = (rows.example_ids[part], rows.content_ids[part], numbers[part], positions[part])
            example, content, label, position = (column.tolist() for column in columns)
            values = list(
                zip(example, content, label, [splits[i] for i in part.tolist()], position, strict=True)
            )
            for some in bulk.chunks(values, SENT_A_STATEMENT):
                raw.execute(one + ", ".join(["(?, ?, ?, ?, ?)"] * len(some)), list(chain.from_iterable(some)))
        yield
    finally:
        _forget()


def _forget() -> None:
    raw = connection.connection
    raw.execute("DROP TABLE IF EXISTS temp.freezing")
    raw.execute("DROP TABLE IF EXISTS temp.freezing_labels")


@contextmanager
def _keys_trusted() -> Iterator[None]:
    """Foreign keys are not looked up a second time on SQLite: a third of the work of a row.

    The statement takes content ids from examples, whose own keys hold, and the version's id from its row.
    """
    off = connection.vendor == "sqlite" and connection.disable_constraint_checking()
    try:
        yield
    finally:
        if off:
            connection.enable_constraint_checking()


def _select(
    version: DatasetVersion,
    rows: FrozenRows,
    splits: list[str],
    positions: np.ndarray,
    here: np.ndarray,
    start: int,
) -> int:
    """Write one slice. Returns how many rows went in."""
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute(_SQLITE, [version.pk, start + 1, start + len(here)])
        else:
            names, labels = numbered([rows.labels[i] for i in here.tolist()])
            columns = (
                rows.example_ids[here].tolist(),
                rows.content_ids[here].tolist(),
                labels.tolist(),
                [splits[i] for i in here.tolist()],
                positions[here].tolist(),
            )
            cursor.execute(_POSTGRESQL, [*map(_array, columns), names, version.pk])
        return int(cursor.rowcount)


def _array(values: list[Any]) -> str:
    """Numbers, or words of ours, as PostgreSQL reads an array: the driver takes ten times as long over each."""
    return f"{{{','.join(map(str, values))}}}"


def _as_read(
    version: DatasetVersion, rows: FrozenRows, splits: list[str], positions: np.ndarray, here: np.ndarray
) -> Iterator[tuple[object, ...]]:
    for i in here.tolist():
        ids = version.pk, int(rows.content_ids[i]), int(rows.example_ids[i])
        yield *ids, rows.labels[i], rows.groups[i], bulk.moment(rows.times[i]), splits[i], int(positions[i])
