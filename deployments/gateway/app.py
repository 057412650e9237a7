"""The raw ASGI application that answers live requests. It knows routes, providers and the record; no table, no Django.

The order of a request: who is it (token), what does it ask (one parse), who answers (assignment), the answer, the record.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import time
from collections.abc import Callable, Coroutine
from typing import Any

import orjson

from deployments.domain.routing import Arm, assign, sticky_key
from deployments.gateway import chat, protocol, shaping
from deployments.gateway.asking import Asker, Money, identity
from deployments.gateway.breaker import Breaker
from deployments.gateway.errors import OURS, Answer, Failed
from deployments.gateway.exchange import ClientWatch, Receive, Send, body_of, reply
from deployments.gateway.feedback import feedback_row
from deployments.gateway.local import LocalModels
from deployments.gateway.metrics import Metrics
from deployments.gateway.pace import Pace
from deployments.gateway.recorder import Entry, Row
from deployments.gateway.routes import Address, Routes, Version

log = logging.getLogger(__name__)

MOST_SHADOWS = 50
CHAT = "/v1/chat/completions"
# Of the client's headers only these travel on; host, key and route are ours.
PASSED_ON = {b"anthropic-version": "anthropic-version", b"anthropic-beta": "anthropic-beta"}


class Gateway:
    """The application. Routes are put in by whoever watches the database; without them nothing is served."""

    def __init__(
        self,
        *,
        put: Callable[[Entry | Row], None],
        money: Money | None = None,
        local: LocalModels | None = None,
        metrics: Metrics | None = None,
        gauges: Callable[[], dict[str, float]] = dict,
        on_start: Callable[[], Any] | None = None,
        on_stop: Callable[[], Coroutine[Any, Any, None]] | None = None,
    ) -> None:
        self.put = put
        self.local = local or LocalModels()
        self.breaker, self.pace = Breaker(), Pace()
        self.asker = Asker(local=self.local, money=money, breaker=self.breaker)
        self.metrics = metrics or Metrics()
        self.gauges, self.on_start, self.on_stop = gauges, on_start, on_stop
        self.routes: Routes | None = None
        self.shadows: set[asyncio.Task[None]] = set()

    # --- the server's side ---------------------------------------------------------------------------------------

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self.http(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self.lifespan(receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000})

    async def lifespan(self, receive: Receive, send: Send) -> None:
        """Open and close what requests share."""
        await receive()
        await self.open()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.close()
        await send({"type": "lifespan.shutdown.complete"})

    async def open(self) -> None:
        """Make ready what requests share."""
        await self.asker.open()
        if self.on_start:
            self.on_start()

    async def close(self) -> None:
        """After the last request: end copies, the session, the record."""
        for task in list(self.shadows):
            task.cancel()
        if self.shadows:
            await asyncio.gather(*self.shadows, return_exceptions=True)
        await self.asker.close()
        if self.on_stop:
            await self.on_stop()

    async def http(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """One request, answered whatever happens."""
        try:
            await self.route(scope, receive, send)
        except Answer as answer:
            self.metrics.refused[answer.status] += 1
            body = words_of(scope["path"]).error_body(answer.status, answer.sentence)
            await reply(send, answer.status, body, answer.headers)
        except Exception:
            log.exception("A request failed inside the gateway.")
            # When the answer had begun, the server refuses a second one and cuts the connection: nothing hangs.
            body = words_of(scope["path"]).error_body(500, "The gateway failed. It was written to its log.")
            await reply(send, 500, body)

    async def route(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Find out what is asked. Raises Answer for what is not there."""
        path, method = scope["path"], scope["method"]
        parts = path.split("/")
        is_chat = path.endswith(CHAT) and len(parts) == 5
        if is_chat or (len(parts) == 4 and parts[2] == "v1" and parts[3] in ("messages", "feedback")):
            if method != "POST":
                raise Answer(405, "Send a POST request here.", ((b"allow", b"POST"),))
            routes = self.routes
            if routes is None:
                raise Answer(
                    503, "The gateway has no routes yet. Try again in a moment.", ((b"retry-after", b"1"),)
                )
            head = dict(scope["headers"])
            address = self.admitted(routes, parts[1], head, scope["query_string"])
            if parts[3] == "feedback":
                await self.feedback(address, head, receive, send)
            else:
                await self.messages(routes, address, head, receive, send, is_chat=is_chat)
        elif method in ("GET", "HEAD") and path == "/livez":
            await reply(send, 200, b"ok", content_type=b"text/plain")
        elif method in ("GET", "HEAD") and path == "/readyz":
            ready = self.routes is not None
            await reply(
                send, 200 if ready else 503, b"ok" if ready else b"no routes", content_type=b"text/plain"
            )
        elif method in ("GET", "HEAD") and path == "/metrics":
            text = self.metrics.as_text(**self.gauges())
            await reply(send, 200, text.encode(), content_type=b"text/plain; version=0.0.4")
        else:
            raise Answer(404, "There is nothing at this address.")

    def admitted(self, routes: Routes, slug: str, head: dict[bytes, bytes], query: bytes) -> Address:
        """The endpoint, for who holds a live token of it. Raises Answer: 401 for a bad token, 404 for a foreign address."""
        if b"ftg_" in query:
            raise Answer(
                401,
                "A token does not belong in an address: addresses are logged. Revoke it and send a new one as a header.",
            )
        raw = head.get(b"authorization", b"")
        token = raw[7:].strip() if raw[:7].lower() == b"bearer " else head.get(b"x-api-key", b"").strip()
        if not token:
            raise Answer(401, "A token is needed: send it as `Authorization: Bearer …` or `x-api-key`.")
        # The hash is looked up, never compared with the token: time tells nothing about other tokens.
        known = routes.tokens.get(hashlib.sha256(token).hexdigest())
        if known is None or (known[1] is not None and known[1] <= time.time()):
            raise Answer(401, "The token is not known here, or was revoked, or has expired.")
        address = routes.addresses.get(slug)
        if address is None or address.id != known[0]:
            raise Answer(404, "This token opens no endpoint of that name.")
        return address

    # --- answering -----------------------------------------------------------------------------------------------

    async def messages(
        self,
        routes: Routes,
        address: Address,
        head: dict[bytes, bytes],
        receive: Receive,
        send: Send,
        *,
        is_chat: bool = False,
    ) -> None:
        """One request for an answer, asked as messages or as a chat completion."""
        began = time.perf_counter()
        asked = await body_of(head, receive)
        try:
            body = chat.as_messages(asked) if is_chat else asked
            shaping.check(body, system_policy=address.system_policy)
        except shaping.Refused as refusal:
            raise Answer(400, str(refusal)) from None
        key = sticky_key(head.get(b"x-sticky-key", b"").decode("latin-1"), body)
        chance = int.from_bytes(os.urandom(8), "big")
        chosen = assign(address.split, key, chance=chance)
        if chosen is None:
            raise Answer(503, "This endpoint is switched off.")
        self.pace.check(address)
        identity = protocol.uuid7()
        keeps = address.text_retention == "all" or (
            # The last bits of the id are random: no second draw is needed.
            address.text_retention == "sample" and (identity.int & 0xFFFFF) < address.text_share * 0x100000
        )
        entry = Entry(
            id=str(identity),
            address=address,
            version=routes.versions[chosen.version],
            arm=chosen.arm.value,
            bucket=chosen.bucket,
            sticky_hash=chosen.sticky_hash,
            at=time.time(),
            body=body,
            is_stream=body.get("stream") is True,
            keeps_text=keeps,
            masks_text=address.text_retention != "all",
            is_chat=is_chat,
            wants_usage=is_chat and chat.wants_usage(asked),
        )
        extra = {name: head[found].decode("latin-1") for found, name in PASSED_ON.items() if found in head}
        metrics = self.metrics
        self.pace.in_flight[address.id] += 1
        metrics.in_flight += 1
        watch = ClientWatch(receive)
        try:
            await self.answer(routes, entry, extra, send, began)
        except asyncio.CancelledError:
            # The client went away (or the server ends): whatever was under way upstream was dropped with us.
            entry.status, entry.error = 499, "client_gone"
            if not watch.is_gone:
                raise
        except Exception:
            entry.status, entry.error = 500, "internal"
            raise
        finally:
            watch.close()
            metrics.in_flight -= 1
            self.pace.in_flight[address.id] -= 1
            if entry.status:
                entry.latency_ms = (time.perf_counter() - began) * 1000
                metrics.answered(address.id, entry.arm, entry.status, entry.latency_ms)
                if entry.is_fallback:
                    metrics.fallbacks[address.id] += 1
                self.put(entry)
        if chosen.shadow is not None and entry.status == 200:
            self.copy_to(routes.versions[chosen.shadow], entry, extra)

    async def answer(
        self, routes: Routes, entry: Entry, extra: dict[str, str], send: Send, began: float
    ) -> None:
        """Let the assigned version answer; when a candidate cannot, the baseline does, if the endpoint says so."""
        split, version = entry.address.split, entry.version
        may_fall_back = (
            entry.address.falls_back and entry.arm == Arm.CANDIDATE and version.id != split.baseline
        )
        if may_fall_back and self.breaker.rests(version.id):
            failure = Failed(503, "resting", "")
        else:
            try:
                await self.asker.ask(version, entry, extra, send, began)
                # A stream that broke off has begun: its asker returns, having counted the failure.
                if not entry.error:
                    self.breaker.worked(version.id)
                return
            except Failed as found:
                failure = found
                if found.error not in OURS:
                    self.breaker.did_not_work(version.id)
        if may_fall_back and failure.error not in OURS:
            entry.is_fallback, entry.fallback_reason, entry.error = True, failure.error, ""
            entry.version, entry.whole, entry.chunks = routes.versions[split.baseline], None, []
            try:
                await self.asker.ask(entry.version, entry, extra, send, began)
                return
            except Failed as found:
                failure = found
        entry.status, entry.error = failure.status, failure.error
        headers = ((b"retry-after", b"1"),) if failure.status in (429, 503) else ()
        words = chat if entry.is_chat else protocol
        body = words.error_body(failure.status, failure.sentence)
        await reply(send, failure.status, body, (*identity(entry), *headers))

    # --- copies --------------------------------------------------------------------------------------------------

    def copy_to(self, version: Version, shown: Entry, extra: dict[str, str]) -> None:
        """Ask the shadow the same thing; nobody sees its answer, only the record does."""
        if len(self.shadows) >= MOST_SHADOWS:
            self.metrics.shadows_skipped += 1
            return
        entry = Entry(
            id=str(protocol.uuid7()),
            address=shown.address,
            version=version,
            arm=Arm.SHADOW.value,
            bucket=shown.bucket,
            sticky_hash=shown.sticky_hash,
            at=time.time(),
            body=shown.body,
            is_stream=shown.is_stream,
            shadow_of=shown.id,
            keeps_text=shown.keeps_text,
            masks_text=shown.masks_text,
        )
        task = asyncio.get_running_loop().create_task(self.shadow(version, entry, extra))
        self.shadows.add(task)
        task.add_done_callback(self.shadows.discard)

    async def shadow(self, version: Version, entry: Entry, extra: dict[str, str]) -> None:
        """One copy."""
        began = time.perf_counter()
        try:
            await self.asker.ask(version, entry, extra, None, began)
        except Failed as failure:
            entry.status, entry.error = failure.status, failure.error
        entry.latency_ms = (time.perf_counter() - began) * 1000
        self.metrics.answered(entry.address.id, entry.arm, entry.status, entry.latency_ms)
        self.put(entry)

    # --- feedback ------------------------------------------------------------------------------------------------

    async def feedback(
        self, address: Address, head: dict[bytes, bytes], receive: Receive, send: Send
    ) -> None:
        """What was learnt about a prediction; accepted even while the database is away."""
        body = await body_of(head, receive)
        row = feedback_row(body, address)
        self.put(row)
        data = {"type": "feedback", "id": row["id"], "prediction_id": row["prediction_id"]}
        await reply(send, 200, orjson.dumps(data))


def words_of(path: str) -> Any:
    """The module that words errors for who asks at this address."""
    return chat if path.endswith(CHAT) else protocol
