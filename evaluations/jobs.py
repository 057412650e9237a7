"""Evaluating as long work: local models answer in bulk, connected models one call a row, comparisons in one go."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from django.conf import settings

from datasets.domain.mixing import prefixed
from datasets.models import Content, VersionRow
from datasets.services import mixing
from evaluations.domain import judging, scoring
from evaluations.domain.statuses import EvaluationState
from evaluations.models import Comparison, Evaluation, Result
from evaluations.services import candidates, comparisons
from evaluations.services import evaluations as service
from foundation.files import store
from foundation.jobs import services as jobs
from foundation.jobs.concurrent import answers
from foundation.jobs.domain.states import JobState
from foundation.jobs.kinds import Kind, Outcome, Plan, Wait, Work
from foundation.jobs.models import Job
from foundation.llm import catalogue, local
from foundation.llm.budget import Ledger, open_budget
from foundation.llm.domain.messages import Completion, Message, Request
from foundation.llm.domain.pricing import Price
from foundation.llm.door import complete
from foundation.llm.errors import BudgetReached, LLMError, SpendLimitReached
from foundation.llm.models import Connection
from foundation.llm.threads import in_database
from foundation.teams.errors import PortalError

PLAN_ROWS = 1000
# Rows of a local model that are timed alone; enough for a p95 and a paired interval.
TIMED_ROWS = 100
JUDGE_MAX_TOKENS = service.JUDGE_MAX_TOKENS


class _Evaluate(Kind):
    """Planning, finishing and cleaning up, the same for both ways of answering."""

    item_model = Result

    def plan(self, job: Job, cursor: int) -> Plan:
        """A thousand rows at a time, in the order that was frozen; the first chunk builds a floor's model file."""
        evaluation = evaluation_of(job)
        if cursor == 0:
            candidates.ensure_artefact(evaluation.candidate)
        if evaluation.row_ids:
            chunk = evaluation.row_ids[cursor : cursor + PLAN_ROWS]
            rows = VersionRow.objects.in_bulk(chunk)
            found = [(cursor + i, rows[pk]) for i, pk in enumerate(chunk)]
            following = cursor + PLAN_ROWS if cursor + PLAN_ROWS < len(evaluation.row_ids) else None
        else:
            split = VersionRow.objects.filter(version=evaluation.version, split=evaluation.split)
            chunk_rows = list(split.filter(position__gte=cursor).order_by("position")[:PLAN_ROWS])
            found = [(row.position, row) for row in chunk_rows]
            following = chunk_rows[-1].position + 1 if len(chunk_rows) == PLAN_ROWS else None
        items = [
            Result(
                job=job,
                position=position,
                evaluation=evaluation,
                row=row,
                content_id=row.content_id,
                expected_label=row.label,
            )
            for position, row in found
        ]
        return Plan(items, following)

    def finish(self, job: Job) -> dict[str, Any]:
        """Write the figures, then decide every comparison that waited for them."""
        evaluation = evaluation_of(job)
        summary = service.finish_evaluation(evaluation)
        comparisons.settle_waiting(evaluation)
        return summary

    def abandoned(self, job: Job) -> None:
        """Note how it ended; comparisons that waited say so."""
        cancelled = job.state in (JobState.CANCELLED, JobState.CANCELLING)
        pk = job.recipe["evaluation"]
        service.end_evaluation(evaluation_id=pk, cancelled=cancelled, error="" if cancelled else job.error)
        evaluation = Evaluation.objects.filter(pk=pk).first()
        if evaluation is not None and evaluation.state != EvaluationState.DONE:
            comparisons.settle_waiting(evaluation)


class EvaluateLocal(_Evaluate):
    """Models of this portal answer hundreds of rows at once; nothing is paid.

    The first rows are asked one by one as well, because a batch says nothing of how long one answer takes.
    """

    name = service.LOCAL_JOB
    title = "Evaluation"
    batch_size = 500
    parallel = 2

    def run(self, job: Job, items: Sequence[Any], work: Work) -> Iterator[Outcome | Wait]:
        """Answer a batch in one go, score it row by row."""
        evaluation = evaluation_of(job)
        model = load_model(evaluation)
        started = list(items)
        texts = _texts(started, evaluation)
        replies = model.answer([texts[item.content_id].prompt for item in started])
        for item, reply in zip(started, replies, strict=True):
            content = texts[item.content_id]
            fields = service.result_fields(
                evaluation, expected=content.completion, label=item.expected_label, output=reply.text
            )
            latency = _seconds_of(model, content.prompt) * 1000 if item.position < TIMED_ROWS else None
            yield Outcome(item, fields={**fields, "confidence": reply.confidence, "latency_ms": latency})


def _seconds_of(model: local.LocalModel, text: str) -> float:
    began = time.perf_counter()
    model.answer([text])
    return time.perf_counter() - began


@dataclass(frozen=True, slots=True)
class _Answered:
    """One row's answer, and the judge's if it was asked. Paid: what left now; price: what it costs at list price."""

    text: str
    latency_ms: float | None
    confidence: float | None = None
    completion: Completion | None = None
    judged: judging.Judged | None = None
    judge_reply: str = ""
    judge_repaired: bool = False
    paid_microusd: int = 0


@dataclass
class _Asked:
    """What the calls of one batch need, read from the database before the first leaves."""

    evaluation: Evaluation
    ledger: Ledger
    judge: Connection | None
    contents: dict[int, Content]
    model: local.LocalModel | None
    price: Price | None = None
    metrics: tuple[str, ...] = field(default=())


class EvaluateRemote(_Evaluate):
    """A connected model answers, or judges, row by row: several calls in flight, under the cap of the run."""

    name = service.REMOTE_JOB
    title = "Evaluation"
    batch_size = 24
    parallel = 2

    def run(self, job: Job, items: Sequence[Any], work: Work) -> Iterator[Outcome | Wait]:
        """Ask for each row, then its judge. A call without an answer leaves the row unscored with its reason."""
        asked = self._prepare(job, items)
        evaluation = asked.evaluation
        connection = evaluation.candidate.connection or asked.judge
        limit = connection.max_concurrency if connection else 4

        async def ask(item: Any) -> _Answered:
            return await _answer(asked, item)

        for item, answer in answers(items, ask, limit):
            if isinstance(answer, SpendLimitReached):
                # The provider's own limit: a person has to raise it. What did not run is kept for later.
                jobs.pause_job(actor=None, job=job)
                Job.objects.filter(pk=job.pk).update(step=str(answer)[:200])
                yield Outcome.failure(item, str(answer), fields=_unscored(str(answer)))
            elif isinstance(answer, PortalError):
                cost = getattr(answer, "cost_microusd", 0) or 0
                yield Outcome.failure(item, str(answer), fields=_unscored(str(answer)), cost_microusd=cost)
            elif isinstance(answer, BaseException):
                raise answer
            else:
                yield _outcome(asked, item, answer)

    def _prepare(self, job: Job, items: Sequence[Any]) -> _Asked:
        evaluation = evaluation_of(job)
        waiting = items.peek() if hasattr(items, "peek") else list(items)
        plan = evaluation.plan.get("judge")
        judge = (
            Connection.objects.select_related("team")
            .filter(pk=plan["connection"], team=evaluation.team)
            .first()
            if plan
            else None
        )
        if plan and judge is None:
            raise PortalError(
                "The judge's connection was removed. Start the evaluation anew with another judge."
            )
        local_model = load_model(evaluation) if evaluation.candidate.is_local else None
        candidate = evaluation.candidate
        price = (
            None
            if candidate.is_local or candidate.connection is None
            else catalogue.price(candidate.model_id, provider=candidate.connection.provider)
        )
        return _Asked(
            price=price,
            evaluation=evaluation,
            ledger=open_budget(job, evaluation.cap_microusd or 0),
            judge=judge,
            contents=_texts(waiting, evaluation),
            model=local_model,
            metrics=tuple(plan["metrics"]) if plan else (),
        )


async def _paid_call(asked: _Asked, connection: Connection, request: Request) -> Completion:
    """One call under the cap. Calls in flight hold money for their longest answer and give most of it back, so a
    call that finds no room waits while anything is held, and gives up when nothing is."""
    while True:
        try:
            return await complete(connection, request, ledger=asked.ledger)
        except BudgetReached:
            budget = await in_database(asked.ledger.budget)
            if not budget.reserved_microusd:
                raise
        await asyncio.sleep(0.1)


async def _answer(asked: _Asked, item: Result) -> _Answered:
    content = asked.contents[item.content_id]
    candidate = asked.evaluation.candidate
    if asked.model is not None:
        began = time.perf_counter()
        reply = asked.model.answer([content.prompt])[0]
        found = _Answered(reply.text, (time.perf_counter() - began) * 1000, confidence=reply.confidence)
    else:
        assert candidate.connection is not None
        completion = await _paid_call(asked, candidate.connection, request_for(candidate, content))
        if completion.stop_reason == "refusal":
            # A refusal is an answer, and a wrong one: it is scored like any text.
            completion = replace(completion, text=completion.text or "(refused)")
        found = _Answered(
            completion.text, completion.latency_ms, completion=completion, paid_microusd=_paid(completion)
        )
    if asked.judge is None or judging.is_degenerate(found.text):
        return found
    return await _judge(asked, item, content, found)


async def _judge(asked: _Asked, item: Result, content: Content, found: _Answered) -> _Answered:
    plan = asked.evaluation.plan["judge"]
    # Derived from the row, not drawn: the same row asks the same question again, and the cache can answer.
    mark = mark_of(asked.evaluation, item)
    row = judging.JudgeRow(mark, content.prompt, item.expected_label or content.completion, found.text)
    request = Request(
        model=plan["model"],
        system=judging.system_prompt(
            asked.metrics, f"row-{mark}", task=asked.evaluation.use_case.description[:1000]
        ),
        messages=(Message("user", judging.user_prompt([row], f"row-{mark}")),),
        max_tokens=JUDGE_MAX_TOKENS,
        output_schema=judging.schema_for(asked.metrics),
    )
    assert asked.judge is not None
    paid = found.paid_microusd
    try:
        reply = await _paid_call(asked, asked.judge, request)
    except SpendLimitReached:
        raise
    except LLMError as error:
        return replace(found, judged=judging.Judged(unscored=str(error)[:300]))
    paid += _paid(reply)
    judged = judging.read_reply(reply.text, [mark], asked.metrics)[mark]
    if judged.is_scored:
        return replace(found, judged=judged, judge_reply=reply.text, paid_microusd=paid)
    again = replace(
        request,
        messages=(
            *request.messages,
            Message("assistant", reply.text or "(nothing)"),
            Message("user", judging.repair_prompt(judged.unscored + ".", [mark], asked.metrics)),
        ),
    )
    try:
        second = await _paid_call(asked, asked.judge, again)
    except SpendLimitReached:
        raise
    except LLMError as error:
        reason = f"{judged.unscored}; then: {error}"[:300]
        return replace(
            found, judged=judging.Judged(unscored=reason), judge_reply=reply.text, paid_microusd=paid
        )
    judged = judging.read_reply(second.text, [mark], asked.metrics)[mark]
    return replace(
        found, judged=judged, judge_reply=second.text, judge_repaired=True, paid_microusd=paid + _paid(second)
    )


def mark_of(evaluation: Evaluation, item: Result) -> str:
    """The id a judge must repeat: fixed for a row of a candidate, guessable by nobody who wrote the row."""
    digest = candidates.digest_of(
        secret=settings.SECRET_KEY, candidate=evaluation.candidate.digest, row=item.row_id
    )
    return digest[:12]


def _paid(completion: Completion) -> int:
    return 0 if completion.from_cache else completion.cost_microusd


def request_for(candidate: Any, content: Content) -> Request:
    """What a prompt candidate asks for a row: its system prompt, its examples, the row's own turns and question."""
    messages: list[Message] = []
    for example in candidate.few_shot:
        messages += [Message("user", example["prompt"]), Message("assistant", example["completion"])]
    for role, text in json.loads(content.turns) if content.turns else []:
        if role in ("user", "assistant"):
            messages.append(Message(role, text))
    messages.append(Message("user", content.prompt))
    return Request(
        model=candidate.model_id,
        system=candidate.system or content.system,
        messages=tuple(messages),
        max_tokens=candidate.params.get("max_tokens", candidates.DEFAULT_MAX_TOKENS),
        effort=candidate.params.get("effort") or None,
    )


def _outcome(asked: _Asked, item: Result, answer: _Answered) -> Outcome:
    evaluation, content = asked.evaluation, asked.contents[item.content_id]
    fields = service.result_fields(
        evaluation, expected=content.completion, label=item.expected_label, output=answer.text
    )
    fields |= {"confidence": answer.confidence, "latency_ms": answer.latency_ms}
    if answer.completion is not None:
        usage = answer.completion.usage
        fields |= {
            "input_tokens": usage.prompt_tokens,
            "output_tokens": usage.output_tokens,
            # At list price, whether it was paid now or kept from before.
            "price_microusd": asked.price.cost_microusd(usage) if asked.price else 0,
            "from_cache": answer.completion.from_cache,
            "request_id": answer.completion.request_id[:120],
        }
    if asked.judge is not None:
        fields |= _judge_fields(asked, answer, fields)
    if not fields["unscored"] and fields["score"] is None:
        fields["unscored"] = "the primary scorer gave no score"
    return Outcome(item, fields=fields, cost_microusd=answer.paid_microusd)


def _judge_fields(asked: _Asked, answer: _Answered, fields: dict[str, Any]) -> dict[str, Any]:
    plan, evaluation = asked.evaluation.plan["judge"], asked.evaluation
    names = scoring.judge_names(asked.metrics)
    scores: dict[str, float | None] = dict(fields["scores"])
    evidence: dict[str, Any] = {"model": plan["model"], "prompt_version": plan["prompt_version"]}
    unscored = fields["unscored"]
    if answer.judged is None:
        scores |= scoring.degenerate_scores(asked.metrics)
        evidence["reason"] = "The answer says nothing; no judge was asked."
    elif answer.judged.is_scored:
        scores |= {scoring.JUDGE_PREFIX + metric: value for metric, value in answer.judged.scores.items()}
        evidence |= {
            "reason": answer.judged.reason,
            "reply": answer.judge_reply,
            "repaired": answer.judge_repaired,
        }
    else:
        scores |= dict.fromkeys(names)
        evidence |= {
            "unscored": answer.judged.unscored,
            "reply": answer.judge_reply,
            "repaired": answer.judge_repaired,
        }
        unscored = unscored or answer.judged.unscored
    primary = evaluation.scorers[0]
    return {
        "scores": scores,
        "score": scores.get(primary),
        "judge": evidence,
        "unscored": unscored[:300],
        "is_suspicious": judging.is_suspicious(answer.text),
    }


def _unscored(reason: str) -> dict[str, Any]:
    return {"unscored": reason[:300], "score": None}


def evaluation_of(job: Job) -> Evaluation:
    """The evaluation a job is about, with what a batch reads."""
    return Evaluation.objects.select_related(
        "candidate__connection__team", "candidate__artefact", "candidate__version__dataset__use_case",
        "candidate__team", "version__dataset__use_case", "use_case", "team",
    ).get(pk=job.recipe["evaluation"])  # fmt: skip


def load_model(evaluation: Evaluation) -> local.LocalModel:
    """The local model of an evaluation's candidate. Raises PortalError when its file is gone."""
    blob = evaluation.candidate.artefact
    if blob is None:
        raise PortalError(f"“{evaluation.candidate}” has no model file. Train it again.")
    return local.load(store.path(blob))


def _texts(items: Sequence[Any], evaluation: Evaluation) -> dict[int, Content]:
    """The rows' texts as the candidate must be asked: one that learnt several tasks is told which this is (D29)."""
    found: dict[int, Content] = Content.objects.in_bulk({item.content_id for item in items})
    learnt_from = evaluation.candidate.version
    if task := mixing.task_for(learnt_from, evaluation.version) if learnt_from is not None else "":
        for content in found.values():
            content.prompt = prefixed(task, content.prompt)
    return found


class Compare(Kind):
    """Decides one large comparison from stored results."""

    name = comparisons.COMPARE_JOB
    title = "Comparison"
    batch_size = 1
    parallel = 1

    def run(self, job: Job, items: Sequence[Any], work: Work) -> Iterator[Outcome | Wait]:
        """All pairs and measures at once; a crash leaves nothing half written."""
        for item in items:
            comparison = comparisons.settle_comparison(job.recipe["comparison"])
            yield Outcome(item, result={"finding": comparison.finding})

    def finish(self, job: Job) -> dict[str, Any]:
        """The finding, for the inbox."""
        comparison = Comparison.objects.filter(pk=job.recipe["comparison"]).first()
        return {"sentence": comparison.finding if comparison else ""}


KINDS = [EvaluateLocal, EvaluateRemote, Compare]
