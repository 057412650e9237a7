"""`manage.py up` as a person types it: real processes, real signals, a folder of its own."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.faults


def free_port() -> int:
    """A port whose next one is free too (the gateway's), below those the system hands out by itself."""
    for port in random.sample(range(20_000, 30_000, 2), 50):
        with socket.socket() as web, socket.socket() as gateway:
            try:
                web.bind(("127.0.0.1", port))
                gateway.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            return port
    raise AssertionError("no two free ports side by side")


class Portal:
    """One `manage.py up`, its lines, its children."""

    def __init__(self, var: Path, port: int | str, *words: str) -> None:
        env = {
            k: v for k, v in os.environ.items() if k not in ("CELERY_BROKER_URL", "REDIS_URL", "DATABASE_URL")
        }
        self.process = subprocess.Popen(
            [sys.executable, "manage.py", "up", "--port", str(port), *words],
            cwd=ROOT,
            env={**env, "VAR_DIR": str(var), "LOG_LEVEL": "WARNING"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.port = port

    def ready(self) -> str:
        line = self.process.stdout.readline()
        assert line.startswith("READY"), line + self.process.stderr.read()
        return line

    def children(self) -> list[int]:
        found = subprocess.run(
            ["ps", "-o", "pid=", "--ppid", str(self.process.pid)], capture_output=True, text=True
        )
        return [int(pid) for pid in found.stdout.split()]

    def end(self, how: int = signal.SIGINT, patience: float = 30) -> int:
        if self.process.poll() is None:
            self.process.send_signal(how)
        return self.process.wait(patience)


@pytest.fixture
def portal(tmp_path):
    started: list[Portal] = []

    def start(port: int | str | None = None, *words: str, var: Path | None = None) -> Portal:
        one = Portal(var or tmp_path / "var", port or free_port(), *words)
        started.append(one)
        return one

    yield start
    for one in started:
        if one.process.poll() is None:
            one.process.kill()
            one.process.wait()


def gone(pids: list[int], within_s: float = 10) -> bool:
    end = time.monotonic() + within_s
    while time.monotonic() < end:
        alive = [
            pid
            for pid in pids
            if Path(f"/proc/{pid}").exists() and "Z" not in Path(f"/proc/{pid}/stat").read_text().split()[2]
        ]
        if not alive:
            return True
        time.sleep(0.05)
    return False


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_up_answers_and_ctrl_c_leaves_nothing(portal):
    one = portal()
    line = one.ready()
    assert f"http://localhost:{one.port}" in line and "sign in as" in line
    with urllib.request.urlopen(f"http://127.0.0.1:{one.port}/livez", timeout=10) as answer:
        assert answer.status == 200
    children = one.children()
    assert len(children) >= 4  # queue, web, worker, beat
    assert one.end() == 0
    assert gone(children)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_killed_launcher_takes_its_children_along(portal):
    one = portal()
    one.ready()
    children = one.children()
    one.end(signal.SIGKILL)
    assert gone(children, 15)


def pid_of(portal, words):
    """The child of the launcher with these words in its command line; None while there is none."""
    found = subprocess.run(
        ["pgrep", "-P", str(portal.process.pid), "-f", words], capture_output=True, text=True
    )
    pids = found.stdout.split()
    return int(pids[0]) if pids else None


def another(portal, words, old, patience_s=60):
    """The pid of the one that took the place of `old`."""
    return until(lambda: (pid := pid_of(portal, words)) != old and pid, patience_s)


def until(question, patience_s=60):
    """The first true answer."""
    end = time.monotonic() + patience_s
    while time.monotonic() < end:
        if answer := question():
            return answer
        time.sleep(0.05)
    raise AssertionError(f"not within {patience_s} s")


def tell(queue, command):
    """One command to the queue server with this pid, through its own socket."""
    argv = Path(f"/proc/{queue}/cmdline").read_bytes().decode().replace("\0", " ").split()
    place = next(
        word.removeprefix("unixsocket:")
        for word in argv
        if word.startswith("unixsocket:") or word.endswith("/s")
    )
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(place)
        client.sendall(command.encode() + b"\r\n")
        assert client.recv(64).startswith(b"+OK")


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_process_that_ends_by_itself_is_started_again_and_not_for_ever(portal, tmp_path):
    """T22: a worker whose queue vanished must not end the portal; one that cannot live must not be tried for ever."""
    one = portal()
    one.ready()
    words = "celery -A ftportal --quiet worker .*portal@"
    queue = pid_of(one, "unixsocket")
    # A queue that answers with errors for a while ends nobody.
    worker = pid_of(one, words)
    log = tmp_path / "var" / "log" / "worker.log"
    tell(queue, "ACL SETUSER default -brpop")
    until(lambda: "NoPermissionError" in log.read_text())
    tell(queue, "ACL SETUSER default +brpop")
    time.sleep(1)
    assert pid_of(one, words) == worker and "Unrecoverable" not in log.read_text()
    os.kill(queue, signal.SIGKILL)
    assert another(one, "unixsocket", queue)
    worker = pid_of(one, words)
    for _ in range(3):
        os.kill(worker, signal.SIGKILL)
        worker = another(one, words, worker)
    assert one.process.poll() is None
    with urllib.request.urlopen(f"http://127.0.0.1:{one.port}/livez", timeout=30) as answer:
        assert answer.status == 200
    children = one.children()
    os.kill(worker, signal.SIGKILL)
    assert one.process.wait(60) == 1
    said = one.process.stderr.read()
    assert "The queue process ended by itself (status -9) and was started again, 1 of 3 times" in said
    assert "The worker process ended by itself (status -9) and was started again, 3 of 3 times" in said
    assert "The worker process ended by itself again and again" in said
    assert gone(children)


@pytest.mark.parametrize(
    ("port", "code", "sentence"),
    [
        ("eighty", 2, "PORT must be a number between 1 and 65535"),
        ("70000", 2, "PORT must be a number between 1 and 65535"),
    ],
)
def test_a_wrong_port_is_one_sentence(portal, port, code, sentence):
    one = portal(port)
    out, err = one.process.communicate(timeout=60)
    assert one.process.returncode == code
    assert sentence in err and len(err.strip().splitlines()) == 1


def test_a_used_port_is_one_sentence_and_starts_nothing(portal, tmp_path):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        one = portal(port)
        out, err = one.process.communicate(timeout=60)
    assert one.process.returncode == 3
    assert f"Port {port} is used by another program" in err and len(err.strip().splitlines()) == 1
    assert not (tmp_path / "var" / "queue").exists()


def test_a_second_portal_on_the_same_folder_is_refused(portal):
    first = portal()
    first.ready()
    second = portal()
    out, err = second.process.communicate(timeout=60)
    assert second.process.returncode == 3 and "Another portal already runs" in err
