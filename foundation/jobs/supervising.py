"""A long child process under a worker: started, listened to, kept alive by its parent's lease, ended on cancel.

Knows processes and lines of JSON; what they mean is the kind's business.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO, Any, Protocol

from django.conf import settings

log = logging.getLogger("foundation.jobs")

LONGEST_LINE = 1_000_000
TAIL_BYTES = 8_000
_END = object()


class Watcher(Protocol):
    """The part of a running work that supervision needs."""

    @property
    def cancelled(self) -> bool:
        """Whether to end the child."""

    def heartbeat(self) -> None:
        """Raises LeaseLost when the work was taken over."""

    def progress(self, done: int, total: int, step: str = "") -> None:
        """Show how far the child is."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a child ended. `returncode` is negative for a signal; `was_cancelled`: we ended it."""

    returncode: int
    data: dict[str, Any] = field(default_factory=dict)
    stderr_tail: str = ""
    was_cancelled: bool = False


def supervise(
    command: Sequence[str],
    *,
    work: Watcher,
    grace_s: float = 5.0,
    environment: Mapping[str, str] | None = None,
) -> Ended:
    """Run `python -m <command>` to its end, turning its JSON lines into progress.

    The child dies with its parent (foundation.jobs.child), gets SIGTERM and `grace_s` seconds on cancel or when the
    lease is lost, and may print what it likes: a line that is no JSON object is ignored.
    """
    child = subprocess.Popen(
        [sys.executable, "-m", "foundation.jobs.child", str(os.getpid()), *command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=settings.BASE_DIR,
        env={**os.environ, "PYTHONUNBUFFERED": "1", **(environment or {})},
        start_new_session=True,
    )
    lines: queue.SimpleQueue[Any] = queue.SimpleQueue()
    tail: deque[bytes] = deque()
    readers = [
        threading.Thread(target=_read_lines, args=(child.stdout, lines), daemon=True),
        threading.Thread(target=_read_tail, args=(child.stderr, tail), daemon=True),
    ]
    for reader in readers:
        reader.start()
    data: dict[str, Any] = {}
    was_cancelled = False
    try:
        while True:
            with contextlib.suppress(queue.Empty):
                line = lines.get(timeout=0.25)
                if line is _END:
                    break
                _take(line, data, work)
            work.heartbeat()
            if work.cancelled:
                was_cancelled = True
                break
    finally:
        end(child, grace_s if was_cancelled or child.poll() is None else 0.0, ask=was_cancelled)
        for reader in readers:
            reader.join(timeout=2)
    return Ended(child.returncode, data, b"".join(tail).decode("utf-8", "replace"), was_cancelled)


def end(child: subprocess.Popen[bytes], grace_s: float, *, ask: bool = True) -> None:
    """End a child and everything it started: wait when it is about to end by itself, ask, then insist."""
    if not ask:
        # Its stdout is closed: give it a moment to exit by itself.
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(timeout=grace_s)
    deadline = time.monotonic() + grace_s
    if child.poll() is None:
        _signal(child, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(timeout=max(0.0, deadline - time.monotonic()))
    _signal(child, signal.SIGKILL)
    child.wait()


def _signal(child: subprocess.Popen[bytes], number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, number)


def _take(line: bytes, data: dict[str, Any], work: Watcher) -> None:
    try:
        said = json.loads(line)
    except (ValueError, RecursionError):
        return
    if not isinstance(said, dict):
        return
    if isinstance(said.get("data"), dict):
        data.update(said["data"])
    done, total, step = said.get("done"), said.get("total"), said.get("step", "")
    if isinstance(done, int | float) and isinstance(total, int | float):
        work.progress(int(done), int(total), step if isinstance(step, str) else "")


def _read_lines(stream: IO[bytes] | None, lines: queue.SimpleQueue[Any]) -> None:
    assert stream is not None
    with stream:
        while line := stream.readline(LONGEST_LINE):
            lines.put(line)
    lines.put(_END)


def _read_tail(stream: IO[bytes] | None, tail: deque[bytes]) -> None:
    assert stream is not None
    size = 0
    with stream:
        while line := stream.readline(TAIL_BYTES):
            tail.append(line)
            size += len(line)
            while size > TAIL_BYTES and len(tail) > 1:
                size -= len(tail.popleft())
