"""A provider of messages for tests and measurements: raw asyncio, fast, and wrong in every way it is asked to be.

The model's name decides: "fine" answers, "cut", "drip", "silent", "hang", "nonsense", "html", "reset", "http-500" and the
like do what they say. `python -m deployments.gateway.testing.provider --port N` runs it alone; GET /seen tells what came.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import time
from typing import Any

FLOOD_BYTES = 8_000_000
# Many floods at once wait for who reads them.
FLOOD_WAITING_BYTES = 1_000_000
WORDS = "the refund was sent to your account and arrives within three days thank you".split()


class Provider:
    """The state of one stub: what it saw, and how long it thinks."""

    def __init__(
        self, *, latency_s: float = 0.0, pieces: int = 5, gap_s: float = 0.0, keep: int = 200
    ) -> None:
        self.latency_s, self.pieces, self.gap_s, self.keep = latency_s, pieces, gap_s, keep
        self.seen: list[dict[str, Any]] = []
        self.n_requests = 0
        self.n_dropped = 0
        self.open_connections = 0
        self.server: asyncio.Server | None = None
        # Switched on, everything fails: a provider that goes down in the middle of a day.
        self.is_down = False

    async def start(self, port: int = 0) -> int:
        """Listen on loopback; the port."""
        loop = asyncio.get_running_loop()
        self.server = await loop.create_server(lambda: Connection(self), "127.0.0.1", port, backlog=1024)
        return self.server.sockets[0].getsockname()[1]

    def stop(self) -> None:
        """Listen no longer."""
        if self.server is not None:
            self.server.close()

    def counts(self) -> dict[str, Any]:
        """What the tests ask for over HTTP."""
        return {
            "requests": self.n_requests,
            "dropped": self.n_dropped,
            "open": self.open_connections,
            "seen": self.seen[-self.keep :],
        }


class Connection(asyncio.Protocol):
    """One connection with one request at a time."""

    def __init__(self, provider: Provider) -> None:
        self.provider = provider
        self.buffer = b""
        self.transport: asyncio.Transport | None = None
        self.task: asyncio.Task[None] | None = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.provider.open_connections += 1

    def connection_lost(self, exc: Exception | None) -> None:
        self.provider.open_connections -= 1
        if self.task is not None and not self.task.done():
            self.provider.n_dropped += 1
            self.task.cancel()

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head, found, rest = self.buffer.partition(b"\r\n\r\n")
        if not found:
            return
        lines = head.decode("latin-1").split("\r\n")
        headers = {n.lower(): v.strip() for n, _, v in (line.partition(":") for line in lines[1:])}
        size = int(headers.get("content-length", "0"))
        if len(rest) < size:
            return
        self.buffer = rest[size:]
        method, path, _ = lines[0].split(" ", 2)
        self.task = asyncio.get_running_loop().create_task(self.serve(method, path, headers, rest[:size]))

    async def serve(self, method: str, path: str, headers: dict[str, str], raw: bytes) -> None:
        """Answer one request as its model wants it."""
        provider = self.provider
        if method == "GET":
            self.json(200, provider.counts())
            return
        if path == "/down":
            provider.is_down = json.loads(raw or b"true")
            self.json(200, {})
            return
        body = json.loads(raw)
        provider.n_requests += 1
        provider.seen.append({"path": path, "headers": headers, "body": body})
        del provider.seen[: -provider.keep]
        if provider.is_down:
            self.json(529, {"type": "error", "error": {"type": "overloaded_error", "message": "down"}})
            return
        if provider.latency_s:
            await asyncio.sleep(provider.latency_s)
        await self.behave(str(body.get("model")), body)

    async def behave(self, model: str, body: dict[str, Any]) -> None:
        """The answer, good or bad."""
        assert self.transport is not None
        if model.startswith("http-"):
            status = int(model[5:])
            error = {"type": "error", "error": {"type": "api_error", "message": f"asked for {status}"}}
            self.json(status, error, {"retry-after": "7"} if status == 429 else {})
        elif model == "hang":
            await asyncio.sleep(3600)
        elif model == "reset":
            self.transport.abort()
        elif model == "nonsense":
            self.json(200, {"hello": "world"})
        elif model == "html":
            self.raw(200, "text/html", b"<h1>Bad gateway</h1>")
        elif model == "not-json":
            self.raw(200, "application/json", b'{"type": "message", "content": [')
        elif model == "short":
            self.transport.write(
                b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 999\r\n\r\n{"
            )
            self.transport.close()
        elif model == "redirect":
            self.raw(302, "text/plain", b"", {"location": "http://127.0.0.1:9/v1/messages"})
        elif model == "drip":
            self.transport.write(
                b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 900\r\n\r\n"
            )
            for _ in range(900):
                self.transport.write(b" ")
                await asyncio.sleep(0.1)
        elif body.get("stream"):
            await self.stream(model, body)
        else:
            self.json(200, self.message(body, self.text(body)))

    def text(self, body: dict[str, Any]) -> str:
        """An answer that depends on the request alone."""
        asked = json.dumps([body.get("model"), body.get("system"), body.get("messages")], sort_keys=True)
        number = int.from_bytes(hashlib.sha256(asked.encode()).digest()[:4], "big")
        return " ".join(WORDS[(number + i * 7) % len(WORDS)] for i in range(10 + number % 10))

    def message(self, body: dict[str, Any], text: str) -> dict[str, Any]:
        """The answer as one value."""
        usage = {"input_tokens": 1 + len(json.dumps(body)) // 4, "output_tokens": len(text.split())}
        return {
            "id": "msg_stub",
            "type": "message",
            "role": "assistant",
            "model": body.get("model"),
            "content": [{"type": "text", "text": text}],
            "stop_reason": "end_turn",
            "stop_sequence": None,
            "usage": {**usage, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0},
        }

    async def stream(self, model: str, body: dict[str, Any]) -> None:
        """The answer as events; "cut", "silent", "unfinished" and "error-event" stop in the middle, "flood" is long."""
        assert self.transport is not None
        write = self.transport.write
        write(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\nrequest-id: req_stub\r\n"
            b"transfer-encoding: chunked\r\n\r\n"
        )

        def event(kind: str, **fields: Any) -> None:
            data = f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode()
            write(b"%x\r\n%b\r\n" % (len(data), data))

        if model == "error-first":
            event("error", error={"type": "overloaded_error", "message": "Overloaded"})
            write(b"0\r\n\r\n")
            return
        whole = self.message(body, self.text(body))
        usage = whole["usage"]
        event(
            "message_start",
            message={**whole, "content": [], "stop_reason": None, "usage": {**usage, "output_tokens": 1}},
        )
        event("content_block_start", index=0, content_block={"type": "text", "text": ""})
        if model == "flood":
            for _ in range(FLOOD_BYTES // 16_384):
                event("content_block_delta", index=0, delta={"type": "text_delta", "text": "x" * 16_384})
                await asyncio.sleep(0)
                while self.transport.get_write_buffer_size() > FLOOD_WAITING_BYTES:
                    await asyncio.sleep(0.001)
        words = whole["content"][0]["text"].split(" ")
        size = max(1, -(-len(words) // self.provider.pieces))
        for at in range(0, len(words), size):
            if gap_s := 0.4 if model == "slow" else self.provider.gap_s:
                await asyncio.sleep(gap_s)
            piece = (" " if at else "") + " ".join(words[at : at + size])
            event("content_block_delta", index=0, delta={"type": "text_delta", "text": piece})
            if at:
                if model == "cut":
                    await asyncio.sleep(0.01)
                    self.transport.abort()
                    return
                if model == "silent":
                    await asyncio.sleep(3600)
                if model == "unfinished":
                    write(b"0\r\n\r\n")
                    return
                if model == "error-event":
                    event("error", error={"type": "overloaded_error", "message": "Overloaded"})
                    write(b"0\r\n\r\n")
                    return
        event("content_block_stop", index=0)
        event(
            "message_delta",
            delta={"stop_reason": "end_turn", "stop_sequence": None},
            usage={"output_tokens": usage["output_tokens"]},
        )
        event("message_stop")
        write(b"0\r\n\r\n")

    def json(self, status: int, value: Any, headers: dict[str, str] | None = None) -> None:
        """One whole JSON reply."""
        self.raw(status, "application/json", json.dumps(value).encode(), headers)

    def raw(self, status: int, kind: str, data: bytes, headers: dict[str, str] | None = None) -> None:
        """One whole reply."""
        assert self.transport is not None
        more = "".join(f"{n}: {v}\r\n" for n, v in (headers or {}).items())
        head = (
            f"HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\nrequest-id: req_stub\r\nset-cookie: a=b\r\n{more}"
            f"content-length: {len(data)}\r\n\r\n"
        )
        self.transport.write(head.encode() + data)


async def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--latency-ms", type=float, default=0)
    parser.add_argument("--gap-ms", type=float, default=0)
    parser.add_argument("--pieces", type=int, default=5)
    chosen = parser.parse_args()
    provider = Provider(
        latency_s=chosen.latency_ms / 1000, gap_s=chosen.gap_ms / 1000, pieces=chosen.pieces, keep=20
    )
    await provider.start(chosen.port)
    print(f"ready {time.time()}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
