"""Training as long work: one supervised child process a run. The parent knows the database, the child does not."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from django.conf import settings

from datasets.domain.statuses import Split
from datasets.models import CrossValidation, DatasetVersion, FoldRun, TrainingRun
from datasets.reading import Row, version_rows
from datasets.training import crossvalidating as folding
from datasets.training import services
from datasets.training.child import ANSWERS_FILE, MODEL_FILE, read_rows
from decisions.domain.facts import TaskKind
from foundation.files import store
from foundation.jobs.domain.states import JobState
from foundation.jobs.kinds import Kind, Outcome, Plan, SubprocessKind, last_line
from foundation.jobs.models import Job, Shard, WorkItem
from foundation.teams.errors import PortalError

ONE_CORE = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


class TrainingFailed(PortalError):
    """The child said why it cannot train; trying again would say the same."""


class ChildDied(RuntimeError):
    """The child vanished without a word (out of memory, killed): worth another attempt."""

    def __init__(self, returncode: int) -> None:
        super().__init__(
            f"the training process was ended by signal {-returncode}; it may have run out of memory"
        )


def _failure(item: Any, returncode: int, stderr_tail: str) -> Outcome | None:
    """What a child that did not end well leaves of its item. Raises: ChildDied when a signal ended it."""
    if returncode < 0:
        raise ChildDied(returncode)
    if returncode:
        return Outcome.failure(
            item, last_line(stderr_tail) or f"The training process ended with code {returncode}."
        )
    return None


class Train(SubprocessKind):
    """Fits one model in a child process and keeps it as a file of the team."""

    name = services.JOB_KIND
    title = "Training"
    cancelling = "No model is kept."
    parallel = 1

    def command(self, job: Job, item: Any) -> list[str]:
        """Write the rows the child may see (training and validation, never test) and name its folder."""
        run = _run_of(job)
        folder = folder_of(run.pk)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        recipe: dict[str, Any] = {"backend": run.backend, "settings": run.settings, "seed": run.seed}
        if run.cross_validation_id is None:
            for split in (Split.TRAIN, Split.VALIDATION):
                with (folder / f"{split.value}.jsonl").open("w", encoding="utf-8") as file:
                    for _, text, answer in _pairs(run.version, split):
                        file.write(json.dumps([text, answer]) + "\n")
        else:
            _, rows = folding.fold_rows(run.version)
            everything = list(range(len(rows)))
            inner = folding.inner_rows(run.version, rows, everything, seed=run.seed)
            _write_folder(folder, run.version, train=frozenset(everything), inner=inner)
            recipe["choose_inside"] = True
        (folder / "recipe.json").write_text(json.dumps(recipe), "utf-8")
        services.mark_running(run.pk)
        return ["datasets.training.child", str(folder)]

    def environment(self, job: Job, item: Any) -> dict[str, str]:
        """One core a run: two runs beside each other are faster than two that fight for threads."""
        return ONE_CORE

    def collect(
        self, job: Job, item: Any, data: dict[str, Any], returncode: int, stderr_tail: str
    ) -> Outcome:
        """Keep the model file; its figures are written by `store` once the lease is checked."""
        if failure := _failure(item, returncode, stderr_tail):
            return failure
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
            raise TrainingFailed(_why(job, Shard) or "The training left no model.")
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
            error="" if cancelled else (_why(job, Shard) or job.error),
        )


class CrossValidate(SubprocessKind):
    """One child a fold: it learns from the other folds and answers this one's rows."""

    name = folding.JOB_KIND
    title = "Cross-validation"
    counted = "folds"
    cancelling = "No answer is kept."
    item_model = FoldRun
    parallel = 2

    def plan(self, job: Job, cursor: int) -> Plan:
        """An item a fold."""
        found = _cross_validation_of(job)
        _, _, folds = folding.plan_of(found)
        return Plan(
            [
                FoldRun(
                    job=job,
                    position=i,
                    cross_validation=found,
                    fold=fold.number,
                    n_train=len(fold.train),
                    n_held=len(fold.held),
                    n_left_out=len(fold.left_out),
                )
                for i, fold in enumerate(folds)
            ]
        )

    def command(self, job: Job, item: Any) -> list[str]:
        """Write what the fold's child may see: rows to learn from, and the held texts without their answers."""
        found = _cross_validation_of(job)
        ids, rows, folds = folding.plan_of(found)
        fold = next(fold for fold in folds if fold.number == item.fold)
        inner = folding.inner_rows(found.version, rows, fold.train, seed=found.seed, fold=fold.number)
        folder = fold_folder(found.pk, item.fold)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        held = {i: ids[i] for i in fold.held}
        _write_folder(folder, found.version, train=frozenset(fold.train), inner=inner, held=held)
        recipe = {
            "backend": found.backend,
            "settings": found.settings,
            "seed": found.seed,
            "choose_inside": True,
        }
        (folder / "recipe.json").write_text(json.dumps(recipe), "utf-8")
        folding.mark_running(found.pk)
        return ["datasets.training.child", str(folder)]

    def environment(self, job: Job, item: Any) -> dict[str, str]:
        """One core a fold, as for a run."""
        return ONE_CORE

    def collect(
        self, job: Job, item: Any, data: dict[str, Any], returncode: int, stderr_tail: str
    ) -> Outcome:
        """Keep the answers, unseen until all folds have theirs; the fold's figures go with its item."""
        if failure := _failure(item, returncode, stderr_tail):
            return failure
        found = _cross_validation_of(job)
        ids, rows, folds = folding.plan_of(found)
        fold = next(fold for fold in folds if fold.number == item.fold)
        told = {
            key: (text, confidence)
            for key, text, confidence in read_rows(fold_folder(found.pk, item.fold) / ANSWERS_FILE)
        }
        held = frozenset(fold.held)
        answers = [
            (ids[i], rows[i].unit, told[ids[i]][0], told[ids[i]][1], _same(told[ids[i]][0], answer))
            for i, _, answer in _outside_test(found.version)
            if i in held
        ]
        folding.keep_answers(cross_validation=found, fold=item.fold, answers=answers)
        metrics = data.get("metrics", {})
        figures = {name: metrics.get(name) for name in ("train", "chosen", "converged") if name in metrics}
        return Outcome(item, result={**figures, "seconds": data.get("seconds", 0.0)})

    def finish(self, job: Job) -> dict[str, Any]:
        """What the folds say together; then the final model, where it was asked for."""
        pk = job.recipe["cross_validation"]
        if not folding.keep_result(cross_validation_id=pk):
            raise TrainingFailed(_why(job, FoldRun) or "A fold left rows without an answer.")
        shutil.rmtree(fold_folder(pk), ignore_errors=True)
        found = _cross_validation_of(job)
        if found.trains_final:
            folding.train_final(actor=found.created_by, cross_validation=found, by_itself=True)
        return {"accuracy": found.metrics["accuracy"], "n": found.metrics["n"]}

    def abandoned(self, job: Job) -> None:
        """Note how it ended and remove the folders."""
        pk = job.recipe["cross_validation"]
        shutil.rmtree(fold_folder(pk), ignore_errors=True)
        cancelled = job.state in (JobState.CANCELLED, JobState.CANCELLING)
        folding.end_without_result(
            cross_validation_id=pk,
            cancelled=cancelled,
            error="" if cancelled else (_why(job, FoldRun) or job.error),
        )


def _write_folder(
    folder: Path,
    version: DatasetVersion,
    *,
    train: frozenset[int],
    inner: frozenset[int],
    held: Mapping[int, int] | None = None,
) -> None:
    """Rows to learn from, each saying whether it chooses; with `held` (place to key) the texts to answer."""
    with contextlib.ExitStack() as files:
        teaching = files.enter_context((folder / "train.jsonl").open("w", encoding="utf-8"))
        asked = files.enter_context((folder / "held.jsonl").open("w", encoding="utf-8")) if held else None
        for i, text, answer in _outside_test(version):
            if i in train:
                teaching.write(json.dumps([text, answer, int(i in inner)]) + "\n")
            elif held and asked and i in held:
                asked.write(json.dumps([held[i], text]) + "\n")


def _outside_test(version: DatasetVersion) -> Iterator[tuple[int, str, str]]:
    """Place, text and answer of every row outside the test, in the order of `crossvalidating.fold_rows`."""
    i = 0
    for split in (Split.TRAIN, Split.VALIDATION):
        for _, text, answer in _pairs(version, split):
            yield i, text, answer
            i += 1


def _pairs(version: DatasetVersion, split: Split) -> Iterator[tuple[int, str, str]]:
    labelled = services.task_of(version) is TaskKind.CLASSIFY
    for row in version_rows(version, split):
        yield row.position, row.prompt, answer_of(row, labelled=labelled)


def _same(answer: str, expected: str) -> bool:
    return answer.strip() == expected.strip()


def fold_folder(cross_validation_id: int, fold: int = 0) -> Path:
    """Where the children of a cross-validation read and write; without a fold, the folder of them all."""
    whole = Path(settings.VAR_DIR) / "training" / f"folds-{cross_validation_id}"
    return whole / str(fold) if fold else whole


def _cross_validation_of(job: Job) -> CrossValidation:
    return CrossValidation.objects.select_related(
        "version__dataset__use_case", "use_case", "team", "created_by"
    ).get(pk=job.recipe["cross_validation"])


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


def _why(job: Job, items: type[WorkItem]) -> str:
    return items.objects.filter(job=job).exclude(error="").values_list("error", flat=True).first() or ""  # type: ignore[attr-defined]


KINDS: list[type[Kind]] = [Train, CrossValidate]
