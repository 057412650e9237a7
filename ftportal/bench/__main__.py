"""`python -m ftportal.bench [part …]`: each part in a process and a folder of its own, its figures on one line each."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

PARTS = {
    "import": "rows a second into SQLite, 100,000 and 1,000,000 rows, beside a bare loop over the same rows",
    "lists": "a JSON list of 100,000 and 1,000,000 rows read beside the same rows one a line: CPU a row, memory",
    "dataset": "from a dirty file to exported splits beside the floor: three sizes, both databases, one and two workers",
    "locks": "how long each step of a dataset's way holds SQLite's lock, and how long a second writer waits: two sizes",
    "rows": "pages of rows, filters and searches over 1,000,000 rows",
    "export": "rows a second out of a frozen version in every format, and checked against the readers' rules",
    "memory": "peak memory while a file of 1 GB is imported",
    "decide": "what-ifs, decision pages of a large team, the search for flips, re-scoring 10,000 use cases",
    "checks": "all deterministic checks over 100,000 rows, and wrong labels over 10,000: rows a CPU second",
    "evaluate": "10,000 rows answered and scored by the local model",
    "pages": "every page at two sizes: queries, bytes, milliseconds",
    "watch": "drift, right answers and a rollout's look over 100,000 predictions",
    "traffic": "pages of shipping and watching with 100,000 and 1,000,000 predictions",
    "backup": "a backup under writes and its restore, seconds for a gigabyte",
    "start": "from nothing set up to READY, and the demo complete after it",
    "gateway": "what the gateway adds to a request, beside a bare pass-through",
    "roi": "a return: the draws, the answer while typing, its pages, a month of predictions counted",
}


def main(words: Sequence[str]) -> int:
    """Exit status: 0 when every part ran."""
    if words and words[0] == "--part":
        # Imported here because each part sets its folder before Django reads the settings.
        from importlib import import_module

        import_module(f"ftportal.bench.{words[1]}_part").run(*words[2:])
        return 0
    chosen = [w for w in words if w in PARTS] or list(PARTS)
    if unknown := [w for w in words if w not in PARTS]:
        print(f"There is no part {unknown[0]!r}. Parts: {', '.join(PARTS)}.", file=sys.stderr)
        return 2
    failed = []
    print(f"machine: {os.cpu_count()} cores; load {os.getloadavg()[0]:.1f} before the first part")
    for part in chosen:
        print(f"\n{part}: {PARTS[part]}", flush=True)
        started = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="ftbench") as folder:
            env = {
                **os.environ,
                "VAR_DIR": str(Path(folder) / "var"),
                "DJANGO_SETTINGS_MODULE": "ftportal.settings",
                "LOG_LEVEL": "ERROR",
                "CELERY_BROKER_URL": "redis+socket:///nowhere",
            }
            code = subprocess.call([sys.executable, "-m", "ftportal.bench", "--part", part, folder], env=env)
        print(f"  ({time.monotonic() - started:.0f} s)", flush=True)
        if code:
            failed.append(part)
    if failed:
        print(f"\nfailed: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
