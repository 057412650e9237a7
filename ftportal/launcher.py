"""Starts the portal's processes in order, watches them, stops them in order. What they do is not its business."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

# A process that ends by itself is started again so often within so long; after that something is wrong for good.
RESTARTS = 3
WITHIN_S = 600.0


class CannotStart(Exception):
    """One sentence for the person who typed the command; `code` is the exit status."""

    def __init__(self, text: str, code: int = 3) -> None:
        super().__init__(text)
        self.code = code


def check_port(port: int) -> None:
    """Return when `port` is free on this machine. Raises CannotStart."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except PermissionError:
            raise CannotStart(
                f"Port {port} may not be used by this account. Choose one above 1024: PORT=8000."
            ) from None
        except OSError:
            raise CannotStart(
                f"Port {port} is used by another program. Choose another one: PORT={port + 10 if port < 65000 else 8000}."
            ) from None


def port_from(raw: str) -> int:
    """The port number in `raw`. Raises CannotStart when it is none."""
    try:
        port = int(raw)
    except ValueError:
        raise CannotStart(f"PORT must be a number between 1 and 65535, it is {raw!r}.", 2) from None
    if not 1 <= port <= 65535:
        raise CannotStart(f"PORT must be a number between 1 and 65535, it is {port}.", 2)
    return port


def only_instance(var: Path) -> IO[str]:
    """The held lock of the data folder; keep it open. Raises CannotStart when another portal runs on it."""
    var.mkdir(parents=True, exist_ok=True)
    try:
        held = open(var / "up.lock", "a+")  # noqa: SIM115 - held until the process ends
    except OSError as error:
        raise CannotStart(
            f"Cannot write to {var}: {error.strerror}. Set VAR_DIR to a folder of yours."
        ) from None
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise CannotStart(
            f"Another portal already runs on {var}. Stop it first, or set VAR_DIR to another folder."
        ) from None
    return held


def _die_with_parent() -> None:
    # Linux tells children when their parent is killed; elsewhere this does nothing.
    with contextlib.suppress(Exception):
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)


@dataclass
class Processes:
    """The portal's processes by name, started one after the other."""

    env: Mapping[str, str]
    logs: Path
    running: list[tuple[str, subprocess.Popen]] = field(default_factory=list)
    stops: list[int] = field(default_factory=list)
    lines: dict[str, list[str]] = field(default_factory=dict)
    restarts: dict[str, list[float]] = field(default_factory=dict)

    def listen(self) -> None:
        """From now on a signal asks for a stop; a second one for a hurried stop."""
        for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(one, lambda number, frame: self.stops.append(number))

    def start(self, name: str, argv: Sequence[str]) -> subprocess.Popen:
        """A child in its own session (the terminal's Ctrl-C must not reach all at once), its output in a log file."""
        self.logs.mkdir(parents=True, exist_ok=True)
        with open(self.logs / f"{name}.log", "ab") as log:
            child = subprocess.Popen(
                list(argv),
                env=dict(self.env),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_die_with_parent,
            )
        self.running.append((name, child))
        self.lines[name] = list(argv)
        return child

    def ended(self) -> str:
        """The name of a child that ended by itself, or an empty text."""
        return next((name for name, child in self.running if child.poll() is not None), "")

    def watch(self, say: Callable[[str], None]) -> str:
        """Block until somebody asks for a stop (empty text) or a child ends too often by itself (its name).

        A worker whose queue vanished may end, and so may whatever the system kills for its memory: one process must
        not end the portal for everybody.
        """
        while not self.stops:
            if (name := self.ended()) and not self.revive(name, say):
                return name
            time.sleep(0.2)
        return ""

    def revive(self, name: str, say: Callable[[str], None]) -> bool:
        """Start a child that ended once more; False when it ended too often lately."""
        now = time.monotonic()
        lately = [at for at in self.restarts.get(name, []) if now - at < WITHIN_S]
        if len(lately) >= RESTARTS:
            return False
        self.restarts[name] = [*lately, now]
        child = next(one for known, one in self.running if known == name)
        # Its own children, which nobody leads any more; what they had begun is taken over by its lease.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)
        self.running = [(known, one) for known, one in self.running if known != name]
        self.start(name, self.lines[name])
        say(
            f"The {name} process ended by itself (status {child.returncode}) and was started again, "
            f"{len(lately) + 1} of {RESTARTS} times in {WITHIN_S / 60:.0f} minutes; its words stand in "
            f"{self.logs / (name + '.log')}."
        )
        return True

    def stop(self, order: Sequence[Sequence[str]], grace_s: float = 10) -> None:
        """Ask group after group to end, so that last acknowledgements still find the queue; then insist."""
        for group in order:
            children = [child for name, child in self.running if name in group and child.poll() is None]
            for child in children:
                child.send_signal(signal.SIGTERM)
            end = time.monotonic() + grace_s
            while (
                any(child.poll() is None for child in children)
                and time.monotonic() < end
                and len(self.stops) < 2
            ):
                time.sleep(0.05)
            for child in children:
                if child.poll() is None:
                    with contextlib.suppress(ProcessLookupError):
                        os.killpg(child.pid, signal.SIGKILL)
                    child.wait()


def wait_for_port(port: int, processes: Processes, patience_s: float = 60) -> None:
    """Return once something answers on `port`. Raises CannotStart when a child ends first."""
    end = time.monotonic() + patience_s
    while True:
        with socket.socket() as probe:
            probe.settimeout(1)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        if name := processes.ended():
            raise CannotStart(
                f"The {name} process ended at once; its words stand in {processes.logs / (name + '.log')}.", 1
            )
        if processes.stops:
            raise CannotStart("Stopped before it was ready.", 130)
        if time.monotonic() > end:
            raise CannotStart(
                f"The web process did not answer within {patience_s:.0f} s; see {processes.logs / 'web.log'}.",
                1,
            )
        time.sleep(0.05)


def python(*words: str) -> list[str]:
    """A command line for this very interpreter."""
    return [sys.executable, *words]
