"""Judging through the provider's batches: submitted once, looked at now and then, answers written when they are there."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import F, QuerySet
from django.utils import timezone

from datasets.models import Judgement, QualityRun
from datasets.services import judging
from foundation.jobs import services as jobs
from foundation.jobs.domain.states import FINAL
from foundation.jobs.kinds import Kind, Outcome, Plan, RemoteKind, Wait
from foundation.jobs.models import Job, Shard
from foundation.llm import batches
from foundation.llm.budget import open_budget
from foundation.llm.domain.messages import Request
from foundation.llm.errors import BudgetReached, LLMError, SpendLimitReached, UpstreamFailed
from foundation.llm.models import Connection, RemoteBatch
from foundation.teams.errors import PortalError

# Rows in one batch of the provider: few enough that a lost one costs little, many enough for hours of work.
ROWS_A_BATCH = 500
# A batch ends within a day at the provider, and the sweep books its bound then; later nobody asks.
LOOKED_AFTER = timedelta(days=2)
LEAST_WAIT_S, MOST_WAIT_S = 0.5, 60.0


class JudgeInBatches(RemoteKind):
    """Asks a model about rows through half-price batches, under the cap of the run."""

    name = "datasets.quality_batches"
    title = "Quality"
    cancelling = "Rows judged so far keep their verdict. What the provider has begun is still charged."
    item_model = Shard
    batch_size = 4

    def plan(self, job: Job, cursor: int) -> Plan:
        """The rows as judgements, 500 at a time, and one item for each 500. Planning twice writes nothing twice."""
        chosen = judging.rows_to_judge(job)
        ids = chosen[cursor : cursor + ROWS_A_BATCH]
        judging.plan_judgements(job=job, example_ids=ids, first=cursor)
        after = cursor + len(ids)
        item = Shard(
            job=job,
            position=cursor // ROWS_A_BATCH,
            key=f"rows {cursor + 1} to {after}",
            payload={"from": cursor, "to": after},
        )
        return Plan([item], after if after < len(chosen) else None)

    def poll(self, job: Job, item: Any) -> Outcome | Wait:
        """Submit what no earlier answer covers, or look how it stands."""
        run = QualityRun.objects.select_related("dataset__use_case").get(pk=job.recipe["run"])
        connection = (
            Connection.objects.select_related("team")
            .filter(pk=job.recipe["connection"], team=job.team_id)
            .first()
        )
        if connection is None:
            raise PortalError("The connection of this judging was removed. Start it anew with another.")
        part = range(item.payload["from"], item.payload["to"])
        is_sent = RemoteBatch.objects.filter(key=key_of(job, item)).exists()
        waiting = judging.answer_for_free(
            job=job, run=run, connection=connection, positions=part, is_sent=is_sent
        )
        if not waiting:
            # Perhaps a worker wrote the answers and died before it could say what they cost.
            return Outcome(item, cost_microusd=_not_counted(job, item))
        requests = {
            custom_id(row): judging.question_for(row.content, run.dataset.use_case, job.recipe["model"])
            for row in waiting
        }
        try:
            return self._asked(job, item, connection, requests, waiting)
        except SpendLimitReached as error:
            jobs.pause_job(actor=None, job=job)
            return Wait(LEAST_WAIT_S, str(error))
        except BudgetReached as error:
            judging.leave_unscored(rows=waiting, reason=str(error))
            return Outcome.failure(item, str(error))
        except LLMError as error:
            if error.retryable:
                return Wait(MOST_WAIT_S / 4, f"{error} Asked again in a while.")
            judging.leave_unscored(rows=waiting, reason=str(error))
            return Outcome.failure(item, str(error), cost_microusd=_not_counted(job, item))

    def _asked(
        self,
        job: Job,
        item: Any,
        connection: Connection,
        requests: dict[str, Request],
        waiting: Sequence[Judgement],
    ) -> Outcome | Wait:
        key = key_of(job, item)
        batch = RemoteBatch.objects.select_related("connection", "reservation").filter(key=key).first()
        if batch is None:
            ledger = open_budget(job, job.cap_microusd or 0)
            batch = batches.submit(
                connection=connection, ledger=ledger, key=key, requests=list(requests.items())
            )
            return Wait(LEAST_WAIT_S, f"{len(requests):,} rows sent at half price")
        found = batches.look(batch=batch, requests=requests)
        if found.completions is None:
            age_s = (timezone.now() - batch.created_at).total_seconds()
            wait_s = min(MOST_WAIT_S, max(LEAST_WAIT_S, age_s / 3))
            return Wait(wait_s, f"{found.n_open:,} rows are with the provider, which takes up to a day")
        judging.write_answers(
            rows=waiting, completions={row.pk: found.completions.get(custom_id(row)) for row in waiting}
        )
        return Outcome(item, cost_microusd=_not_counted(job, item), result={"asked": len(waiting)})

    def finish(self, job: Job) -> dict[str, Any]:
        """Average, interval and label over the scored rows."""
        run = judging.finish_quality(job=job)
        return {"sample": run.n_sample, "scored": run.n_scored, "average": run.average}

    def abandoned(self, job: Job) -> None:
        """Ask the provider to stop, and count what was judged before. What it did till then is booked by the chore."""
        for batch in _open_batches().filter(key__startswith=f"quality:{job.pk}:"):
            with contextlib.suppress(PortalError):
                batches.cancel(batch=batch)
                _book(job, batch)
        judging.finish_quality(job=job)


def _open_batches() -> QuerySet[RemoteBatch]:
    mine = RemoteBatch.objects.filter(key__startswith="quality:", ended_at=None)
    return mine.select_related("connection", "reservation").order_by("pk")


def look_after_ended(*, most: int = 50) -> int:
    """Look once at each batch its ended job left open, until it is booked. Returns how many were. Safe to repeat.

    A cancelled batch goes on for a while at the provider, and one whose submission was never answered must be found
    there first.
    """
    n = 0
    batches_left = list(_open_batches().filter(created_at__gt=timezone.now() - LOOKED_AFTER)[:most])
    ended = Job.objects.filter(pk__in={_place(b.key)[0] for b in batches_left}, state__in=sorted(FINAL))
    jobs_by_id = ended.in_bulk()
    for batch in batches_left:
        job = jobs_by_id.get(_place(batch.key)[0])
        if job is not None:
            # The next minute comes; one provider that is away holds up no other.
            with contextlib.suppress(PortalError):
                n += _book(job, batch)
    return n


def _book(job: Job, batch: RemoteBatch) -> bool:
    """Whether a batch nobody waits for is booked now; then its cost is on the job too."""
    position = _place(batch.key)[1]
    rows = Judgement.objects.filter(
        job=job, position__gte=position * ROWS_A_BATCH, position__lt=(position + 1) * ROWS_A_BATCH
    ).select_related("content", "run__dataset__use_case")
    requests = {
        custom_id(row): judging.question_for(row.content, row.run.dataset.use_case, job.recipe["model"])
        for row in rows
    }
    try:
        is_over = not batches.look(batch=batch, requests=requests).is_going
    except UpstreamFailed as error:
        if error.retryable:
            raise
        is_over = True  # the provider never had it: booked at its bound
    if not is_over:
        return False
    item = Shard.objects.filter(job=job, position=position).first()
    if item is not None and (more := _not_counted(job, item)):
        with transaction.atomic():
            mine = Shard.objects.filter(pk=item.pk, cost_microusd=item.cost_microusd)
            if mine.update(cost_microusd=item.cost_microusd + more):
                Job.objects.filter(pk=job.pk).update(spent_microusd=F("spent_microusd") + more)
    return True


def custom_id(row: Judgement) -> str:
    """The id a question carries at the provider."""
    return f"judgement-{row.pk}"


def _place(key: str) -> tuple[int, int]:
    """The job and the position of the item whose batch has this key."""
    _, job_id, position, _ = key.split(":")
    return int(job_id), int(position)


def _not_counted(job: Job, item: Any) -> int:
    """What was booked for the batches of an item and is not in its cost yet."""
    return batches.booked_microusd(key=f"quality:{job.pk}:{item.position}:") - int(item.cost_microusd)


def key_of(job: Job, item: Any) -> str:
    """The key of an item's batch. One that was lost for good is not asked about again: a retry by hand sends anew."""
    base = f"quality:{job.pk}:{item.position}:"
    lost = RemoteBatch.objects.filter(key__startswith=base, remote_id="").exclude(ended_at=None).count()
    return f"{base}{lost}"


KINDS: list[type[Kind]] = [JudgeInBatches]
