"""Claude's message batches through Anthropic's SDK: many questions at once, half the price, answers later.

The SDK's exceptions stop here, as in the module beside this one.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urljoin, urlsplit

import anthropic
import httpx2

from foundation.llm import errors
from foundation.llm.adapters import claude
from foundation.llm.adapters.answer import Answer
from foundation.llm.domain.messages import Request

_SDK_ERRORS = (anthropic.AnthropicError, httpx2.HTTPError, ValueError, TypeError, AttributeError)
RESULTS_TIMEOUT_S = 120.0


@dataclass(frozen=True, slots=True)
class Batch:
    """How a batch stands at the provider."""

    id: str
    has_ended: bool
    n_requests: int
    n_open: int
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Door:
    """Where to ask and with which key; what the catalogue says of the model."""

    key: str
    base_url: str
    timeout_s: float = 60.0
    public_only: bool = False
    takes_sampling: bool = False
    structured_output: bool = True
    takes_effort: bool = True
    transport: Any = None


@asynccontextmanager
async def _client(door: Door, *, timeout_s: float, what: str) -> AsyncIterator[anthropic.AsyncAnthropic]:
    """A client for one errand; whatever goes wrong comes out as one of our errors."""
    failure: errors.LLMError | None = None
    try:
        if door.public_only:
            await claude.refuse_private(door.base_url)
        client = claude._client(door.key, door.base_url, door.transport)
        try:
            async with asyncio.timeout(timeout_s):
                yield client
        finally:
            await client.close()
    except TimeoutError:
        failure = errors.TimedOut(f"{what} gave no answer within {timeout_s:.0f} s.")
    except errors.LLMError:
        raise
    except _SDK_ERRORS as error:
        failure = claude.translated(error, model=what)
    # Raised outside the except block: the SDK's exception would otherwise travel along as its context.
    if failure is not None:
        raise failure


async def submit(door: Door, requests: Sequence[tuple[str, Request]]) -> Batch:
    """The batch these questions became, each under its own id. Raises a subclass of LLMError."""
    entries = []
    for custom_id, request in requests:
        arguments, _ = claude.parameters(
            request,
            takes_sampling=False,  # a batch has one API version for all: sampling parameters are never sent
            structured_output=door.structured_output,
            takes_effort=door.takes_effort,
        )
        entries.append({"custom_id": custom_id, "params": arguments})
    async with _client(door, timeout_s=door.timeout_s, what="The batch") as client:
        return _batch(await client.messages.batches.create(requests=entries))  # type: ignore[arg-type]


async def status(door: Door, batch_id: str) -> Batch:
    """How a batch stands."""
    async with _client(door, timeout_s=door.timeout_s, what="The batch") as client:
        return _batch(await client.messages.batches.retrieve(batch_id))


async def recent(door: Door, *, limit: int = 100) -> list[Batch]:
    """The newest batches of the key's workspace, newest first."""
    async with _client(door, timeout_s=door.timeout_s, what="The list of batches") as client:
        page = await client.messages.batches.list(limit=limit)
        return [_batch(one) for one in page.data]


async def cancel(door: Door, batch_id: str) -> None:
    """Ask the provider to stop; what it answered before is charged and can be fetched."""
    async with _client(door, timeout_s=door.timeout_s, what="The batch") as client:
        await client.messages.batches.cancel(batch_id)


async def results(door: Door, batch_id: str) -> dict[str, Answer | errors.LLMError]:
    """The answer, or why there is none, by custom id; a question the provider left out is not in it."""
    found: dict[str, Answer | errors.LLMError] = {}
    async with _client(door, timeout_s=RESULTS_TIMEOUT_S, what="The results of the batch") as client:
        batch = await client.messages.batches.retrieve(batch_id)
        where = urlsplit(urljoin(door.base_url, batch.results_url or ""))
        here = urlsplit(door.base_url)
        if not batch.results_url or (where.scheme, where.netloc) != (here.scheme, here.netloc):
            # The key goes to no other host, whatever address the answer names.
            raise errors.BrokenAnswer("The results of the batch lie at an address the key is not for.")
        async for line in await client.messages.batches.results(batch_id):
            found[line.custom_id] = _result(line.result)
    return found


def _batch(reply: Any) -> Batch:
    counts = reply.request_counts
    n = counts.processing + counts.succeeded + counts.errored + counts.canceled + counts.expired
    return Batch(
        id=str(reply.id),
        has_ended=reply.processing_status == "ended",
        n_requests=int(n),
        n_open=int(counts.processing),
        created_at=reply.created_at,
    )


def _result(result: Any) -> Answer | errors.LLMError:
    if result.type == "succeeded":
        try:
            return claude._answer(result.message, {})
        except (ValueError, TypeError, AttributeError):
            return errors.BrokenAnswer("The answer could not be read.")
    if result.type == "canceled":
        return errors.UpstreamFailed("The batch was cancelled before this question was asked.")
    if result.type == "expired":
        return errors.UpstreamFailed("The batch ran out of its 24 hours before this question was asked.")
    kind = str(getattr(getattr(result.error, "error", None), "type", "") or "error")[:60]
    return errors.BadRequest(f"The provider refused this question ({kind}).")
