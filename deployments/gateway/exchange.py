"""One exchange with a client: the body that came, the client who may leave, the reply. Knows ASGI and nothing else."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import orjson

from deployments.gateway.errors import Answer
from foundation.ui.nul import NOT_STORABLE, NUL_IN_JSON, is_storable

Send = Callable[[dict[str, Any]], Awaitable[None]]
Receive = Callable[[], Awaitable[dict[str, Any]]]

MAX_BODY_BYTES = 32 * 1024 * 1024


class ClientWatch:
    """Cancels the task that made it when the client hangs up, until it is closed."""

    __slots__ = ("is_gone", "is_open", "me", "task")

    def __init__(self, receive: Receive) -> None:
        self.me = asyncio.current_task()
        self.is_gone, self.is_open = False, True
        self.task: asyncio.Task[Any] = asyncio.get_running_loop().create_task(receive())  # type: ignore[arg-type]
        self.task.add_done_callback(self._heard)

    def _heard(self, task: asyncio.Task[Any]) -> None:
        # The server also says "disconnect" after the last byte of an answer: by then the watch is closed.
        if self.is_open and not task.cancelled() and self.me is not None:
            self.is_gone = True
            self.me.cancel()

    def close(self) -> None:
        """Look away."""
        self.is_open = False
        self.task.cancel()


async def body_of(head: dict[bytes, bytes], receive: Receive) -> Any:
    """The parsed body. Raises Answer: 413 when it is too large, 400 when it is not JSON or holds a NUL character."""
    too_large = f"The request is over {MAX_BODY_BYTES // 1024**2} MB."
    declared = head.get(b"content-length", b"0")
    if declared.isdigit() and int(declared) > MAX_BODY_BYTES:
        raise Answer(413, too_large, ((b"connection", b"close"),))
    event = await receive()
    raw: bytes = event.get("body", b"")
    if event.get("more_body"):
        pieces, size = [raw], len(raw)
        while True:
            event = await receive()
            if event["type"] == "http.disconnect":
                raise Answer(400, "The request ended before its body did.")
            pieces.append(event.get("body", b""))
            size += len(pieces[-1])
            if size > MAX_BODY_BYTES:
                raise Answer(413, too_large, ((b"connection", b"close"),))
            if not event.get("more_body"):
                break
        raw = b"".join(pieces)
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise Answer(400, f"The body is not JSON: {str(error)[:200]}.") from None
    if NUL_IN_JSON in raw and not is_storable(value):
        raise Answer(400, NOT_STORABLE)
    return value


async def reply(
    send: Send,
    status: int,
    body: bytes,
    headers: Any = (),
    content_type: bytes | None = b"application/json",
) -> None:
    """One whole response."""
    kind = () if content_type is None else ((b"content-type", content_type),)
    size = (b"content-length", str(len(body)).encode())
    with contextlib.suppress(ConnectionError):
        await send({"type": "http.response.start", "status": status, "headers": [*kind, size, *headers]})
        await send({"type": "http.response.body", "body": body})
