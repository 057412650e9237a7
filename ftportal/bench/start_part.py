"""From a clean copy of the project to READY and to the demo's verdict: downloads included the first time."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import subprocess
import time
from pathlib import Path

from django.conf import settings


def _start(copy: Path) -> tuple[subprocess.Popen, float, float]:
    """(process, seconds to READY, seconds from READY to the demo's end)."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    keep = {k: v for k, v in os.environ.items() if k not in ("VAR_DIR", "CELERY_BROKER_URL", "VIRTUAL_ENV")}
    started = time.monotonic()
    process = subprocess.Popen(
        ["make", "portal"],
        cwd=copy,
        env={**keep, "PORT": str(port)},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    for line in process.stdout:
        if line.startswith("READY"):
            break
    ready = time.monotonic() - started
    database = sqlite3.connect(copy / "var" / "portal.sqlite3", timeout=20)
    state = ""
    while state not in ("succeeded", "failed", "cancelled") and time.monotonic() - started < 900:
        time.sleep(0.5)
        row = database.execute("select state from jobs_job where kind = 'ftportal.lifecycle'").fetchone()
        state = row[0] if row else ""
    database.close()
    if state != "succeeded":
        raise SystemExit(f"the demo ended as {state or 'nothing'}")
    return process, ready, time.monotonic() - started - ready


def _end(process: subprocess.Popen) -> float:
    started = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)
    process.wait(60)
    return time.monotonic() - started


def run(folder: str) -> None:
    """Print cold and warm times. `git clone` brings what is committed, as a newcomer gets it."""
    copy = Path(folder) / "clone"
    subprocess.run(["git", "clone", "--quiet", str(settings.BASE_DIR), str(copy)], check=True)
    process, ready, demo = _start(copy)
    ended = _end(process)
    print(
        f"  clean clone to READY {ready:.1f} s; demo complete {demo:.1f} s after READY; Ctrl-C {ended:.1f} s"
    )
    process, ready, _ = _start(copy)
    _end(process)
    print(f"  set up already: READY after {ready:.1f} s")
