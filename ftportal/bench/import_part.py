"""Import with validation, as a job in one process, beside the floor."""

from __future__ import annotations

from pathlib import Path

from ftportal.bench import floor, ground, material


def run(folder: str) -> None:
    """Print one line a size."""
    ground.fresh_portal()
    ground.people()
    for rows in (100_000, 1_000_000):
        path = Path(folder) / f"{rows}.jsonl"
        size = material.write_jsonl(path, rows)
        before = ground.cpu_s()
        bare = floor.import_floor(path, Path(folder) / f"floor{rows}.sqlite3")
        (Path(folder) / f"floor{rows}.sqlite3").unlink()
        bare_cpu, before = ground.cpu_s() - before, ground.cpu_s()
        _, seconds = ground.imported(path, name=f"{rows} rows")
        cpu = ground.cpu_s() - before
        path.unlink()
        print(
            f"  {rows:>9,} rows, {size / 1e6:.0f} MB: {rows / seconds:,.0f} rows/s ({seconds:.1f} s); "
            f"floor {rows / bare:,.0f} rows/s; {seconds / bare:.1f} x the floor; "
            f"CPU {cpu:.1f} s, {cpu / bare_cpu:.1f} x the floor's; peak {ground.peak_mb():.0f} MB",
            flush=True,
        )
