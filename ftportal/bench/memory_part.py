"""Memory while a large file goes in: it must not grow with the file."""

from __future__ import annotations

from pathlib import Path

from ftportal.bench import ground, material


def run(folder: str) -> None:
    """Print the peak of the process that reads the file."""
    ground.fresh_portal()
    ground.people()
    before = ground.peak_mb()
    path = Path(folder) / "large.jsonl"
    rows = 1_040_000
    size = material.write_jsonl(path, rows, words=110)
    _, seconds = ground.imported(path)
    print(
        f"  {size / 1e9:.2f} GB, {rows:,} rows: peak {ground.peak_mb():.0f} MB ({before:.0f} MB before); "
        f"{rows / seconds:,.0f} rows/s, {size / seconds / 1e6:.0f} MB/s"
    )
