"""Django's own backend for SQLite, with a turnstile before the write lock."""

from __future__ import annotations

import sqlite3
from functools import partial
from pathlib import Path
from typing import Any, cast

from django.db.backends.sqlite3 import base

from foundation.database.turnstile import Turnstile, takes_the_lock

DEFAULT_TIMEOUT_S = 5.0


class Connection(sqlite3.Connection):
    """A connection that knows its place at the turnstile; None where there is no file to write."""

    turnstile: Turnstile | None = None

    def close(self) -> None:
        """Close it, and leave the turnstile."""
        super().close()
        if self.turnstile is not None:
            self.turnstile.close()
            self.turnstile = None


class Cursor(base.SQLiteCursorWrapper):
    """Sends what takes the write lock through the turnstile; inside a transaction the lock is ours already."""

    def execute(self, query: str, params: Any = None) -> Any:
        """As Django's."""
        raw = cast(Connection, self.connection)
        if raw.turnstile is None or raw.in_transaction or not takes_the_lock(query):
            return super().execute(query, params)
        return raw.turnstile.pass_with(raw, partial(super().execute, query, params))


class DatabaseWrapper(base.DatabaseWrapper):
    """Django's own, where a writer waits in line."""

    def get_connection_params(self) -> dict[str, Any]:
        """As Django's, with our connection."""
        return {**super().get_connection_params(), "factory": Connection}

    def get_new_connection(self, conn_params: dict[str, Any]) -> Connection:
        """A connection at the turnstile beside its file. Without one where the folder cannot be written."""
        made: Connection = super().get_new_connection(conn_params)
        place = Path(conn_params["database"])
        if not self.is_in_memory_db() and place.is_file():
            try:
                made.turnstile = Turnstile(
                    place.with_name(f"{place.name}-turn"),
                    timeout_s=conn_params.get("timeout", DEFAULT_TIMEOUT_S),
                )
            except OSError:  # read-only: nothing will be written through it either
                made.turnstile = None
        return made

    def create_cursor(self, name: str | None = None) -> Cursor:
        """A cursor that waits in line."""
        cursor: Cursor = self.connection.cursor(factory=Cursor)
        return cursor
