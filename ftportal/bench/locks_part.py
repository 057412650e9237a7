"""How long each step of a dataset's way holds SQLite's one lock, and how long a second writer waits for it.

Promise: nobody waits over 40 ms. A busy machine stretches what is held and not what is worked: both are printed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ftportal.bench import dirty, ground, waiting

SIZES = (100_000, 1_000_000)
PROMISED_MS = 40.0
EVERY_S = 0.01


class Holds:
    """Milliseconds each transaction of this process held the lock (wall, work of this thread), and what it wrote last."""

    def __init__(self) -> None:
        self.found: list[tuple[float, float, str]] = []
        self._began: tuple[float, float] | None = None
        self._wrote = ""

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Watch the connection of this thread."""
        from django.db import connection

        begin, commit = connection._start_transaction_under_autocommit, connection._commit

        def begun() -> None:
            begin()
            self._began, self._wrote = (time.perf_counter(), time.thread_time()), ""

        def committed() -> None:
            commit()
            self._over()

        def seen(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
            is_write = sql.lstrip()[:6].upper() in ("INSERT", "UPDATE", "DELETE")
            alone = is_write and self._began is None
            if alone:
                self._began = (time.perf_counter(), time.thread_time())
            if is_write:
                self._wrote = " ".join(sql.split())[:60]
            try:
                return execute(sql, params, many, context)
            finally:
                if alone:
                    self._over()

        connection._start_transaction_under_autocommit, connection._commit = begun, committed
        try:
            with connection.execute_wrapper(seen):
                yield
        finally:
            connection._start_transaction_under_autocommit, connection._commit = begin, commit

    def _over(self) -> None:
        if self._began is not None:
            wall, work = self._began
            self.found.append(
                ((time.perf_counter() - wall) * 1000, (time.thread_time() - work) * 1000, self._wrote)
            )
        self._began = None


def run(folder: str, *words: str) -> None:
    """Print a table a size. `python -m ftportal.bench locks`; the number of rows may be given instead."""
    ground.fresh_portal()
    ground.people()
    for rows in [int(word) for word in words] or SIZES:
        _one(Path(folder), rows)


def _one(home: Path, rows: int) -> None:
    from datasets.domain.statuses import ImportState, VersionState
    from datasets.models import Dataset, DatasetVersion, Finding, Fix, Import
    from datasets.services import checks, imports, start_freeze, undoing, versions
    from foundation.database import wal
    from foundation.jobs.models import Job
    from foundation.teams.models import User

    data = home / f"dirty-{rows}.jsonl"
    dirty.write_dirty(data, rows)
    holds, stages, logs = Holds(), [], []

    def stage(name: str, what: Callable[[], Any]) -> Any:
        began, n = time.monotonic(), len(holds.found)
        answer = what()
        stages.append((name, began, time.monotonic(), holds.found[n:]))
        logs.append(wal.length())
        return answer

    with waiting.second_writer(EVERY_S) as waits, holds.watched():
        dataset, _ = stage("import", lambda: ground.imported(data, name=f"{rows} rows", task_kind="answer"))
        data.unlink()
        admin = User.objects.get()
        import_ = Import.objects.get(dataset=dataset)
        about = Job.objects.filter(team=import_.team)
        stage("checks", lambda: ground.worked(about.filter(kind="datasets.checks").latest("pk")))
        stage("index", lambda: ground.worked(about.filter(kind="datasets.index").latest("pk")))
        dataset = Dataset.objects.get(pk=dataset.pk)
        found = Finding.objects.filter(run_id=dataset.checks_id)
        dropped = found.filter(rule__in=("exact_duplicate", "loose_duplicate", "near_duplicate", "too_short"))
        stage("fixes", lambda: [checks.apply_fix(actor=admin, finding=f) for f in dropped])
        fix = Fix.objects.filter(dataset=dataset).order_by("-n_rows")[0]
        stage("undo of a fix", lambda: undoing.undo_fix(actor=admin, fix=fix))

        def freeze() -> DatasetVersion:
            version = start_freeze(
                actor=admin, dataset=dataset, seed="bench", override_reason="measured, not used"
            )
            ground.worked(version.job)
            return version

        version = stage("freeze", freeze)
        # As if they had failed just before their end: what was written is taken away again.
        DatasetVersion.objects.filter(pk=version.pk).update(state=VersionState.BUILDING)
        stage(
            "version taken away",
            lambda: versions.fail_version(version=version, error="measured"),
        )
        stage("checks anew", lambda: ground.worked(checks.start_checks(actor=admin, dataset=dataset)))
        other, _ = ground.imported(_again(home, rows), name=f"{rows} rows again", task_kind="answer")
        again = Import.objects.get(dataset=other)
        Import.objects.filter(pk=again.pk).update(state=ImportState.FAILED)
        stage("import taken away", lambda: imports.clear_staged(import_=again))
    print(f"  {rows:,} rows; the lock held (ms of wall, of work), and what a second writer waited (ms)")
    for name, start, end, held in stages:
        _say(name, held, waits.between(start, end))
    print(f"    write-ahead log after a step: at most {max(logs) / 1e6:.1f} MB")


def _again(home: Path, rows: int) -> Path:
    data = home / f"again-{rows}.jsonl"
    dirty.write_dirty(data, min(rows, 100_000))
    return data


def _say(name: str, held: list[tuple[float, float, str]], waited: list[float]) -> None:
    def at(values: list[float], share: float) -> float:
        return values[min(len(values) - 1, int(len(values) * share))] if values else 0.0

    wall, work = sorted(h[0] for h in held), sorted(h[1] for h in held)
    longest = max(held, key=lambda h: h[1], default=(0.0, 0.0, ""))
    print(
        f"    {name:<20} {len(held):>6} transactions: wall p50 {at(wall, 0.5):.1f}, p99 {at(wall, 0.99):.1f}, max {at(wall, 1):.1f}; "
        f"work p50 {at(work, 0.5):.1f}, p99 {at(work, 0.99):.1f}, max {at(work, 1):.1f}; "
        f"waits {len(waited):>5}: p50 {at(waited, 0.5):.1f}, p99 {at(waited, 0.99):.1f}, max {at(waited, 1):.1f}, "
        f"over {PROMISED_MS:.0f} ms {sum(w > PROMISED_MS for w in waited)}; longest work: {longest[2]}",
        flush=True,
    )
