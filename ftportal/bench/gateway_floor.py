"""The floor of a gateway: a bare ASGI pass-through that knows one token and writes nothing down."""

from __future__ import annotations

import os
from typing import Any

import aiohttp

TARGET = os.environ.get("FLOOR_TARGET", "")
TOKEN = os.environ.get("FLOOR_TOKEN", "").encode()
OUR_OWN = {b"transfer-encoding", b"connection", b"keep-alive", b"content-length", b"date", b"server"}
state: dict[str, aiohttp.ClientSession] = {}


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """One request to the target and back, its bytes as they come."""
    if scope["type"] == "lifespan":
        await receive()
        state["session"] = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0), auto_decompress=False, trust_env=False
        )
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await state["session"].close()
        await send({"type": "lifespan.shutdown.complete"})
        return
    head = dict(scope["headers"])
    if head.get(b"authorization") != b"Bearer " + TOKEN:
        await send({"type": "http.response.start", "status": 401, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})
        return
    pieces, more = [], True
    while more:
        event = await receive()
        pieces.append(event.get("body", b""))
        more = event.get("more_body", False)
    headers = {
        "authorization": "Bearer sk-bench",
        "content-type": "application/json",
        "accept-encoding": "identity",
    }
    async with state["session"].post(
        TARGET, data=b"".join(pieces), headers=headers, allow_redirects=False
    ) as reply:
        back = [(n.lower(), v) for n, v in reply.raw_headers if n.lower() not in OUR_OWN]
        if reply.content_length is not None:
            body = await reply.read()
            back.append((b"content-length", str(len(body)).encode()))
            await send({"type": "http.response.start", "status": reply.status, "headers": back})
            await send({"type": "http.response.body", "body": body})
            return
        await send({"type": "http.response.start", "status": reply.status, "headers": back})
        async for chunk in reply.content.iter_any():
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
