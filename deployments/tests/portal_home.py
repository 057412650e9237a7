"""A portal of its own for tests with real processes: a database file, a provider, a gateway, somebody who changes things."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import conftest

ROOT = Path(__file__).resolve().parents[2]

# Runs beside the test with the portal's tables: each line on its input is Python, each line of its output the answer.
HAND = """
import os, sys, json, traceback
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ftportal.settings")
import django
django.setup()
from decisions.models import UseCase
from decisions.services import create_use_case
from deployments import services
from deployments.gateway.writing import let_go
from deployments.models import *
from evaluations.models import Candidate
from foundation.llm.models import Connection
from foundation.llm.vault import seal
from foundation.teams.models import Team, User
from foundation.teams.services import create_team
def candidate(model, connection, use_case, **fields):
    n = Candidate.objects.count()
    return Candidate.objects.create(team=use_case.team, use_case=use_case, name=model, kind="prompt", model_id=model,
                                    connection=connection, digest=f"{n:064d}", **fields)
def version(model, connection, use_case, **fields):
    return services.register_version(actor=None, use_case=use_case, candidate=candidate(model, connection, use_case, **fields))
print("ready", flush=True)
space = globals()
for line in sys.stdin:
    try:
        lines = json.loads(line)
        exec(lines, space)
        print(json.dumps({"ok": space.pop("answer", None)}), flush=True)
    except Exception:
        print(json.dumps({"error": traceback.format_exc()}), flush=True)
    finally:
        let_go()
"""


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(question: Callable[[], Any], patience_s: float = 30, every_s: float = 0.05) -> Any:
    """The first true answer. Fails when there is none in time."""
    end = time.monotonic() + patience_s
    while time.monotonic() < end:
        with contextlib.suppress(OSError, urllib.error.URLError, ValueError):
            if answer := question():
                return answer
        time.sleep(every_s)
    raise AssertionError(f"not within {patience_s} s")


def get(url: str) -> tuple[int, bytes]:
    """Status and body of a GET."""
    try:
        with urllib.request.urlopen(url, timeout=20) as reply:
            return reply.status, reply.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


class PortalHome:
    """Everything of one portal under one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.processes: list[subprocess.Popen[str]] = []
        keep = {
            k: v
            for k, v in os.environ.items()
            if k not in ("DATABASE_URL", "ANTHROPIC_API_KEY", "TEST_DATABASE_URL")
        }
        self.env = {**keep, "VAR_DIR": str(folder), "PYTHONUNBUFFERED": "1", "NO_PROXY": "*"}
        self.hand: subprocess.Popen[str] | None = None
        self.provider_port = self.gateway_port = 0
        self.log = open(folder / "processes.log", "ab")

    # --- processes ---

    def start(self, *words: str, **options: Any) -> subprocess.Popen[str]:
        """A Python process of this portal."""
        child = subprocess.Popen(
            [sys.executable, *words],
            env=self.env,
            cwd=ROOT,
            text=True,
            **{"stdout": self.log, "stderr": self.log, **options},
        )
        self.processes.append(child)
        return child

    def start_provider(self, *words: str) -> None:
        """The stub of a provider."""
        self.provider_port = free_port()
        child = self.start(
            "-m",
            "deployments.gateway.testing.provider",
            "--port",
            str(self.provider_port),
            *words,
            stdout=subprocess.PIPE,
        )
        assert child.stdout is not None and child.stdout.readline().startswith("ready")

    def provider(self) -> dict[str, Any]:
        """What the provider saw."""
        return json.loads(get(f"http://127.0.0.1:{self.provider_port}/seen")[1])

    def start_hand(self) -> None:
        """Somebody who calls services."""
        self.hand = self.start("-c", HAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.hand.stdout is not None and self.hand.stdout.readline().strip() == "ready"

    def do(self, code: str) -> Any:
        """Run code with the portal's services at hand; the value of its variable `answer`."""
        assert self.hand is not None and self.hand.stdin is not None and self.hand.stdout is not None
        self.hand.stdin.write(json.dumps(code) + "\n")
        self.hand.stdin.flush()
        reply = json.loads(self.hand.stdout.readline())
        assert "error" not in reply, reply["error"]
        return reply["ok"]

    def seed(self) -> str:
        """A team, a use case, a version of the stub and an endpoint called triage; the token that opens it."""
        return self.do(
            f"""
user = User.objects.create_user("ana@example.org", "correct horse battery")
team = create_team(actor=user, name="Support")
use_case = create_use_case(actor=user, team=team, name="Triage", task_kind="write")
stub = Connection(team=team, name="Stub", base_url="http://127.0.0.1:{self.provider_port}")
stub.key_ciphertext = seal("sk-planted", host=stub.host)
stub.save()
v1 = version("fine", stub, use_case)
endpoint = services.create_endpoint(actor=user, use_case=use_case, slug="triage", version=v1)
answer = services.issue_gateway_token(actor=user, endpoint=endpoint, name="test")[1]
"""
        )

    def start_gateway(self, *, port: int = 0, wait: bool = True) -> subprocess.Popen[str]:
        """The gateway, ready to serve."""
        self.gateway_port = port or self.gateway_port or free_port()
        child = self.start("-m", "deployments.gateway", "--port", str(self.gateway_port))
        if wait:
            wait_for(lambda: get(self.url("/readyz"))[0] == 200)
        return child

    def url(self, path: str) -> str:
        """An address at the gateway."""
        return f"http://127.0.0.1:{self.gateway_port}{path}"

    def end(self, child: subprocess.Popen[str], number: int = signal.SIGTERM, patience_s: float = 40) -> int:
        """Send a signal and wait for the end; the exit status."""
        child.send_signal(number)
        return child.wait(patience_s)

    def stop(self) -> None:
        """End whatever still runs."""
        for child in reversed(self.processes):
            if child.poll() is None:
                child.terminate()
        for child in self.processes:
            try:
                child.wait(10)
            except subprocess.TimeoutExpired:
                child.kill()
        self.log.close()

    # --- the database ---

    @property
    def database(self) -> Path:
        return self.folder / "portal.sqlite3"

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Rows of a query, read from outside."""
        with contextlib.closing(sqlite3.connect(self.database, timeout=10)) as db:
            return db.execute(query).fetchall()

    @contextlib.contextmanager
    def database_away(self):
        """The database is gone: a folder stands where its file was."""
        away = self.folder / "away"
        away.mkdir()
        for file in self.folder.glob("portal.sqlite3*"):
            shutil.move(file, away / file.name)
        self.database.mkdir()
        try:
            yield
        finally:
            self.database.rmdir()
            for file in away.iterdir():
                shutil.move(file, self.folder / file.name)
            away.rmdir()


def prepare(folder: Path) -> None:
    """A migrated database and secrets in an empty folder."""
    kept = ROOT / ".tools" / f"test-schema-{conftest._schema_digest()}.sqlite3"
    if kept.exists():
        # What migrating an empty file made before: 10 s of CPU less.
        shutil.copy(kept, folder / "portal.sqlite3")
        return
    keep = {k: v for k, v in os.environ.items() if k not in ("DATABASE_URL", "TEST_DATABASE_URL")}
    env = {**keep, "VAR_DIR": str(folder), "LOG_LEVEL": "ERROR"}
    subprocess.run([sys.executable, "manage.py", "migrate", "-v0"], cwd=ROOT, env=env, check=True)
