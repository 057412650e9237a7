"""How long a second writer waits while others write: a process of its own that writes now and then, as a heartbeat does."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

EVERY_S = 0.05


class Waits(list[float]):
    """Milliseconds of every small write; `at` says when each began, by the clock that all processes share."""

    at: list[float]

    def between(self, start: float, end: float) -> list[float]:
        """Those that began in a stretch of time, sorted."""
        return sorted(ms for ms, at in zip(self, self.at, strict=True) if start <= at < end)


@contextmanager
def second_writer(every_s: float = EVERY_S) -> Iterator[Waits]:
    """Milliseconds of every small write made beside the block; filled when the block ends."""
    child = subprocess.Popen(
        [sys.executable, "-m", "ftportal.bench.waiting", str(every_s)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdin and child.stdout
    child.stdout.readline()
    waits = Waits()
    waits.at = []
    try:
        yield waits
    finally:
        child.stdin.close()
        found = json.loads(child.stdout.read() or "[]")
        waits += [ms for _, ms in found]
        waits.at += [at for at, _ in found]
        child.wait()


def main(every_s: float) -> None:
    """Write until stdin closes, then print when each write began and the milliseconds it took."""
    import django

    django.setup()
    from foundation.jobs import presence
    from foundation.jobs.models import WorkerSeen

    def write() -> None:
        presence.seen("bench", WorkerSeen.Role.WORKER, "")

    # The first one connects and compiles, which is nobody's waiting.
    write()
    over = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), over.set()), daemon=True).start()
    found: list[tuple[float, float]] = []
    print("ready", flush=True)
    while not over.wait(every_s):
        started = time.monotonic()
        write()
        found.append((started, round((time.monotonic() - started) * 1000, 1)))
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else EVERY_S)
