"""Claude through Anthropic's SDK. Retries are ours (the SDK's are off) and its exceptions stop here:
pickled, they carry the key and the prompt."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import socket
import weakref
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import anthropic
import httpx2

from foundation.llm import errors
from foundation.llm.adapters.answer import Answer
from foundation.llm.domain.addresses import is_public
from foundation.llm.domain.messages import Request, Usage
from foundation.llm.domain.retries import SPEND_LIMIT_CODES, is_retryable_status

# At DEBUG the SDK logs whole requests: prompts of strangers do not belong in a log, however loud it is set.
logging.getLogger("anthropic").setLevel(logging.WARNING)

# The API version that still takes temperature, for the models that still know it.
SAMPLING_API_VERSION = "2023-06-01"
TRIED_MODEL = "claude-haiku-5-5"

_clients: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, anthropic.AsyncAnthropic]] = (
    weakref.WeakKeyDictionary()
)


def client_for(
    *, key: str, base_url: str, transport: httpx2.AsyncBaseTransport | None = None
) -> anthropic.AsyncAnthropic:
    """A client of this event loop; connections are pooled by loop, so it is kept for the next call."""
    if transport is not None:
        return _client(key, base_url, transport)
    mine = _clients.setdefault(asyncio.get_running_loop(), {})
    name = hashlib.sha256(f"{base_url}\n{key}".encode()).hexdigest()
    if name not in mine:
        mine[name] = _client(key, base_url, None)
    return mine[name]


def _client(key: str, base_url: str, transport: httpx2.AsyncBaseTransport | None) -> anthropic.AsyncAnthropic:
    http = None
    if transport is not None:
        http = anthropic.DefaultAsyncHttpxClient(transport=transport, follow_redirects=False)
    else:
        # A redirect would carry the key to a host nobody chose.
        http = anthropic.DefaultAsyncHttpxClient(follow_redirects=False)
    return anthropic.AsyncAnthropic(
        api_key=key, base_url=base_url, max_retries=0, timeout=60.0, http_client=http
    )


async def refuse_private(base_url: str) -> None:
    """Raises Unreachable when the host's name leads into a private network, whatever it looks like."""
    parts = urlsplit(base_url)
    try:
        found = await asyncio.get_running_loop().getaddrinfo(
            parts.hostname, parts.port or 443, type=socket.SOCK_STREAM
        )
    except OSError:
        raise errors.Unreachable("The provider's host name is not known. Check the address.") from None
    if not all(is_public(str(entry[4][0])) for entry in found):
        raise errors.Unreachable(
            "The provider's host leads into a private network, where this portal sends no keys.",
            retryable=False,
        )


async def close_clients() -> None:
    """Close what `client_for` keeps for the running loop."""
    for client in _clients.pop(asyncio.get_running_loop(), {}).values():
        await client.close()


def parameters(
    request: Request, *, takes_sampling: bool, structured_output: bool, takes_effort: bool
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What is sent, as arguments of the SDK, and its part without texts, for the record."""
    sent: dict[str, Any] = {"model": request.model, "max_tokens": request.max_tokens}
    extra: dict[str, Any] = {}
    output_config: dict[str, Any] = {}
    if request.output_schema is not None and structured_output:
        output_config["format"] = {
            "type": "json_schema",
            "schema": anthropic.transform_schema(request.output_schema),
        }
    if request.effort and takes_effort:
        output_config["effort"] = request.effort
    if output_config:
        sent["output_config"] = output_config
    if request.stop:
        sent["stop_sequences"] = list(request.stop)
    if request.sampling and takes_sampling:
        extra = {
            "extra_body": dict(request.sampling),
            "extra_headers": {"anthropic-version": SAMPLING_API_VERSION},
        }
    arguments = {
        **sent,
        **extra,
        "messages": [{"role": m.role, "content": _encodable(m.content)} for m in request.messages],
    }
    if request.system:
        arguments["system"] = _encodable(request.system)
    return arguments, {**sent, **extra.get("extra_body", {})}


async def ask(
    request: Request,
    *,
    key: str,
    base_url: str,
    timeout_s: float,
    takes_sampling: bool = False,
    structured_output: bool = True,
    takes_effort: bool = True,
    public_only: bool = False,
    transport: httpx2.AsyncBaseTransport | None = None,
) -> Answer:
    """One call, one answer. Raises a subclass of LLMError; nothing else gets out."""
    arguments, recorded = parameters(
        request, takes_sampling=takes_sampling, structured_output=structured_output, takes_effort=takes_effort
    )
    failure: errors.LLMError
    if public_only:
        await refuse_private(base_url)
    try:
        client = client_for(key=key, base_url=base_url, transport=transport)
        async with asyncio.timeout(timeout_s):
            reply = await client.messages.create(**arguments, stream=False, timeout=timeout_s)
            return _answer(reply, recorded)
    except TimeoutError:
        # The SDK's own limit starts anew with every byte; this one also ends a reply that drips.
        failure = errors.TimedOut(f"{request.model} gave no answer within {timeout_s:.0f} s.")
    except (anthropic.AnthropicError, httpx2.HTTPError, ValueError, TypeError, AttributeError) as error:
        failure = translated(error, model=request.model)
    # Raised outside the except block: the SDK's exception would otherwise travel along as its context.
    raise failure


@dataclass(frozen=True, slots=True)
class Tried:
    """What a try found; `offered` holds one dict a model, with fields named as in the catalogue."""

    ok: bool
    sentence: str
    offered: tuple[dict[str, Any], ...] = ()


async def try_key(
    *,
    key: str,
    base_url: str,
    timeout_s: float,
    public_only: bool = False,
    transport: httpx2.AsyncBaseTransport | None = None,
) -> Tried:
    """Whether key and address work, and one sentence about what does.

    Free of charge: only lists and counts.
    """
    client = _client(key, base_url, transport)
    try:
        async with asyncio.timeout(timeout_s):
            if public_only:
                await refuse_private(base_url)
            return await _tried(client, timeout_s)
    except TimeoutError:
        return Tried(False, f"No answer within {timeout_s:.0f} s. Check the address and the network.")
    except errors.LLMError as error:
        return Tried(False, str(error))
    finally:
        await client.close()


async def _tried(client: anthropic.AsyncAnthropic, timeout_s: float) -> Tried:
    offered: tuple[dict[str, Any], ...] = ()
    list_failure: errors.LLMError | None = None
    try:
        page = await client.models.list(limit=100, timeout=timeout_s)
        offered = tuple(_known_of(m) for m in page.data)
    except (anthropic.AnthropicError, httpx2.HTTPError, ValueError, TypeError, AttributeError) as error:
        list_failure = translated(error, model="the list of models")
    if list_failure is not None and not isinstance(list_failure, errors.UnknownModel | errors.BrokenAnswer):
        return Tried(False, str(list_failure))
    listed = [m["model_id"] for m in offered]
    model = TRIED_MODEL if TRIED_MODEL in listed or not listed else listed[0]
    failure: errors.LLMError | None = None
    try:
        await client.messages.count_tokens(
            model=model, messages=[{"role": "user", "content": "hi"}], timeout=timeout_s
        )
    except (anthropic.AnthropicError, httpx2.HTTPError, ValueError, TypeError, AttributeError) as error:
        failure = translated(error, model=model)
    if failure is None:
        said = f"{len(listed)} models are offered" if listed else "the list of models is not"
        return Tried(True, f"The key works: {said}, {model} counts tokens.", offered)
    if listed:
        sentence = f"The key works for the list of {len(listed)} models; {model} did not answer: {failure}"
        return Tried(True, sentence, offered)
    return Tried(False, f"Neither the list of models nor {model} answered: {failure}")


def _known_of(model: Any) -> dict[str, Any]:
    """What the provider says of a model, as plain values; what it does not say is left out."""
    said = {
        "model_id": str(model.id),
        "display_name": getattr(model, "display_name", None),
        "line": getattr(model, "line", None),
        "lifecycle": getattr(model, "lifecycle", None),
        "deprecated_at": _day(getattr(model, "deprecated_at", None)),
        "retires_at": _day(getattr(model, "retires_at", None)),
        "context_tokens": getattr(model, "max_input_tokens", None),
        "max_output_tokens": getattr(model, "max_tokens", None),
    }
    return {name: value for name, value in said.items() if value}


def _day(moment: Any) -> str | None:
    return str(moment)[:10] if moment else None


def _answer(reply: Any, recorded: dict[str, Any]) -> Answer:
    # What a model writes goes into tables: PostgreSQL takes no NUL, nobody half a surrogate pair.
    text = "".join(block.text or "" for block in reply.content if block.type == "text").replace("\x00", "")
    if reply.stop_reason is None:
        raise ValueError("no stop reason")
    usage = reply.usage
    by_ttl = getattr(usage, "cache_creation", None)
    write_1h = (getattr(by_ttl, "ephemeral_1h_input_tokens", 0) or 0) if by_ttl else 0
    written = usage.cache_creation_input_tokens or 0
    return Answer(
        text=_encodable(text),
        stop_reason=str(reply.stop_reason),
        usage=Usage(
            input_tokens=int(usage.input_tokens),
            output_tokens=int(usage.output_tokens),
            cache_write_5m_tokens=max(0, written - write_1h),
            cache_write_1h_tokens=write_1h,
            cache_read_tokens=usage.cache_read_input_tokens or 0,
        ),
        request_id=str(getattr(reply, "_request_id", "") or ""),
        sent_parameters=recorded,
    )


def translated(error: Exception, *, model: str) -> errors.LLMError:
    """The provider's exception as one of ours: a class, a sentence, numbers.

    No text of the provider's is kept.
    """
    if isinstance(error, anthropic.APITimeoutError):
        cause = error.__cause__
        if isinstance(cause, httpx2.ConnectTimeout | httpx2.PoolTimeout):
            return errors.Unreachable(
                "The provider could not be reached in time. Check the address and the network."
            )
        return errors.TimedOut(f"{model} gave no answer in time.")
    if isinstance(error, anthropic.APIStatusError):
        return _of_status(error, model)
    if isinstance(error, anthropic.APIConnectionError):
        return _of_connection(error.__cause__ or error)
    if isinstance(error, httpx2.HTTPError):
        return _of_connection(error)
    return errors.BrokenAnswer(f"The answer of {model} could not be read.")


def _of_connection(cause: BaseException) -> errors.LLMError:
    if isinstance(
        cause, httpx2.ConnectError | httpx2.ConnectTimeout | httpx2.UnsupportedProtocol | httpx2.ProxyError
    ):
        return errors.Unreachable("The provider could not be reached. Check the address and the network.")
    if isinstance(cause, httpx2.TimeoutException):
        return errors.TimedOut("The provider gave no answer in time.")
    # Bytes had left: the call may have run.
    return errors.BrokenAnswer("The connection to the provider broke before the answer was complete.")


_BY_STATUS: dict[int, tuple[type[errors.LLMError], str]] = {
    401: (errors.WrongKey, "The provider refused the key. Enter a valid one on the connection's page."),
    402: (errors.SpendLimitReached, "The provider asks for payment. Check billing there."),
    403: (errors.NotPermitted, "The key may not use {model}. Choose another model or another key."),
    404: (errors.UnknownModel, "The provider does not know {model}, or the address is wrong."),
    408: (errors.UpstreamFailed, "The provider gave up waiting (408)."),
    409: (errors.UpstreamFailed, "The provider reports a conflict (409)."),
    413: (errors.RequestTooLarge, "The request is larger than the provider takes. Shorten the prompt."),
    429: (errors.RateLimited, "The provider asks to slow down (429)."),
    529: (errors.Overloaded, "The provider is overloaded (529)."),
}


def _of_status(error: anthropic.APIStatusError, model: str) -> errors.LLMError:
    status = error.status_code
    code = _error_code(error)
    cls: type[errors.LLMError]
    if code in SPEND_LIMIT_CODES:
        cls, sentence = (
            errors.SpendLimitReached,
            "The provider's spend limit is reached. Raise it there, then resume.",
        )
    elif status in _BY_STATUS:
        cls, sentence = _BY_STATUS[status]
    elif status >= 500:
        cls, sentence = errors.UpstreamFailed, f"The provider failed ({status})."
    else:
        cls, sentence = errors.BadRequest, f"The provider refused the request for {{model}} ({status})."
    return cls(
        sentence.format(model=model),
        retry_after_s=_retry_after_s(error.response.headers),
        status_code=status,
        error_code=code,
        request_id=str(error.request_id or ""),
        retryable=cls is not errors.SpendLimitReached
        and is_retryable_status(status, code)
        and error.response.headers.get("x-should-retry", "").lower() != "false",
    )


def _error_code(error: anthropic.APIStatusError) -> str:
    code = getattr(error, "error_code", None)
    if not code and isinstance(error.body, dict):
        inner = error.body.get("error")
        if isinstance(inner, dict):
            details = inner.get("details")
            code = (details.get("error_code") if isinstance(details, dict) else None) or inner.get(
                "error_code"
            )
    return str(code or "")[:80]


def _retry_after_s(headers: Any) -> float | None:
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            value = float(headers.get(name, ""))
        except ValueError:
            continue
        if value == value and value >= 0:
            return value * unit
    try:
        at = parsedate_to_datetime(headers.get("retry-after", ""))
        return max(0.0, (at - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None


def _encodable(text: str) -> str:
    """Half a surrogate pair cannot travel as UTF-8; it becomes a question mark, as any browser would send
    it."""
    return text.encode("utf-8", "replace").decode("utf-8")
