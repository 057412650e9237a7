"""Who holds a lease: host, process namespace, process id and its start. Tells whether that process still lives."""

from __future__ import annotations

import os
import socket
from functools import lru_cache
from pathlib import Path


def _namespace() -> str:
    # Two containers may carry one host name; their process numbers mean different processes.
    try:
        return str(Path("/proc/self/ns/pid").readlink()).strip("pid:[]")
    except OSError:
        return "0"


@lru_cache(maxsize=1)
def host() -> str:
    """The part of an owner's name that says on which machine (and in which process namespace) it runs."""
    return f"{socket.gethostname()[:60]}/{_namespace()}"


def started(pid: int) -> str:
    """When a process was started, in ticks since boot; empty when the system does not tell."""
    try:
        # The command's name stands in brackets and may hold blanks, so count from the last bracket.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def this_process() -> str:
    """The owner's name of the process that asks."""
    pid = os.getpid()
    return f"{host()}:{pid}:{started(pid)}"


def is_dead(owner: str) -> bool:
    """Whether the process is surely gone. One on another machine is never surely gone: its lease must run out."""
    where, _, rest = owner.rpartition(":")
    where, _, pid_text = where.rpartition(":")
    if where != host() or not pid_text.isdigit():
        return False
    pid = int(pid_text)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return _is_zombie(pid) or (rest != "" and started(pid) not in ("", rest))


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (OSError, IndexError):
        return False
