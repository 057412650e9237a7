"""Training as long work: one supervised child process a run. The parent knows the database, the child does not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from django.conf import settings

from datasets.domain.statuses import Split
from datasets.models import TrainingRun
from datasets.reading import Row, version_rows
from datasets.training import services
from datasets.training.child import MODEL_FILE
from decisions.domain.facts import TaskKind
from foundation.files import store
from foundation.jobs.domain.states import JobState
from foundation.jobs.kinds import Outcome, SubprocessKind, last_line
from foundation.jobs.models import Job, Shard
from foundation.teams.errors import PortalError


class TrainingFailed(PortalError):
    """The child said why it cannot train; trying again would say the same."""


class ChildDied(RuntimeError):
    """The child vanished without a word (out of memory, killed): worth another attempt."""

    def __init__(self, returncode: int) -> None:
        super().__init__(
            f"the training process was ended by signal {-returncode}; it may have run out of memory"
        )


class Train(SubprocessKind):
    """Fits one model in a child process and keeps it as a file of the team."""

    name = services.JOB_KIND
    title = "Training"
    parallel = 1

    def command(self, job: Job, item: Any) -> list[str]:
        """Write the rows the child may see (training and validation, never test) and name its folder."""
        run = _run_of(job)
        folder = folder_of(run.pk)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        labelled = services.task_of(run.version) is TaskKind.CLASSIFY
        for split in (Split.TRAIN, Split.VALIDATION):
            with (folder / f"{split.value}.jsonl").open("w", encoding="utf-8") as file:
                for row in version_rows(run.version, split):
                    file.write(json.dumps([row.prompt, answer_of(row, labelled=labelled)]) + "\n")
        recipe = {"backend": run.backend, "settings": run.settings, "seed": run.seed}
        (folder / "recipe.json").write_text(json.dumps(recipe), "utf-8")
        services.mark_running(run.pk)
        return ["datasets.training.child", str(folder)]

    def environment(self, job: Job, item: Any) -> dict[str, str]:
        """One core a run: two runs beside each other are faster than two that fight for threads."""
        return {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}

    def collect(
        self, job: Job, item: Any, data: dict[str, Any], returncode: int, stderr_tail: str
    ) -> Outcome:
        """Keep the model file; its figures are written by `store` once the lease is checked."""
        if returncode < 0:
            raise ChildDied(returncode)
        if returncode:
            return Outcome.failure(
                item, last_line(stderr_tail) or f"The training process ended with code {returncode}."
            )
        run = _run_of(job)
        with (folder_of(run.pk) / MODEL_FILE).open("rb") as stream:
            blob = store.put(
                team=run.team, stream=stream, name=f"{run.backend}-{run.number}.safetensors", kind="model"
            )
        figures = {"blob": blob.pk, "metrics": data.get("metrics", {}), "seconds": data.get("seconds", 0.0)}
        return Outcome(item, result={"seconds": figures["seconds"]}, data=(blob, figures))

    def store(self, job: Job, outcomes: Any) -> None:
        """Write the run's result in the transaction that settles its item."""
        for outcome in outcomes:
            if outcome.data:
                blob, figures = outcome.data
                services.keep_result(
                    run_id=job.recipe["run"],
                    artefact=blob,
                    metrics=figures["metrics"],
                    seconds=figures["seconds"],
                )

    def finish(self, job: Job) -> dict[str, Any]:
        """The cost goes down into the ROI; the folder is removed."""
        run = _run_of(job)
        shutil.rmtree(folder_of(run.pk), ignore_errors=True)
        if run.artefact_id is None:
            raise TrainingFailed(_reason(job) or "The training left no model.")
        services.hand_down_cost(run)
        validation = run.metrics.get("validation") or {}
        return {"accuracy": validation.get("accuracy"), "sentence": run.metrics.get("sentence", "")}

    def abandoned(self, job: Job) -> None:
        """Note how it ended and remove the folder."""
        shutil.rmtree(folder_of(job.recipe["run"]), ignore_errors=True)
        cancelled = job.state in (JobState.CANCELLED, JobState.CANCELLING)
        services.end_without_model(
            run_id=job.recipe["run"],
            cancelled=cancelled,
            error="" if cancelled else (_reason(job) or job.error),
        )


def folder_of(run_id: int) -> Path:
    """Where a run's child reads and writes. Private, and removed when the run ends."""
    return Path(settings.VAR_DIR) / "training" / str(run_id)


def answer_of(row: Row, *, labelled: bool) -> str:
    """What a model should answer to a row: its label in a labelled task, else the written answer."""
    return row.label or row.completion if labelled else row.completion


def _run_of(job: Job) -> TrainingRun:
    return TrainingRun.objects.select_related("version__dataset__use_case", "use_case", "team").get(
        pk=job.recipe["run"]
    )


def _reason(job: Job) -> str:
    return Shard.objects.filter(job=job).exclude(error="").values_list("error", flat=True).first() or ""


KINDS = [Train]
