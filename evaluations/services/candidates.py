"""Who may answer: floors, trained models, prompts. A candidate never changes; a changed prompt is another one."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from datasets.domain.statuses import Split
from datasets.models import DatasetVersion, TrainingRun, VersionRow
from datasets.reading import version_rows
from datasets.training.contract import get_backend
from datasets.training.jobs import answer_of
from datasets.training.services import task_of
from decisions.domain.facts import TaskKind
from decisions.models import UseCase
from evaluations.domain.statuses import CandidateKind
from evaluations.models import Candidate
from foundation.files import store
from foundation.llm import catalogue
from foundation.llm.connections import connections_for, default_connection
from foundation.llm.models import Connection
from foundation.teams import audit
from foundation.teams.errors import BadInput, Conflict
from foundation.teams.models import User

MAX_FEW_SHOT = 40
MAX_SYSTEM = 50_000
DEFAULT_MAX_TOKENS = 512
EFFORTS = ("", "low", "medium", "high")


def digest_of(**parts: Any) -> str:
    """sha256 over everything that decides a candidate's answers."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def ensure_baselines(*, actor: User | None, use_case: UseCase, version: DatasetVersion) -> list[Candidate]:
    """The floors of a version and every model trained on it, made where they are missing: majority (labelled tasks),
    nearest, then trained runs by number. Final models after a cross-validation are left out: they learnt from the
    validation rows. Calling it again changes nothing."""
    found = []
    labelled = task_of(version) is TaskKind.CLASSIFY
    floors = [CandidateKind.MAJORITY, CandidateKind.NEAREST] if labelled else [CandidateKind.NEAREST]
    for kind in floors:
        digest = digest_of(kind=kind.value, version=version.checksum)
        found.append(
            _ensure(
                actor,
                use_case,
                digest,
                name=f"{kind.label} (v{version.number})",
                kind=kind,
                version=version,
                model_id="",
            )
        )
    runs = TrainingRun.objects.succeeded().filter(version=version, cross_validation=None).order_by("number")
    found += [candidate_for_run(actor=actor, run=run) for run in runs]
    return found


def candidate_for_run(*, actor: User | None, run: TrainingRun) -> Candidate:
    """The candidate a successful training run left. Raises Conflict when the run left no model."""
    if not run.model_id:
        raise Conflict(f"Run {run.number} has no model yet.")
    return _ensure(
        actor,
        run.use_case,
        digest_of(kind="trained", run=run.pk, model=run.model_id),
        name=f"{get_backend(run.backend).title} {run.number}",
        kind=CandidateKind.TRAINED,
        version=run.version,
        model_id=run.model_id,
        artefact=run.artefact,
        training_run=run,
    )


def create_candidate(
    *,
    actor: User | None,
    use_case: UseCase,
    name: str,
    model: str,
    connection: Connection | None = None,
    system: str = "",
    few_shot_version: DatasetVersion | None = None,
    n_few_shot: int = 0,
    max_tokens: int = DEFAULT_MAX_TOKENS,
    effort: str = "",
) -> Candidate:
    """A model with a prompt; the same one again is the one there is.

    Examples come from training rows alone, spread over the labels. Raises: BadInput naming the field.
    """
    team = use_case.team
    connection = connection or default_connection(team)
    if connection is None:
        raise BadInput(
            "No model is connected. Add a connection in the team's settings first.", field="connection"
        )
    if connection.team_id != team.pk:
        raise BadInput("This connection belongs to another team.", field="connection")
    name, system = name.strip(), system.strip()
    if not name:
        raise BadInput("Give the candidate a name.", field="name")
    if not system and not n_few_shot:
        raise BadInput(
            "Write a system prompt, or take examples; without both the model cannot know the task.",
            field="system",
        )
    if len(system) > MAX_SYSTEM:
        raise BadInput(f"The system prompt is longer than {MAX_SYSTEM:,} characters.", field="system")
    if not 1 <= max_tokens <= 64_000:
        raise BadInput("The longest answer lies between 1 and 64,000 tokens.", field="max_tokens")
    if not 0 <= n_few_shot <= MAX_FEW_SHOT:
        raise BadInput(f"Take 0 to {MAX_FEW_SHOT} examples.", field="n_few_shot")
    if effort not in EFFORTS:
        raise BadInput("Effort is low, medium, high or empty.", field="effort")
    if n_few_shot and (few_shot_version is None or few_shot_version.dataset.use_case_id != use_case.pk):
        raise BadInput("Choose the version of this use case to take examples from.", field="few_shot_version")
    catalogue.price(model, provider=connection.provider)  # NoPrice says what to do
    few_shot = pick_few_shot(few_shot_version, n_few_shot) if few_shot_version and n_few_shot else []
    params: dict[str, Any] = {"max_tokens": max_tokens}
    if effort:
        params["effort"] = effort
    digest = digest_of(
        kind="prompt", connection=connection.pk, model=model, system=system, few_shot=few_shot, params=params
    )
    return _ensure(
        actor,
        use_case,
        digest,
        name=name[:200],
        kind=CandidateKind.PROMPT,
        connection=connection,
        model_id=model,
        system=system,
        few_shot=few_shot,
        params=params,
        version=few_shot_version if few_shot else None,
    )


def pick_few_shot(version: DatasetVersion, n: int) -> list[dict[str, Any]]:
    """`n` training rows, one label after the other in the version's own order, so that any machine picks the same."""
    rows = VersionRow.objects.filter(version=version, split=Split.TRAIN).order_by("position")
    by_label: dict[str, list[int]] = {}
    for pk, label in rows.values_list("pk", "label")[:20_000]:
        by_label.setdefault(label, []).append(pk)
    order = sorted(by_label, key=lambda label: (-len(by_label[label]), label))
    picked: list[int] = []
    turn = 0
    while len(picked) < n and any(len(by_label[label]) > turn for label in order):
        picked += [by_label[label][turn] for label in order if len(by_label[label]) > turn]
        turn += 1
    chosen = VersionRow.objects.select_related("content").in_bulk(picked[:n])
    labelled = task_of(version) is TaskKind.CLASSIFY
    return [
        {
            "content_id": row.content_id,
            "prompt": row.content.prompt,
            "completion": (row.label or row.content.completion) if labelled else row.content.completion,
        }
        for row in (chosen[pk] for pk in picked[:n])
    ]


def default_system(use_case: UseCase) -> str:
    """A plain first prompt for the use case's task, to be edited."""
    task = use_case.task
    if task.kind is TaskKind.CLASSIFY:
        lines = [
            f"- {x['name']}" + (f": {x['definition']}" if x.get("definition") else "")
            for x in use_case.labels or []
        ]
        which = "one of these labels:\n" + "\n".join(lines) if lines else "its label."
        return f"{use_case.description or use_case.name}\n\nRead the message and answer with {which}\n\nAnswer with the label only."
    if task.kind is TaskKind.EXTRACT:
        return f"{use_case.description or use_case.name}\n\nAnswer with JSON only."
    return use_case.description or use_case.name


def archive_candidate(*, actor: User | None, candidate: Candidate) -> Candidate:
    """The candidate, put away; its evaluations stay. Doing it twice changes nothing."""
    with transaction.atomic():
        if Candidate.objects.filter(pk=candidate.pk, archived_at=None).update(archived_at=timezone.now()):
            audit.record(actor=actor, team=candidate.team, verb="candidate.archived", target=candidate)
    candidate.refresh_from_db()
    return candidate


def ensure_artefact(candidate: Candidate) -> Candidate:
    """The candidate with its model file: floors are built from the training rows when first needed (in a job)."""
    if candidate.artefact_id is not None or not candidate.is_local:
        return candidate
    version = candidate.version
    if version is None:
        raise Conflict(f"“{candidate.name}” has no version to learn from.")
    labelled = task_of(version) is TaskKind.CLASSIFY
    texts, answers = [], []
    for row in version_rows(version, Split.TRAIN):
        texts.append(row.prompt)
        answers.append(answer_of(row, labelled=labelled))
    if not texts:
        raise Conflict(f"Version {version.number} has no training rows for “{candidate.name}” to learn from.")
    # Here, because it brings scipy: a tenth of a process's memory, for what one press of a button needs.
    from foundation.llm.local.answering import MajorityModel, NearestModel

    model: MajorityModel | NearestModel
    if candidate.kind == CandidateKind.MAJORITY:
        counts = Counter(answers)
        top = max(counts, key=lambda a: (counts[a], a))
        model = MajorityModel(top, counts[top] / len(answers))
    else:
        model = NearestModel.from_examples(texts, answers)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        model.save(path)
        with path.open("rb") as stream:
            blob = store.put(
                team=candidate.team, stream=stream, name=f"{candidate.kind}.safetensors", kind="model"
            )
    Candidate.objects.filter(pk=candidate.pk, artefact=None).update(
        artefact=blob, model_id=f"local:{blob.sha256}"
    )
    candidate.refresh_from_db()
    return candidate


def offered_models(use_case: UseCase) -> tuple[Sequence[Connection], Sequence[Any]]:
    """Connections of the team and models that can be chosen with them."""
    return connections_for(use_case.team), catalogue.models_offered()


def _ensure(actor: User | None, use_case: UseCase, digest: str, **fields: Any) -> Candidate:
    known = Candidate.objects.filter(use_case=use_case, digest=digest).first()
    if known is not None:
        if known.archived_at is not None:
            Candidate.objects.filter(pk=known.pk).update(archived_at=None)
            known.archived_at = None
        return known
    try:
        with transaction.atomic():
            candidate = Candidate.objects.create(
                team=use_case.team, use_case=use_case, digest=digest, created_by=actor, **fields
            )
            audit.record(
                actor=actor,
                team=use_case.team,
                verb="candidate.created",
                target=candidate,
                digests={"candidate": digest},
            )
        return candidate
    except IntegrityError:
        return Candidate.objects.get(use_case=use_case, digest=digest)


def as_plain(candidate: Candidate) -> Mapping[str, Any]:
    """What identifies a candidate, for exports and the API."""
    return {
        "id": candidate.pk,
        "name": candidate.name,
        "kind": candidate.kind,
        "model": candidate.model_id,
        "digest": candidate.digest,
    }
