"""A real queue server, real workers and a real clock for tests that kill, freeze and wipe them."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.db import connections

from ftportal.queue_server import QueueServer


def until(true: Callable[[], Any], seconds: float = 90, what: str = "it") -> Any:
    """The first truthy answer of `true()`; fails when there is none in time."""
    deadline = time.monotonic() + seconds
    while True:
        answer = true()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds:.0f} s for {what}")
        time.sleep(0.02)


class Queue:
    """A Valkey with its data in a folder, that can be killed, frozen, wiped and started again."""

    def __init__(self, folder: Path) -> None:
        self.server = QueueServer(folder / "queue")
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return self.server.url

    def start(self) -> None:
        self.process = subprocess.Popen(self.server.argv(), stdout=subprocess.DEVNULL, start_new_session=True)
        self.server.wait(self.process)

    def kill(self) -> None:
        assert self.process
        self.process.kill()
        self.process.wait()

    def freeze(self) -> None:
        assert self.process
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self.process
        self.process.send_signal(signal.SIGCONT)

    def wipe(self) -> None:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(5)
            client.connect(str(self.server.socket))
            client.sendall(b"FLUSHALL\r\n")
            assert client.recv(64).startswith(b"+OK")

    def stop(self) -> None:
        if self.process and self.process.poll() is None:
            self.thaw()
            self.kill()
        self.server.remove_socket()


class Portal:
    """Queue, clock and workers over one database, with short leases and ticks."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder = folder
        self.queue = Queue(folder)
        self.environment = {
            **os.environ,
            "VAR_DIR": str(folder),
            "TESTING": "yes",
            "JOBS_EXTRA_KINDS": "foundation.jobs.tests.kinds",
            "JOBS_LEASE_S": "3",
            "JOBS_TICK_S": "1",
            "JOBS_DOORBELL": "yes",
            "WORKER_SOFT_SHUTDOWN_S": "0",
            "CELERY_BROKER_URL": self.queue.url,
            "CELERY_SKIP_CHECKS": "1",
            "PYTHONUNBUFFERED": "1",
            # A test's worker must not slow down the others.
            "OMP_NUM_THREADS": "1",
            **environment,
        }
        self._n = 0
        self._clock: subprocess.Popen[bytes] | None = None
        self._worker: subprocess.Popen[bytes] | None = None

    def _spawn(self, name: str, *words: str) -> subprocess.Popen[bytes]:
        with open(self.folder / f"{name}.log", "ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "celery", "-A", "ftportal", "--quiet", *words],
                cwd=settings.BASE_DIR,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def clock(self) -> None:
        """Start beat, unless it runs."""
        if self._clock is None or self._clock.poll() is not None:
            schedule = str(self.folder / "beat")
            self._clock = self._spawn("beat", "beat", "-l", "warning", "--schedule", schedule, "--pidfile=")

    def stop_clock(self) -> None:
        """SIGKILL beat."""
        if self._clock is not None:
            self._clock.kill()
            self._clock.wait()

    def worker(self) -> subprocess.Popen[bytes]:
        """The running worker with two children; started unless it runs."""
        if self._worker is None or self._worker.poll() is not None:
            self._n += 1
            self._worker = self._spawn(
                "worker",
                *("worker", "-l", "warning", "-c", "2", "-Q", "default,training,remote"),
                *("--without-gossip", "--without-mingle", "-n", f"w{self._n}@%h"),
            )
        return self._worker

    def lives(self) -> bool:
        """True; fails with the worker's last words when it ended by itself, instead of letting a test wait for it."""
        if self._worker is not None and self._worker.poll() is not None:
            raise AssertionError(f"the worker ended by itself\n{self.words()}")
        return True

    def kill_worker(self) -> None:
        """SIGKILL the worker's parent and all its children at once."""
        assert self._worker
        os.killpg(self._worker.pid, signal.SIGKILL)
        self._worker.wait()

    def stop(self) -> None:
        for process in (self._clock, self._worker):
            if process is not None and process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        self.queue.stop()

    def words(self) -> str:
        """What worker and beat said, for a failing test."""
        logs = [self.folder / "worker.log", self.folder / "beat.log"]
        return "\n".join(log.read_text(errors="replace")[-4000:] for log in logs if log.exists())


@contextlib.contextmanager
def own_database(folder: Path) -> Iterator[dict[str, str]]:
    """Within it, the default connection is a fresh database that other processes can reach; how, is what it yields.

    A test's usual database lives in memory or inside a transaction, where no worker sees it.
    """
    usual = connections["default"]
    name = str(folder / "portal.sqlite3") if usual.vendor == "sqlite" else f"faults_{os.getpid()}"
    # Tables straight from the models: replaying migrations takes longer than most of these tests.
    test = {**usual.settings_dict["TEST"], "NAME": name, "MIGRATE": False}
    shared = type(usual)({**usual.settings_dict, "TEST": test}, "default")
    connections["default"] = shared
    before = usual.settings_dict["NAME"]
    try:
        shared.creation.create_test_db(verbosity=0, autoclobber=True, serialize=False)
        yield _reach(shared.settings_dict) if usual.vendor == "postgresql" else {"DATABASE_URL": ""}
    finally:
        shared.creation.destroy_test_db(before, verbosity=0)
        connections["default"] = usual


def _reach(given: dict[str, Any]) -> dict[str, str]:
    """The environment that leads another process to this PostgreSQL database: ours, with its name changed."""
    return {"DATABASE_URL": urlsplit(settings.DATABASE_URL)._replace(path=f"/{given['NAME']}").geturl()}
