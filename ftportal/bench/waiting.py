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


@contextmanager
def second_writer() -> Iterator[list[float]]:
    """Milliseconds of every small write made beside the block; filled when the block ends."""
    child = subprocess.Popen(
        [sys.executable, "-m", "ftportal.bench.waiting"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdin and child.stdout
    child.stdout.readline()
    waits: list[float] = []
    try:
        yield waits
    finally:
        child.stdin.close()
        waits += json.loads(child.stdout.read() or "[]")
        child.wait()


def main() -> None:
    """Write until stdin closes, then print the waits."""
    import django

    django.setup()
    from django.db import transaction

    from foundation.jobs.models import Job

    over = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), over.set()), daemon=True).start()
    waits: list[float] = []
    print("ready", flush=True)
    while not over.wait(EVERY_S):
        started = time.perf_counter()
        with transaction.atomic():
            Job.objects.filter(pk=0).update(step="")
        waits.append(round((time.perf_counter() - started) * 1000, 1))
    print(json.dumps(waits), flush=True)


if __name__ == "__main__":
    main()
