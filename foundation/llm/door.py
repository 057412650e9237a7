"""The one door to models: cache, cap, place in the line, call, retry, booking. Every paid call does."""

from __future__ import annotations

import asyncio
import random
import time
import weakref
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

from django.db import transaction

from foundation.llm import adapters, budget, catalogue, connections, slots
from foundation.llm import cache as answers
from foundation.llm.adapters.answer import Answer
from foundation.llm.budget import Ledger
from foundation.llm.circuits import CIRCUITS
from foundation.llm.domain.bounds import prompt_tokens_bound
from foundation.llm.domain.identity import request_digest
from foundation.llm.domain.messages import Completion, Request
from foundation.llm.domain.pricing import Price
from foundation.llm.domain.retries import RetryPolicy, wait_before_retry_s
from foundation.llm.errors import BudgetReached, LLMError, NoBudget, NoConnection, Overloaded
from foundation.llm.models import Connection, ModelEntry, Reservation
from foundation.llm.services import private_addresses_allowed
from foundation.llm.threads import in_database, in_database_to_the_end

DEFAULT_TIMEOUT_S = 60.0
DEFAULT_POLICY = RetryPolicy()
# A lease outlives its call by this much, so that only a dead owner's lease ever ends.
LEASE_MARGIN_S = 15.0


@dataclass(frozen=True, slots=True)
class _Prepared:
    key: str
    price: Price
    bound_microusd: int
    entry: ModelEntry | None
    digest: str


@dataclass(frozen=True, slots=True)
class _Begun:
    place: tuple[int, str]
    reservation: Reservation


async def complete(
    connection: Connection,
    request: Request,
    *,
    ledger: Ledger | None = None,
    cache: bool = True,
    sample: int = 0,
    timeout_s: float = DEFAULT_TIMEOUT_S,
    policy: RetryPolicy = DEFAULT_POLICY,
    chance: Callable[[], float] = random.random,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    transport: Any = None,
) -> Completion:
    """A finished answer with its cost in micro-dollars (0 from the cache or a local model).

    Earlier tries whose answer was lost are in the cost, here and in `error.cost_microusd`.

    `sample` tells repeats of one question apart, so that they are asked anew.
    Raises: a subclass of LLMError; BudgetReached when the cap has no room, NoBudget for a paid call without a
    ledger, NoPrice for a model the catalogue cannot price.
    """
    if connection.provider == Connection.Provider.LOCAL:
        return await _complete_locally(connection, request)
    if not connection.enabled:
        raise NoConnection(
            f"The connection “{connection.name}” is switched off. Switch it on in the team's settings."
        )
    prepared = await in_database(_prepare, connection, request, cache, sample)
    if isinstance(prepared, Completion):
        return prepared
    if ledger is None:
        raise NoBudget("A paid call needs a cap. Give the run a cap in dollars.")
    began = time.monotonic()
    tries = lost_microusd = 0
    while True:
        try:
            CIRCUITS.check(prepared.key)
            async with _line(connection):
                begun = await _begin(connection, ledger, prepared, timeout_s, policy, began, sleep, chance)
                tries += 1
                outcome = await _one_call(
                    connection, request, prepared, begun, timeout_s, transport, cache, sample, tries
                )
        except LLMError as before_the_call:
            before_the_call.tries, before_the_call.cost_microusd = tries, lost_microusd
            raise
        if isinstance(outcome, Completion):
            CIRCUITS.worked(prepared.key)
            return replace(outcome, cost_microusd=outcome.cost_microusd + lost_microusd)
        if outcome.maybe_charged:
            lost_microusd += prepared.bound_microusd
        CIRCUITS.failed(prepared.key, outcome)
        wait = wait_before_retry_s(
            policy, outcome, tries=tries, elapsed_s=time.monotonic() - began, chance=chance()
        )
        if wait is None:
            outcome.tries, outcome.cost_microusd = tries, lost_microusd
            raise outcome
        await sleep(wait)


async def _complete_locally(connection: Connection, request: Request) -> Completion:
    began = time.perf_counter()
    blob = await in_database(adapters.trained_here.find, connection.team_id, request.model)
    answer = await adapters.trained_here.ask(request, blob)
    return Completion(
        text=answer.text,
        stop_reason=answer.stop_reason,
        usage=answer.usage,
        latency_ms=(time.perf_counter() - began) * 1000,
        cost_microusd=0,
        confidence=answer.confidence,
    )


def _prepare(
    connection: Connection, request: Request, use_cache: bool, sample: int
) -> _Prepared | Completion:
    digest = request_digest(request, provider=connection.provider, host=connection.host)
    if use_cache and (kept := answers.find(connection.team_id, digest, sample)) is not None:
        return kept
    price = catalogue.price(request.model, provider=connection.provider)
    _ = (
        adapters.claude
    )  # loaded here, on the way to the first call: not in the event loop, not in the call's time
    return _Prepared(
        key=connections.key_of(connection),
        price=price,
        bound_microusd=price.bound_microusd(prompt_tokens_bound(request), request.max_tokens),
        entry=catalogue.entry(request.model, provider=connection.provider),
        digest=digest,
    )


# Places in the database are leased one by one; this keeps a process from polling for more than its share.
_lines: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[tuple[int, int], asyncio.Semaphore]] = (
    weakref.WeakKeyDictionary()
)


def _line(connection: Connection) -> asyncio.Semaphore:
    limit = max(1, connection.max_concurrency)
    mine = _lines.setdefault(asyncio.get_running_loop(), {})
    return mine.setdefault((connection.pk, limit), asyncio.Semaphore(limit))


async def _begin(
    connection: Connection,
    ledger: Ledger,
    prepared: _Prepared,
    timeout_s: float,
    policy: RetryPolicy,
    began: float,
    sleep: Callable[[float], Awaitable[None]],
    chance: Callable[[], float],
) -> _Begun:
    """A place in the line and money for the call, marked sent, in one transaction."""
    while True:
        begun = await in_database_to_the_end(
            _take_place_and_money,
            connection,
            ledger,
            prepared,
            timeout_s + LEASE_MARGIN_S,
            undo=_give_back,
        )
        if begun is not None:
            return begun
        if time.monotonic() - began > policy.max_elapsed_s:
            raise Overloaded(f"All {connection.max_concurrency} places of “{connection.name}” stayed taken.")
        await sleep(0.02 + 0.1 * chance())


def _take_place_and_money(
    connection: Connection, ledger: Ledger, prepared: _Prepared, hold_s: float
) -> _Begun | None:
    with transaction.atomic():
        place = slots.take(connection.pk, limit=max(1, connection.max_concurrency), hold_s=hold_s)
        if place is None:
            return None
        reservation = ledger.reserve(prepared.bound_microusd, hold_s=hold_s)
        if reservation is None:
            raise BudgetReached(_cap_sentence(ledger, prepared.bound_microusd))
        budget.mark_sent(reservation, hold_s=hold_s)
        return _Begun(place, reservation)


def _give_back(begun: _Begun | None) -> None:
    """What a call leaves that was cancelled before it was sent."""
    if begun is not None:
        _end(begun, 0)


def _cap_sentence(ledger: Ledger, bound_microusd: int) -> str:
    row = ledger.budget()
    left = row.cap_microusd - row.spent_microusd - row.reserved_microusd
    return (
        f"The cap of ${row.cap_microusd / 1e6:.2f} has ${max(0, left) / 1e6:.4f} left and the next call "
        f"could cost ${bound_microusd / 1e6:.4f}. Raise the cap to go on."
    )


async def _one_call(
    connection: Connection,
    request: Request,
    prepared: _Prepared,
    begun: _Begun,
    timeout_s: float,
    transport: Any,
    keep: bool,
    sample: int,
    tries: int,
) -> Completion | LLMError:
    """The answer or the failure of one call, booked either way."""
    entry, started = prepared.entry, time.perf_counter()
    try:
        answer = await adapters.claude.ask(
            request,
            key=prepared.key,
            base_url=connection.url,
            timeout_s=timeout_s,
            takes_sampling=bool(entry and entry.takes_sampling),
            structured_output=entry is None or entry.structured_output,
            takes_effort=entry is None or entry.takes_effort,
            public_only=not connection.from_environment and not private_addresses_allowed(),
            transport=transport,
        )
    except LLMError as failure:
        await in_database_to_the_end(_end, begun, None if failure.maybe_charged else 0)
        return failure
    except BaseException:
        # Cancelled under way: the provider may have charged, nobody will know.
        await in_database_to_the_end(_end, begun, None)
        raise
    completion = _completion(answer, prepared.price, (time.perf_counter() - started) * 1000, tries)
    await in_database_to_the_end(
        _end_with_answer, connection.team_id, begun, prepared, request, completion, keep, sample
    )
    return completion


def _completion(answer: Answer, price: Price, latency_ms: float, tries: int) -> Completion:
    return Completion(
        text=answer.text,
        stop_reason=answer.stop_reason,
        usage=answer.usage,
        latency_ms=latency_ms,
        cost_microusd=price.cost_microusd(answer.usage),
        request_id=answer.request_id,
        sent_parameters=answer.sent_parameters,
        tries=tries,
    )


def _end(begun: _Begun, actual_microusd: int | None) -> None:
    with transaction.atomic():
        slots.give_back(begun.place)
        if actual_microusd == 0:
            budget.release(begun.reservation)
        else:
            budget.settle(begun.reservation, actual_microusd)


def _end_with_answer(
    team_id: int,
    begun: _Begun,
    prepared: _Prepared,
    request: Request,
    completion: Completion,
    keep: bool,
    sample: int,
) -> None:
    with transaction.atomic():
        slots.give_back(begun.place)
        budget.settle(begun.reservation, completion.cost_microusd)
        if keep:
            answers.keep(team_id, prepared.digest, sample, request.model, completion)
