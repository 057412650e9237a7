"""Starting evaluations and writing what they found. The rows are frozen and the money is capped before anything runs."""

from __future__ import annotations

import secrets
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from django.db import transaction
from django.db.models import Avg
from django.db.models.functions import Length
from django.urls import reverse
from django.utils import timezone

from datasets.domain.statuses import LookKind as VaultLook
from datasets.domain.statuses import Split
from datasets.models import Content, DatasetVersion, VersionRow
from datasets.services import count_look
from datasets.training.services import task_of
from decisions.domain.facts import TaskKind
from evaluations import policies
from evaluations.domain import judging, metrics, scoring
from evaluations.domain.sampling import sample as draw
from evaluations.domain.statuses import EvaluationState, LookKind
from evaluations.models import Candidate, Evaluation, TestLook
from foundation.jobs import services as jobs
from foundation.jobs.domain.states import ItemState
from foundation.jobs.models import Job
from foundation.llm import catalogue
from foundation.llm.connections import default_connection
from foundation.llm.domain.bounds import prompt_tokens_estimate
from foundation.llm.models import Connection
from foundation.teams import audit
from foundation.teams.errors import BadInput, Conflict
from foundation.teams.models import Team, User

LOCAL_JOB = "evaluations.local"
REMOTE_JOB = "evaluations.remote"
MAX_SAMPLE = 100_000
# A cap somebody did not name is this much above the estimate, and never under five cents.
CAP_FACTOR = 2
LEAST_CAP_MICROUSD = 50_000
# Each call under way holds money for its longest answer; without room for several they would queue.
CALLS_AT_ONCE = 8
# Characters of instructions and schema around a row, generously.
FRAME_CHARS = 6_000
JUDGE_MAX_TOKENS = 700


@dataclass(frozen=True, slots=True)
class Judge:
    """Who judges written answers, and by which metrics (S51)."""

    connection: Connection
    model: str
    metrics: tuple[str, ...] = judging.DEFAULT_METRICS

    def as_plan(self) -> dict[str, Any]:
        """What is frozen with the evaluation."""
        return {
            "connection": self.connection.pk,
            "model": self.model,
            "metrics": list(self.metrics),
            "prompt_version": judging.PROMPT_VERSION,
        }


@dataclass(frozen=True, slots=True)
class QuoteLine:
    """What one candidate's evaluation will cost, judge included; None: free."""

    name: str
    n_calls: int
    cost_microusd: int
    # The most one of its calls can cost: so much must be free before it may leave.
    bound_microusd: int = 0


@dataclass(frozen=True, slots=True)
class Quote:
    """An estimate before anything is paid, and the cap that would be set."""

    n_rows: int
    lines: tuple[QuoteLine, ...] = field(default=())

    @property
    def cost_microusd(self) -> int:
        """All candidates together."""
        return sum(line.cost_microusd for line in self.lines)

    @property
    def n_calls(self) -> int:
        """Paid calls in all, if nothing is in the cache."""
        return sum(line.n_calls for line in self.lines)

    @property
    def cap_microusd(self) -> int:
        """The cap offered; 0 when nothing is paid."""
        if not self.n_calls:
            return 0
        room = CALLS_AT_ONCE * max(line.bound_microusd for line in self.lines)
        return max(LEAST_CAP_MICROUSD, self.cost_microusd * CAP_FACTOR) + room


def default_judge(team: Team) -> Judge | None:
    """The team's judge when a model is connected: the dearest offered one judges best."""
    connection = default_connection(team)
    if connection is None:
        return None
    offered = catalogue.models_offered(provider=connection.provider)
    model = next((m for m in offered if "opus" in m.model_id), offered[0] if offered else None)
    return Judge(connection, model.model_id) if model else None


def quote(
    *,
    version: DatasetVersion,
    candidates: Sequence[Candidate],
    split: str = "validation",
    sample: int | None = None,
    judge: Judge | None = None,
) -> Quote:
    """What an evaluation will cost at list prices, from the length of its rows. An estimate, and shown as one.

    Raises: NoPrice for a model the catalogue cannot price.
    """
    n_split = version.n_test if split == Split.TEST else version.n_validation
    n = min(sample or n_split, n_split)
    rows = (
        VersionRow.objects.filter(version=version, split=split)
        .order_by("position")
        .values("content_id")[:200]
    )
    lengths = Content.objects.filter(pk__in=rows).aggregate(
        prompt=Avg(Length("prompt")), completion=Avg(Length("completion"))
    )
    ask, answer = round(lengths["prompt"] or 0), round(lengths["completion"] or 0)
    labelled = task_of(version) is TaskKind.CLASSIFY
    lines = []
    for candidate in candidates:
        calls, cost, bound = 0, 0, 0
        if not candidate.is_local and candidate.connection is not None:
            prompt = _tokens(len(candidate.system) + ask + _few_shot_chars(candidate))
            said = 12 if labelled else _tokens(answer) + 8
            cost += n * _call_microusd(candidate.model_id, candidate.connection.provider, prompt, said)
            calls += n
            longest = len(candidate.system) + _few_shot_chars(candidate) + 4 * ask + FRAME_CHARS
            bound = _call_microusd(
                candidate.model_id,
                candidate.connection.provider,
                longest,
                candidate.params.get("max_tokens", 512),
            )
        if judge is not None:
            prompt = _tokens(ask + 2 * answer + 1500)
            cost += n * _call_microusd(judge.model, judge.connection.provider, prompt, 120)
            calls += n
            longest = 4 * ask + 8 * answer + FRAME_CHARS
            provider = judge.connection.provider
            bound = max(bound, _call_microusd(judge.model, provider, longest, JUDGE_MAX_TOKENS))
        lines.append(QuoteLine(candidate.name, calls, cost, bound))
    return Quote(n, tuple(lines))


def _call_microusd(model: str, provider: str, prompt_tokens: int, answer_tokens: int) -> int:
    return catalogue.price(model, provider=provider).bound_microusd(prompt_tokens, answer_tokens)


def _tokens(n_chars: int) -> int:
    return prompt_tokens_estimate("x" * max(1, n_chars), bytes_per_token=3.6) + 20


def _few_shot_chars(candidate: Candidate) -> int:
    return sum(len(row["prompt"]) + len(row["completion"]) for row in candidate.few_shot)


def start_evaluation(
    *,
    actor: User | None,
    version: DatasetVersion,
    candidate: Candidate,
    split: str = "validation",
    sample: int | None = None,
    scorers: Sequence[str] | None = None,
    judge: Judge | None = None,
    cap_microusd: int | None = None,
    seed: str | None = None,
    reason: str = "",
    fresh: bool = False,
) -> Evaluation:
    """One candidate over frozen rows; `evaluation.job` runs it. The same request, running or done, is that one (S59).

    `sample` takes so many rows, stratified by label in the order of sha256(seed ‖ digest); `fresh` asks anew.
    Raises: BadInput naming the field, Conflict, TestSplitNeedsReason for test rows without a sentence.
    """
    version = DatasetVersion.objects.select_related("dataset__use_case__team", "team").get(pk=version.pk)
    policies.check_can_evaluate(version, [candidate], split)
    policies.check_reason(split, reason)
    names = _checked_scorers(version, scorers, judge)
    seed = seed or f"version-{version.pk}"
    row_ids = _frozen_rows(version, split, sample, seed)
    n_split = version.n_test if split == Split.TEST else version.n_validation
    plan = {
        "labels": list(version.labels or []),
        "schema": version.dataset.use_case.output_schema,
        "task_kind": task_of(version).value,
        "judge": judge.as_plan() if judge else None,
    }
    use_case = version.dataset.use_case
    is_claim = split == Split.TEST
    if not fresh and not is_claim:
        known = _same(candidate, version, split, row_ids, names, plan)
        if known is not None:
            return known
    paid = judge is not None or not candidate.is_local
    if paid and cap_microusd is None:
        offer = quote(version=version, candidates=[candidate], split=split, sample=sample, judge=judge)
        cap_microusd = offer.cap_microusd
    if paid and (cap_microusd or 0) <= 0:
        raise BadInput("A paid evaluation needs a cap above $0.", field="cap")
    with transaction.atomic():
        evaluation = Evaluation.objects.create(
            team=version.team,
            use_case=use_case,
            candidate=candidate,
            version=version,
            split=split,
            row_ids=row_ids,
            n_rows=len(row_ids) or n_split,
            seed=seed,
            scorers=names,
            plan=plan,
            cap_microusd=cap_microusd if paid else None,
            is_claim=is_claim,
            reason=reason.strip()[:500],
            created_by=actor,
        )
        evaluation.job = jobs.start_job(
            actor=actor,
            team=version.team,
            kind=REMOTE_JOB if paid else LOCAL_JOB,
            title=f"Evaluate {candidate.name} on {len(row_ids) or n_split:,} {split} rows",
            recipe={"evaluation": evaluation.pk},
            subject=evaluation,
            url=reverse("evaluations:evaluation-detail", args=[evaluation.pk]),
            cap_microusd=evaluation.cap_microusd,
            dedupe_key=f"evaluation:{evaluation.pk}",
        )
        evaluation.save(update_fields=["job"])
        audit.record(
            actor=actor,
            team=version.team,
            verb="evaluation.started",
            target=evaluation,
            digests={"candidate": candidate.digest, "version": version.checksum},
            note=f"{split}, {evaluation.n_rows} rows",
        )
    return evaluation


def _same(
    candidate: Candidate,
    version: DatasetVersion,
    split: str,
    row_ids: list[int],
    names: list[str],
    plan: Mapping[str, Any],
) -> Evaluation | None:
    """An evaluation of the same candidate, rows and scorers that is under way or done without a gap."""
    alike = Evaluation.objects.filter(candidate=candidate, version=version, split=split).filter(
        state__in=[EvaluationState.RUNNING, EvaluationState.DONE]
    )
    for found in alike.order_by("-pk")[:20]:
        whole = found.state == EvaluationState.RUNNING or found.n_unscored == 0
        if whole and (found.row_ids, found.scorers, found.plan) == (row_ids, names, plan):
            return found
    return None


def _checked_scorers(
    version: DatasetVersion, scorers: Sequence[str] | None, judge: Judge | None
) -> list[str]:
    task = task_of(version)
    fitting = {s.name for s in scoring.scorers_for(task)}
    names = list(dict.fromkeys(scorers or scoring.DEFAULTS[task]))
    for name in names:
        if name not in fitting:
            raise BadInput(
                f"The scorer {name!r} does not fit a task of the kind “{task.value}”.", field="scorers"
            )
    if judge is not None:
        if not judge.metrics or not set(judge.metrics) <= set(judging.MEANINGS):
            raise BadInput(f"A judge scores {', '.join(judging.MEANINGS)}.", field="judge")
        names += scoring.judge_names(judge.metrics)
    return names


def _frozen_rows(version: DatasetVersion, split: str, sample: int | None, seed: str) -> list[int]:
    """Ids of the sampled rows in the order of ids; empty for the whole split."""
    if sample is None:
        return []
    if not 1 <= sample <= MAX_SAMPLE:
        raise BadInput(f"A sample has 1 to {MAX_SAMPLE:,} rows.", field="sample")
    if sample >= (version.n_test if split == Split.TEST else version.n_validation):
        return []
    rows = VersionRow.objects.filter(version=version, split=split).values_list(
        "pk", "content__digest", "label"
    )
    return draw(((pk, bytes(digest).hex(), label) for pk, digest, label in rows), size=sample, seed=seed)


def retry_unscored(
    *, actor: User | None, evaluation: Evaluation, cap_microusd: int | None = None
) -> Evaluation:
    """The evaluation, running again over the rows that failed only; a higher cap may be set.

    Raises: Conflict when nothing failed.
    """
    if evaluation.job is None:
        raise Conflict("The job of this evaluation is gone. Start it anew.")
    with transaction.atomic():
        if cap_microusd is not None and cap_microusd > (evaluation.cap_microusd or 0):
            Evaluation.objects.filter(pk=evaluation.pk).update(cap_microusd=cap_microusd)
            Job.objects.filter(pk=evaluation.job.pk).update(cap_microusd=cap_microusd)
        jobs.retry_failed(actor=actor, job=evaluation.job)
        Evaluation.objects.filter(pk=evaluation.pk).update(
            state=EvaluationState.RUNNING, error="", finished_at=None
        )
        audit.record(actor=actor, team=evaluation.team, verb="evaluation.retried", target=evaluation)
    evaluation.refresh_from_db()
    return evaluation


# -- called by the jobs ----------------------------------------------------------------------------------------

_COLUMNS = (
    "position", "expected_label", "predicted", "score", "scores", "unscored", "latency_ms", "price_microusd",
    "cost_microusd", "input_tokens", "output_tokens", "is_suspicious", "from_cache", "state", "error",
)  # fmt: skip


def aggregate(evaluation: Evaluation) -> dict[str, Any]:
    """Every figure of an evaluation from its stored rows, as plain values; unscored rows are counted apart."""
    rows = [
        dict(zip(_COLUMNS, row, strict=True))
        for row in evaluation.results.order_by("position").values_list(*_COLUMNS).iterator(chunk_size=2000)
    ]
    scorers = list(evaluation.scorers)
    per_scorer = {
        name: metrics.average([row["scores"].get(name) for row in rows]).as_dict() for name in scorers
    }
    means = [a["mean"] for a in per_scorer.values() if a["mean"] is not None]
    found: dict[str, Any] = {
        "n": len(rows),
        "scorers": per_scorer,
        "overall": sum(means) / len(means) if means else None,
        "unscored_reasons": Counter(
            (row["unscored"] or row["error"])[:200] for row in rows if row["score"] is None
        ).most_common(8),
        "n_suspicious": sum(row["is_suspicious"] for row in rows),
        "n_cached": sum(row["from_cache"] for row in rows),
        **_spending(rows),
    }
    if "label" in scorers:
        pairs = [
            (row["expected_label"], row["predicted"])
            for row in rows
            if row["scores"].get("label") is not None
        ]
        found["classification"] = metrics.classify(
            pairs, evaluation.plan.get("labels") or [], majority_label=_training_majority(evaluation.version)
        ).as_dict()
    tasks = _by_task(evaluation, rows)
    if len(tasks) > 1:
        found["tasks"] = tasks
    return found


def _spending(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    latencies = [row["latency_ms"] for row in rows if row["latency_ms"] is not None]
    priced = [row["price_microusd"] for row in rows if row["state"] == ItemState.DONE]
    return {
        "n_timed": len(latencies),
        "latency_p50": metrics.percentile(latencies, 0.5),
        "latency_p95": metrics.percentile(latencies, 0.95),
        "price_mean": sum(priced) / len(priced) if priced else None,
        "cost_microusd": sum(row["cost_microusd"] for row in rows),
        "input_tokens": sum(row["input_tokens"] for row in rows),
        "output_tokens": sum(row["output_tokens"] for row in rows),
    }


def _training_majority(version: DatasetVersion) -> str | None:
    counts = (version.stats or {}).get("labels") or (version.report or {}).get("distribution")
    if isinstance(counts, dict) and all(isinstance(n, int) for n in counts.values()) and counts:
        return max(counts, key=lambda label: (counts[label], label))
    return None


def _by_task(evaluation: Evaluation, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Primary score and count of each task of a multi-task set (S62)."""
    prefixed = evaluation.results.filter(content__prompt__startswith="[TASK: ").values_list(
        "position", "content__prompt"
    )
    names = {position: scoring.task_name(prompt) for position, prompt in prefixed}
    if not names:
        return []
    scores: dict[str, list[float | None]] = defaultdict(list)
    for row in rows:
        scores[names.get(row["position"], "") or "no task"].append(row["score"])
    return [{"task": task, **metrics.average(found).as_dict()} for task, found in sorted(scores.items())]


def finish_evaluation(evaluation: Evaluation) -> dict[str, Any]:
    """Write the figures of an evaluation whose rows are all answered. Doing it again gives the same."""
    found = aggregate(evaluation)
    primary = found["scorers"][evaluation.scorers[0]] if evaluation.scorers else {}
    with transaction.atomic():
        changed = Evaluation.objects.filter(pk=evaluation.pk).update(
            aggregates=found,
            score=primary.get("mean"),
            low=primary.get("low"),
            high=primary.get("high"),
            n_scored=primary.get("n", 0),
            n_unscored=primary.get("n_unscored", 0),
            state=EvaluationState.DONE,
            error="",
            finished_at=timezone.now(),
        )
        if changed and evaluation.state != EvaluationState.DONE:
            audit.record(actor=None, team=evaluation.team, verb="evaluation.finished", target=evaluation)
    evaluation.refresh_from_db()
    return {"score": evaluation.score, "n_scored": evaluation.n_scored, "n_unscored": evaluation.n_unscored}


def end_evaluation(*, evaluation_id: int, cancelled: bool, error: str) -> None:
    """Note that an evaluation was cancelled or failed. One that is done stays so."""
    state = EvaluationState.CANCELLED if cancelled else EvaluationState.FAILED
    Evaluation.objects.filter(pk=evaluation_id, state=EvaluationState.RUNNING).update(
        state=state, error=error[:1000], finished_at=timezone.now()
    )


def open_rows(*, actor: User, thing: Any, reason: str) -> TestLook:
    """The look that opens sealed test rows to one person, with its reason, for good on the record.

    Raises: TestSplitNeedsReason for a reason under 10 characters.
    """
    policies.check_reason(Split.TEST, reason)
    key = "evaluation" if isinstance(thing, Evaluation) else "comparison"
    with transaction.atomic():
        look = TestLook.objects.create(
            team=thing.team,
            version=thing.version,
            kind=LookKind.ROWS,
            reason=reason.strip()[:500],
            by=actor,
            **{key: thing},
        )
        count_look(
            actor=actor, version=thing.version, kind=VaultLook.RESULTS, reason=reason, subject=str(thing)
        )
        audit.record(actor=actor, team=thing.team, verb="test_rows.opened", target=thing, note="rows opened")
    return look


def best_candidates(*, version: DatasetVersion) -> list[Evaluation]:
    """The newest finished evaluation of each candidate on the version's validation rows, best first."""
    seen: dict[int, Evaluation] = {}
    rows = Evaluation.objects.done().filter(version=version, split=Split.VALIDATION, score__isnull=False)
    for evaluation in rows.select_related("candidate").order_by("-pk"):
        seen.setdefault(evaluation.candidate_id, evaluation)
    return sorted(seen.values(), key=lambda e: -(e.score or 0.0))


def result_fields(evaluation: Evaluation, *, expected: str, label: str, output: str) -> dict[str, Any]:
    """Columns of a result whose answer is known, scored by everything that needs no judge."""
    scored = scoring.score_row(
        evaluation.scorers,
        expected=expected,
        label=label,
        output=output,
        labels=evaluation.plan.get("labels") or [],
        schema=evaluation.plan.get("schema"),
    )
    primary = evaluation.scorers[0]
    score = scored.scores.get(primary)
    told = score is not None or primary.startswith(scoring.JUDGE_PREFIX)
    return {
        "output": output,
        "predicted": scored.predicted,
        "scores": dict(scored.scores),
        "score": score,
        "unscored": "" if told else "there is no expected answer to compare with",
    }


def new_seed() -> int:
    """A fresh seed for a comparison's resampling, kept with it."""
    return secrets.randbelow(2**31)


def plain_quote(found: Quote) -> dict[str, Any]:
    """A quote as plain values for the API."""
    return {**asdict(found), "cost_microusd": found.cost_microusd, "cap_microusd": found.cap_microusd}


def claims_of(version: DatasetVersion) -> int:
    """How many claims have looked at this version's test rows."""
    return TestLook.objects.filter(version=version, kind=LookKind.CLAIM).count()
