"""How long another writer waits for SQLite's lock while a part runs: a process that writes one row every 20 ms."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

EVERY_S = 0.02


@dataclass
class Waits:
    """Milliseconds each write of the other process took, from asking for the lock to its commit."""

    ms: list[float] = field(default_factory=list)

    def __str__(self) -> str:
        if not self.ms:
            return "no other writer"
        ordered = sorted(self.ms)
        p99 = ordered[int(0.99 * (len(ordered) - 1))]
        over = sum(ms > 40 for ms in ordered)
        return (
            f"another writer waited {ordered[len(ordered) // 2]:.1f} ms at the median, {p99:.0f} ms at p99, "
            f"{ordered[-1]:.0f} ms at most, over 40 ms {over} of {len(ordered):,} times"
        )


@contextmanager
def other_writer(database: Path) -> Iterator[Waits]:
    """A second process that writes beside the block; what it waited stands in the answer afterwards."""
    waits = Waits()
    child = subprocess.Popen(
        [sys.executable, "-m", "ftportal.bench.waiting", str(database)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert child.stdin is not None
    assert child.stdout is not None
    try:
        child.stdout.readline()  # it is ready
        yield waits
        child.stdin.close()
        waits.ms = json.loads(child.stdout.read())
    finally:
        child.kill()
        child.wait()


def _write_until_told(database: str) -> None:
    import select

    db = sqlite3.connect(database, isolation_level=None)
    # Waiting in steps of a millisecond: the figure is about the lock, not about how SQLite waits for it.
    db.execute("PRAGMA busy_timeout=0")
    db.execute("CREATE TABLE IF NOT EXISTS bench_beat(id INTEGER PRIMARY KEY, n INTEGER)")
    db.execute("INSERT OR IGNORE INTO bench_beat VALUES (1, 0)")
    print("ready", flush=True)
    waited: list[float] = []
    while not select.select([sys.stdin], [], [], EVERY_S)[0]:
        began = time.perf_counter()
        while True:
            try:
                db.execute("BEGIN IMMEDIATE")
                break
            except sqlite3.OperationalError:
                time.sleep(0.001)
        waited.append((time.perf_counter() - began) * 1000)
        db.execute("UPDATE bench_beat SET n = n + 1")
        db.execute("COMMIT")
    db.execute("DROP TABLE bench_beat")
    print(json.dumps(waited))


if __name__ == "__main__":
    _write_until_told(sys.argv[1])
