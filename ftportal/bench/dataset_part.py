"""From a dirty file to exported splits: the portal beside the floor, three sizes, both databases, one and two workers.

Each portal runs in a process and a folder of its own, so that its memory is its own; the floor too, over the same file.
Another floor over the same file is timed beside ours where DATASET_FLOOR names one: a command that reads DATA and OUT
from its environment.
"""

from __future__ import annotations

import json
import os
import resource
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ftportal.bench import crew, dataset_floor, dirty

SIZES = (10_000, 100_000, 1_000_000)
# On the second database one size says what there is to say.
POSTGRESQL_SIZES = (100_000,)
WORKERS_ROWS = 100_000
PARTS = ("train", "validation", "test")


def run(folder: str, *words: str) -> None:
    """Print a line a size and database. `python -m ftportal.bench dataset` measures all; words choose a step."""
    if words and words[0] == "one":
        print(json.dumps(_prepare(Path(folder), Path(words[1]), n_workers=int(words[2]))))
        return
    if words and words[0] == "work":
        crew.work(int(words[1]))
        return
    home = Path(folder)
    for rows in SIZES:
        data = home / f"dirty-{rows}.jsonl"
        truth = dirty.write_dirty(data, rows)
        floors = {"the floor": _floor(home, data)}
        if command := os.environ.get("DATASET_FLOOR"):
            floors["the other floor"] = _other_floor(home, data, command)
        for name, floor in floors.items():
            print(
                f"  {rows:>9,} rows: {name} {floor['seconds']:.1f} s, CPU {floor['cpu_s']:.1f} s", flush=True
            )
        databases = ["SQLite", *(["PostgreSQL"] if rows in POSTGRESQL_SIZES else [])]
        for name in databases:
            for n_workers in (0, 2):
                with _database(name) as url:
                    if url is None:
                        continue
                    figures = _portal(
                        home / f"{name}{rows}w{n_workers}", url, "one", str(data), str(n_workers)
                    )
                    how = f"{name}, {n_workers} workers" if n_workers else f"{name}, one process"
                    _say(rows, how, figures, floors, truth)
                shutil.rmtree(home / f"{name}{rows}w{n_workers}", ignore_errors=True)
        data.unlink()
    for name in ("SQLite", "PostgreSQL"):
        with _database(name) as url:
            if url is not None:
                _workers(home / f"workers{name}", name, url)


@contextmanager
def _database(name: str) -> Iterator[str | None]:
    """The address of a database of that kind: "" for the portal's own file, None when it cannot be had."""
    if name == "SQLite":
        yield ""
        return
    from ftportal.testing.postgres import NoServer, server

    try:
        with server(database=True) as url:
            yield url
    except NoServer as error:
        print(f"  not on PostgreSQL: {error}")
        yield None


def _floor(home: Path, data: Path) -> dict[str, Any]:
    out = home / "floor"
    out.mkdir(exist_ok=True)
    said = subprocess.check_output([sys.executable, dataset_floor.__file__, str(data), str(out)])
    return json.loads(said)


def _other_floor(home: Path, data: Path, command: str) -> dict[str, Any]:
    out = home / "other"
    out.mkdir(exist_ok=True)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    subprocess.check_output(shlex.split(command), env={**os.environ, "DATA": str(data), "OUT": str(out)})
    seconds = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"seconds": seconds, "cpu_s": cpu}


def _environment(home: Path, url: str) -> dict[str, str]:
    home.mkdir(exist_ok=True)
    env = {**os.environ, "VAR_DIR": str(home / "var")}
    return {**env, "DATABASE_URL": url} if url else env


def _command(home: Path, *words: str) -> list[str]:
    return [sys.executable, "-m", "ftportal.bench", "--part", "dataset", str(home), *words]


def _portal(home: Path, url: str, *words: str) -> dict[str, Any]:
    said = subprocess.check_output(_command(home, *words), env=_environment(home, url))
    return json.loads(said.splitlines()[-1])


def _say(
    rows: int, name: str, f: dict[str, Any], floors: dict[str, dict[str, Any]], truth: dirty.Truth
) -> None:
    stages = ", ".join(f"{stage} {wall:.1f} s ({cpu:.1f})" for stage, (wall, cpu) in f["stages"].items())
    where = {int(number): part for number, part in f["where"].items()}
    # A pair is caught when not both of it survive; one that survives whole may not be divided.
    pairs = [(where[a], where[b]) for a, b in truth.near if a in where and b in where]
    near = sum(None in pair for pair in pairs)
    leaked = sum(None not in pair and pair[0] != pair[1] for pair in pairs)
    planted = {number for pair in truth.near + truth.exact for number in pair} | set(truth.short)
    wrongly = sum(part is None and number not in planted for number, part in where.items())
    times = "; ".join(
        f"{f['seconds'] / floor['seconds']:.1f} x {which} (CPU {f['cpu_s'] / floor['cpu_s']:.1f} x)"
        for which, floor in floors.items()
    )
    each = f" (workers {', '.join(map(str, f['each_mb']))} MB by themselves)" if f["each_mb"] else ""
    print(
        f"  {rows:>9,} rows, {name}: {f['seconds']:.1f} s, CPU {f['cpu_s']:.1f} s, {times}; "
        f"peak {f['peak_mb']:.0f} MB over all its processes{each}\n"
        f"    wall (CPU) by stage: {stages}\n"
        f"    near-duplicates found {near:,} of {len(pairs):,} ({near / max(1, len(pairs)):.4f}), across splits {leaked}, "
        f"wrongly dropped {wrongly}; {f['rows']:,} rows frozen (floor {floors['the floor']['rows']:,}); "
        f"a second writer waits {f['late_wait_ms']:.0f} ms at the 99th percentile, {f['longest_wait_ms']:.0f} ms at most",
        flush=True,
    )


def _prepare(home: Path, data: Path, *, n_workers: int) -> dict[str, Any]:
    """Bring one file through the portal; figures and where every row went (None: dropped).

    Without workers this process does all of the work; with some it only asks and waits, as the web does.
    """
    from ftportal.bench import ground, waiting

    ground.fresh_portal()
    ground.people()
    from datasets.models import Dataset, Example, Finding
    from datasets.services import checks, export, start_freeze
    from foundation.jobs.models import Job
    from foundation.jobs.services import cancel_job
    from foundation.teams.models import User

    admin = User.objects.get()
    stages: dict[str, tuple[float, float]] = {}
    started = last = time.perf_counter()
    started_cpu = last_cpu = time.process_time()

    def stage(name: str) -> None:
        nonlocal last, last_cpu
        now, cpu = time.perf_counter(), time.process_time()
        stages[name] = (round(now - last, 2), round(cpu - last_cpu, 2))
        last, last_cpu = now, cpu

    carry = ground.awaited if n_workers else ground.worked
    with crew.at_work(_command(home, "work"), n_workers) as workers, waiting.second_writer() as waits:
        started = last = time.perf_counter()
        started_cpu = last_cpu = time.process_time()
        dataset, _ = ground.imported(data, name="dirty", task_kind="answer", by_workers=n_workers > 0)
        stage("import")
        carry(Job.objects.get(kind="datasets.checks"))
        stage("checks")
        dataset = Dataset.objects.get(pk=dataset.pk)
        for rule in ("exact_duplicate", "loose_duplicate", "near_duplicate", "too_short"):
            for finding in Finding.objects.filter(run_id=dataset.checks_id, rule=rule):
                fix = checks.apply_fix(actor=admin, finding=finding)
                if (job := getattr(fix, "job", None)) is not None:
                    carry(job)
        stage("fixes")
        version = start_freeze(
            actor=admin, dataset=dataset, seed="bench", override_reason="measured, not used"
        )
        carry(version.job)
        version.refresh_from_db()
        stage("freeze")
        for part in PARTS:
            with open(home / f"{part}.jsonl", "wb") as out:
                export(actor=None, version=version, split=part, stream=out)
        stage("export")
        seconds, cpu = time.perf_counter() - started, time.process_time() - started_cpu
        # Making rows searchable waited for all of this; a worker would not leave before it is done.
        for job in Job.objects.active().filter(kind="datasets.index"):
            cancel_job(actor=admin, job=job)
    cpu += sum(worker["cpu_s"] for worker in workers)
    peak_mb = workers[0]["together_mb"] if workers else ground.peak_mb()
    where: dict[str, str | None] = {str(number): None for number in _numbers(data)}
    line_of = dict(Example.objects.filter(dataset=dataset).values_list("id", "line"))
    number_at = dict(enumerate(_numbers_by_line(data), 1))
    for example, split in version.rows.values_list("example_id", "split").iterator(chunk_size=10_000):
        where[str(number_at[line_of[example]])] = split
    return {
        "stages": stages,
        "seconds": seconds,
        "cpu_s": cpu,
        "peak_mb": peak_mb,
        "each_mb": sorted(round(worker["peak_mb"]) for worker in workers),
        "rows": version.n_rows,
        "where": where,
        "longest_wait_ms": max(waits, default=0.0),
        "late_wait_ms": sorted(waits)[int(len(waits) * 0.99)] if waits else 0.0,
    }


def _numbers_by_line(data: Path) -> Iterator[int]:
    with open(data, "rb") as lines:
        for line in lines:
            yield int(line[6 : line.index(b",")])


def _numbers(data: Path) -> Iterator[int]:
    with open(data, "rb") as lines:
        for line in lines:
            if line.endswith(b"}\n"):
                yield int(line[6 : line.index(b",")])


def _workers(home: Path, name: str, url: str) -> None:
    """The checks of one dataset by one worker, then by two."""
    env = _environment(home, url)
    code = (
        "from pathlib import Path\n"
        "from ftportal.bench import dirty, ground\n"
        f"data = Path({str(home / 'rows.jsonl')!r})\n"
        f"dirty.write_dirty(data, {WORKERS_ROWS})\n"
        "ground.fresh_portal(); ground.people()\n"
        "dataset, _ = ground.imported(data, name='dirty', task_kind='answer')\n"
        "from datasets.services import checks\n"
        "from foundation.jobs.models import Job\n"
        "from foundation.teams.models import User\n"
        "one = Job.objects.get(kind='datasets.checks')\n"
        "print(one.pk, flush=True)\n"
        "input()\n"
        "print(checks.start_checks(actor=User.objects.get(), dataset=dataset).pk, flush=True)\n"
    )
    starter = subprocess.Popen([sys.executable, "-c", code], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # fmt: skip
    assert starter.stdin and starter.stdout
    first = _finished_in(home, env, int(starter.stdout.readline()), workers=1)
    starter.stdin.write("\n")
    starter.stdin.flush()
    second = _finished_in(home, env, int(starter.stdout.readline()), workers=2)
    starter.wait()
    print(
        f"  {WORKERS_ROWS:>9,} rows checked on {name}: one worker {first:.1f} s, two {second:.1f} s, "
        f"{first / second:.2f} x sooner",
        flush=True,
    )


def _finished_in(home: Path, env: dict[str, str], job_id: int, *, workers: int) -> float:
    with crew.at_work(_command(home, "work"), workers, env=env, on_job=job_id) as done:
        pass
    return done[0]["seconds"]
