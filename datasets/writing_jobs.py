"""Has a model write rows, several calls at once under the cap of the job, and hands over what is new."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from datasets.domain import writing
from datasets.domain.writing import Given, Unusable, Written
from datasets.models import Dataset
from datasets.services import writing as service
from foundation.jobs import services as jobs
from foundation.jobs.concurrent import answers
from foundation.jobs.domain.states import ItemState
from foundation.jobs.kinds import Kind, Outcome, Plan, Wait, Work
from foundation.jobs.models import Job, Shard
from foundation.llm.budget import Ledger, open_budget
from foundation.llm.domain.messages import Message, Request
from foundation.llm.door import complete
from foundation.llm.errors import LLMError, SpendLimitReached
from foundation.llm.models import Connection
from foundation.teams.errors import PortalError


@dataclass(frozen=True, slots=True)
class _Asked:
    request: Request
    given: list[int]
    system: str
    answer: str


@dataclass(frozen=True, slots=True)
class _Answered:
    written: Written | None
    reason: str
    cost_microusd: int


class WriteRows(Kind):
    """One item a call, and one that waits for them, drops what the dataset holds already and starts the import."""

    name = service.KIND
    title = "Write examples"
    cancelling = "No row is added. What was asked so far is paid."
    batch_size = 16
    parallel = 2
    # What failed is asked for by starting anew: answers that came are known and cost nothing.
    retryable = False

    def plan(self, job: Job, cursor: int) -> Plan:
        """The calls of the recipe, then the joining of what they brought."""
        items = [
            Shard(job=job, position=i, key=f"{call['label']}"[:200], payload=call)
            for i, call in enumerate(job.recipe["calls"])
        ]
        items.append(Shard(job=job, position=len(items), key="join", payload={"join": True}))
        return Plan(items)

    def run(self, job: Job, items: Sequence[Any], work: Work) -> Iterator[Outcome | Wait]:
        """Ask; once every call is answered, land what is new."""
        waiting = items.peek() if hasattr(items, "peek") else list(items)
        calls = [item for item in waiting if not item.payload.get("join")]
        if not calls:
            yield from self._join(job, items, work)
            return
        connection = (
            Connection.objects.select_related("team")
            .filter(pk=job.recipe["connection"], team=job.team_id)
            .first()
        )
        if connection is None:
            raise PortalError("The connection of this writing was removed. Start it anew with another.")
        dataset = Dataset.objects.select_related("team", "use_case").get(pk=job.recipe["dataset"])
        ledger = open_budget(job, job.cap_microusd or 0)
        task_kind = dataset.use_case.task_kind
        # Read everything before the first call leaves: calls run beside the thread that owns the database.
        texts = service.texts_given(dataset, [key for item in calls for key in item.payload["given"]])
        asked = {item.pk: self._asked(dataset, job, item, texts) for item in calls}

        async def ask(item: Shard) -> _Answered | None:
            if item.payload.get("join"):
                return None
            question = asked[item.pk]
            if question is None:
                return _Answered(None, "the rows to write from are gone or kept for a test by now", 0)
            return await _ask(connection, question, ledger, task_kind, item.payload["want"])

        for item, answer in answers(items, ask, connection.max_concurrency):
            if isinstance(answer, SpendLimitReached):
                jobs.pause_job(actor=None, job=job)
                yield Outcome.failure(item, str(answer))
            elif isinstance(answer, PortalError):
                yield Outcome.failure(
                    item, str(answer), cost_microusd=getattr(answer, "cost_microusd", 0) or 0
                )
            elif isinstance(answer, BaseException):
                raise answer
            elif answer is None:
                yield Wait(0.3, "Waiting for the last answers", item)
            elif answer.written is None:
                yield Outcome.failure(item, answer.reason[:300], cost_microusd=answer.cost_microusd)
            else:
                question = asked[item.pk]
                yield Outcome(
                    item,
                    result={
                        "rows": [list(row) for row in answer.written.rows],
                        "refused": answer.written.refused,
                        "given": question.given if question else [],
                        "system": question.system if question else "",
                    },
                    cost_microusd=answer.cost_microusd,
                )

    def _asked(
        self, dataset: Dataset, job: Job, item: Shard, texts: Mapping[int, tuple[str, Given]]
    ) -> _Asked | None:
        keys = [key for key in item.payload["given"] if key in texts]
        if not keys:
            return None
        given = [texts[key][1] for key in keys]
        systems = {texts[key][0] for key in keys}
        label, want = item.payload["label"], item.payload["want"]
        return _Asked(
            service.request_for(dataset, job.recipe["model"], label, want, given),
            keys,
            systems.pop() if len(systems) == 1 else "",
            label if dataset.use_case.task_kind == "classify" and _are_labels(given, label)
            else writing.common_answer(given),
        )  # fmt: skip

    def _join(self, job: Job, items: Sequence[Any], work: Work) -> Iterator[Outcome | Wait]:
        for item in items:
            others = Shard.objects.filter(job=job).exclude(pk=item.pk)
            if others.filter(state__in=(ItemState.QUEUED, ItemState.RUNNING)).exists():
                yield Wait(0.3, "Waiting for the last answers", item)
                return
            dataset = Dataset.objects.get(pk=job.recipe["dataset"])
            total = max(1, dataset.n_active + dataset.n_dropped + dataset.n_rejected)

            def beat(done: int, total: int = total) -> None:
                work.progress(min(done, total), total, "Comparing with the dataset")

            facts = service.land(job=job, beat=beat)
            yield Outcome(item, result=facts)

    def finish(self, job: Job) -> dict[str, Any]:
        """How many rows were written, how many were new, which import holds them."""
        joined = Shard.objects.filter(job=job, payload__join=True, state=ItemState.DONE).first()
        return dict(joined.result) if joined else {}


def _are_labels(given: Sequence[Given], label: str) -> bool:
    return all(row.completion == label for row in given)


async def _ask(connection: Connection, asked: _Asked, ledger: Ledger, task_kind: str, want: int) -> _Answered:
    """The rows of one reply; a reply that cannot be used is asked for once more."""
    reply = await complete(connection, asked.request, ledger=ledger)
    paid = 0 if reply.from_cache else reply.cost_microusd
    try:
        return _Answered(_read(reply.text, asked, task_kind, want), "", paid)
    except Unusable as reason:
        first = str(reason)
    again = replace(
        asked.request,
        messages=(
            *asked.request.messages,
            Message("assistant", reply.text[:4000] or "(nothing)"),
            Message("user", writing.REPAIR.format(reason=first)),
        ),
    )
    try:
        second = await complete(connection, again, ledger=ledger)
    except SpendLimitReached:
        raise
    except LLMError as error:
        return _Answered(None, f"{first}; then: {error}", paid)
    paid += 0 if second.from_cache else second.cost_microusd
    try:
        return _Answered(_read(second.text, asked, task_kind, want), "", paid)
    except Unusable as reason:
        return _Answered(None, f"{reason}, twice", paid)


def _read(text: str, asked: _Asked, task_kind: str, want: int) -> Written:
    return writing.parse_reply(text, task_kind=task_kind, answer=asked.answer, want=want)


KINDS: list[type[Kind]] = [WriteRows]
