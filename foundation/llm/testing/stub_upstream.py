"""A model provider on loopback that speaks Claude's protocol: for tests, trials and the demo without a key.

    python -m foundation.llm.testing.stub_upstream --port 0 --latency-ms 5 --script faults

prints its address as one line. POST /v1/messages (JSON and SSE), POST /v1/messages/count_tokens, GET
/v1/models,
GET /stats, POST /script (a list of rules), POST /reset. Standard library only; it never leaves this machine.

A rule is {"fault": NAME} with at most one of "nth" (that call, from 1), "every" (each n-th call), "contains"
(a text in
the request), and "times" (how often it may strike). The first rule that strikes decides. Faults are listed
in FAULTS.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import threading
import urllib.request
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from foundation.llm.testing import stub_answers
from foundation.llm.testing.stub_batches import StubBatches

FAULTS: dict[str, str] = {
    "429": "rate limit without retry-after",
    "429-retry-after": "rate limit that names a wait (rule key seconds, 1)",
    "spend-limit": "429 that no retry can help",
    "400": "refused request",
    "401": "wrong key",
    "403": "key without rights",
    "404": "unknown model",
    "408": "upstream gave up",
    "409": "conflict",
    "413": "too large",
    "500": "upstream failed",
    "503": "unavailable",
    "529": "overloaded",
    "timeout": "nothing is ever answered",
    "reset": "connection closed before any header",
    "cut": "body ends in the middle",
    "malformed": "200 with a body that is no JSON",
    "bad-answer": "200 with an answer that is not the JSON asked for",
    "say": "200 with the text of rule key text",
    "no-stop-reason": "200 with an answer that never ended",
    "refusal": "200, the model declines",
    "max-tokens": "200, the answer was cut at its limit",
    "usage": "answers, and says it used rule keys input_tokens and output_tokens",
    "slow": "answers after rule key seconds (2)",
    "drip": "one byte a second",
    "sse-error": "200, then an error event",
    "sse-truncated": "200, the events stop early",
}
PRESETS: dict[str, list[dict[str, Any]]] = {
    "none": [],
    # What a bad afternoon looks like: all of it is survived by retries, save one refusal and one broken
    # verdict.
    "faults": [
        {"every": 17, "fault": "429-retry-after", "seconds": 0.2},
        {"every": 23, "fault": "529"},
        {"every": 29, "fault": "500"},
        {"every": 31, "fault": "bad-answer"},
        {"every": 37, "fault": "cut"},
        {"every": 41, "fault": "refusal"},
        {"every": 43, "fault": "429"},
    ],
}
_STATUSES: dict[str, tuple[int, str]] = {
    "429": (429, "rate_limit_error"),
    "429-retry-after": (429, "rate_limit_error"),
    "spend-limit": (429, "rate_limit_error"),
    "400": (400, "invalid_request_error"),
    "401": (401, "authentication_error"),
    "403": (403, "permission_error"),
    "404": (404, "not_found_error"),
    "408": (408, "timeout_error"),
    "409": (409, "conflict_error"),
    "413": (413, "invalid_request_error"),
    "500": (500, "api_error"),
    "503": (503, "api_error"),
    "529": (529, "overloaded_error"),
}
MODELS = (
    ("claude-haiku-5-5", "Claude Haiku 5.5"),
    ("claude-sonnet-5-5", "Claude Sonnet 5.5"),
    ("claude-opus-5-5", "Claude Opus 5.5"),
    ("claude-fable-5-2", "Claude Fable 5.2"),
)
MAX_BODY_BYTES = 32 * 1024 * 1024
SILENCE_S = 3600.0


class Hangup(Exception):
    """Close the connection without another byte."""


@dataclass
class Stub:
    """The provider's state and its answers; one object a server."""

    latency_ms: float = 0.0
    script: list[dict[str, Any]] = field(default_factory=list)
    key: str = ""
    calls: int = 0
    now_open: int = 0
    most_open: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    struck: Counter[int] = field(default_factory=Counter)
    journal: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=200))
    batches: StubBatches = field(default_factory=StubBatches)

    def reset(self) -> None:
        """Forget all calls; rules may strike again."""
        self.calls = self.most_open = 0
        self.counts.clear()
        self.struck.clear()
        self.journal.clear()

    def stats(self) -> dict[str, Any]:
        """What was asked and answered so far."""
        return {
            "calls": self.calls,
            "open": self.now_open,
            "most_open": self.most_open,
            "counts": dict(self.counts),
            "journal": list(self.journal),
            "batches": self.batches.submitted,
        }

    def fault_for(self, call: int, raw: bytes) -> dict[str, Any] | None:
        """The first rule that strikes this call, or None."""
        for position, rule in enumerate(self.script):
            if "nth" in rule and call != rule["nth"]:
                continue
            if "every" in rule and call % rule["every"]:
                continue
            if "contains" in rule and str(rule["contains"]).encode() not in raw:
                continue
            if self.struck[position] >= rule.get("times", float("inf")):
                continue
            self.struck[position] += 1
            return rule
        return None

    # --- the wire
    # -------------------------------------------------------------------------------------------------

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, kept alive until the client leaves."""
        try:
            while (request := await _read(reader)) is not None:
                await self._respond(request, writer)
        except (Hangup, ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError):
            pass
        except asyncio.CancelledError:
            pass
        finally:
            writer.transport.abort() if writer.transport.is_closing() else writer.close()

    async def _respond(self, request: _Asked, writer: asyncio.StreamWriter) -> None:
        route = (request.method, request.path)
        if route == ("POST", "/v1/messages"):
            self.calls += 1
            self.now_open += 1
            self.most_open = max(self.most_open, self.now_open)
            try:
                await self._message(request, writer, self.calls)
            finally:
                self.now_open -= 1
        elif request.path.startswith("/v1/messages/batches"):
            await self._batches(request, writer)
        elif route == ("POST", "/v1/messages/count_tokens"):
            body = _json(request.body)
            if (refusal := self._refusal(request, body)) is not None:
                await self._error(writer, *refusal)
            else:
                await _send(writer, 200, {"input_tokens": _prompt_tokens(request.body)})
        elif request.method == "GET" and request.path == "/v1/models":
            if (refusal := self._refusal(request, {"model": "claude-"})) is not None:
                await self._error(writer, *refusal)
            else:
                await _send(writer, 200, _model_list())
        elif route == ("GET", "/stats"):
            await _send(writer, 200, self.stats())
        elif route == ("POST", "/script"):
            self.script = checked_script(json.loads(request.body))
            self.struck.clear()
            await _send(writer, 200, {"rules": len(self.script)})
        elif route == ("POST", "/reset"):
            self.reset()
            await _send(writer, 200, {})
        else:
            await self._error(writer, 404, "not_found_error", "There is nothing at this address.")

    async def _batches(self, request: _Asked, writer: asyncio.StreamWriter) -> None:
        """The message batches: create, list, retrieve, results, cancel. Rules of the script strike each question."""
        if (refusal := self._refusal(request, {"model": "claude-"})) is not None:
            await self._error(writer, *refusal)
            return
        base = f"http://{request.headers.get('host', '')}"
        _, _, name, what = (request.path.removeprefix("/v1") + "//").split("/", 5)[1:5]
        if request.method == "POST" and not name:
            rule = self.fault_for(self.batches.submitted + 1, b"batch:create") or {}
            fault = str(rule.get("fault", ""))
            if fault in _STATUSES:
                await self._error(writer, *_STATUSES[fault], FAULTS[fault])
                return
            made = self.batches.create(_json(request.body))
            if isinstance(made, str):
                await self._error(writer, 400, "invalid_request_error", made)
                return
            if fault == "reset":  # it was made, and nobody will hear of it
                writer.transport.abort()
                raise Hangup
            await _send(writer, 200, made)
        elif request.method == "GET" and not name:
            data = [self.batches.shown(one, base) for one in reversed(self.batches.batches)]
            await _send(writer, 200, {"data": data, "has_more": False, "first_id": None, "last_id": None})
        elif name not in self.batches.batches:
            await self._error(writer, 404, "not_found_error", "There is no such batch.")
        elif what == "results":
            found = self.batches.results(
                name,
                lambda body, number, fault: message(body, json.dumps(body).encode(), number, fault),
                lambda raw: str((self.fault_for(0, raw) or {}).get("fault", "")),
            )
            await _send_bytes(writer, 200, found, {"content-type": "application/x-jsonl"})
        elif what == "cancel":
            await _send(writer, 200, self.batches.cancel(name, base))
        else:
            await _send(writer, 200, self.batches.look(name, base))

    def _refusal(self, request: _Asked, body: Any) -> tuple[int, str, str] | None:
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        given = given or request.headers.get("x-api-key", "")
        if not given or given.startswith("sk-wrong") or (self.key and given != self.key):
            return 401, "authentication_error", "invalid bearer token"
        if not isinstance(body, dict):
            return 400, "invalid_request_error", "the body is not a JSON object"
        if not str(body.get("model", "")).startswith("claude-"):
            return 404, "not_found_error", "model not found"
        newest = request.headers.get("anthropic-version", "") >= "2026-10-21"
        if newest and (refused := {"temperature", "top_p", "top_k"} & set(body)):
            return 400, "invalid_request_error", f"{sorted(refused)[0]}: not accepted by this version"
        return None

    async def _message(self, request: _Asked, writer: asyncio.StreamWriter, call: int) -> None:
        body = _json(request.body)
        if (refusal := self._refusal(request, body)) is not None:
            await self._error(writer, *refusal)
            return
        rule = self.fault_for(call, request.body) or {}
        fault = str(rule.get("fault", ""))
        self.counts[fault or "ok"] += 1
        self.journal.append({"call": call, "model": body["model"], "fault": fault, "keys": sorted(body)})
        if self.latency_ms:
            await asyncio.sleep(self.latency_ms / 1000)
        if fault in _STATUSES:
            status, kind = _STATUSES[fault]
            headers = {"retry-after": str(rule.get("seconds", 1))} if fault == "429-retry-after" else {}
            details = {"error_code": "enforced_spend_limit_reached"} if fault == "spend-limit" else None
            await self._error(writer, status, kind, FAULTS[fault], details=details, headers=headers)
            return
        if fault == "timeout":
            await asyncio.sleep(SILENCE_S)
        if fault == "reset":
            writer.transport.abort()
            raise Hangup
        if fault == "slow":
            await asyncio.sleep(float(rule.get("seconds", 2)))
        reply = message(body, request.body, call, fault)
        if fault == "say":
            reply["content"] = [{"type": "text", "text": str(rule.get("text", ""))}]
        if fault == "usage":
            reply["usage"] |= {k: rule[k] for k in ("input_tokens", "output_tokens") if k in rule}
        if body.get("stream"):
            await self._events(writer, reply, fault)
            return
        if fault == "malformed":
            headers = {"content-type": "application/json"}
            await _send_bytes(writer, 200, b"<html>upstream said what?</html>", headers)
            return
        payload = json.dumps(reply).encode()
        head = _head(200, len(payload), {"content-type": "application/json", "request-id": reply["id"]})
        if fault == "cut":
            writer.write(head + payload[: len(payload) // 2])
            await writer.drain()
            raise Hangup
        if fault == "drip":
            writer.write(head)
            for byte in payload:
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(1)
            return
        writer.write(head + payload)
        await writer.drain()

    async def _events(self, writer: asyncio.StreamWriter, reply: dict[str, Any], fault: str) -> None:
        headers = {"content-type": "text/event-stream", "transfer-encoding": "chunked"}
        writer.write(_head(200, None, {**headers, "request-id": reply["id"]}))
        text = reply["content"][0]["text"] if reply["content"] else ""
        start = {**reply, "content": [], "stop_reason": None, "usage": {**reply["usage"], "output_tokens": 1}}
        await _event(writer, {"type": "message_start", "message": start})
        if fault == "sse-error":
            error = {"type": "overloaded_error", "message": "overloaded"}
            await _event(writer, {"type": "error", "error": error})
        else:
            await _event(
                writer,
                {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
            )
            pieces = [text[i : i + 12] for i in range(0, len(text), 12)] or [""]
            for piece in pieces[: len(pieces) // 2] if fault in ("sse-truncated", "cut") else pieces:
                delta = {"type": "text_delta", "text": piece}
                await _event(writer, {"type": "content_block_delta", "index": 0, "delta": delta})
            if fault == "cut":
                raise Hangup
            if fault != "sse-truncated":
                await _event(writer, {"type": "content_block_stop", "index": 0})
                await _event(
                    writer,
                    {
                        "type": "message_delta",
                        "delta": {"stop_reason": reply["stop_reason"], "stop_sequence": None},
                        "usage": {"output_tokens": reply["usage"]["output_tokens"]},
                    },
                )
                await _event(writer, {"type": "message_stop"})
        writer.write(b"0\r\n\r\n")
        await writer.drain()

    async def _error(
        self,
        writer: asyncio.StreamWriter,
        status: int,
        kind: str,
        text: str,
        *,
        details: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.counts[f"status {status}"] += 1
        inner = {"type": kind, "message": text, **({"details": dict(details)} if details else {})}
        request_id = f"req_stub_{self.calls:06d}"
        body = {"type": "error", "error": inner, "request_id": request_id}
        await _send(writer, status, body, {"request-id": request_id, **(headers or {})})


def message(body: Mapping[str, Any], raw: bytes, call: int, fault: str) -> dict[str, Any]:
    """The Message object that answers one request."""
    text, stop_reason = stub_answers.answer_text(body), "end_turn"
    if fault == "refusal":
        text, stop_reason = "", "refusal"
    elif fault == "bad-answer":
        text = "Thought process: I would say it is rather good. " + text[: len(text) // 2]
    elif fault == "max-tokens":
        text, stop_reason = text[: max(1, len(text) // 2)], "max_tokens"
    output_tokens = max(1, -(-len(text.encode()) // 4))
    if output_tokens > int(body.get("max_tokens", 1)):
        output_tokens, stop_reason = int(body["max_tokens"]), "max_tokens"
        text = text.encode()[: output_tokens * 4].decode("utf-8", "ignore")
    return {
        "id": f"req_stub_{call:06d}",
        "type": "message",
        "role": "assistant",
        "model": body["model"],
        "content": [{"type": "text", "text": text}] if text else [],
        "stop_reason": None if fault == "no-stop-reason" else stop_reason,
        "stop_sequence": None,
        "usage": {
            "input_tokens": _prompt_tokens(raw),
            "output_tokens": output_tokens,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
        },
    }


def checked_script(rules: Any) -> list[dict[str, Any]]:
    """The rules, or ValueError with what is wrong."""
    if not isinstance(rules, list) or not all(isinstance(r, dict) for r in rules):
        raise ValueError("A script is a list of rules.")
    for rule in rules:
        if rule.get("fault") not in FAULTS:
            raise ValueError(f"Unknown fault {rule.get('fault')!r}. Known: {', '.join(FAULTS)}.")
    return list(rules)


def script_named(name: str) -> list[dict[str, Any]]:
    """The rules of a preset, of a JSON file, or given as JSON."""
    if name in PRESETS:
        return PRESETS[name]
    text = name if name.lstrip().startswith("[") else Path(name).read_text()
    return checked_script(json.loads(text))


@dataclass(frozen=True, slots=True)
class _Asked:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


async def _read(reader: asyncio.StreamReader) -> _Asked | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    lines = head.decode("latin-1").split("\r\n")
    method, target, _ = lines[0].split(" ", 2)
    headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines[1:] if line)}
    size = int(headers.get("content-length", 0))
    if size > MAX_BODY_BYTES:
        raise ValueError("body too large")
    if headers.get("transfer-encoding", "").lower() == "chunked":
        body = await _read_chunks(reader)
    else:
        body = await reader.readexactly(size) if size else b""
    return _Asked(method, target.split("?")[0], headers, body)


async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
    parts = []
    while size := int((await reader.readline()).strip() or b"0", 16):
        parts.append(await reader.readexactly(size))
        await reader.readline()
    await reader.readline()
    return b"".join(parts)


def _json(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        return None


def _prompt_tokens(raw: bytes) -> int:
    return max(1, -(-len(raw) // 5))


def _model_list() -> dict[str, Any]:
    data = [
        {
            "type": "model",
            "id": i,
            "display_name": n,
            "created_at": "2026-01-01T00:00:00Z",
            "lifecycle": "active",
        }
        for i, n in MODELS
    ]
    return {"data": data, "has_more": False, "first_id": MODELS[0][0], "last_id": MODELS[-1][0]}


def _head(status: int, size: int | None, headers: Mapping[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} Stub", *(f"{k}: {v}" for k, v in headers.items())]
    if size is not None:
        lines.append(f"content-length: {size}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


async def _send(
    writer: asyncio.StreamWriter, status: int, body: Any, headers: Mapping[str, str] | None = None
) -> None:
    await _send_bytes(
        writer, status, json.dumps(body).encode(), {"content-type": "application/json", **(headers or {})}
    )


async def _send_bytes(
    writer: asyncio.StreamWriter, status: int, body: bytes, headers: Mapping[str, str]
) -> None:
    writer.write(_head(status, len(body), headers) + body)
    await writer.drain()


async def _event(writer: asyncio.StreamWriter, event: Mapping[str, Any]) -> None:
    data = f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()
    writer.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
    await writer.drain()


class StubUpstream:
    """The stub in a thread of this process: `with StubUpstream(script=[...]) as stub: stub.url`."""

    def __init__(
        self, *, latency_ms: float = 0.0, script: Sequence[dict[str, Any]] = (), key: str = "", port: int = 0
    ) -> None:
        self.stub = Stub(latency_ms=latency_ms, script=checked_script(list(script)), key=key)
        self.port = port
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ready = threading.Event()
        self._stop: asyncio.Event | None = None
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._run()), name="stub-upstream", daemon=True
        )

    @property
    def url(self) -> str:
        """The address to use as base_url."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def calls(self) -> int:
        """Message calls seen so far."""
        return self.stub.calls

    def stats(self) -> dict[str, Any]:
        """What was asked and answered so far."""
        return self.stub.stats()

    async def _run(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self.stub.serve, "127.0.0.1", self.port, limit=1024 * 1024)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        server.close()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    def __enter__(self) -> StubUpstream:
        self._thread.start()
        if not self._ready.wait(10):
            raise RuntimeError("The stub did not start.")
        return self

    def __exit__(self, *exc: object) -> None:
        if self._loop is not None and self._stop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(5)


def stats_of(url: str) -> dict[str, Any]:
    """The stats of a stub that runs elsewhere."""
    with urllib.request.urlopen(f"{url}/stats", timeout=5) as reply:  # noqa: S310 - our own stub on loopback
        return json.load(reply)


async def _main(port: int, stub: Stub) -> None:
    server = await asyncio.start_server(stub.serve, "127.0.0.1", port, limit=1024 * 1024)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until stopped; the first line printed is the address."""
    parser = argparse.ArgumentParser(
        description="A model provider on loopback that speaks Claude's protocol."
    )
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--latency-ms", type=float, default=5.0)
    parser.add_argument("--script", default="none", help=f"{', '.join(PRESETS)}, a JSON file, or JSON")
    parser.add_argument("--key", default="", help="the only key that is accepted; any when left out")
    given = parser.parse_args(arguments)
    try:
        script = script_named(given.script)
    except (OSError, ValueError) as error:
        print(f"The script cannot be used: {error}", file=sys.stderr)
        return 2
    try:
        asyncio.run(_main(given.port, Stub(latency_ms=given.latency_ms, script=script, key=given.key)))
    except KeyboardInterrupt:
        return 0
    except OSError as error:
        print(f"Port {given.port} cannot be used: {error.strerror}.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
