"""Asking a model how good a sample of rows is: quote, run under a cap, summary. Row text is data for it, never orders."""

from __future__ import annotations

from dataclasses import dataclass

from django.db import transaction
from django.urls import reverse
from django.utils import timezone

from datasets.domain import quality
from datasets.domain.review import stratified_sample
from datasets.errors import NothingToDo
from datasets.models import Content, Dataset, Example, Judgement, QualityRun
from datasets.policies import check_can_change
from decisions.models import UseCase
from foundation.jobs.models import Job
from foundation.jobs.services import start_job
from foundation.llm import catalogue
from foundation.llm.connections import connections_for
from foundation.llm.domain.messages import Message, Request
from foundation.llm.models import Connection
from foundation.teams import audit
from foundation.teams.errors import BadInput
from foundation.teams.models import User


@dataclass(frozen=True, slots=True)
class Quote:
    """What judging a sample costs at most, in micro-dollars, and which rows it would take."""

    model: str
    connection: Connection
    example_ids: tuple[int, ...]
    bound_microusd: int


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


def sample(dataset: Dataset, *, size: int = quality.MAX_SAMPLE, seed: str = "") -> list[int]:
    """Example ids of a seeded sample, every label in proportion. The same rows and seed: the same sample."""
    keys, digests, labels = [], [], []
    rows = Example.objects.filter(dataset=dataset).active().order_by("id")
    for key, hashed, label in rows.values_list("id", "content__digest", "label").iterator(chunk_size=5000):
        keys.append(key)
        digests.append(bytes(hashed))
        labels.append(label)
    seed = seed or f"quality-{dataset.pk}"
    return [keys[i] for i in stratified_sample(digests, labels, size=size, seed=seed)]


def same_sample(run: QualityRun) -> list[int]:
    """The rows of an earlier judging that are still active; unchanged ones answer from the cache, for nothing."""
    ids = Judgement.objects.filter(run=run).order_by("position").values_list("example_id", flat=True)
    active = set(Example.objects.filter(pk__in=list(ids)).active().values_list("id", flat=True))
    return [key for key in ids if key in active]


def quote(*, dataset: Dataset, example_ids: list[int], model: str = "") -> Quote | None:
    """What judging these rows costs at most; None when the team has no connection to a model.

    Raises: BadInput for a model the catalogue does not offer.
    """
    connections = [c for c in connections_for(dataset.team) if c.provider == Connection.Provider.ANTHROPIC]
    if not connections:
        return None
    models = judge_models()
    model = model or (models[0] if models else "")
    if model not in models:
        raise BadInput("Choose one of the models offered.", field="model")
    bound = 0
    for example in Example.objects.filter(pk__in=example_ids).select_related("content"):
        if quality.is_degenerate(example.content.completion) and dataset.use_case.task_kind != "classify":
            continue
        # The question and one repair of a broken reply.
        bound += 2 * catalogue.bound_microusd(question_for(example.content, dataset.use_case, model))
    return Quote(model, connections[0], tuple(example_ids), bound)


def start_quality(
    *,
    actor: User | None,
    dataset: Dataset,
    model: str = "",
    cap_microusd: int | None = None,
    size: int = quality.MAX_SAMPLE,
    seed: str = "",
    again: QualityRun | None = None,
) -> QualityRun:
    """A judging of a seeded sample (or of the same sample `again`), under a cap that is never crossed.

    The cap defaults to the quote. Raises: NothingToDo without rows, BadInput without a connection.
    """
    check_can_change(dataset)
    dataset = Dataset.objects.select_related("team", "use_case").get(pk=dataset.pk)
    if not 1 <= size <= 500:
        raise BadInput("A sample has 1 to 500 rows.", field="size")
    seed = again.seed if again is not None else seed or f"quality-{dataset.pk}"
    chosen = same_sample(again) if again is not None else sample(dataset, size=size, seed=seed)
    if not chosen:
        raise NothingToDo("There are no rows to judge yet. Import a file first.")
    found = quote(dataset=dataset, example_ids=chosen, model=model or (again.model if again else ""))
    if found is None:
        raise BadInput("No model is connected. Add a connection in the team's settings first.")
    cap = found.bound_microusd if cap_microusd is None else cap_microusd
    if cap < 0:
        raise BadInput("The cap cannot be below 0.", field="cap")
    standing = QualityRun.objects.filter(dataset=dataset, finished_at=None).order_by("-id").first()
    if standing is not None:
        return standing
    with transaction.atomic():
        run = QualityRun.objects.create(
            team=dataset.team,
            dataset=dataset,
            model=found.model,
            prompt_version=quality.PROMPT_VERSION,
            seed=seed,
            n_sample=len(chosen),
            revision=dataset.revision,
        )
        job = start_job(
            actor=actor,
            team=dataset.team,
            kind="datasets.quality",
            title=f"Judge a sample of {dataset.name}",
            recipe={
                "run": run.pk,
                "examples": chosen,
                "model": found.model,
                "connection": found.connection.pk,
                "prompt_version": quality.PROMPT_VERSION,
                "seed": seed,
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


def finish_quality(*, job: Job) -> QualityRun:
    """The summary of a judged sample: average with interval over the scored rows. Safe to repeat."""
    run = QualityRun.objects.select_related("dataset__team").get(pk=job.recipe["run"])
    scores = list(Judgement.objects.filter(run=run).exclude(overall=None).values_list("overall", flat=True))
    found = quality.summarise([s for s in scores if s is not None], sample_size=run.n_sample)
    with transaction.atomic():
        moved = QualityRun.objects.filter(pk=run.pk, finished_at=None).update(finished_at=timezone.now())
        QualityRun.objects.filter(pk=run.pk).update(
            n_scored=found.n_scored, average=found.average, low=found.low, high=found.high
        )
        if moved:
            audit.record(actor=job.created_by, team=run.dataset.team, verb="quality.finished", target=run)
    run.refresh_from_db()
    return run
