"""How long a second writer waits while others write: a thread with a connection of its own that writes now and then."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

EVERY_S = 0.05


@contextmanager
def second_writer() -> Iterator[list[float]]:
    """Milliseconds of every small write made beside the block, as a heartbeat would make it."""
    from django.db import connection, transaction

    from foundation.jobs.models import Job

    waits: list[float] = []
    over = threading.Event()

    def write() -> None:
        try:
            while not over.wait(EVERY_S):
                started = time.perf_counter()
                with transaction.atomic():
                    Job.objects.filter(pk=0).update(step="")
                waits.append((time.perf_counter() - started) * 1000)
        finally:
            connection.close()

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    try:
        yield waits
    finally:
        over.set()
        thread.join()
