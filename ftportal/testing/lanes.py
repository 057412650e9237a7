"""Runs the tests in lanes: SQLite side by side, servers and browser alone, then PostgreSQL. Says aloud what it skips."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from ftportal.testing import postgres

FAILED, NO_TESTS = 1, 5
# What failed beside others is tried again alone this often; more failures than this are no weather.
MOST_TRIES_ALONE = 2
MOST_TRIED_ALONE = 20


def run(name: str, words: Sequence[str], env: Mapping[str, str], unsteady: list[str]) -> bool:
    """Whether one pytest run passed; a lane in which the selection finds nothing passes.

    What failed beside others is tried alone, each test by itself, and at most twice: real processes on a busy machine
    can miss a deadline that says nothing about the code. What fails alone twice is a failure. What passes then is named
    aloud and added to `unsteady`: it is to be mended, not to be lived with.
    """
    print(f"\n=== {name} ===", flush=True)
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="ftvar") as var:
        cache = Path(var) / "cache"
        pytest = [sys.executable, "-m", "pytest", "-q", "-o", f"cache_dir={cache}"]
        whole = {**os.environ, "VAR_DIR": var, **env}
        code = subprocess.call([*pytest, *words], env=whole)
        if code == FAILED:
            alone = [*pytest, "--last-failed", "-p", "no:xdist", *_without_workers(words)]
            code = _try_alone(name, alone, whole, cache / "v" / "cache" / "lastfailed", unsteady)
    passed = code in (0, NO_TESTS)
    print(
        f"=== {name}: {'passed' if passed else 'FAILED'} in {time.monotonic() - started:.0f} s ===",
        flush=True,
    )
    return passed


def _try_alone(
    name: str, pytest: Sequence[str], env: Mapping[str, str], failures: Path, unsteady: list[str]
) -> int:
    """0 when each test that failed passed alone. `failures` is where pytest keeps their names."""
    failed = list(json.loads(failures.read_text())) if failures.exists() else []
    if not failed or len(failed) > MOST_TRIED_ALONE:
        print(f"=== {name}: {len(failed)} failed, none is tried alone ===", flush=True)
        return FAILED
    lost = []
    for test in failed:
        for n in range(1, MOST_TRIES_ALONE + 1):
            print(f"=== {name}: trying alone, {n} of {MOST_TRIES_ALONE}: {test} ===", flush=True)
            failures.write_text(json.dumps({test: True}))
            if subprocess.call(pytest, env=env) == 0:
                unsteady.append(f"{test} ({name})")
                print(f"=== {name}: NOT STEADY, passed alone: {test} ===", flush=True)
                break
        else:
            lost.append(test)
            print(f"=== {name}: FAILED beside others and alone: {test} ===", flush=True)
    return FAILED if lost else 0


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
    unsteady: list[str] = []

    def lane(name: str, chosen: Sequence[str], env: Mapping[str, str]) -> bool:
        return run(name, [*chosen, *words], env, unsteady)

    beside = ["-n", workers, "-m", "not browser and not faults"]
    alone = ["-m", "faults"]
    good = lane("rules, services and pages on SQLite", beside, {})
    # The browser's driver leaves an event loop running in its process, so the faults get one of their own.
    good = lane("browser on SQLite", ["-n", browsers, "-m", "browser and not faults"], {}) and good
    good = lane("faults on SQLite", alone, {}) and good
    given = os.environ.get("TEST_DATABASE_URL", "")
    try:
        with contextlib.nullcontext(given) if given else postgres.server() as url:
            env = {"DATABASE_URL": url, "ONLY_DATABASE_TESTS": "1"}
            good = lane("database tests on PostgreSQL", beside, env) and good
            good = lane("faults on PostgreSQL", alone, env) and good
    except postgres.NoServer as error:
        print(f"SKIPPED: the PostgreSQL lane ({error}).", flush=True)
        if os.environ.get("CI") or os.environ.get("REQUIRE_POSTGRES"):
            good = False
    if unsteady:
        print(
            f"\n=== NOT STEADY, to be mended ({len(unsteady)}): passed alone, failed beside others ===",
            flush=True,
        )
        print("\n".join(f"  {test}" for test in unsteady), flush=True)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
