"""A turnstile before SQLite's write lock: who waits first writes next. It knows nothing of Django or of any table.

SQLite keeps no queue. Who finds the lock taken looks again after 1, 2, 5, 10, 15, 20, 25, 25, 25, 50, 50, 100, 100 … ms, and
beside a writer that takes it again at once may miss every free moment: a heartbeat was seen to wait 1.3 s where no
transaction took 40 ms.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

# How often the first in line looks whether the lock is free; later less often, since nothing short is under way.
LOOKS_EVERY_S = 0.001
LATER_S = 0.01
LONG_S = 1.0
# A process that was stopped at the turnstile keeps nobody there for longer.
PATIENCE_S = 2.0
# A statement whose reader stands at an older state than the last one never gets the lock, however often it asks.
STALE_ASKED = 3


class Turnstile:
    """The place of one connection at the turnstile of its database: a file of its own, held by `flock`.

    Only who stands in it asks for SQLite's lock, and leaves it once that is had; so a writer that has just given the
    lock back waits behind whoever came meanwhile. It orders writers and nothing hangs on it: where it cannot be held,
    SQLite still lets one write at a time. A process that dies leaves it at once.
    """

    def __init__(self, path: Path, *, timeout_s: float) -> None:
        """Raises OSError when the file can neither be made nor opened, or cannot be held where it lies (some networks)."""
        self.timeout_s = timeout_s
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            fcntl.flock(self._file, fcntl.LOCK_UN)
        except BlockingIOError:
            pass  # somebody stands in it, so it can be held
        except OSError:
            self.close()
            raise

    def close(self) -> None:
        """Give the file back. Twice is once."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def __del__(self) -> None:
        with contextlib.suppress(Exception):
            self.close()

    def pass_with(self, connection: sqlite3.Connection, act: Callable[[], T]) -> T:
        """What `act` returns: one statement outside a transaction that takes the write lock, tried when it is our turn.

        Raises: sqlite3.OperationalError ("database is locked") when it was not free in `timeout_s`.
        """
        connection.execute("PRAGMA busy_timeout = 0")
        began, inside, n_stale = time.monotonic(), False, 0
        try:
            while True:
                inside = inside or self._enter()
                waited = time.monotonic() - began
                if inside or waited > min(PATIENCE_S, self.timeout_s):
                    try:
                        return act()
                    except sqlite3.OperationalError as error:
                        n_stale += error.sqlite_errorcode == sqlite3.SQLITE_BUSY_SNAPSHOT
                        if not _is_busy(error) or waited > self.timeout_s or n_stale > STALE_ASKED:
                            raise
                time.sleep(LOOKS_EVERY_S if waited < LONG_S else LATER_S)
        finally:
            if inside:
                fcntl.flock(self._file, fcntl.LOCK_UN)
            connection.execute(f"PRAGMA busy_timeout = {int(self.timeout_s * 1000)}")

    def _enter(self) -> bool:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def takes_the_lock(sql: str) -> bool:
    """Whether a statement outside a transaction takes the write lock as it begins."""
    return (
        sql[:16]
        .lstrip()[:7]
        .upper()
        .startswith(("INSERT", "UPDATE", "DELETE", "REPLACE", "BEGIN I", "BEGIN E"))
    )


def _is_busy(error: sqlite3.OperationalError) -> bool:
    return (error.sqlite_errorcode & 0xFF) == sqlite3.SQLITE_BUSY
