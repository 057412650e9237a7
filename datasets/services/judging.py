"""Asking a model how good a sample of rows is: quote, run under a cap, summary. Row text is data for it, never orders."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from django.db import transaction
from django.urls import reverse
from django.utils import timezone

from datasets import bulk
from datasets.domain import quality
from datasets.domain.review import stratified_sample
from datasets.domain.statuses import ExampleState
from datasets.errors import NothingToDo
from datasets.models import Content, Dataset, Example, Judgement, QualityRun
from datasets.policies import check_can_change
from datasets.services import lasting
from datasets.services.reports import put_in_shown
from datasets.vault import sealed_contents
from decisions.models import UseCase
from foundation.jobs import rowwriter
from foundation.jobs.domain.states import ItemState
from foundation.jobs.models import Job
from foundation.jobs.services import start_job
from foundation.llm import batches, catalogue
from foundation.llm.connections import connections_for
from foundation.llm.domain.bounds import prompt_tokens_bound, prompt_tokens_estimate
from foundation.llm.domain.messages import Completion, Message, Request
from foundation.llm.errors import LLMError
from foundation.llm.models import Connection
from foundation.teams import audit
from foundation.teams.errors import BadInput
from foundation.teams.models import User

# A whole dataset of more rows is judged by a sample; the quote would take longer than a page may.
MOST_ROWS = 5000
# Rows at each end of a large dataset that its estimate is made from.
PROBED = 100
# Of questions in plain words; what a text really has depends on the model.
BYTES_PER_TOKEN = 3.6
HOWS = {
    "sample": "A sample, every label in proportion",
    "plain": "A sample by the seed alone",
    "all": "Every row",
}


@dataclass(frozen=True, slots=True)
class Quote:
    """What judging a sample costs, likely and at most, in micro-dollars, and which rows it would take."""

    model: str
    connection: Connection
    example_ids: tuple[int, ...]
    bound_microusd: int
    # What it will come to if replies are as long as usual and none is broken.
    likely_microusd: int
    in_batches: bool = False
    # From a few rows instead of all it would take: the dataset is too large to draw the sample while a page waits.
    is_estimate: bool = False


def judge_models() -> list[str]:
    """Models that can judge, a fast one first (S30)."""
    offered = catalogue.models_offered()
    return [entry.model_id for entry in sorted(offered, key=lambda e: (e.line != "haiku", e.pk))]


def question_for(content: Content, use_case: UseCase, model: str) -> Request:
    """The request that puts one row before the judge. Sampling is sent only to models that take it (D33)."""
    task = f"{use_case.get_task_kind_display()}. {use_case.name}: {use_case.description}"[:1500]
    return Request(
        model=model,
        system=quality.SYSTEM,
        messages=(
            Message(
                "user",
                quality.question(
                    task=task,
                    labels=use_case.task.label_names,
                    system=content.system,
                    turns=content.earlier,
                    prompt=content.prompt,
                    completion=content.completion,
                ),
            ),
        ),
        max_tokens=quality.MAX_TOKENS,
        output_schema=quality.SCHEMA,
        sampling={"temperature": 0.2},
    )


def sample(
    dataset: Dataset, *, size: int = quality.MAX_SAMPLE, seed: str = "", how: str = "sample"
) -> list[int]:
    """Example ids by a seed: every label in proportion ("sample"), by the seed alone ("plain"), or every row ("all").

    Sealed test rows are left out. The same rows and seed: the same sample.
    """
    sealed = sealed_contents(dataset)
    keys, digests, labels = [], [], []
    rows = Example.objects.filter(dataset=dataset).active().order_by("id")
    if how == "all":
        open_rows = (key for key, content in rows.values_list("id", "content_id") if content not in sealed)
        return list(islice(open_rows, MOST_ROWS + 1))
    columns = rows.values_list("id", "content__digest", "label", "content_id")
    for key, hashed, label, content in columns.iterator(chunk_size=5000):
        if content in sealed:
            continue
        keys.append(key)
        digests.append(bytes(hashed))
        labels.append(label if how == "sample" else "")
    seed = seed or f"quality-{dataset.pk}"
    return [keys[i] for i in stratified_sample(digests, labels, size=size, seed=seed)]


def same_sample(run: QualityRun) -> tuple[list[int], int]:
    """The rows of an earlier judging that are still active and open, and how many are sealed test rows since.

    Only those edited since are asked about again. A row sealed by a freeze after the first judging is left out: what a
    judge says of it would tell of the test.
    """
    ids = Judgement.objects.filter(run=run).order_by("position").values_list("example_id", flat=True)
    rows = Example.objects.filter(pk__in=list(ids)).active().values_list("id", "content_id")
    active = dict(rows)
    sealed = sealed_contents(run.dataset, active.values())
    kept = [key for key in ids if key in active and active[key] not in sealed]
    return kept, sum(content in sealed for content in active.values())


def quote(
    *,
    dataset: Dataset,
    example_ids: list[int],
    model: str = "",
    in_batches: bool = False,
    again: QualityRun | None = None,
) -> Quote | None:
    """What judging these rows costs at most; None when the team has no connection to a model.

    Rows that `again` scored and nobody edited cost nothing. Raises: BadInput for a model the catalogue does not offer,
    or one that takes no batches.
    """
    chosen = _judge(dataset, model, in_batches)
    if chosen is None:
        return None
    connection, model = chosen
    price = catalogue.price(model)
    known = _scored_before(again) if again is not None else {}
    bound = likely = 0
    for start in range(0, len(example_ids), 2000):
        part = example_ids[start : start + 2000]
        for example in Example.objects.filter(pk__in=part).select_related("content"):
            if quality.is_degenerate(example.content.completion) and dataset.use_case.task_kind != "classify":
                continue
            if (example.pk, example.content_id) in known:
                continue
            request = question_for(example.content, dataset.use_case, model)
            one = price.bound_microusd(prompt_tokens_bound(request), request.max_tokens, batch=in_batches)
            # The question and one repair of a broken reply; a batch knows no second try.
            bound += one if in_batches else 2 * one
            likely += price.bound_microusd(_likely_tokens(request), quality.USUAL_TOKENS, batch=in_batches)
    return Quote(model, connection, tuple(example_ids), bound, likely, in_batches)


def _likely_tokens(request: Request) -> int:
    text = request.system + "".join(message.content for message in request.messages)
    return prompt_tokens_estimate(text, bytes_per_token=BYTES_PER_TOKEN) + 20


def _judge(dataset: Dataset, model: str, in_batches: bool) -> tuple[Connection, str] | None:
    """Who is asked through which connection. Raises as `quote` does."""
    connections = [c for c in connections_for(dataset.team) if c.provider == Connection.Provider.ANTHROPIC]
    if not connections:
        return None
    models = judge_models()
    model = model or (models[0] if models else "")
    if model not in models:
        raise BadInput("Choose one of the models offered.", field="model")
    entry = catalogue.entry(model)
    if in_batches and entry is not None and not entry.batch:
        raise BadInput("This model takes no batches. Choose another, or ask at once.", field="in_batches")
    return connections[0], model


def is_drawn_later(dataset: Dataset) -> bool:
    """Whether the sample is drawn by the job: a page cannot wait for that over so many rows."""
    return dataset.n_active > MOST_ROWS


def estimate(*, dataset: Dataset, size: int, model: str = "", in_batches: bool = False) -> Quote | None:
    """What judging a sample of a large dataset costs, by the first and the newest rows; None without a connection.

    Its bound is half as much again as theirs, so that a cap there rarely leaves rows unscored. Raises as `quote` does.
    """
    rows = Example.objects.filter(dataset=dataset, state=ExampleState.ACTIVE)
    probed = [*rows.order_by("id").values_list("id", flat=True)[:PROBED]]
    probed += rows.order_by("-id").values_list("id", flat=True)[:PROBED]
    found = quote(dataset=dataset, example_ids=sorted(set(probed)), model=model, in_batches=in_batches)
    if found is None or not found.example_ids:
        return found
    n = min(size, dataset.n_active)
    bound = -(-found.bound_microusd * n * 3 // (len(found.example_ids) * 2))
    likely = -(-found.likely_microusd * n // len(found.example_ids))
    return replace(found, example_ids=(), bound_microusd=bound, likely_microusd=likely, is_estimate=True)


def rows_to_judge(job: Job) -> list[int]:
    """The example ids of a judging, drawn now where that was left to the job, and written down: drawing twice is once."""
    if (known := job.recipe.get("examples")) is not None:
        return list(known)
    run = QualityRun.objects.select_related("dataset").get(pk=job.recipe["run"])
    chosen = sample(run.dataset, size=job.recipe["size"], seed=run.seed, how=run.how)
    if not chosen:
        raise NothingToDo("There are no rows to judge that are not sealed.")
    with transaction.atomic():
        job.recipe = {**job.recipe, "examples": chosen}
        Job.objects.filter(pk=job.pk).update(recipe=job.recipe)
        QualityRun.objects.filter(pk=run.pk).update(n_sample=len(chosen))
    return chosen


def start_quality(
    *,
    actor: User | None,
    dataset: Dataset,
    model: str = "",
    cap_microusd: int | None = None,
    size: int = quality.MAX_SAMPLE,
    seed: str = "",
    how: str = "sample",
    in_batches: bool = False,
    again: QualityRun | None = None,
) -> QualityRun:
    """A judging of a seeded sample (or of the same rows `again`), under a cap that is never crossed.

    The cap defaults to the quote. Raises: NothingToDo without rows, BadInput without a connection or for choices that
    make no sense.
    """
    check_can_change(dataset)
    dataset = Dataset.objects.select_related("team", "use_case").get(pk=dataset.pk)
    if how not in HOWS:
        raise BadInput("Choose one of the ways to take rows.", field="how")
    if not 1 <= size <= MOST_ROWS:
        raise BadInput(f"A sample has 1 to {MOST_ROWS:,} rows.", field="size")
    if how == "all" and again is None and dataset.n_active > MOST_ROWS:
        raise BadInput(f"At most {MOST_ROWS:,} rows are judged at once. Take a sample.", field="how")
    seed = again.seed if again is not None else seed or f"quality-{dataset.pk}"
    n_sealed = 0
    is_later = again is None and is_drawn_later(dataset)
    if again is not None:
        chosen, n_sealed = same_sample(again)
    else:
        chosen = [] if is_later else sample(dataset, size=size, seed=seed, how=how)
    if not chosen and n_sealed:
        raise NothingToDo("Every row of that judging is a sealed test row now.")
    if not chosen and not is_later:
        raise NothingToDo("There are no rows to judge yet. Import a file first.")
    found = (
        estimate(dataset=dataset, size=size, model=model, in_batches=in_batches)
        if is_later
        else quote(
            dataset=dataset,
            example_ids=chosen,
            model=model or (again.model if again else ""),
            in_batches=in_batches,
            again=again,
        )
    )
    if found is None:
        raise BadInput("No model is connected. Add a connection in the team's settings first.")
    cap = found.bound_microusd if cap_microusd is None else cap_microusd
    if cap < 0:
        raise BadInput("The cap cannot be below 0.", field="cap")
    with transaction.atomic():
        # Whoever asks in the same moment waits here, and then sees the judging that stands.
        Dataset.objects.select_for_update().get(pk=dataset.pk)
        standing = QualityRun.objects.filter(dataset=dataset, finished_at=None).order_by("-id").first()
        if standing is not None:
            return standing
        run = QualityRun.objects.create(
            team=dataset.team,
            dataset=dataset,
            model=found.model,
            prompt_version=quality.PROMPT_VERSION,
            seed=seed,
            how="again" if again is not None else how,
            in_batches=in_batches,
            n_sample=min(size, dataset.n_active) if is_later else len(chosen),
            revision=dataset.revision,
        )
        what = "all rows" if how == "all" and again is None else "a sample"
        job = start_job(
            actor=actor,
            team=dataset.team,
            kind="datasets.quality_batches" if in_batches else "datasets.quality",
            title=f"Judge {what} of {dataset.name}",
            recipe={
                "run": run.pk,
                **({"size": size} if is_later else {"examples": chosen}),
                "model": found.model,
                "connection": found.connection.pk,
                "prompt_version": quality.PROMPT_VERSION,
                "seed": seed,
                "again": again.pk if again is not None else None,
                "left_out_sealed": n_sealed,
            },
            subject=dataset,
            url=reverse("datasets:quality-detail", args=[run.pk]),
            cap_microusd=cap,
            dedupe_key=f"quality:{run.pk}",
        )
        QualityRun.objects.filter(pk=run.pk).update(job=job)
        audit.record(actor=actor, team=dataset.team, verb="quality.started", target=run, note=found.model)
    run.refresh_from_db()
    return run


# --- called by the jobs ------------------------------------------------------------------------------------------

_VERDICT = ("overall", "scores", "issues", "kinds", "unscored", "suspicious", "reply")


def _scored_before(run: QualityRun) -> dict[tuple[int, int], Judgement]:
    """What an earlier judging scored, by example and content: an edited row is another content."""
    rows = Judgement.objects.filter(run=run).exclude(overall=None)
    return {(row.example_id, row.content_id): row for row in rows}


def verdict_before(job: Job, item: Judgement) -> dict[str, Any] | None:
    """The verdict of the judging this one repeats, where nobody edited the row since; None when it must be asked."""
    if not job.recipe.get("again"):
        return None
    row = (
        Judgement.objects.filter(
            run_id=job.recipe["again"], example_id=item.example_id, content_id=item.content_id
        )
        .exclude(overall=None)
        .first()
    )
    return None if row is None else {name: getattr(row, name) for name in _VERDICT}


def plan_judgements(*, job: Job, example_ids: Sequence[int], first: int) -> None:
    """One judgement a row, its content as it is now. Planning again leaves what stands."""
    contents = dict(Example.objects.filter(pk__in=example_ids).values_list("id", "content_id"))
    Judgement.objects.bulk_create(
        [
            Judgement(
                job=job,
                position=first + at,
                run_id=job.recipe["run"],
                example_id=key,
                content_id=contents[key],
            )
            for at, key in enumerate(example_ids)
            if key in contents
        ],
        ignore_conflicts=True,
    )


def answer_for_free(
    *, job: Job, run: QualityRun, connection: Connection, positions: range, is_sent: bool
) -> list[Judgement]:
    """The rows that must be paid for; the others got their verdict from before, from the cache, or need none.

    Of a part whose batch was sent already every row left is handed back: the same rows must be found again.
    """
    rows = list(
        Judgement.objects.filter(
            job=job, position__gte=positions.start, position__lt=positions.stop, state=ItemState.QUEUED
        )
        .select_related("content")
        .order_by("position")
    )
    if is_sent:
        return rows
    waiting, free = [], []
    for row in rows:
        before = verdict_before(job, row)
        if before is not None:
            for name, value in before.items():
                setattr(row, name, value)
        elif run.dataset.use_case.task_kind != "classify" and quality.is_degenerate(row.content.completion):
            row.unscored = "the answer says nothing; no model was asked"
        else:
            kept = batches.kept_answer(
                connection, question_for(row.content, run.dataset.use_case, job.recipe["model"])
            )
            if kept is None:
                waiting.append(row)
                continue
            _read(row, kept)
        free.append(row)
    _write(free)
    return waiting


def write_answers(
    *, rows: Iterable[Judgement], completions: Mapping[int, Completion | LLMError | None]
) -> None:
    """Give rows the verdicts of a batch. An answer that cannot be used leaves its row unscored, with the reason."""
    rows = list(rows)
    for row in rows:
        answer = completions.get(row.pk)
        if isinstance(answer, LLMError):
            row.unscored = str(answer)[:300]
        elif answer is None:
            row.unscored = "the batch holds no answer to this row"
        else:
            _read(row, answer)
    _write(rows)


def leave_unscored(*, rows: Iterable[Judgement], reason: str) -> None:
    """Rows that were not asked about, with the reason."""
    rows = list(rows)
    for row in rows:
        row.unscored = reason[:300]
    _set(rows, ("unscored",))


def _read(row: Judgement, answer: Completion) -> None:
    row.reply, row.cost_microusd = answer.text[:20_000], answer.cost_microusd
    row.suspicious = quality.is_suspicious(*row.content.shown)
    try:
        rating = quality.parse_reply(answer.text)
    except quality.Unscored as reason:
        row.unscored = f"{reason}; a batch gives no second try"[:300]
        return
    row.overall, row.scores, row.issues, row.unscored = rating.overall, rating.scores, list(rating.issues), ""
    row.kinds = None if rating.kinds is None else list(rating.kinds)


def _write(rows: Sequence[Judgement]) -> None:
    for row in rows:
        row.state = ItemState.DONE
    _set(rows, (*_VERDICT, "state", "cost_microusd"))


def _set(rows: Sequence[Judgement], names: Sequence[str]) -> None:
    """Write these fields of many rows; each transaction holds the lock for one executemany alone."""
    pace, start = bulk.Pace(), 0
    while start < len(rows):
        part = rows[start : start + pace.n_rows]
        ready = rowwriter.updates(
            Judgement, {row.pk: {name: getattr(row, name) for name in names} for row in part}
        )
        with pace.transaction(len(part)):
            ready.write(row.pk for row in part)
        start += len(part)


def finish_quality(*, job: Job) -> QualityRun:
    """The summary of a judged sample: average with interval over the scored rows. Safe to repeat.

    Rows that speak to their judge have a score of their own and no part in the average: nobody may talk it up.
    """
    run = QualityRun.objects.select_related("dataset__team").get(pk=job.recipe["run"])
    answered = Judgement.objects.filter(run=run).exclude(overall=None)
    scores = list(answered.filter(suspicious=False).values_list("overall", flat=True))
    found = quality.summarise([s for s in scores if s is not None], sample_size=run.n_sample)
    with transaction.atomic():
        moved = QualityRun.objects.filter(pk=run.pk, finished_at=None).update(finished_at=timezone.now())
        QualityRun.objects.filter(pk=run.pk).update(
            n_scored=found.n_scored,
            n_suspicious=answered.filter(suspicious=True).count(),
            average=found.average,
            low=found.low,
            high=found.high,
        )
        if moved:
            audit.record(actor=job.created_by, team=run.dataset.team, verb="quality.finished", target=run)
    run.refresh_from_db()
    put_in_shown(run.dataset_id, lambda _: lasting.weak_rows(run.dataset))
    return run
