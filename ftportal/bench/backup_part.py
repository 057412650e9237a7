"""A backup and its restore: seconds for a gigabyte of database and files, and how long a writer waits meanwhile."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

from ftportal.bench import ground, traffic_material

N = 200_000
N_FILES, FILE_BYTES = 200, 1_000_000
MOST_S_A_GB = 300


def run(folder: str) -> None:
    """Print size, seconds a gigabyte each way, and the longest wait of somebody who writes all the while."""
    ground.fresh_portal()
    ground.people()
    from django.db import connection

    from foundation.files import store
    from foundation.teams.models import Team
    from ftportal.backup.databases import sqlite_path
    from ftportal.backup.making import make_backup
    from ftportal.backup.restoring import restore

    traffic_material.predictions(traffic_material.endpoint(), N, days=3)
    for number in range(N_FILES):
        store.put(team=Team.objects.get(), stream=os.urandom(FILE_BYTES), name=f"f{number}", kind="upload")
    connection.close()
    size_gb = (sqlite_path().stat().st_size + N_FILES * FILE_BYTES) / 1e9
    archive = Path(folder) / "bench.ftbackup"
    waits, over = [], threading.Event()
    writer = threading.Thread(target=_write, args=(waits, over))
    writer.start()
    made, backup_s = ground.timed(lambda: make_backup(archive, lambda words: None))
    over.set()
    writer.join()
    _, restore_s = ground.timed(lambda: restore(archive, lambda words: None, force=True))
    for name, seconds in (("backup, under writes", backup_s), ("restore, checked first", restore_s)):
        a_gb = seconds / size_gb
        word = "kept" if a_gb <= MOST_S_A_GB else "MISSED"
        print(
            f"  {name:<24} {seconds:6.1f} s for {size_gb:.2f} GB: {a_gb:.0f} s/GB of at most {MOST_S_A_GB}: {word}"
        )
    print(
        f"  {made.n_rows:,} rows, {made.n_files:,} files, archive {made.size_bytes / 1e9:.2f} GB; "
        f"{len(waits):,} writes meanwhile, the longest waited {1000 * max(waits):.0f} ms"
    )


def _write(waits: list[float], over: threading.Event) -> None:
    from django.db import connection

    from foundation.teams import audit
    from foundation.teams.models import Team

    team = Team.objects.get()
    while not over.is_set():
        started = time.perf_counter()
        audit.record(actor=None, team=team, verb="bench.written", target=None)
        waits.append(time.perf_counter() - started)
        time.sleep(0.01)
    connection.close()
