"""The raw ASGI application that answers live requests. It knows routes, providers and the record; no table, no Django.

The order of a request: who is it (token), what does it ask (one parse), who answers (assignment), the answer, the record.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import hashlib
import logging
import math
import os
import time
import uuid
from collections import defaultdict
from collections.abc import Awaitable, Callable, Coroutine
from datetime import UTC, datetime
from typing import Any, Protocol

import aiohttp
import orjson

from deployments.domain.features import prompt_of
from deployments.domain.routing import Arm, assign, sticky_key
from deployments.gateway import protocol, shaping
from deployments.gateway.local import LocalModels
from deployments.gateway.metrics import Metrics
from deployments.gateway.recorder import Entry, Row
from deployments.gateway.routes import Address, Routes, Version

log = logging.getLogger(__name__)

Send = Callable[[dict[str, Any]], Awaitable[None]]
Receive = Callable[[], Awaitable[dict[str, Any]]]

MAX_BODY_BYTES = 32 * 1024 * 1024
# A stream is kept for the record up to here; a longer one is measured by its beginning.
MAX_KEPT_BYTES = 4 * 1024 * 1024
MAX_ANSWER_BYTES = 64 * 1024 * 1024
STREAM_LIMIT_S = 900.0
CONNECT_S = 5.0
API_VERSION = "2026-10-21"
# A candidate that fails this often in a row is left alone for a moment; the baseline answers, and the record says so.
BREAKER_FAILURES = 5
BREAKER_REST_S = 10.0
MOST_SHADOWS = 50
FEEDBACK_FIELDS = ("prediction_id", "label", "outcome", "rating", "correct", "comment")
# Of the client's headers only these travel on; host, key and route are ours.
PASSED_ON = {b"anthropic-version": "anthropic-version", b"anthropic-beta": "anthropic-beta"}
NOT_PASSED_BACK = frozenset(
    (
        b"connection",
        b"keep-alive",
        b"transfer-encoding",
        b"content-length",
        b"set-cookie",
        b"upgrade",
        b"trailer",
        b"proxy-authenticate",
        b"server",
        b"date",
        b"x-prediction-id",
        b"x-model-version",
    )
)
# The provider's word about our key is our trouble and not the client's.
OUR_TROUBLE = {
    401: "The provider refused the portal's key.",
    402: "The provider asks the portal for payment.",
    403: "The provider does not let the portal's key use this model.",
    404: "The provider does not know this model.",
}


# Failures that say nothing about the version.
OURS = frozenset(("budget", "no_price"))


class Money(Protocol):
    """Prepaid money of endpoints with a daily budget."""

    def take(self, endpoint: int, bound_microusd: int) -> bool:
        """Whether the money is there; then it is set aside."""

    async def fetch(self, endpoint: int, bound_microusd: int) -> bool:
        """Ask for more, briefly; whether there is some now."""

    def settle(self, endpoint: int, reserved_microusd: int, actual_microusd: int) -> None:
        """Give back what was not used."""


class Failed(Exception):
    """A version gave no answer, and nothing was sent to the client yet."""

    def __init__(self, status: int, error: str, sentence: str) -> None:
        super().__init__(sentence)
        self.status, self.error, self.sentence = status, error, sentence


class Answer(Exception):
    """An answer that needs no model: refusals. Raised where they are found."""

    def __init__(self, status: int, sentence: str, headers: tuple[tuple[bytes, bytes], ...] = ()) -> None:
        super().__init__(sentence)
        self.status, self.sentence, self.headers = status, sentence, headers


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
        self.put, self.money = put, money
        self.local = local or LocalModels()
        self.metrics = metrics or Metrics()
        self.gauges, self.on_start, self.on_stop = gauges, on_start, on_stop
        self.routes: Routes | None = None
        self.session: aiohttp.ClientSession | None = None
        self.in_flight: dict[int, int] = defaultdict(int)
        self.pace: dict[int, tuple[float, float]] = {}
        self.failures: dict[int, tuple[int, float]] = {}
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
        """The one session to providers: no redirects (a key would travel along), no proxies of the environment."""
        self.session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=15, ttl_dns_cache=60),
            auto_decompress=False,
            trust_env=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=("User-Agent",),
        )
        if self.on_start:
            self.on_start()

    async def close(self) -> None:
        """After the last request: end copies, the session, the record."""
        for task in list(self.shadows):
            task.cancel()
        if self.shadows:
            await asyncio.gather(*self.shadows, return_exceptions=True)
        if self.session is not None:
            await self.session.close()
        self.local.close()
        if self.on_stop:
            await self.on_stop()

    async def http(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """One request, answered whatever happens."""
        try:
            await self.route(scope, receive, send)
        except Answer as answer:
            self.metrics.refused[answer.status] += 1
            await reply(
                send, answer.status, protocol.error_body(answer.status, answer.sentence), answer.headers
            )
        except Exception:
            log.exception("A request failed inside the gateway.")
            # When the answer had begun, the server refuses a second one and cuts the connection: nothing hangs.
            await reply(send, 500, protocol.error_body(500, "The gateway failed. It was written to its log."))

    async def route(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Find out what is asked. Raises Answer for what is not there."""
        path, method = scope["path"], scope["method"]
        parts = path.split("/")
        if len(parts) == 4 and parts[2] == "v1" and parts[3] in ("messages", "feedback"):
            if method != "POST":
                raise Answer(405, "Send a POST request here.", ((b"allow", b"POST"),))
            routes = self.routes
            if routes is None:
                raise Answer(
                    503, "The gateway has no routes yet. Try again in a moment.", ((b"retry-after", b"1"),)
                )
            head = dict(scope["headers"])
            address = self.admitted(routes, parts[1], head, scope["query_string"])
            if parts[3] == "messages":
                await self.messages(routes, address, head, receive, send)
            else:
                await self.feedback(address, head, receive, send)
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
        self, routes: Routes, address: Address, head: dict[bytes, bytes], receive: Receive, send: Send
    ) -> None:
        """One Messages request."""
        began = time.perf_counter()
        body = await self.body_of(head, receive)
        try:
            shaping.check(body, system_policy=address.system_policy)
        except shaping.Refused as refusal:
            raise Answer(400, str(refusal)) from None
        key = sticky_key(head.get(b"x-sticky-key", b"").decode("latin-1"), body)
        chance = int.from_bytes(os.urandom(8), "big")
        chosen = assign(address.split, key, chance=chance)
        if chosen is None:
            raise Answer(503, "This endpoint is switched off.")
        self.check_pace(address)
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
        )
        extra = {name: head[found].decode("latin-1") for found, name in PASSED_ON.items() if found in head}
        metrics = self.metrics
        self.in_flight[address.id] += 1
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
            self.in_flight[address.id] -= 1
            if entry.status:
                entry.latency_ms = (time.perf_counter() - began) * 1000
                metrics.answered(address.id, entry.arm, entry.status, entry.latency_ms)
                if entry.is_fallback:
                    metrics.fallbacks[address.id] += 1
                self.put(entry)
        if chosen.shadow is not None and entry.status == 200:
            self.copy_to(routes.versions[chosen.shadow], entry, extra)

    async def body_of(self, head: dict[bytes, bytes], receive: Receive) -> Any:
        """The parsed body. Raises Answer: 413 when it is too large, 400 when it is not JSON."""
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
            return orjson.loads(raw)
        except orjson.JSONDecodeError as error:
            raise Answer(400, f"The body is not JSON: {str(error)[:200]}.") from None

    def check_pace(self, address: Address) -> None:
        """Raises Answer 429 when too much is asked at once or within the minute."""
        if self.in_flight[address.id] >= address.max_in_flight:
            raise Answer(
                429,
                f"This endpoint answers {address.max_in_flight} requests at the same time and has as many now.",
                ((b"retry-after", b"1"),),
            )
        if address.requests_per_minute:
            rate = address.requests_per_minute / 60
            now = time.monotonic()
            left, at = self.pace.get(address.id, (float(address.requests_per_minute), now))
            left = min(float(address.requests_per_minute), left + (now - at) * rate)
            if left < 1:
                self.pace[address.id] = (left, now)
                wait = str(math.ceil((1 - left) / rate)).encode()
                raise Answer(
                    429,
                    f"This endpoint answers {address.requests_per_minute} requests a minute.",
                    ((b"retry-after", wait),),
                )
            self.pace[address.id] = (left - 1, now)

    async def answer(
        self, routes: Routes, entry: Entry, extra: dict[str, str], send: Send, began: float
    ) -> None:
        """Let the assigned version answer; when a candidate cannot, the baseline does, if the endpoint says so."""
        split, version = entry.address.split, entry.version
        may_fall_back = (
            entry.address.falls_back and entry.arm == Arm.CANDIDATE and version.id != split.baseline
        )
        if may_fall_back and self.rests(version.id):
            failure = Failed(503, "resting", "")
        else:
            try:
                await self.ask(version, entry, extra, send, began)
                self.worked(version.id)
                return
            except Failed as found:
                failure = found
                if found.error not in OURS:
                    self.did_not_work(version.id)
        if may_fall_back and failure.error not in OURS:
            entry.is_fallback, entry.fallback_reason = True, failure.error
            entry.version, entry.whole, entry.chunks = routes.versions[split.baseline], None, []
            try:
                await self.ask(entry.version, entry, extra, send, began)
                return
            except Failed as found:
                failure = found
        entry.status, entry.error = failure.status, failure.error
        headers = ((b"retry-after", b"1"),) if failure.status in (429, 503) else ()
        body = protocol.error_body(failure.status, failure.sentence)
        await reply(send, failure.status, body, (*identity(entry), *headers))

    def rests(self, version: int) -> bool:
        """Whether a version failed so often in a row that it is left alone; after the rest one request tries it again."""
        count, until = self.failures.get(version, (0, 0.0))
        if count < BREAKER_FAILURES:
            return False
        now = time.monotonic()
        if now < until:
            return True
        self.failures[version] = (count, now + BREAKER_REST_S)
        return False

    def worked(self, version: int) -> None:
        """A version answered: its failures in a row are over."""
        self.failures.pop(version, None)

    def did_not_work(self, version: int) -> None:
        """A version failed once more."""
        count = self.failures.get(version, (0, 0.0))[0] + 1
        self.failures[version] = (count, time.monotonic() + BREAKER_REST_S)

    async def ask(
        self, version: Version, entry: Entry, extra: dict[str, str], send: Send | None, began: float
    ) -> None:
        """Have one version answer and send it (nowhere for a shadow). Raises Failed before anything was sent."""
        if version.provider == "local":
            await self.ask_local(version, entry, send, began)
        elif version.trouble or not version.url:
            raise Failed(
                503, "no_connection", version.trouble or "This version has no connection to a provider."
            )
        else:
            await self.ask_provider(version, entry, extra, send, began)

    async def ask_local(self, version: Version, entry: Entry, send: Send | None, began: float) -> None:
        """A model trained here: it sees the last thing the user said."""
        if not version.artefact:
            raise Failed(503, "no_model", "The trained model of this version is not on this machine.")
        try:
            async with asyncio.timeout(entry.address.timeout_s):
                found = await self.local.answer(version.artefact, prompt_of(entry.body))
        except TimeoutError:
            raise Failed(504, "timeout", "The model gave no answer in time.") from None
        except Exception:
            log.exception("A local model failed.")
            raise Failed(503, "no_model", "The trained model of this version cannot answer.") from None
        whole = protocol.message(entry.id.replace("-", ""), version.model, found.text)
        entry.whole, entry.confidence, entry.status = whole, found.confidence, 200
        entry.first_byte_ms = (time.perf_counter() - began) * 1000
        if send is None:
            return
        if entry.is_stream:
            await reply(
                send,
                200,
                protocol.message_as_events(whole),
                identity(entry),
                b"text/event-stream; charset=utf-8",
            )
        else:
            await reply(send, 200, orjson.dumps(whole), identity(entry))

    async def ask_provider(
        self, version: Version, entry: Entry, extra: dict[str, str], send: Send | None, began: float
    ) -> None:
        """A provider's model, over the network."""
        sent = shaping.shaped(entry.body, version, system_policy=entry.address.system_policy)
        raw = orjson.dumps(sent)
        if entry.address.has_budget and self.money is not None:
            await self.set_aside(version, entry, sent, len(raw))
        headers = {"anthropic-version": API_VERSION, **extra, **version.headers}
        for last in (False, True):
            try:
                await self.one_call(version, entry, raw, headers, send, began)
                return
            except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError):
                raise Failed(502, "unreachable", "The provider could not be reached.") from None
            except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError, ConnectionResetError):
                # A kept connection that the provider closed in the same moment: try once on a new one.
                if last:
                    raise Failed(502, "cut", "The provider closed the connection.") from None
            except TimeoutError:
                raise Failed(504, "timeout", "The provider gave no answer in time.") from None
            except aiohttp.ClientError:
                raise Failed(502, "cut", "The provider's answer broke off.") from None

    async def set_aside(self, version: Version, entry: Entry, sent: dict[str, Any], n_bytes: int) -> None:
        """Reserve the most this call can cost. Raises Failed when there is no price or no money."""
        if entry.reserved_microusd:  # a fallback: the first call may have been charged
            assert self.money is not None
            self.money.settle(entry.address.id, entry.reserved_microusd, entry.reserved_microusd)
            entry.reserved_microusd = 0
        most = sent.get("max_tokens")
        if version.price is None or not isinstance(most, int) or most < 0:
            raise Failed(
                400,
                "no_price",
                "No price is known for this model or max_tokens is missing, so the endpoint's budget could not be kept.",
            )
        bound = version.price.bound_microusd(n_bytes, most)
        if self.money.take(entry.address.id, bound) or await self.money.fetch(entry.address.id, bound):  # type: ignore[union-attr]
            entry.reserved_microusd = bound
            return
        raise Failed(429, "budget", "The endpoint's budget for today is used up.")

    async def one_call(
        self,
        version: Version,
        entry: Entry,
        raw: bytes,
        headers: dict[str, str],
        send: Send | None,
        began: float,
    ) -> None:
        """One try. Raises Failed, TimeoutError or aiohttp's errors, all before anything was sent to the client."""
        assert self.session is not None
        patience = entry.address.timeout_s
        async with self.session.post(
            version.url, data=raw, headers=headers, allow_redirects=False, timeout=limits(patience)
        ) as upstream:
            kind = upstream.headers.get("content-type", "")
            if upstream.status == 200 and kind.startswith("text/event-stream"):
                await self.pass_stream(upstream, entry, send, began)
                return
            # A reply that drips is bounded as a whole, not byte by byte.
            async with asyncio.timeout(patience):
                data = await read_at_most(upstream, MAX_ANSWER_BYTES)
            entry.first_byte_ms = (time.perf_counter() - began) * 1000
            whole = checked(upstream.status, data)
            if upstream.status != 200:
                entry.error = "refused" if upstream.status < 500 and upstream.status != 429 else "upstream"
                if upstream.status == 429:
                    entry.error = "rate_limited"
                if upstream.status >= 500 or upstream.status == 429:
                    self.worth_falling_back(entry, upstream.status)
            else:
                entry.error = ""
            entry.whole, entry.status = whole, upstream.status
            if send is not None:
                passed = [*passed_back(upstream), *identity(entry)]
                await reply(send, upstream.status, data, passed, content_type=None)

    def worth_falling_back(self, entry: Entry, status: int) -> None:
        """Raises Failed for a candidate that may fall back; otherwise the provider's own words are passed on."""
        if entry.address.falls_back and entry.arm == Arm.CANDIDATE and not entry.is_fallback:
            raise Failed(status, entry.error, "The provider failed.")

    async def pass_stream(
        self, upstream: aiohttp.ClientResponse, entry: Entry, send: Send | None, began: float
    ) -> None:
        """Events, as they come. A stream that ends without its end is finished by an error event of ours."""
        content, chunks = upstream.content, entry.chunks
        first = await content.readany()
        if not first:
            raise Failed(502, "cut", "The provider's answer was empty.")
        entry.first_byte_ms = (time.perf_counter() - began) * 1000
        entry.status, entry.error = 200, ""
        if send is not None:
            headers = [*passed_back(upstream), *identity(entry)]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": first, "more_body": True})
        chunks.append(first)
        kept, tail = len(first), first[-64:]
        sentence = ""
        try:
            async with asyncio.timeout(STREAM_LIMIT_S):
                while chunk := await content.readany():
                    if send is not None:
                        await send({"type": "http.response.body", "body": chunk, "more_body": True})
                    if kept < MAX_KEPT_BYTES:
                        chunks.append(chunk)
                        kept += len(chunk)
                    tail = chunk if len(chunk) >= 64 else (tail + chunk)[-64:]
        except TimeoutError:
            entry.error, sentence = "timeout", "The provider went silent in the middle of its answer."
        except (aiohttp.ClientError, ConnectionError):
            entry.error, sentence = "cut", "The provider's answer broke off."
        else:
            if b"message_stop" not in tail:
                ended_by_error = any(b"event: error" in piece for piece in chunks[-4:])
                entry.error = "upstream" if ended_by_error else "cut"
                sentence = "" if ended_by_error else "The provider's answer broke off."
        if entry.error:
            self.did_not_work(entry.version.id)
        if send is not None:
            last = protocol.error_event(502, sentence) if sentence else b""
            # Two line feeds first: the provider may have stopped in the middle of a line.
            await send({"type": "http.response.body", "body": b"\n\n" + last if last else b""})

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
            await self.ask(version, entry, extra, None, began)
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
        body = await self.body_of(head, receive)
        row = feedback_row(body, address)
        self.put(row)
        data = {"type": "feedback", "id": row["id"], "prediction_id": row["prediction_id"]}
        await reply(send, 200, orjson.dumps(data))


def feedback_row(body: Any, address: Address) -> Row:
    """The row of a feedback request. Raises Answer 400 with what is wrong."""
    if not isinstance(body, dict):
        raise Answer(400, "The body must be a JSON object.")
    unknown = sorted(set(body) - set(FEEDBACK_FIELDS))
    if unknown:
        raise Answer(
            400, f"{str(unknown[0])[:60]}: not a field of feedback. Known: {', '.join(FEEDBACK_FIELDS)}."
        )
    try:
        prediction = uuid.UUID(str(body.get("prediction_id", "")))
    except ValueError:
        prediction = None
    if prediction is None or prediction.version != 7:
        raise Answer(400, "prediction_id: send the value of the answer's `x-prediction-id` header.")
    texts = {}
    for name, most in (("label", 2000), ("outcome", 200), ("comment", 10_000)):
        value = body.get(name)
        if value is not None and not isinstance(value, str):
            raise Answer(400, f"{name}: must be text.")
        texts[name] = (value or "")[:most].replace("\0", "").encode("utf-8", "replace").decode()
    rating, correct = body.get("rating"), body.get("correct")
    if rating is not None and (
        isinstance(rating, bool) or not isinstance(rating, int | float) or abs(rating) > 1e9
    ):
        raise Answer(400, "rating: must be a number.")
    if correct is not None and not isinstance(correct, bool):
        raise Answer(400, "correct: must be true or false.")
    if rating is None and correct is None and not any(texts.values()):
        raise Answer(400, "Say something: label, outcome, rating, correct or comment.")
    return {
        "kind": "feedback",
        "id": str(protocol.uuid7()),
        "team_id": address.team_id,
        "endpoint_id": address.id,
        "prediction_id": str(prediction),
        "at": time_of_now(),
        "rating": rating,
        "is_correct": correct,
        **texts,
    }


def time_of_now() -> str:
    """This moment in UTC, as ISO text."""
    return datetime.now(UTC).isoformat()


def identity(entry: Entry) -> tuple[tuple[bytes, bytes], ...]:
    """The headers that tell the client what answered, so that feedback can name it."""
    return (
        (b"x-prediction-id", entry.id.encode()),
        (b"x-model-version", entry.version.label.encode()),
    )


def passed_back(upstream: aiohttp.ClientResponse) -> list[tuple[bytes, bytes]]:
    """The provider's headers without those that belong to one connection."""
    return [pair for n, v in upstream.raw_headers if (pair := (n.lower(), v))[0] not in NOT_PASSED_BACK]


@functools.lru_cache(maxsize=64)
def limits(patience_s: float) -> aiohttp.ClientTimeout:
    """How long to wait for a connection and for each piece of an answer."""
    return aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=patience_s)


async def read_at_most(upstream: aiohttp.ClientResponse, most: int) -> bytes:
    """The whole body. Raises Failed when it is endless."""
    if (upstream.content_length or 0) <= most and upstream.content_length is not None:
        return await upstream.read()
    pieces, size = [], 0
    while piece := await upstream.content.readany():
        pieces.append(piece)
        size += len(piece)
        if size > most:
            raise Failed(502, "nonsense", "The provider's answer is too large.")
    return b"".join(pieces)


def checked(status: int, data: bytes) -> dict[str, Any]:
    """The answer as a value. Raises Failed when it is no message and no error, or about our key."""
    if status in OUR_TROUBLE:
        raise Failed(502, "our_key" if status != 404 else "unknown_model", OUR_TROUBLE[status])
    try:
        whole = orjson.loads(data)
    except orjson.JSONDecodeError:
        whole = None
    if not isinstance(whole, dict) or whole.get("type") != ("message" if status == 200 else "error"):
        raise Failed(502, "nonsense", "The provider's answer could not be read.")
    return whole


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
