"""Writing what became of items: one fenced transaction for rows, related rows and counters."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from foundation.database import garbage
from foundation.jobs import rowwriter
from foundation.jobs.claiming import FREE, Claim, lease_length, rows
from foundation.jobs.domain.states import ItemState
from foundation.jobs.kinds import Outcome, Wait
from foundation.jobs.models import Job, WorkItem


def plain(text: str, limit: int = 500) -> str:
    """Text every database takes: no NUL, no half characters, at most `limit` characters."""
    return text.replace("\x00", "").encode("utf-8", "replace").decode("utf-8")[:limit]


def write(held: Claim, answers: Sequence[Outcome | Wait]) -> int:
    """Record answers whose items are still ours. Returns how many; fewer than given means: the lease is lost."""
    now = timezone.now()
    by_pk: dict[int, Outcome | Wait] = {}
    for answer in answers:
        item = answer.item if answer.item is not None else held.items[0]
        by_pk.setdefault(item.pk, answer)
    model = held.kind.item_model
    prepared = _prepare(model, {pk: a for pk, a in by_pk.items() if isinstance(a, Outcome)})
    with garbage.put_off(), transaction.atomic():
        ours = held.rows().filter(pk__in=list(by_pk))
        # This locks the rows: nobody can take them before the transaction ends.
        if ours.update(lease_until=now + lease_length()) != len(by_pk):
            still = set(ours.values_list("pk", flat=True))
            by_pk = {pk: answer for pk, answer in by_pk.items() if pk in still}
        if not by_pk:
            return 0
        outcomes = [answer for answer in by_pk.values() if isinstance(answer, Outcome)]
        changes: dict[str, Any] = {}
        if outcomes:
            prepared.write(by_pk)
            held.kind.store(held.job, outcomes)
            changes = {**_counted(outcomes), "pace_at": now, "part_done": 0, "part_total": 0}
        for pk, answer in by_pk.items():
            if isinstance(answer, Wait):
                # A poll that went well is no lost attempt.
                rows(model).filter(pk=pk).update(
                    state=ItemState.QUEUED, attempts=0, due_at=now + timedelta(seconds=answer.seconds), **FREE
                )
                if answer.note:
                    changes["step"] = plain(answer.note, 200)
        if changes:
            Job.objects.filter(pk=held.job.pk).update(**changes)
    return len(by_pk)


def _counted(outcomes: Iterable[Outcome]) -> dict[str, Any]:
    counts: dict[ItemState, int] = defaultdict(int)
    spent = 0
    for outcome in outcomes:
        counts[outcome.state] += 1
        spent += outcome.cost_microusd
    return {
        "done": F("done") + counts[ItemState.DONE],
        "failed": F("failed") + counts[ItemState.FAILED],
        "skipped": F("skipped") + counts[ItemState.SKIPPED],
        "spent_microusd": F("spent_microusd") + spent,
    }


def _prepare(model: type[WorkItem], outcomes: dict[int, Outcome]) -> rowwriter.Updates:
    """The items' own rows, ready to be written; what cannot be written is found out before the transaction."""
    has_result = "result" in {field.name for field in model._meta.concrete_fields}
    changes: dict[int, dict[str, Any]] = {}
    for pk, outcome in outcomes.items():
        changes[pk] = {
            "state": ItemState(outcome.state).value,
            "error": plain(outcome.error),
            "due_at": None,
            **FREE,
            **outcome.fields,
        }
        if has_result and "result" not in outcome.fields and outcome.result:
            changes[pk]["result"] = dict(outcome.result)
    by = {pk: outcome.cost_microusd for pk, outcome in outcomes.items()}
    return rowwriter.updates(model, changes, grows="cost_microusd", by=by)
