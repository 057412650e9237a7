"""A gateway in the test's own event loop, spoken to through ASGI; no database, a provider on loopback."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import Any

from deployments.domain.routing import Split
from deployments.gateway.app import Gateway
from deployments.gateway.local import LocalModels
from deployments.gateway.recorder import row_of
from deployments.gateway.routes import Address, Routes, Version
from deployments.gateway.testing.provider import Provider
from deployments.services.endpoints import token_digest

TOKEN = "ftg_" + "a" * 8 + "_" + "b" * 32
QUESTION = {
    "model": "mine",
    "max_tokens": 50,
    "messages": [{"role": "user", "content": "Where is my parcel?"}],
}


def version(number: int, model: str = "fine", url: str = "", **changes: Any) -> Version:
    """One version; a provider's unless told otherwise."""
    fields = {
        "id": number,
        "label": f"v{number}",
        "provider": "anthropic",
        "model": model,
        "url": url,
        "headers": {
            "authorization": "Bearer sk-secret",
            "content-type": "application/json",
            "accept-encoding": "identity",
        },
    }
    return Version(**{**fields, **changes})


def address(**changes: Any) -> Address:
    """One endpoint called triage; split fields may be given too."""
    split = {"endpoint": "triage", "salt": b"salt", "baseline": 1}
    split |= {
        name: changes.pop(name)
        for name in ("baseline", "candidate", "share", "is_shadow", "is_on")
        if name in changes
    }
    fields: dict[str, Any] = {
        "id": 7,
        "team_id": 3,
        "slug": "triage",
        "split": Split(**split),
        "system_policy": "replace",
        "falls_back": True,
        "text_retention": "none",
        "text_share": 0.1,
        "text_days": 30,
        "timeout_s": 5.0,
        "max_in_flight": 100,
        "requests_per_minute": None,
        "has_budget": False,
    }
    return Address(**{**fields, **changes})


class Reply:
    """What a client saw."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = b""
        self.pieces: list[bytes] = []

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> str:
        return self.json["error"]["type"]


class Harness:
    """The gateway with its provider and everything it recorded."""

    def __init__(self, gateway: Gateway, provider: Provider, url: str) -> None:
        self.gateway, self.provider, self.url = gateway, provider, url
        self.entries: list[Any] = []

    def routes(self, versions: list[Version], place: Address | None = None, **changes: Any) -> None:
        """Serve these versions at triage."""
        place = place or address(**changes)
        self.gateway.routes = Routes(
            "e", 1, {place.slug: place}, {v.id: v for v in versions}, {token_digest(TOKEN): (place.id, None)}
        )

    def rows(self) -> list[dict[str, Any]]:
        """What the recorder would write."""
        return [
            e if isinstance(e, dict) else row_of(e, mask=lambda text: text.replace("@", "[at]"))
            for e in self.entries
        ]

    async def ask(
        self,
        body: Any = None,
        *,
        path: str = "/triage/v1/messages",
        method: str = "POST",
        token: str | None = TOKEN,
        headers: dict[str, str] | None = None,
        hang_up_after: float | None = None,
        query: bytes = b"",
        pieces: int = 1,
    ) -> Reply:
        """One request through ASGI."""
        reply = Reply()
        raw = body if isinstance(body, bytes) else json.dumps(QUESTION if body is None else body).encode()
        sent = {"content-length": str(len(raw)), **(headers or {})}
        if token is not None:
            sent.setdefault("authorization", f"Bearer {token}")
        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "query_string": query,
            "headers": [(n.lower().encode("latin-1"), v.encode("latin-1")) for n, v in sent.items()],
        }
        size = -(-len(raw) // pieces) or 1
        parts = [raw[i : i + size] for i in range(0, len(raw), size)] or [b""]
        over = asyncio.Event()

        async def receive() -> dict[str, Any]:
            if parts:
                part = parts.pop(0)
                return {"type": "http.request", "body": part, "more_body": bool(parts)}
            if hang_up_after is None:
                await over.wait()
            else:
                await asyncio.sleep(hang_up_after)
            return {"type": "http.disconnect"}

        async def send(event: dict[str, Any]) -> None:
            if event["type"] == "http.response.start":
                assert not reply.status, "a second answer"
                reply.status = event["status"]
                reply.headers = {n.decode(): v.decode() for n, v in event["headers"]}
            else:
                reply.pieces.append(event["body"])
                reply.body += event["body"]
                if not event.get("more_body"):
                    over.set()

        await self.gateway(scope, receive, send)
        await asyncio.sleep(0)
        return reply


@asynccontextmanager
async def harness(*, local: LocalModels | None = None, **provider: Any):
    """A gateway and its provider, open."""
    stub = Provider(**provider)
    port = await stub.start()
    entries: list[Any] = []
    gateway = Gateway(put=entries.append, local=local)
    await gateway.open()
    made = Harness(gateway, stub, f"http://127.0.0.1:{port}/v1/messages")
    made.entries = entries
    made.routes([version(1, url=made.url)])
    try:
        yield made
    finally:
        await gateway.close()
        stub.stop()


def run(coroutine_function, **options: Any) -> None:
    """Run `coroutine_function(harness)`."""

    async def inside() -> None:
        async with harness(**options) as made:
            async with asyncio.timeout(20):
                await coroutine_function(made)

    asyncio.run(inside())
