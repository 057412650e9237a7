"""Short work of this floor: trying a key, and sweeping what dead owners left."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

from django.utils import timezone

from foundation.jobs.chores import Chore
from foundation.jobs.kinds import Kind, Outcome, Wait
from foundation.jobs.models import Job
from foundation.llm import adapters, budget, catalogue, connections
from foundation.llm.circuits import CIRCUITS
from foundation.llm.errors import LLMError
from foundation.llm.models import CachedAnswer, Connection, Reservation, ReservationState, bound_host
from foundation.llm.services import DEFAULT_BASE_URL, note_try, private_addresses_allowed

TRY_TIMEOUT_S = 10.0
CACHE_DAYS = 90


class TryKey(Kind):
    """Asks a provider, within 10 seconds, whether a connection works, and keeps one sentence about it."""

    name = "llm.try_key"
    title = "Try a key"
    batch_size = 1
    parallel = 1
    quiet = True

    def run(self, job: Job, items: Sequence[Any], work: Any) -> Iterator[Outcome | Wait]:
        """One question to the provider; a key that does not work is a finding, not a failure."""
        for item in items:
            connection = Connection.objects.filter(pk=job.recipe["connection"], team_id=job.team_id).first()
            if connection is None:
                yield Outcome.failure(item, "The connection was removed.")
                continue
            ok, sentence, offered = tried(connection)
            yield Outcome(item, result={"ok": ok, "sentence": sentence}, data=offered)

    def store(self, job: Job, outcomes: Sequence[Outcome]) -> None:
        """Keep what was found on the connection."""
        connection = Connection.objects.filter(pk=job.recipe["connection"]).first()
        for outcome in outcomes:
            if connection is not None and "sentence" in outcome.result:
                note_try(connection=connection, ok=outcome.result["ok"], sentence=outcome.result["sentence"])
                if connection.from_environment or connection.host == bound_host(DEFAULT_BASE_URL):
                    # The catalogue is everybody's: only the provider itself or the operator's word changes it.
                    catalogue.note_offered(outcome.data or ())

    def finish(self, job: Job) -> dict[str, Any] | None:
        """What was found, for the job's own page."""
        connection = Connection.objects.filter(pk=job.recipe["connection"]).first()
        return {"sentence": connection.tried_sentence} if connection else None


def tried(
    connection: Connection, *, timeout_s: float = TRY_TIMEOUT_S
) -> tuple[bool, str, Sequence[dict[str, Any]]]:
    """Whether the connection works, one sentence about what does, and the models it offers."""
    try:
        key = connections.key_of(connection)
    except LLMError as error:
        return False, str(error), ()
    found = asyncio.run(
        adapters.claude.try_key(
            key=key,
            base_url=connection.url,
            timeout_s=timeout_s,
            public_only=not connection.from_environment and not private_addresses_allowed(),
        )
    )
    if found.ok:
        CIRCUITS.worked(key)
    return found.ok, found.sentence, found.offered


def tidy() -> int:
    """Old kept answers and closed reservations removed, at most 5,000 rows a time."""
    n = 0
    before = timezone.now() - timedelta(days=CACHE_DAYS)
    for rows in (
        CachedAnswer.objects.filter(created_at__lt=before),
        Reservation.objects.filter(
            state__in=[ReservationState.SETTLED, ReservationState.RELEASED], created_at__lt=before
        ),
    ):
        pks = list(rows.values_list("pk", flat=True)[:5000])
        n += rows.filter(pk__in=pks).delete()[0]
    return n


KINDS = [TryKey]
CHORES = [
    Chore("llm.sweep_budgets", "Close reservations of dead calls", 15, budget.sweep),
    Chore("llm.tidy", "Remove old kept answers", 24 * 3600, tidy),
]
