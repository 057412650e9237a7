"""Keeps SQLite's write-ahead log short however many write: checkpoints beside the writing, by whoever writes in bulk.

SQLite checkpoints by itself once the log passes 1,000 pages, but begins it anew only in a moment when all of it has
been copied and nobody reads from it. Beside busy writers that moment may not come: 100,000 rows left 34 MB.
"""

from __future__ import annotations

import sqlite3
import time
from functools import partial
from pathlib import Path

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.backends.base.base import BaseDatabaseWrapper

# Past this the log is made to begin anew; its file is then cut back to journal_size_limit (settings).
LONG_BYTES = 16_000_000
# While a reader holds the log open, asking again sooner is of no use.
ASKS_EVERY_S = 0.25

_asked_at = 0.0


def length(db: BaseDatabaseWrapper | None = None) -> int:
    """Bytes of the log's file; 0 where there is none."""
    db = db or connections[DEFAULT_DB_ALIAS]
    if db.vendor != "sqlite" or db.is_in_memory_db():  # type: ignore[attr-defined]
        return 0
    place = Path(db.settings_dict["NAME"])
    try:
        return place.with_name(f"{place.name}-wal").stat().st_size
    except OSError:
        return 0


def keep_short(db: BaseDatabaseWrapper | None = None) -> bool:
    """Make a long log begin anew unless somebody reads from it. Whether it does. Inside a transaction nothing is done.

    Nearly all is copied while others write; the write lock is held for the few pages that came meanwhile.
    """
    global _asked_at
    db = db or connections[DEFAULT_DB_ALIAS]
    turnstile = getattr(db.connection, "turnstile", None)
    if turnstile is None or db.in_atomic_block or time.monotonic() - _asked_at < ASKS_EVERY_S:
        return False
    if length(db) <= LONG_BYTES:
        return False
    _asked_at = time.monotonic()
    db.connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
    return turnstile.pass_with(db.connection, partial(_begin_anew, db.connection)) == 0


def _begin_anew(raw: sqlite3.Connection) -> int:
    """1 when somebody reads from the log, or copies it."""
    return int(raw.execute("PRAGMA wal_checkpoint(RESTART)").fetchone()[0])
