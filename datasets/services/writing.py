"""Having a model write examples for thin labels: quote, run under a cap, what came of it. Given rows are data for it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.db.models import F, Window
from django.db.models.functions import RowNumber
from django.urls import reverse

from datasets.domain import writing
from datasets.domain.mapping import ColumnMapping
from datasets.domain.rules import THIN
from datasets.domain.statuses import SYNTHETIC, ExampleState, ImportState
from datasets.domain.writing import Given
from datasets.errors import NothingToDo
from datasets.models import Dataset, Example, Import
from datasets.novelty import novel, unsealed
from datasets.policies import check_can_change
from datasets.services.imports import set_mapping, stage_upload, start_import
from datasets.services.judging import judge_models
from foundation.files import store
from foundation.jobs.models import Job, Shard
from foundation.jobs.services import start_job
from foundation.llm import catalogue
from foundation.llm.connections import connections_for
from foundation.llm.domain.bounds import prompt_tokens_bound
from foundation.llm.domain.messages import Message, Request
from foundation.llm.models import Connection
from foundation.teams import audit
from foundation.teams.errors import BadInput
from foundation.teams.models import User

KIND = "datasets.write"
# Given rows are drawn from so many of a label; a thin one has far fewer.
MOST_LOOKED_AT = 500
# Rows of a label up to which its rows are numbered together with those of others; a larger one is walked by itself.
NUMBERED = 2000


@dataclass(frozen=True, slots=True)
class Call:
    """One question to the model: so many rows of a label, from these given examples."""

    label: str
    want: int
    given: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class WritingQuote:
    """What writing costs at most, in micro-dollars, by which calls; labels without a row to learn from are named."""

    model: str
    connection: Connection
    calls: tuple[Call, ...]
    bound_microusd: int
    without_given: tuple[str, ...] = ()

    @property
    def n_rows(self) -> int:
        """Rows asked for."""
        return sum(call.want for call in self.calls)


def thin_labels(dataset: Dataset, *, below: int = THIN) -> list[str]:
    """Labels with fewer active rows than `below`, the thinnest first. One without any row cannot be written from."""
    return [
        name
        for _, name in sorted((n, name) for name, n in dataset.label_counts.items() if name and n < below)
    ]


def given_rows(dataset: Dataset, labels: Sequence[str]) -> dict[str, list[tuple[int, bytes]]]:
    """For each label (example id, digest) of what new rows may be written from, oldest first.

    Active rows that no model wrote and no frozen version validates or tests on; of one turn, without tools.
    """
    columns = ("id", "content_id", "label", "content__digest")
    eligible = (
        Example.objects.filter(dataset=dataset, content__turns="", content__extra="")
        .in_state(ExampleState.ACTIVE)
        .exclude(source__source=SYNTHETIC)
        .order_by("id")
    )
    thin = [label for label in labels if dataset.label_counts.get(label, 0) <= NUMBERED]
    place = Window(RowNumber(), partition_by=F("label"), order_by=F("id").asc())
    numbered = eligible.of_label(*thin).annotate(place=place).filter(place__lte=MOST_LOOKED_AT)
    rows = list(numbered.values_list(*columns)) if thin else []
    for label in labels:
        if label not in thin:
            rows += eligible.of_label(label).values_list(*columns)[:MOST_LOOKED_AT]
    free = unsealed(dataset, {row[1]: bytes(row[3]) for row in rows}, at_once=True)
    found: dict[str, list[tuple[int, bytes]]] = {label: [] for label in labels}
    for key, content, label, digest in rows:
        if content in free:
            found[label].append((key, bytes(digest)))
    return found


def texts_given(
    dataset: Dataset, example_ids: Iterable[int], *, were_checked: bool = False
) -> dict[int, tuple[str, Given]]:
    """System prompt and row of given examples as they are now; what may not be shown (any more) is left out."""
    rows = list(
        Example.objects.filter(dataset=dataset, pk__in=set(example_ids)).active().select_related("content")
    )
    digests = {e.content_id: bytes(e.content.digest) for e in rows}
    free = set(digests) if were_checked else unsealed(dataset, digests)
    return {
        e.pk: (e.content.system, Given(e.content.prompt, e.content.completion))
        for e in rows
        if e.content_id in free
    }


def request_for(dataset: Dataset, model: str, label: str, want: int, given: Sequence[Given]) -> Request:
    """The request of one call. Sampling is sent only to models that take it."""
    use_case = dataset.use_case
    task = f"{use_case.get_task_kind_display()}. {use_case.name}: {use_case.description}"[:1500]
    labels = list(use_case.task.label_names or dataset.label_counts)
    asked = writing.question(task=task, label=label, labels=labels, given=given, want=want)
    return Request(
        model=model,
        system=writing.SYSTEM,
        messages=(Message("user", asked),),
        max_tokens=writing.max_tokens(given, want),
        output_schema=writing.SCHEMA,
        sampling={"temperature": 1.0},
    )


def connected(dataset: Dataset) -> list[Connection]:
    """The team's connections that can write."""
    return [c for c in connections_for(dataset.team) if c.provider == Connection.Provider.ANTHROPIC]


def quote_writing(
    *,
    dataset: Dataset,
    labels: Sequence[str],
    rows_a_label: int,
    model: str = "",
    seed: str = "",
    models: Sequence[str] | None = None,
) -> WritingQuote | None:
    """What writing `rows_a_label` rows for each label costs at most; None when no model is connected.

    Raises: BadInput naming the field for labels, numbers or a model that make no sense.
    """
    connections = connected(dataset)
    if not connections:
        return None
    models = judge_models() if models is None else models
    model = model or (models[0] if models else "")
    if model not in models:
        raise BadInput("Choose one of the models offered.", field="model")
    chosen = list(dict.fromkeys(labels))
    if not 1 <= len(chosen) <= writing.MOST_LABELS:
        raise BadInput(f"Choose 1 to {writing.MOST_LABELS} labels.", field="labels")
    if unknown := [name for name in chosen if name not in dataset.label_counts]:
        raise BadInput(f"No row carries the label “{unknown[0]}”.", field="labels")
    if not 1 <= rows_a_label <= writing.MOST_ROWS_A_LABEL:
        raise BadInput(f"Ask for 1 to {writing.MOST_ROWS_A_LABEL} rows a label.", field="rows_a_label")
    price, seed = catalogue.price(model), seed or default_seed(dataset)
    calls: list[Call] = []
    without, bound = [], 0
    known = given_rows(dataset, chosen)
    for label in chosen:
        rows = known[label]
        if not rows:
            without.append(label)
            continue
        for number, want in enumerate(writing.shares(rows_a_label)):
            at = writing.draw([digest for _, digest in rows], seed=f"{seed}\n{label}\n{number}")
            calls.append(Call(label, want, tuple(rows[i][0] for i in at)))
    texts = texts_given(dataset, [key for call in calls for key in call.given], were_checked=True)
    for call in calls:
        given = [texts[key][1] for key in call.given if key in texts]
        request = request_for(dataset, model, call.label, call.want, given)
        # The question and one repair of a broken reply, which repeats both.
        tokens = prompt_tokens_bound(request)
        bound += price.bound_microusd(tokens, request.max_tokens)
        bound += price.bound_microusd(tokens + request.max_tokens, request.max_tokens)
    return WritingQuote(model, connections[0], tuple(calls), bound, tuple(without))


def default_seed(dataset: Dataset) -> str:
    """The seed that is offered: the same question twice costs nothing and brings nothing."""
    return f"write-{dataset.pk}"


def start_writing(
    *,
    actor: User | None,
    dataset: Dataset,
    labels: Sequence[str],
    rows_a_label: int,
    model: str = "",
    seed: str = "",
    cap_microusd: int | None = None,
) -> Job:
    """The job that has rows written, under a cap that is never crossed (the quote, without one).

    One at a time for a dataset: a second start finds the first. Raises: NothingToDo without a row to write from,
    BadInput without a connection or for choices that make no sense.
    """
    check_can_change(dataset)
    dataset = Dataset.objects.select_related("team", "use_case").get(pk=dataset.pk)
    seed = (seed or default_seed(dataset))[:60]
    found = quote_writing(dataset=dataset, labels=labels, rows_a_label=rows_a_label, model=model, seed=seed)
    if found is None:
        raise BadInput("No model is connected. Add a connection in the team's settings first.")
    if not found.calls:
        raise NothingToDo(
            "There is no row to write from: every row of these labels was written by a model, or a frozen version "
            "keeps it for validation or test."
        )
    cap = found.bound_microusd if cap_microusd is None else cap_microusd
    if cap < 0:
        raise BadInput("The cap cannot be below 0.", field="cap")
    standing = Job.objects.about(dataset).open().filter(kind=KIND).order_by("-id").first()
    if standing is not None:
        return standing
    with transaction.atomic():
        job = start_job(
            actor=actor,
            team=dataset.team,
            kind=KIND,
            title=f"Write examples for {dataset.name}",
            recipe={
                "dataset": dataset.pk,
                "model": found.model,
                "connection": found.connection.pk,
                "prompt_version": writing.PROMPT_VERSION,
                "seed": seed,
                "calls": [{"label": c.label, "want": c.want, "given": list(c.given)} for c in found.calls],
            },
            subject=dataset,
            url=reverse("datasets:write", args=[dataset.pk]),
            cap_microusd=cap,
        )
        audit.record(
            actor=actor,
            team=dataset.team,
            verb="dataset.writing_started",
            target=dataset,
            note=f"{found.n_rows} rows by {found.model}",
        )
    return job


# --- called by the job -------------------------------------------------------------------------------------------


def land(*, job: Job, beat: Callable[[int], None]) -> dict[str, Any]:
    """Bring what was written and is new into the dataset as an import of its own; says what became of every row.

    Safe to repeat: the import of a job is found by its name.
    """
    dataset = Dataset.objects.select_related("team", "use_case").get(pk=job.recipe["dataset"])
    records: list[dict[str, Any]] = []
    refused: Counter[str] = Counter()
    shards = Shard.objects.filter(job=job, state="done").exclude(payload__has_key="join").order_by("position")
    for shard in shards:
        refused.update(shard.result.get("refused", {}))
        for prompt, completion in shard.result.get("rows", []):
            records.append(
                {
                    "prompt": prompt,
                    "completion": completion,
                    "label": shard.payload["label"],
                    "system": shard.result.get("system", ""),
                    "written_by": job.recipe["model"],
                    "prompt_version": job.recipe["prompt_version"],
                    "given_rows": shard.result.get("given", []),
                }
            )
    name = f"Written by {job.recipe['model']}, job {job.pk}.jsonl"
    import_ = Import.objects.filter(dataset=dataset, source=SYNTHETIC, name=name).order_by("id").first()
    facts: dict[str, Any] = {"written": len(records), "refused": dict(refused)}
    if import_ is None:
        pairs = [(r["prompt"], r["completion"]) for r in records]
        fresh = novel(dataset, pairs, task_kind=dataset.use_case.task_kind, beat=beat)
        facts |= {
            "kept": len(fresh.new),
            "exact": fresh.n_exact,
            "formatting": fresh.n_formatting,
            "near": fresh.n_near,
        }
        if not fresh.new:
            return facts
        import_ = _stage(dataset, [records[i] for i in fresh.new], name, job)
    if import_.state == ImportState.DRAFT:
        start_import(actor=job.created_by, import_=import_, again=True)
    return {**facts, "import": import_.pk}


def _stage(dataset: Dataset, records: list[dict[str, Any]], name: str, job: Job) -> Import:
    data = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records).encode()
    blob = store.put(team=dataset.team, stream=data, name=name, kind="import", actor=job.created_by)
    with transaction.atomic():
        import_ = stage_upload(actor=job.created_by, dataset=dataset, blob=blob, name=name, source=SYNTHETIC)
        return set_mapping(
            actor=job.created_by,
            import_=import_,
            mapping=ColumnMapping(
                prompt="prompt", completion="completion", label="label", system="system", others=""
            ),
        )


def written_before(dataset: Dataset) -> list[Job]:
    """What was asked for earlier, the newest first."""
    return list(
        Job.objects.about(dataset).filter(kind=KIND).select_related("created_by").order_by("-id")[:10]
    )


def n_written(dataset: Dataset) -> int:
    """Active rows that a model wrote."""
    # Through the few imports it hangs on: from the rows, every one of them would be walked.
    sources = Import.objects.filter(dataset=dataset, source=SYNTHETIC)
    return Example.objects.filter(source__in=sources.values("pk")).active().count()
