"""What people do with training: start a run, stop it, try again. Writing what a run found is the job's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Max
from django.urls import reverse
from django.utils import timezone

from datasets.domain.training import RUN_MOVES, RunState, with_expected
from datasets.models import CrossValidation, DatasetVersion, TrainingRun
from datasets.policies import check_can_use
from datasets.training import backends  # noqa: F401 - registers what this portal offers
from datasets.training.contract import Backend, Estimate, Sizes, backends_for, get_backend
from decisions.domain.facts import EvidenceKind, TaskKind
from decisions.services import record_evidence
from foundation.files.models import Blob
from foundation.jobs import services as jobs
from foundation.jobs.models import Job
from foundation.teams import audit
from foundation.teams.errors import BadInput, Conflict
from foundation.teams.models import User

JOB_KIND = "datasets.train"


def task_of(version: DatasetVersion) -> TaskKind:
    """The kind of task a version was frozen for."""
    return TaskKind(version.task_kind or version.dataset.use_case.task_kind)


def default_backend(version: DatasetVersion) -> Backend:
    """The first backend that can learn the version's task here."""
    return backends_for(task_of(version))[0]


def sizes_of(version: DatasetVersion) -> Sizes:
    """Rows a run on this version would use."""
    return Sizes(version.n_train, version.n_validation, len(version.labels or []))


def estimate(version: DatasetVersion, backend: Backend, settings: Mapping[str, Any]) -> Estimate:
    """Time and money of a run, before it starts."""
    return backend.estimate(sizes_of(version), settings)


def start_training(
    *,
    actor: User | None,
    version: DatasetVersion,
    backend: str = "",
    settings: Mapping[str, Any] | None = None,
    seed: int = 0,
) -> TrainingRun:
    """A run on its way: `run.job` trains. The same request while one is under way is that one.

    Given settings are laid over the backend's defaults (D29). Raises: BadInput naming the setting, Conflict when the
    version is not frozen, has no training rows, or the backend cannot train this here.
    """
    version = DatasetVersion.objects.select_related("dataset__use_case", "team").get(pk=version.pk)
    check_can_use(version)
    chosen = get_backend(backend) if backend else default_backend(version)
    check_can_train(chosen, version)
    complete = chosen.validate(settings)
    check_seed(seed)
    same = TrainingRun.objects.open().filter(
        version=version, backend=chosen.name, seed=seed, cross_validation=None
    )
    for run in same:
        if run.settings == complete:
            return run
    return create_run(actor=actor, version=version, backend=chosen, settings=complete, seed=seed)


def create_run(
    *,
    actor: User | None,
    version: DatasetVersion,
    backend: Backend,
    settings: Mapping[str, Any],
    seed: int,
    cross_validation: CrossValidation | None = None,
    by_itself: bool = False,
) -> TrainingRun:
    """A run with checked settings, written and on its way; with a cross-validation, its final model on all rows.

    `by_itself`: its folds ended and it followed; `actor` had asked for it then and pressed nothing now.
    Raises: Conflict when numbers were taken five times in a row, IntegrityError for a second final model.
    """
    use_case = version.dataset.use_case
    title = f"Train {backend.title.lower()} on {version.dataset.name} version {version.number}"
    for _ in range(5):
        number = (use_case.training_runs.aggregate(n=Max("number"))["n"] or 0) + 1
        try:
            with transaction.atomic():
                run = TrainingRun.objects.create(
                    team=version.team,
                    use_case=use_case,
                    version=version,
                    number=number,
                    backend=backend.name,
                    settings=dict(settings),
                    seed=seed,
                    cross_validation=cross_validation,
                    created_by=actor,
                )
                run.job = jobs.start_job(
                    actor=None if by_itself else actor,
                    team=version.team,
                    kind=JOB_KIND,
                    title=title + (", all rows" if cross_validation else ""),
                    recipe={"run": run.pk},
                    subject=run,
                    url=reverse("training:run-detail", args=[run.pk]),
                    dedupe_key=f"train:{run.pk}",
                )
                if by_itself:
                    # Who asked is told how it ends.
                    Job.objects.filter(pk=run.job.pk).update(created_by=actor)
                run.save(update_fields=["job"])
                audit.record(
                    actor=None if by_itself else actor,
                    team=version.team,
                    verb="training.started",
                    target=run,
                    note=f"{backend.name}, as asked for with the folds" if by_itself else backend.name,
                )
            return run
        except IntegrityError:
            if cross_validation and TrainingRun.objects.filter(cross_validation=cross_validation).exists():
                raise
            # Somebody took the number in the same moment.
            continue
    raise Conflict("Many runs were started at once. Press again.")


def check_seed(seed: int) -> None:
    """Raises BadInput for a seed outside what is recorded."""
    if not 0 <= seed < 2**31:
        raise BadInput("The seed is a whole number from 0 to 2,147,483,647.", field="seed")


def check_can_train(backend: Backend, version: DatasetVersion) -> None:
    """Raises Conflict or BadInput saying why this backend cannot learn from this version here."""
    if backend.unavailable:
        raise Conflict(backend.unavailable)
    task = task_of(version)
    if task not in backend.tasks:
        raise BadInput(f"{backend.title} cannot learn a task of the kind “{task.value}”.", field="backend")
    if not version.n_train:
        raise Conflict(f"Version {version.number} has no training rows. Freeze one with a training share.")
    if backend.name == "local-classifier" and 0 < len(version.labels or []) < 2:
        raise Conflict(f"Version {version.number} has one label only. A classifier needs at least two.")


def retry(*, actor: User | None, run: TrainingRun) -> TrainingRun:
    """A failed run, tried again with the same settings. Raises Conflict when it did not fail."""
    if RunState.QUEUED not in RUN_MOVES[RunState(run.state)] or run.job is None:
        raise Conflict("Only a failed run can be tried again. Start a new one.")
    with transaction.atomic():
        TrainingRun.objects.filter(pk=run.pk).update(state=RunState.QUEUED, error="", finished_at=None)
        jobs.retry_failed(actor=actor, job=run.job)
        audit.record(actor=actor, team=run.team, verb="training.retried", target=run)
    run.refresh_from_db()
    return run


# -- called by the job -----------------------------------------------------------------------------------------


def mark_running(run_id: int) -> None:
    """Note that the child has begun, the first time or after its job was tried again. Twice changes nothing."""
    again = [RunState.QUEUED, RunState.FAILED]
    TrainingRun.objects.filter(pk=run_id, state__in=again).update(
        state=RunState.RUNNING, error="", finished_at=None
    )


def keep_result(*, run_id: int, artefact: Blob, metrics: Mapping[str, Any], seconds: float) -> None:
    """Write what a run found, once: a run that succeeded is never written again."""
    run = TrainingRun.objects.select_related("cross_validation").get(pk=run_id)
    if run.state == RunState.SUCCEEDED:
        return
    if run.cross_validation is not None:
        metrics = with_expected(metrics, run.cross_validation.metrics)
    rate = get_backend(run.backend).rate_microusd_per_s
    run.artefact = artefact
    run.model_id = f"local:{artefact.sha256}"
    run.metrics = dict(metrics)
    run.seconds = seconds
    run.cost_microusd = round(seconds * rate)
    run.state = RunState.SUCCEEDED
    run.error = ""
    run.finished_at = timezone.now()
    run.save(
        update_fields=[
            "artefact", "model_id", "metrics", "seconds", "cost_microusd", "state", "error", "finished_at",
        ]
    )  # fmt: skip
    audit.record(
        actor=None, team=run.team, verb="training.succeeded", target=run, digests={"model": artefact.sha256}
    )


def hand_down_cost(run: TrainingRun) -> None:
    """Tell the use case what this training cost, so that its ROI counts it (S49)."""
    record_evidence(
        use_case=run.use_case,
        kind=EvidenceKind.TRAINING_COST,
        value=run.cost_microusd,
        source=f"training run {run.number} ({run.backend}), {run.seconds or 0:.1f} s",
        as_of=run.finished_at,
    )


def end_without_model(*, run_id: int, cancelled: bool, error: str) -> None:
    """Note that a run was cancelled or failed. A run that succeeded stays so."""
    state = RunState.CANCELLED if cancelled else RunState.FAILED
    TrainingRun.objects.open().filter(pk=run_id).update(
        state=state, error=error[:1000], finished_at=timezone.now()
    )
