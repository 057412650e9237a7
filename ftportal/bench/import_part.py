"""Import with validation, as a job in one process, beside the floor and beside another writer."""

from __future__ import annotations

from pathlib import Path

from ftportal.bench import floor, ground, material, waiting


def run(folder: str) -> None:
    """Print two lines a size: the rate, and how long another writer waited for the lock meanwhile."""
    ground.fresh_portal()
    ground.people()
    for rows in (100_000, 1_000_000):
        path = Path(folder) / f"{rows}.jsonl"
        size = material.write_jsonl(path, rows)
        before = ground.cpu_s()
        bare = floor.import_floor(path, Path(folder) / f"floor{rows}.sqlite3")
        (Path(folder) / f"floor{rows}.sqlite3").unlink()
        bare_cpu, before = ground.cpu_s() - before, ground.cpu_s()
        with waiting.second_writer() as waits:
            _, seconds = ground.imported(path, name=f"{rows} rows")
        cpu = ground.cpu_s() - before
        path.unlink()
        print(
            f"  {rows:>9,} rows, {size / 1e6:.0f} MB: {rows / seconds:,.0f} rows/s ({seconds:.1f} s); "
            f"floor {rows / bare:,.0f} rows/s; {seconds / bare:.1f} x the floor; "
            f"{rows / cpu:,.0f} rows/CPU s, {cpu / bare_cpu:.1f} x the floor's CPU; peak {ground.peak_mb():.0f} MB",
            flush=True,
        )
        waits.sort()
        print(
            f"    another writer, {len(waits):,} times: p50 {waits[len(waits) // 2]:.0f}, p99 {waits[len(waits) * 99 // 100]:.0f}, "
            f"max {waits[-1]:.0f} ms; over 40 ms {sum(w > 40 for w in waits)} times",
            flush=True,
        )
