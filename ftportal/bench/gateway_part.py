"""What the gateway adds to a request: processor time, latency, first byte, memory, each beside the floor in the same run.

Floor and gateway are measured in short turns, and each figure is the median over the pairs of turns: a machine that is
busy for a while is busy for both, and one bad turn moves no median. At a steady pace a request's time counts from when
it was due, so a slow answer cannot hide those that had to wait for it.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import django

ROUNDS = 7
CLOSED_REQUESTS = 500
CONNECTIONS = 20
OPEN_RATE = 100
OPEN_SECONDS = 3
UPSTREAM_MS = 20
BODY = {
    "model": "bench",
    "max_tokens": 300,
    "metadata": {"user_id": "somebody"},
    "messages": [
        {"role": "user", "content": "Where is my parcel? It was due on Monday and nobody called. " * 5}
    ],
}


@dataclass(frozen=True, slots=True)
class Server:
    """One of the two things compared."""

    name: str
    port: int
    path: str
    token: str
    pid: int

    def cpu_s(self) -> float:
        """Processor time the process used so far, with all its threads."""
        # Nanoseconds of each thread; the process's own figure moves in steps of 10 ms.
        tasks = Path(f"/proc/{self.pid}/task").glob("*/schedstat")
        return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9

    def rss_mb(self) -> float:
        """Memory the process holds now."""
        text = Path(f"/proc/{self.pid}/status").read_text()
        return int(text.split("VmRSS:")[1].split()[0]) / 1024

    def request(self, *, stream: bool) -> bytes:
        """The bytes of one request."""
        raw = json.dumps({**BODY, "stream": True} if stream else BODY).encode()
        head = (
            f"POST {self.path} HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\n"
            f"authorization: Bearer {self.token}\r\ncontent-length: {len(raw)}\r\n\r\n"
        )
        return head.encode() + raw


class Link:
    """One kept connection. `ask` gives (seconds to the first byte of the body, seconds to the last)."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.reader: asyncio.StreamReader | None = None
        self.writer: asyncio.StreamWriter | None = None

    async def ask(self, raw: bytes) -> tuple[float, float]:
        """One request and its whole answer."""
        if self.writer is None:
            self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.server.port)
        assert self.reader is not None
        began = time.perf_counter()
        self.writer.write(raw)
        head = await self.reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), head[:200]
        lower = head.lower()
        if b"content-length:" in lower:
            size = int(lower.split(b"content-length:")[1].split(b"\r\n")[0])
            await self.reader.readexactly(size)
            now = time.perf_counter() - began
            return now, now
        first = 0.0
        while True:
            size = int(await self.reader.readuntil(b"\r\n"), 16)
            await self.reader.readexactly(size + 2)
            first = first or time.perf_counter() - began
            if size == 0:
                return first, time.perf_counter() - began

    def close(self) -> None:
        """Hang up."""
        if self.writer is not None:
            self.writer.close()


async def closed_loop(server: Server, n: int, *, stream: bool) -> float:
    """Seconds for `n` requests over a fixed number of connections."""
    raw, left = server.request(stream=stream), iter(range(n))
    links = [Link(server) for _ in range(CONNECTIONS)]

    async def worker(link: Link) -> None:
        for _ in left:
            await link.ask(raw)

    began = time.perf_counter()
    await asyncio.gather(*(worker(link) for link in links))
    for link in links:
        link.close()
    return time.perf_counter() - began


async def open_loop(
    server: Server, *, rate: float, seconds: float, stream: bool
) -> list[tuple[float, float]]:
    """Times of requests sent at a steady pace, whether answers come or not, from when each was due."""
    raw, idle, found = server.request(stream=stream), [], []
    tasks: set[asyncio.Task[None]] = set()

    async def one(due: float) -> None:
        link = idle.pop() if idle else Link(server)
        late = time.perf_counter() - due
        first, last = await link.ask(raw)
        idle.append(link)
        found.append((late + first, late + last))

    began = time.perf_counter()
    for number in range(int(rate * seconds)):
        due = began + number / rate
        if (wait := due - time.perf_counter()) > 0:
            await asyncio.sleep(wait)
        task = asyncio.create_task(one(due))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    await asyncio.gather(*tasks)
    for link in idle:
        link.close()
    return found


def quantile(values: list[float], share: float) -> float:
    """The value below which `share` of them lie, in milliseconds."""
    ordered = sorted(values)
    return 1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def process(*words: str, **env: str) -> Iterator[subprocess.Popen[bytes]]:
    """A Python process that ends with the block."""
    child = subprocess.Popen([sys.executable, *words], env={**os.environ, **env})
    try:
        yield child
    finally:
        child.terminate()
        child.wait(40)


def wait_for_port(port: int, path: str = "") -> None:
    """Return once the port answers (the path with 200, when one is given)."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            if not path:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                return
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=2) as reply:
                if reply.status == 200:
                    return
        except OSError:
            pass
        time.sleep(0.1)
    raise SystemExit(f"nothing answers on port {port}")


def seed(provider_port: int) -> str:
    """An endpoint called bench that asks the stub; its token."""
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    from decisions.services import create_use_case
    from deployments import services
    from evaluations.models import Candidate
    from foundation.llm.models import Connection
    from foundation.llm.vault import seal
    from foundation.teams.models import User
    from foundation.teams.services import create_team

    user = User.objects.create_user("bench@example.org", "correct horse battery")
    team = create_team(actor=user, name="Bench")
    use_case = create_use_case(actor=user, team=team, name="Bench", task_kind="write")
    stub = Connection(team=team, name="Stub", base_url=f"http://127.0.0.1:{provider_port}")
    stub.key_ciphertext = seal("sk-bench", host=stub.host)
    stub.save()
    candidate = Candidate.objects.create(
        team=team,
        use_case=use_case,
        name="Bench",
        kind="prompt",
        model_id="claude-haiku-5-5",
        connection=stub,
        system="Answer in one sentence.",
        digest="0" * 64,
    )
    version = services.register_version(actor=user, use_case=use_case, candidate=candidate)
    endpoint = services.create_endpoint(
        actor=user, use_case=use_case, slug="bench", version=version, max_in_flight=2000
    )
    return services.issue_gateway_token(actor=user, endpoint=endpoint, name="bench")[1]


def drained(port: int) -> None:
    """Return once every prediction is written: that time belongs to the request too."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as reply:
            if b"record_waiting 0\n" in reply.read():
                time.sleep(0.3)
                return
        time.sleep(0.1)


def line(name: str, floor: float, ours: float, unit: str, promise: str, kept: bool | None) -> None:
    """One figure; `kept` None promises nothing."""
    word = "" if kept is None else ": kept" if kept else ": BROKEN"
    print(
        f"  {name:<34} floor {floor:8.3f} {unit}   gateway {ours:8.3f} {unit}   {promise}{word}", flush=True
    )


def closed_turns(servers: Sequence[Server], n: int, *, stream: bool) -> dict[str, list[tuple[float, float]]]:
    """By server, of each turn: CPU milliseconds a request, writing it down included, and requests a second."""
    found: dict[str, list[tuple[float, float]]] = {server.name: [] for server in servers}
    for _ in range(ROUNDS):
        for server in servers:
            before = server.cpu_s()
            took = asyncio.run(closed_loop(server, n, stream=stream))
            if server.name != "floor":
                drained(server.port)
            found[server.name].append((1000 * (server.cpu_s() - before) / n, n / took))
    return found


def open_turns(servers: Sequence[Server], *, stream: bool) -> dict[str, list[list[tuple[float, float]]]]:
    """By server, of each turn: the times of its requests at the steady pace."""
    found: dict[str, list[list[tuple[float, float]]]] = {server.name: [] for server in servers}
    for _ in range(ROUNDS):
        for server in servers:
            times = asyncio.run(open_loop(server, rate=OPEN_RATE, seconds=OPEN_SECONDS, stream=stream))
            found[server.name].append(times)
    return found


def run(folder: str) -> None:
    """Measure and print."""
    django.setup()
    provider_port, floor_port, gateway_port = free_port(), free_port(), free_port()
    token = seed(provider_port)
    uvicorn = ("-m", "uvicorn", "ftportal.bench.gateway_floor:app", "--http", "httptools", "--no-access-log")
    with (
        process(
            *("-m", "deployments.gateway.testing.provider", "--port", str(provider_port)),
            *("--latency-ms", str(UPSTREAM_MS), "--pieces", "20"),
        ),
        process(
            *(*uvicorn, "--log-level", "warning", "--port", str(floor_port)),
            FLOOR_TARGET=f"http://127.0.0.1:{provider_port}/v1/messages",
            FLOOR_TOKEN=token,
        ) as floor_process,
        process("-m", "deployments.gateway", "--port", str(gateway_port)) as gateway_process,
    ):
        wait_for_port(provider_port)
        wait_for_port(floor_port)
        wait_for_port(gateway_port, "/readyz")
        floor = Server("floor", floor_port, "/v1/messages", token, floor_process.pid)
        ours = Server("gateway", gateway_port, "/bench/v1/messages", token, gateway_process.pid)
        time.sleep(1.5)  # the gateway reads its routes
        for server in (floor, ours):
            asyncio.run(closed_loop(server, 300, stream=False))
            asyncio.run(closed_loop(server, 100, stream=True))
        chat = Server("chat", gateway_port, "/bench/v1/chat/completions", token, gateway_process.pid)
        for stream, n in ((False, CLOSED_REQUESTS), (True, CLOSED_REQUESTS // 3)):
            found = closed_turns((floor, ours, chat), n, stream=stream)
            kind = "SSE, 20 events" if stream else "JSON"
            for server in (ours, chat):
                pairs = list(zip(found["floor"], found[server.name], strict=True))
                ratio = median(g[0] / f[0] for f, g in pairs)
                line(
                    f"CPU a request, {kind}" + (", chat" if server is chat else ""),
                    median(f[0] for f, _ in pairs),
                    median(g[0] for _, g in pairs),
                    "ms",
                    f"{ratio:.2f} x" + ("" if server is chat else " of at most 2.5"),
                    None if server is chat else ratio <= 2.5,
                )
            rates = {name: max(rate for _, rate in turns) for name, turns in found.items()}
            print(f"    best turn: {', '.join(f'{name} {rate:.0f}/s' for name, rate in rates.items())}")
        for stream in (False, True):
            times = open_turns((floor, ours), stream=stream)
            which = 0 if stream else 1
            what = "first SSE byte" if stream else "whole answer"
            for share, most in ((0.5, 1.5), (0.99, 8.0)):
                if stream and share > 0.5:
                    continue
                pairs = [
                    tuple(quantile([t[which] for t in turn], share) for turn in both)
                    for both in zip(times["floor"], times["gateway"], strict=True)
                ]
                added = median(g - f for f, g in pairs)
                line(
                    f"{what}, p{share * 100:.0f} at {OPEN_RATE}/s",
                    median(f for f, _ in pairs),
                    median(g for _, g in pairs),
                    "ms",
                    f"{added:+.2f} of at most +{most} ms",
                    added <= most,
                )
        memory = ours.rss_mb()
        line("memory", floor.rss_mb(), memory, "MB", "at most 140 MB", memory <= 140)
