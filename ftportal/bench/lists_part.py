"""One JSON list read beside the same rows one a line: CPU a row, and the memory it takes. Parsing alone, nothing is written."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from ftportal.bench import ground, material

SIZES = (100_000, 1_000_000)
# A list is found by its brackets, a line by its end: what that may cost of the whole reading.
MOST_TIMES = 5.0
MOST_GROWTH_MB = 60


def run(folder: str) -> None:
    """Print both at each size, their ratio, and how memory grew from the small list to the large one."""
    import django

    django.setup()
    from datasets.domain.layouts import Layout
    from datasets.domain.mapping import ColumnMapping
    from datasets.importing import stream_batches

    mapping = ColumnMapping(prompt="text", label="label")
    peaks = []
    for n in SIZES:
        lines, listed = Path(folder) / f"{n}.jsonl", Path(folder) / f"{n}.json"
        material.write_jsonl(lines, n)
        for indent in (None, 2) if n == SIZES[0] else (None,):
            with listed.open("w", encoding="utf-8") as out:
                out.writelines(_listed(lines, indent))
            cpu = {}
            for format, path in (("jsonl", lines), ("json", listed)):
                before, good = ground.cpu_s(), 0
                with path.open("rb") as stream:
                    for batch in stream_batches(stream, Layout(format), mapping, task_kind="classify"):
                        good += len(batch.good)
                cpu[format] = ground.cpu_s() - before
                assert good == n, f"{good:,} of {n:,} rows of {path.name}"
            times = cpu["json"] / cpu["jsonl"]
            print(
                f"  {n:>9,} rows {'over many lines' if indent else 'on one line':<16} {n / cpu['json']:>9,.0f} rows/CPU s, "
                f"one a line {n / cpu['jsonl']:>9,.0f}: {times:.1f} x "
                f"({'kept' if times <= MOST_TIMES else 'BROKEN'}: at most {MOST_TIMES:g} x)",
                flush=True,
            )
        peaks.append(ground.peak_mb())
    grown = peaks[-1] - peaks[0]
    print(
        f"  peak {peaks[0]:.0f} MB, then {peaks[-1]:.0f} MB for ten times the rows "
        f"({'kept' if grown <= MOST_GROWTH_MB else 'BROKEN'}: at most {MOST_GROWTH_MB} MB more)",
        flush=True,
    )


def _listed(lines: Path, indent: int | None) -> Iterator[str]:
    """The rows as `json.dump` writes a list of them, without holding it."""
    with lines.open(encoding="utf-8") as rows:
        for i, row in enumerate(rows):
            yield f"{', ' if i else '['}{json.dumps(json.loads(row), indent=indent)}"
    yield "]"
