"""Runs the tests in lanes: SQLite side by side, servers and browser alone, then PostgreSQL. Says aloud what it skips."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence

from ftportal.testing import postgres

FAILED, NO_TESTS = 1, 5


def run(name: str, words: Sequence[str], env: Mapping[str, str]) -> bool:
    """Whether one pytest run passed; a lane in which the selection finds nothing passes.

    What failed beside others is tried once more alone, and said aloud: real processes on a busy machine can miss a
    deadline that says nothing about the code. A second failure is a failure.
    """
    print(f"\n=== {name} ===", flush=True)
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="ftvar") as var:
        pytest = [sys.executable, "-m", "pytest", "-q", "-o", f"cache_dir={var}/cache"]
        whole = {**os.environ, "VAR_DIR": var, **env}
        code = subprocess.call([*pytest, *words], env=whole)
        if code == FAILED:
            print(f"=== {name}: trying alone what failed ===", flush=True)
            code = subprocess.call(
                [*pytest, "--last-failed", "-p", "no:xdist", *_without_workers(words)], env=whole
            )
            if code == 0:
                print(
                    f"=== {name}: what failed above passed alone; a test of it is not steady ===", flush=True
                )
    passed = code in (0, NO_TESTS)
    print(
        f"=== {name}: {'passed' if passed else 'FAILED'} in {time.monotonic() - started:.0f} s ===",
        flush=True,
    )
    return passed


def _without_workers(words: Sequence[str]) -> list[str]:
    """The same words without `-n N`."""
    kept = list(words)
    if "-n" in kept:
        at = kept.index("-n")
        del kept[at : at + 2]
    return kept


def main(words: Sequence[str]) -> int:
    """Exit status of all lanes; `words` go to pytest in each."""
    # Many tests wait for processes and browsers of their own, so two a core keep the machine busy.
    workers = str(min(8, 2 * (os.cpu_count() or 1)))
    browsers = str(min(4, os.cpu_count() or 1))
    good = run(
        "rules, services and pages on SQLite", ["-n", workers, "-m", "not browser and not faults", *words], {}
    )
    # The browser's driver leaves an event loop running in its process, so the faults get one of their own.
    good = run("browser on SQLite", ["-n", browsers, "-m", "browser and not faults", *words], {}) and good
    good = run("faults on SQLite", ["-m", "faults", *words], {}) and good
    given = os.environ.get("TEST_DATABASE_URL", "")
    beside = ["-n", workers, "-m", "not browser and not faults", *words]
    alone = ["-m", "faults", *words]
    try:
        if given:
            env = {"DATABASE_URL": given, "ONLY_DATABASE_TESTS": "1"}
            good = run("database tests on PostgreSQL", beside, env) and good
            good = run("faults on PostgreSQL", alone, env) and good
        else:
            with postgres.server() as url:
                env = {"DATABASE_URL": url, "ONLY_DATABASE_TESTS": "1"}
                good = run("database tests on PostgreSQL", beside, env) and good
                good = run("faults on PostgreSQL", alone, env) and good
    except postgres.NoServer as error:
        print(f"SKIPPED: the PostgreSQL lane ({error}).", flush=True)
        if os.environ.get("CI") or os.environ.get("REQUIRE_POSTGRES"):
            good = False
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
