"""Having one version answer: a model trained here, or a provider over the network. Nothing here chooses the version."""

from __future__ import annotations

import asyncio
import functools
import logging
import time
from typing import Any, Protocol

import aiohttp
import orjson

from deployments.domain.features import prompt_of
from deployments.domain.routing import Arm
from deployments.gateway import chat, protocol, shaping
from deployments.gateway.breaker import Breaker
from deployments.gateway.chat import Chunks
from deployments.gateway.errors import Failed
from deployments.gateway.exchange import Send, reply
from deployments.gateway.local import LocalModels
from deployments.gateway.recorder import Entry
from deployments.gateway.routes import Version

log = logging.getLogger(__name__)

# A stream is kept for the record up to here; the text of a longer one is measured by its beginning.
MAX_KEPT_BYTES = 4 * 1024 * 1024
# And its end: the last events say what it cost.
MAX_END_BYTES = 8 * 1024
MAX_ANSWER_BYTES = 64 * 1024 * 1024
STREAM_LIMIT_S = 900.0
CONNECT_S = 5.0
API_VERSION = "2026-10-21"
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


class Money(Protocol):
    """Prepaid money of endpoints with a daily budget."""

    def take(self, endpoint: int, bound_microusd: int) -> bool:
        """Whether the money is there; then it is set aside."""

    async def fetch(self, endpoint: int, bound_microusd: int) -> bool:
        """Ask for more, briefly; whether there is some now."""

    def settle(self, endpoint: int, reserved_microusd: int, actual_microusd: int) -> None:
        """Give back what was not used."""


def asked_of(version: Version, entry: Entry) -> dict[str, Any]:
    """What the client asked, with the endpoint's task named for a version that learnt several."""
    task = entry.address.task
    return shaping.with_task(entry.body, task) if task and task in version.tasks else entry.body


class Asker:
    """The one session to providers, the models of this process, and prepaid money."""

    def __init__(self, *, local: LocalModels, money: Money | None, breaker: Breaker) -> None:
        self.local, self.money, self.breaker = local, money, breaker
        self.session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        """The one session to providers: no redirects (a key would travel along), no proxies of the environment."""
        self.session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=15, ttl_dns_cache=60),
            auto_decompress=False,
            trust_env=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=("User-Agent",),
        )

    async def close(self) -> None:
        """End the session and the models' threads."""
        if self.session is not None:
            await self.session.close()
        self.local.close()

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
                found = await self.local.answer(version.artefact, prompt_of(asked_of(version, entry)))
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
            events = protocol.message_as_events(whole)
            events = chunks_of(entry).feed(events) if entry.is_chat else events
            await reply(send, 200, events, identity(entry), b"text/event-stream; charset=utf-8")
        else:
            data = worded(entry, 200, whole) if entry.is_chat else orjson.dumps(whole)
            await reply(send, 200, data, identity(entry))

    async def ask_provider(
        self, version: Version, entry: Entry, extra: dict[str, str], send: Send | None, began: float
    ) -> None:
        """A provider's model, over the network."""
        sent = shaping.shaped(asked_of(version, entry), version, system_policy=entry.address.system_policy)
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
                if entry.is_chat:
                    data = worded(entry, upstream.status, whole)
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
        if first.startswith(b"event: error"):
            # Nothing was shown yet: a candidate may still fall back, and the client gets a status it can act on.
            said = protocol.error_in(first)
            raise Failed(529 if "overloaded" in said else 502, "upstream", said)
        entry.first_byte_ms = (time.perf_counter() - began) * 1000
        entry.status, entry.error = 200, ""
        turned = chunks_of(entry) if entry.is_chat else None
        if send is not None:
            headers = [*passed_back(upstream), *identity(entry)]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            if shown := turned.feed(first) if turned else first:
                await send({"type": "http.response.body", "body": shown, "more_body": True})
        chunks.append(first)
        kept, tail, end = len(first), first[-64:], b""
        sentence = ""
        try:
            async with asyncio.timeout(STREAM_LIMIT_S):
                while chunk := await content.readany():
                    shown = turned.feed(chunk) if turned else chunk
                    if send is not None and shown:
                        await send({"type": "http.response.body", "body": shown, "more_body": True})
                    if kept < MAX_KEPT_BYTES:
                        chunks.append(chunk)
                        kept += len(chunk)
                    else:
                        end = (end + chunk)[-MAX_END_BYTES:]
                    tail = chunk if len(chunk) >= 64 else (tail + chunk)[-64:]
        except TimeoutError:
            entry.error, sentence = "timeout", "The provider went silent in the middle of its answer."
        except (aiohttp.ClientError, ConnectionError):
            entry.error, sentence = "cut", "The provider's answer broke off."
        else:
            if b"message_stop" not in tail:
                ended_by_error = any(b"event: error" in piece for piece in (*chunks[-4:], end))
                entry.error = "upstream" if ended_by_error else "cut"
                sentence = "" if ended_by_error else "The provider's answer broke off."
        if end:
            # A line feed first: what was left out may have ended in the middle of a line.
            chunks.append(b"\n" + end)
        if entry.error and entry.arm != Arm.SHADOW:
            self.breaker.did_not_work(entry.version.id)
        if send is not None:
            last = b""
            if sentence and turned:
                last = turned.error(502, sentence)
            elif sentence:
                # Two line feeds first: the provider may have stopped in the middle of a line.
                last = b"\n\n" + protocol.error_event(502, sentence)
            await send({"type": "http.response.body", "body": last})


def chunks_of(entry: Entry) -> Chunks:
    """What words this entry's stream as chat completions do."""
    return Chunks(identity=entry.id, created=int(entry.at), wants_usage=entry.wants_usage)


def worded(entry: Entry, status: int, whole: dict[str, Any]) -> bytes:
    """A whole answer, or a provider's error, as a chat completion."""
    return chat.answer_body(status, whole, identity=entry.id, created=int(entry.at))


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
