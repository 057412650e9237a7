"""Requests whose right answer is known, as rows a dataset may take: masked, once each, none that it holds already."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction

from datasets import services as datasets
from datasets.domain.cleaning import loose
from datasets.domain.pii import mask_pii
from datasets.models import Dataset, Example, Import
from deployments.models import Endpoint, Feedback, Prediction
from deployments.services.measuring import is_right
from foundation.files import store
from foundation.teams import audit
from foundation.teams.errors import BadInput
from foundation.teams.models import User

# One proposal, or one press, brings in this many at most.
MOST_ROWS = 20_000
_CHUNK = 500


@dataclass(frozen=True, slots=True)
class JudgedRow:
    """One request as a row: personal data masked. `group` keeps one person's requests in one split."""

    prediction: uuid.UUID
    prompt: str
    answer: str
    at: datetime
    group: str = ""


def judged_requests(
    endpoint: Endpoint,
    *,
    until: datetime | None = None,
    since: datetime | None = None,
    among: Sequence[uuid.UUID] | None = None,
) -> Iterator[JudgedRow]:
    """Requests whose text was kept and whose right answer is known, newest word first; one row a prediction."""
    feedback = Feedback.objects.filter(endpoint=endpoint).order_by("-pk")
    if until is not None:
        feedback = feedback.filter(at__lte=until)
    if since is not None:
        feedback = feedback.filter(at__gt=since)
    if among is not None:
        feedback = feedback.filter(prediction__in=list(among)[:MOST_ROWS])
    said = list(feedback.values_list("prediction_id", "label", "is_correct", "at")[: 3 * MOST_ROWS])
    seen: set[uuid.UUID] = set()
    for start in range(0, len(said), _CHUNK):
        part = said[start : start + _CHUNK]
        rows = (
            Prediction.objects.filter(endpoint=endpoint)
            .exclude(prompt_text="")
            .only("pk", "prompt_text", "answer_text", "predicted", "sticky_hash")
            .in_bulk([prediction for prediction, *_ in part])
        )
        for prediction, label, correct, at in part:
            row = rows.get(prediction)
            if row is None or prediction in seen:
                continue
            was_right = is_right(correct, label, row.predicted)
            answer = (label or (row.predicted or row.answer_text if was_right else "")).strip()
            if answer and len(seen) < MOST_ROWS:
                seen.add(prediction)
                yield JudgedRow(prediction, mask_pii(row.prompt_text), mask_pii(answer), at, row.sticky_hash)


def not_in(dataset: Dataset, rows: Iterable[JudgedRow]) -> list[JudgedRow]:
    """The rows whose text the dataset does not hold, in whatever split, and each text once.

    The same text but for case, punctuation and spaces is the same: a test row must not come back as a training row.
    """
    wanted: dict[str, JudgedRow] = {}
    for row in rows:
        wanted.setdefault(loose(row.prompt), row)
    held = Example.objects.filter(dataset=dataset).values_list("content__prompt", flat=True)
    for prompt in held.iterator(chunk_size=2000):
        wanted.pop(loose(prompt), None)
        if not wanted:
            break
    return list(wanted.values())


def stage(
    *, actor: User | None, endpoint: Endpoint, dataset: Dataset, rows: Sequence[JudgedRow], name: str
) -> Import:
    """A draft import of the rows; nothing of it counts before it is started."""
    column = "label" if endpoint.use_case.task_kind == "classify" else "completion"
    lines = [
        json.dumps(
            {"prompt": row.prompt, column: row.answer, "at": row.at.isoformat(), "group": row.group},
            ensure_ascii=False,
        )
        for row in rows
    ]
    blob = store.put(
        team=endpoint.team,
        stream=("\n".join(lines) + "\n").encode(),
        name=name,
        kind="import",
        actor=actor,
        content_type="application/jsonl",
    )
    made = datasets.stage_upload(actor=actor, dataset=dataset, blob=blob, name=name, source="feedback")
    given = {"prompt": "prompt", column: column, "at": "at"}
    if any(row.group for row in rows):
        given["group"] = "group"
    return datasets.set_mapping(
        actor=actor, import_=made, mapping={**made.mapping, **given}, skip_bad_rows=True
    )


@dataclass(frozen=True, slots=True)
class Added:
    """What became of chosen predictions: the draft, None when nothing was left, and how many were left out."""

    import_: Import | None
    n_rows: int
    n_unknown: int
    n_held: int

    @property
    def sentence(self) -> str:
        """For people."""
        said = [f"{self.n_rows:,} rows are ready to be brought in"]
        if self.n_unknown:
            said.append(f"{self.n_unknown:,} left out: no kept text or no known right answer")
        if self.n_held:
            said.append(f"{self.n_held:,} left out: the dataset holds them already")
        return "; ".join(said) + "."


def add_to_dataset(
    *, actor: User, endpoint: Endpoint, dataset: Dataset, predictions: Sequence[uuid.UUID]
) -> Added:
    """A draft import made of the predictions, with what feedback said as their answer.

    Raises: BadInput when nothing was chosen, the dataset is another use case's, or nothing is left to add.
    """
    chosen = list(dict.fromkeys(predictions))
    if not chosen:
        raise BadInput("Choose at least one prediction.", field="prediction")
    if dataset.use_case_id != endpoint.use_case_id:
        raise BadInput("This dataset belongs to another use case.", field="dataset")
    known = list(judged_requests(endpoint, among=chosen))
    rows = not_in(dataset, known)
    added = Added(None, len(rows), len(chosen) - len(known), len(known) - len(rows))
    if not rows:
        raise BadInput(f"Nothing is left to add: {added.sentence}", field="prediction")
    with transaction.atomic():
        made = stage(
            actor=actor,
            endpoint=endpoint,
            dataset=dataset,
            rows=rows,
            name=f"{len(rows)} judged requests of {endpoint.slug}.jsonl",
        )
        audit.record(
            actor=actor,
            team=endpoint.team,
            verb="predictions.added_to_dataset",
            target=made,
            note=f"{len(rows)} of {len(chosen)} predictions of {endpoint.slug} to {dataset.name}",
        )
    return Added(made, added.n_rows, added.n_unknown, added.n_held)
