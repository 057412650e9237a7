"""Cross-validation of a training configuration over a version's folds: start it, keep its answers, train what is left.

The folds were frozen with the version; nothing here deals rows out anew.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Max, TextField, Value
from django.db.models.functions import Coalesce, NullIf
from django.urls import reverse
from django.utils import timezone

from datasets import bulk
from datasets.domain.crossvalidation import (
    MOST_ROWS,
    Fold,
    FoldRow,
    Judged,
    Offer,
    choosing_rows,
    offer,
    plan_folds,
    summarise,
)
from datasets.domain.statuses import Split
from datasets.domain.training import RUN_MOVES, RunState, judge_fit
from datasets.freezing import written_from
from datasets.models import CrossValidation, DatasetVersion, FoldAnswer, FoldRun, TrainingRun, VersionRow
from datasets.policies import check_can_use
from datasets.training import services
from datasets.training.contract import Backend, Estimate, Sizes, get_backend
from decisions.domain.facts import TaskKind
from foundation.jobs import services as jobs
from foundation.teams import audit
from foundation.teams.errors import Conflict
from foundation.teams.models import User

JOB_KIND = "datasets.cross_validate"
# Rows deleted in one transaction when a cancelled one is cleared away.
CLEARED_AT_ONCE = 2_000


def n_folds_of(version: DatasetVersion) -> int:
    """How many folds a version carries; 0 for none."""
    return int((version.report.get("folds") or {}).get("n") or 0)


def offer_for(version: DatasetVersion) -> Offer | None:
    """Whether cross-validation is worth offering on this version, in one sentence; None where it is not."""
    if not version.is_frozen:
        return None
    if "mix" in (version.recipe or {}):
        # A mix is made from versions, and its recipe knows no folds.
        return None
    return offer(
        n_rows=version.n_rows,
        n_train=version.n_train,
        n_validation=version.n_validation,
        n_folds=n_folds_of(version),
    )


def estimate(version: DatasetVersion, backend: Backend, settings: Mapping[str, Any]) -> Estimate:
    """Time and money of a cross-validation, before it starts."""
    k = n_folds_of(version)
    usable = version.n_train + version.n_validation
    sizes = Sizes(usable * (k - 1) // max(k, 1), usable // max(k, 1), len(version.labels or []))
    one = backend.estimate(sizes, {**settings, "learning_curve": False})
    if one.seconds is None:
        return one
    seconds = one.seconds * k
    about = f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
    money = (
        "free on this machine"
        if not one.cost_microusd
        else f"${one.cost_microusd * k / 1e6:.4f} of machine time"
    )
    return Estimate(seconds, one.cost_microusd * k, f"about {about}, {money}, for {k} models")


def written_of(version: DatasetVersion) -> dict[str, list[int]]:
    """The version's rows that a model wrote, by example, and the examples each was written from.

    Versions frozen before this was kept with the folds: what the dataset still knows, of rows dropped since too.
    """
    told = version.report.get("folds") or {}
    if "written" in told:
        return dict(told["written"])
    return {str(key): given for key, given in written_from(version.dataset, dropped_too=True).items()}


def fold_rows(
    version: DatasetVersion, *, written: Mapping[str, Sequence[int]] | None = None
) -> tuple[list[int], list[FoldRow]]:
    """Ids of the version's rows outside the test, in reading order, and what folding must know of each.

    `written`: as `written_of` said before; asked now where it is None.
    Raises: Conflict when the version carries no folds.
    """
    told = version.report.get("folds") or {}
    if not told.get("n"):
        raise Conflict(
            f"Version {version.number} carries no folds. Freeze the dataset again with folds; the rows keep their split."
        )
    found = list(
        VersionRow.objects.filter(version=version, split__in=[Split.TRAIN, Split.VALIDATION])
        .order_by("split", "position")
        .values_list("pk", "split", "position", "example_id", "label", "group", "content__digest")
    )
    units = told.get("units") or _units_by_group(version, found)
    known = written_of(version) if written is None else written
    sources = {int(key): frozenset(given) for key, given in known.items()}
    rows = [
        FoldRow(
            key=example or 0,
            digest=bytes(digest),
            fold=told[split][position],
            unit=units[split][position],
            label=label,
            written_from=sources.get(example) if example else None,
        )
        for _, split, position, example, label, _, digest in found
    ]
    return [row[0] for row in found], rows


def _units_by_group(version: DatasetVersion, found: Sequence[tuple[Any, ...]]) -> dict[str, list[int]]:
    keeps = bool((version.recipe or {}).get("keep_groups", True))
    numbers: dict[Any, int] = {}
    units: dict[str, list[int]] = {Split.TRAIN.value: [], Split.VALIDATION.value: []}
    for pk, split, _, _, _, group, _ in found:
        name = group if keeps and group else pk
        units[split].append(numbers.setdefault(name, len(numbers)))
    return units


def plan_of(cross_validation: CrossValidation) -> tuple[list[int], list[FoldRow], list[Fold]]:
    """Row ids, rows and folds of a cross-validation: the same each time it is asked."""
    version, job = cross_validation.version, cross_validation.job
    # What the version does not tell was kept when it began: a row deleted meanwhile changes no fold.
    ids, rows = fold_rows(version, written=job.recipe.get("written") if job else None)
    return (
        ids,
        rows,
        plan_folds(rows, n_folds=n_folds_of(version)),
    )


def inner_rows(
    version: DatasetVersion, rows: Sequence[FoldRow], train: Sequence[int], *, seed: int, fold: int = 0
) -> frozenset[int]:
    """Which of the rows that teach a fold (0: the final model) choose its settings: the same on any machine."""
    return choosing_rows(rows, train, seed=f"{version.recipe.get('seed', '')} {seed} fold {fold}")


def start_cross_validation(
    *,
    actor: User | None,
    version: DatasetVersion,
    backend: str = "",
    settings: Mapping[str, Any] | None = None,
    seed: int = 0,
    trains_final: bool = False,
) -> CrossValidation:
    """A cross-validation on its way. The same request while one is under way is that one.

    `trains_final`: when every fold is judged, one model is trained on all their rows.
    Raises: BadInput naming the setting, Conflict when the version carries no folds, or the backend cannot train here.
    """
    version = DatasetVersion.objects.select_related("dataset__use_case", "team").get(pk=version.pk)
    check_can_use(version)
    chosen = get_backend(backend) if backend else services.default_backend(version)
    services.check_can_train(chosen, version)
    complete = chosen.validate(settings)
    if "learning_curve" in complete:
        # No fold draws one, so none is on the record.
        complete["learning_curve"] = False
    services.check_seed(seed)
    usable = version.n_train + version.n_validation
    if usable > MOST_ROWS:
        raise Conflict(
            f"{usable:,} rows are more than the {MOST_ROWS:,} that are cross-validated; its {version.n_validation:,} "
            "validation rows judge a run well enough."
        )
    written = written_of(version)
    _, rows = fold_rows(version, written=written)
    told: dict[str, Any] = {} if "written" in version.report["folds"] else {"written": written}
    try:
        n_folds = len(plan_folds(rows, n_folds=n_folds_of(version)))
    except ValueError as error:
        raise Conflict(str(error)) from None
    use_case = version.dataset.use_case
    for known in CrossValidation.objects.open().filter(version=version, backend=chosen.name, seed=seed):
        if known.settings == complete and known.trains_final == trains_final:
            return known
    for _ in range(5):
        number = (use_case.cross_validations.aggregate(n=Max("number"))["n"] or 0) + 1
        try:
            with transaction.atomic():
                found = CrossValidation.objects.create(
                    team=version.team,
                    use_case=use_case,
                    version=version,
                    number=number,
                    backend=chosen.name,
                    settings=complete,
                    seed=seed,
                    n_folds=n_folds,
                    n_rows=len(rows),
                    n_written=sum(not row.is_judged for row in rows),
                    trains_final=trains_final,
                    created_by=actor,
                )
                found.job = jobs.start_job(
                    actor=actor,
                    team=version.team,
                    kind=JOB_KIND,
                    title=f"Cross-validate {chosen.title.lower()} on {version.dataset.name} version {version.number}",
                    recipe={"cross_validation": found.pk, **told},
                    subject=found,
                    url=reverse("training:cross-validation-detail", args=[found.pk]),
                    dedupe_key=f"cross-validate:{found.pk}",
                )
                found.save(update_fields=["job"])
                audit.record(
                    actor=actor,
                    team=version.team,
                    verb="crossvalidation.started",
                    target=found,
                    note=f"{chosen.name}, {n_folds} folds",
                )
            return found
        except IntegrityError:
            # Somebody took the number in the same moment.
            continue
    raise Conflict("Many were started at once. Press again.")


def retry(*, actor: User | None, cross_validation: CrossValidation) -> CrossValidation:
    """A failed cross-validation, its failed folds tried again. Raises Conflict when it did not fail."""
    state = RunState(cross_validation.state)
    if RunState.QUEUED not in RUN_MOVES[state] or cross_validation.job is None:
        raise Conflict("Only a failed cross-validation can be tried again. Start a new one.")
    with transaction.atomic():
        CrossValidation.objects.filter(pk=cross_validation.pk).update(
            state=RunState.QUEUED, error="", finished_at=None
        )
        jobs.retry_failed(actor=actor, job=cross_validation.job)
        audit.record(
            actor=actor, team=cross_validation.team, verb="crossvalidation.retried", target=cross_validation
        )
    cross_validation.refresh_from_db()
    return cross_validation


def train_final(
    *, actor: User | None, cross_validation: CrossValidation, by_itself: bool = False
) -> TrainingRun:
    """The one model trained on all rows outside the test, with the cross-validated settings. Twice is once.

    What it is expected to score is what the folds scored. One that was cancelled left no model, and makes room.
    `by_itself`: nobody pressed now; `actor` asked for it with the folds, and the record says so.
    Raises: Conflict before the folds are judged.
    """
    if cross_validation.state != RunState.SUCCEEDED:
        raise Conflict("Wait until every fold is judged; then a final model knows what to expect.")
    known = TrainingRun.objects.filter(cross_validation=cross_validation).first()
    if known is None or known.state == RunState.CANCELLED:
        try:
            with transaction.atomic():
                _let_go(actor, known)
                return services.create_run(
                    actor=actor,
                    version=cross_validation.version,
                    backend=get_backend(cross_validation.backend),
                    settings=cross_validation.settings,
                    seed=cross_validation.seed,
                    cross_validation=cross_validation,
                    by_itself=by_itself,
                )
        except IntegrityError:
            known = TrainingRun.objects.get(cross_validation=cross_validation)
    if known.state == RunState.FAILED and actor is not None:
        return services.retry(actor=actor, run=known)
    return known


def _let_go(actor: User | None, cancelled: TrainingRun | None) -> None:
    """A cancelled final model is one no more, so that another can be trained."""
    if cancelled is None:
        return
    left = TrainingRun.objects.filter(pk=cancelled.pk, state=RunState.CANCELLED)
    if left.update(cross_validation=None):
        audit.record(
            actor=actor,
            team=cancelled.team,
            verb="training.replaced",
            target=cancelled,
            note=f"no longer the final model of cross-validation {cancelled.cross_validation_id}",
        )


# -- called by the job -----------------------------------------------------------------------------------------


def mark_running(cross_validation_id: int) -> None:
    """Note that a fold has begun, the first time or after the job was tried again. Twice changes nothing."""
    again = [RunState.QUEUED, RunState.FAILED]
    CrossValidation.objects.filter(pk=cross_validation_id, state__in=again).update(
        state=RunState.RUNNING, error="", finished_at=None
    )


def keep_answers(
    *,
    cross_validation: CrossValidation,
    fold: int,
    answers: Sequence[tuple[int, int, str, float, bool]],
    beat: Callable[[], None] = lambda: None,
) -> None:
    """Write the answers of one fold as (row, unit, predicted, confidence, is right), in short transactions.

    Nobody sees them before the whole has succeeded. The same fold again leaves the same rows.
    """
    names = ("cross_validation_id", "row_id", "fold", "unit", "predicted", "confidence", "is_right")
    for part in bulk.chunks(list(answers)):
        with transaction.atomic():
            FoldAnswer.objects.filter(
                cross_validation=cross_validation, row_id__in=[answer[0] for answer in part]
            ).delete()
            bulk.insert(
                FoldAnswer,
                names,
                [
                    (cross_validation.pk, row, fold, unit, predicted, confidence, is_right)
                    for row, unit, predicted, confidence, is_right in part
                ],
                ignore=True,  # a lost worker's twin writes the same
            )
        beat()


def expected_answer() -> Coalesce:
    """What a row of a labelled task expects, for a query over answers: its label, else the written answer."""
    return Coalesce(NullIf("row__label", Value("")), "row__content__completion", output_field=TextField())


def judged_rows(cross_validation: CrossValidation) -> list[Judged]:
    """Every answered row as the rules want it: labels in a labelled task, else right or wrong."""
    found = FoldAnswer.objects.filter(cross_validation=cross_validation)
    if services.task_of(cross_validation.version) is not TaskKind.CLASSIFY:
        return [
            Judged(fold, unit, "right", "right" if is_right else "wrong")
            for fold, unit, is_right in found.values_list("fold", "unit", "is_right")
        ]
    return [Judged(*row) for row in found.values_list("fold", "unit", expected_answer(), "predicted")]


def keep_result(*, cross_validation_id: int) -> bool:
    """Write what the folds say together, once; False while a row has no answer. A result is never written again."""
    found = CrossValidation.objects.select_related("version__dataset__use_case", "team").get(
        pk=cross_validation_id
    )
    if found.state == RunState.SUCCEEDED:
        return True
    rows = judged_rows(found)
    if len(rows) != found.n_rows - found.n_written:
        return False
    folds = list(FoldRun.objects.filter(cross_validation=found, job=found.job_id).order_by("fold"))
    labelled = services.task_of(found.version) is TaskKind.CLASSIFY
    metrics = summarise(rows, n_train={fold.fold: fold.n_train for fold in folds}, labelled=labelled)
    own = {fold.fold: fold.result for fold in folds}
    for line in metrics["folds"]:
        told = own.get(line["fold"], {})
        line |= {"train": (told.get("train") or {}).get("accuracy"), "chosen": told.get("chosen") or {}}
    taught = [line["train"] for line in metrics["folds"] if line["train"] is not None]
    fit = judge_fit(
        train=fmean(taught) if taught else None,
        validation=metrics["accuracy"],
        n_train=round(fmean(fold.n_train for fold in folds)),
        n_validation=metrics["n"],
    )
    metrics |= {
        "measure": "accuracy" if labelled else "exact answers",
        "train": fit.train,
        "gap": fit.gap,
        "level": fit.level if taught else "",
        "converged": all((fold.result or {}).get("converged", True) for fold in folds),
        "n_left_out": sum(fold.n_left_out for fold in folds),
    }
    with transaction.atomic():
        kept = CrossValidation.objects.filter(pk=found.pk).exclude(state=RunState.SUCCEEDED)
        if kept.update(
            metrics=metrics,
            seconds=sum((fold.result or {}).get("seconds") or 0.0 for fold in folds),
            state=RunState.SUCCEEDED,
            error="",
            finished_at=timezone.now(),
        ):
            audit.record(actor=None, team=found.team, verb="crossvalidation.succeeded", target=found)
    return True


def end_without_result(*, cross_validation_id: int, cancelled: bool, error: str) -> None:
    """Note that it was cancelled or failed. A failed one keeps its answers for another try; a cancelled one does not."""
    state = RunState.CANCELLED if cancelled else RunState.FAILED
    with transaction.atomic():
        ended = CrossValidation.objects.open().filter(pk=cross_validation_id)
        if ended.update(state=state, error=error[:1000], finished_at=timezone.now()):
            found = CrossValidation.objects.select_related("team").get(pk=cross_validation_id)
            audit.record(actor=None, team=found.team, verb=f"crossvalidation.{state.value}", target=found)
    if not CrossValidation.objects.filter(pk=cross_validation_id, state=RunState.CANCELLED).exists():
        return
    answers = FoldAnswer.objects.filter(cross_validation=cross_validation_id)
    while part := list(answers.values_list("pk", flat=True)[:CLEARED_AT_ONCE]):
        answers.filter(pk__in=part).delete()
