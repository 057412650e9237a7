"""Writing what became of items: one fenced transaction for rows, related rows and counters."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from django.db import connection, transaction
from django.db.models import F, Field
from django.utils import timezone

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
    with transaction.atomic():
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
            _write_rows(held.kind.item_model, outcomes)
            held.kind.store(held.job, outcomes)
            counts: dict[ItemState, int] = defaultdict(int)
            for outcome in outcomes:
                counts[outcome.state] += 1
            changes = {
                "done": F("done") + counts[ItemState.DONE],
                "failed": F("failed") + counts[ItemState.FAILED],
                "skipped": F("skipped") + counts[ItemState.SKIPPED],
                "spent_microusd": F("spent_microusd") + sum(outcome.cost_microusd for outcome in outcomes),
                "pace_at": now,
                "part_done": 0,
                "part_total": 0,
            }
        for pk, answer in by_pk.items():
            if isinstance(answer, Wait):
                # A poll that went well is no lost attempt.
                rows(held.kind.item_model).filter(pk=pk).update(
                    state=ItemState.QUEUED, attempts=0, due_at=now + timedelta(seconds=answer.seconds), **FREE
                )
                if answer.note:
                    changes["step"] = plain(answer.note, 200)
        if changes:
            Job.objects.filter(pk=held.job.pk).update(**changes)
    return len(by_pk)


def _write_rows(model: type[WorkItem], outcomes: Sequence[Outcome]) -> None:
    """The items' own rows by executemany: one prepared statement, no CASE over hundreds of rows."""
    has_result = "result" in {field.name for field in model._meta.concrete_fields}
    groups: dict[tuple[str, ...], list[tuple[Outcome, dict[str, Any]]]] = defaultdict(list)
    for outcome in outcomes:
        values: dict[str, Any] = {
            "state": ItemState(outcome.state).value,
            "error": plain(outcome.error),
            "due_at": None,
            **FREE,
            **outcome.fields,
        }
        if has_result and "result" not in outcome.fields and outcome.result:
            values["result"] = dict(outcome.result)
        groups[tuple(sorted(values))].append((outcome, values))
    quote = connection.ops.quote_name
    for names, members in groups.items():
        fields: list[Field] = [model._meta.get_field(name) for name in names]  # type: ignore[misc]
        sets = ", ".join(f"{quote(str(field.column))} = %s" for field in fields)
        cost = quote("cost_microusd")
        sql = (
            f"UPDATE {quote(model._meta.db_table)} SET {sets}, {cost} = {cost} + %s "  # noqa: S608 - names of columns
            f"WHERE {quote(str(model._meta.pk.column))} = %s"
        )
        with connection.cursor() as cursor:
            cursor.executemany(
                sql,
                [
                    (
                        *(
                            field.get_db_prep_save(_raw(field, values[name]), connection)
                            for field, name in zip(fields, names, strict=True)
                        ),
                        outcome.cost_microusd,
                        outcome.item.pk,
                    )
                    for outcome, values in members
                ],
            )


def _raw(field: Field, value: Any) -> Any:
    """A related row given as an object is written by its key."""
    return value.pk if field.is_relation and hasattr(value, "pk") else value
