"""Workers in processes of their own, as `manage.py up` starts them, with what each of them used."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

# How often memory is looked at: often enough for what lasts a quarter of a second, and no cost worth a name.
LOOK_AT_MEMORY_S = 0.25


class Memory:
    """The most that processes held together at one moment, in megabytes of a million bytes.

    Pages that several of them share count once (their proportional share each): a library is in memory once.
    """

    def __init__(self, pids: Sequence[int]) -> None:
        self.most_mb = 0.0
        self._pids = pids
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look_again, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Look a last time and stop looking."""
        self._over.set()
        self._thread.join()

    def _look_again(self) -> None:
        while True:
            self.most_mb = max(self.most_mb, sum(map(_held_mb, self._pids)))
            if self._over.wait(LOOK_AT_MEMORY_S):
                return


def _held_mb(pid: int) -> float:
    try:
        with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as lines:
            return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) * 1024 / 1e6
    except (OSError, ProcessLookupError):
        return 0.0


@contextmanager
def at_work(
    command: Sequence[str], n: int, *, env: dict[str, str] | None = None, on_job: int = 0
) -> Iterator[list[dict[str, Any]]]:
    """`n` workers, ready when the block begins; filled when it ends: seconds and CPU seconds of each, peak memory.

    `on_job`: they begin together once the block ends and stay until that job is finished. `together_mb` is the most
    that they and this process held at one moment, the same figure in each.
    """
    crew = [
        subprocess.Popen(
            [*command, str(on_job)], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(n)
    ]
    for one in crew:
        assert one.stdout
        one.stdout.readline()
    used: list[dict[str, Any]] = []
    memory = Memory([os.getpid(), *(one.pid for one in crew)])
    try:
        yield used
    finally:
        for one in crew:
            assert one.stdin
            one.stdin.close()
        for one in crew:
            assert one.stdout
            used.append(json.loads(one.stdout.read().splitlines()[-1]))
            one.wait()
        memory.close()
        for one_used in used:
            one_used["together_mb"] = memory.most_mb


def work(on_job: int) -> None:
    """What such a process does: carries on whatever there is until its stdin closes, or one job once it does."""
    import django

    django.setup()
    from django.conf import settings

    from foundation.jobs.models import Job
    from foundation.jobs.services import unfinished_ids, work_on
    from ftportal.bench import ground

    settings.JOBS_DOORBELL = False
    list(Job.objects.filter(pk=0))  # a worker that is up has its connection
    over = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), over.set()), daemon=True).start()
    print("ready", flush=True)
    if on_job:
        over.wait()
    started, cpu = time.perf_counter(), time.process_time()
    while not (Job.objects.get(pk=on_job).is_finished if on_job else over.is_set()):
        for job_id in [on_job] if on_job else unfinished_ids():
            work_on(job_id, turn_s=5)
        time.sleep(ground.POLL_S)
    said = {
        "seconds": time.perf_counter() - started,
        "cpu_s": time.process_time() - cpu,
        "peak_mb": ground.peak_mb(),
    }
    print(json.dumps(said), flush=True)
