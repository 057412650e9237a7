"""Half-price batches under the same cap as every call: submit once, look again, book what it cost.

A batch is known by a key of ours. Its row is written before it leaves, so that whoever comes after a death never
submits it twice: it looks for it at the provider instead.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from django.db import IntegrityError, transaction
from django.db.models import Sum
from django.utils import timezone

from foundation.llm import adapters, budget, catalogue, connections
from foundation.llm import cache as answers
from foundation.llm.adapters.answer import Answer
from foundation.llm.budget import Ledger
from foundation.llm.domain.identity import request_digest
from foundation.llm.domain.messages import Completion, Request
from foundation.llm.errors import BudgetReached, LLMError, NoBudget, UpstreamFailed
from foundation.llm.models import Connection, RemoteBatch
from foundation.llm.services import private_addresses_allowed

if TYPE_CHECKING:  # the SDK behind it takes seconds to import, so it comes with the first call
    from foundation.llm.adapters.claude_batches import Door

# The provider ends a batch within a day; the money stays set aside until then and an hour more.
HOLD_S = 25 * 3600.0
# A batch whose submission was never answered is looked for this long before it is given up as spent.
LOOKED_FOR = timedelta(seconds=60)
# Clocks of two machines differ a little.
SKEW = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class Look:
    """What one look at a batch found: still going (with how many open), or its answers by custom id."""

    is_going: bool
    n_open: int = 0
    completions: Mapping[str, Completion | LLMError] | None = None
    cost_microusd: int = 0


def kept_answer(connection: Connection, request: Request) -> Completion | None:
    """The answer to the same question from before, at no cost; None when it must be asked."""
    digest = request_digest(request, provider=connection.provider, host=connection.host)
    return answers.find(connection.team_id, digest, 0)


def bound_microusd(requests: Sequence[Request]) -> int:
    """The most a batch of these can cost."""
    return sum(catalogue.bound_microusd(request, batch=True) for request in requests)


def submit(
    *, connection: Connection, ledger: Ledger | None, key: str, requests: Sequence[tuple[str, Request]]
) -> RemoteBatch:
    """The batch of this key, submitted now or before. Raises BudgetReached without room, LLMError of the provider.

    A refusal the provider gave for certain releases the money and may be tried again; an answer that was lost leaves
    the batch `sent`, to be looked for.
    """
    known = RemoteBatch.objects.filter(key=key).first()
    if known is not None:
        return known
    if ledger is None:
        raise NoBudget("A paid call needs a cap. Give the run a cap in dollars.")
    bound = bound_microusd([request for _, request in requests])
    try:
        with transaction.atomic():
            reservation = ledger.reserve(bound, hold_s=HOLD_S)
            if reservation is None:
                row = ledger.budget()
                left = max(0, row.cap_microusd - row.spent_microusd - row.reserved_microusd)
                raise BudgetReached(
                    f"The cap of ${row.cap_microusd / 1e6:.2f} has ${left / 1e6:.4f} left and the batch "
                    f"could cost ${bound / 1e6:.4f}. Raise the cap to go on."
                )
            budget.mark_sent(reservation, hold_s=HOLD_S)
            batch = RemoteBatch.objects.create(
                team_id=connection.team_id,
                connection=connection,
                key=key,
                model_id=requests[0][1].model,
                reservation=reservation,
                n_requests=len(requests),
            )
    except IntegrityError:
        return RemoteBatch.objects.get(key=key)
    try:
        sent = asyncio.run(adapters.claude_batches.submit(_door(connection, batch.model_id), requests))
    except LLMError as error:
        if _is_certain(error):
            with transaction.atomic():
                budget.release(reservation)
                batch.delete()
        else:
            error.retryable = True  # the next try looks for it and sends nothing
        raise
    RemoteBatch.objects.filter(pk=batch.pk).update(remote_id=sent.id)
    batch.refresh_from_db()
    return batch


def _is_certain(error: LLMError) -> bool:
    """Whether the provider surely made no batch: it refused, or nothing reached it. A failure of its own says neither."""
    status = error.status_code or 0
    return not error.maybe_charged and status < 500 and status not in (408, 409)


def booked_microusd(*, key: str) -> int:
    """What the batches whose keys begin so were booked at, by whoever booked them."""
    mine = RemoteBatch.objects.filter(key__startswith=key)
    return mine.aggregate(n=Sum("reservation__actual_microusd"))["n"] or 0


def look(*, batch: RemoteBatch, requests: Mapping[str, Request]) -> Look:
    """How a submitted batch stands; its answers are booked and kept once, however often this is called.

    Raises: an LLMError when the provider cannot be asked now; UpstreamFailed when the batch was lost for good.
    """
    door = _door(batch.connection, batch.model_id)
    if not batch.remote_id:
        return _looked_for(batch, door, requests)
    stands = asyncio.run(adapters.claude_batches.status(door, batch.remote_id))
    if not stands.has_ended:
        return Look(True, stands.n_open)
    return _booked(batch, asyncio.run(adapters.claude_batches.results(door, batch.remote_id)), requests)


def cancel(*, batch: RemoteBatch) -> None:
    """Ask the provider to stop. What was answered before is charged; the sweep books the bound if nobody looks again."""
    if batch.remote_id and batch.ended_at is None:
        asyncio.run(adapters.claude_batches.cancel(_door(batch.connection, batch.model_id), batch.remote_id))


def _looked_for(batch: RemoteBatch, door: Door, requests: Mapping[str, Request]) -> Look:
    """A batch whose submission was never answered: found at the provider by its time, its size and its ids."""
    others = set(
        RemoteBatch.objects.filter(connection=batch.connection)
        .exclude(remote_id="")
        .values_list("remote_id", flat=True)
    )
    candidates = [
        one
        for one in asyncio.run(adapters.claude_batches.recent(door))
        if one.id not in others
        and one.created_at >= batch.created_at - SKEW
        and one.n_requests == batch.n_requests
    ]
    for one in candidates:
        if not one.has_ended:
            continue
        found = asyncio.run(adapters.claude_batches.results(door, one.id))
        if set(found) & set(requests):
            RemoteBatch.objects.filter(pk=batch.pk).update(remote_id=one.id)
            batch.remote_id = one.id
            return _booked(batch, found, requests)
    if any(not one.has_ended for one in candidates):
        return Look(True, batch.n_requests)
    if timezone.now() - batch.created_at < LOOKED_FOR:
        return Look(True, batch.n_requests)
    with transaction.atomic():
        budget.settle(batch.reservation, None)
        RemoteBatch.objects.filter(pk=batch.pk).update(ended_at=timezone.now())
    raise UpstreamFailed(
        "The batch was sent and the provider does not know it. It counts as spent; start the judging again.",
        retryable=False,
    )


def _booked(
    batch: RemoteBatch, found: Mapping[str, Answer | LLMError], requests: Mapping[str, Request]
) -> Look:
    """Answers with their cost. Money and kept answers are written once, by whoever closes the reservation first."""
    price = catalogue.price(batch.model_id, provider=batch.connection.provider)
    completions: dict[str, Completion | LLMError] = {}
    cost = 0
    is_known = True
    for custom_id, answer in found.items():
        if isinstance(answer, Answer):
            # Charged, whether or not somebody still waits for it.
            paid = price.cost_microusd(answer.usage, batch=True)
            cost += paid
        elif answer.maybe_charged:
            # Charged, but its usage cannot be read: its bound, or with an unknown question the bound of them all.
            if custom_id in requests:
                answer.cost_microusd = catalogue.bound_microusd(requests[custom_id], batch=True)
                cost += answer.cost_microusd
            else:
                is_known = False
        if custom_id not in requests:
            continue  # an id nobody asks for answers nothing
        if isinstance(answer, LLMError):
            completions[custom_id] = answer
            continue
        completions[custom_id] = Completion(
            text=answer.text,
            stop_reason=answer.stop_reason,
            usage=answer.usage,
            latency_ms=0.0,
            cost_microusd=paid,
            request_id=answer.request_id,
        )
    with transaction.atomic():
        budget.settle(batch.reservation, cost if is_known else None)
        if RemoteBatch.objects.filter(pk=batch.pk, ended_at=None).update(ended_at=timezone.now()):
            for custom_id, completion in completions.items():
                if isinstance(completion, Completion):
                    request = requests[custom_id]
                    digest = request_digest(
                        request, provider=batch.connection.provider, host=batch.connection.host
                    )
                    answers.keep(batch.team_id, digest, 0, request.model, completion)
    # The sweep, or somebody before us, may have booked another sum: that one counts.
    batch.reservation.refresh_from_db()
    return Look(False, 0, completions, batch.reservation.actual_microusd or 0)


def _door(connection: Connection, model: str) -> Door:
    entry = catalogue.entry(model, provider=connection.provider)
    return adapters.claude_batches.Door(
        key=connections.key_of(connection),
        base_url=connection.url,
        public_only=not connection.from_environment and not private_addresses_allowed(),
        structured_output=entry is None or entry.structured_output,
        takes_effort=entry is None or entry.takes_effort,
    )
