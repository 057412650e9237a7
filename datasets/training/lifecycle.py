"""The Train stage of every use case, answered in bulk."""

from __future__ import annotations

from django.db.models import Max, Q
from django.urls import reverse

from datasets.domain.training import RunState
from datasets.models import CrossValidation, TrainingRun
from datasets.reading import latest_frozen
from decisions.lifecycle import Stage, StageState
from decisions.models import UseCase
from foundation.ui.formats import percent


def states(use_cases: list[UseCase]) -> dict[int, StageState]:
    """How training stands, by use case id. Three queries at most, however many use cases."""
    newest = (
        TrainingRun.objects.filter(use_case__in=[u.pk for u in use_cases])
        .values("use_case")
        .annotate(last=Max("pk"), best=Max("pk", filter=Q(state=RunState.SUCCEEDED)))
        .order_by()
    )
    runs = {
        run.pk: run
        for run in TrainingRun.objects.filter(
            Q(pk__in=newest.values("last")) | Q(pk__in=newest.values("best"))
        )
        .select_related("version")
        .defer("version__report", "version__stats")
    }
    wanted: dict[int, dict[str, int | None]] = {}
    for run in sorted(runs.values(), key=lambda run: run.pk):
        known = wanted.setdefault(run.use_case_id, {"last": None, "best": None})
        known["last"] = run.pk
        if run.state == RunState.SUCCEEDED:
            known["best"] = run.pk
    versions = latest_frozen(use_cases)
    folded = _folded([versions[u.pk] for u in use_cases if u.pk in versions and u.pk not in wanted])
    return {
        u.pk: _only_folded(folded[versions[u.pk]])
        if u.pk not in wanted and versions.get(u.pk) in folded
        else _state(u, wanted.get(u.pk), runs, versions.get(u.pk))
        for u in use_cases
    }


def _folded(version_ids: list[int]) -> dict[int, CrossValidation]:
    """The newest cross-validation of each of these versions that is under way or done."""
    if not version_ids:
        return {}
    under_way_or_done = [RunState.QUEUED, RunState.RUNNING, RunState.SUCCEEDED]
    rows = CrossValidation.objects.filter(version__in=version_ids, state__in=under_way_or_done)
    newest = rows.values("version").annotate(last=Max("pk")).order_by().values("last")
    found = CrossValidation.objects.filter(pk__in=newest).only("pk", "number", "state", "metrics", "version")
    return {one.version_id: one for one in found}


def _only_folded(found: CrossValidation) -> StageState:
    """Settings were judged over folds, and no model was trained yet."""
    page = reverse("training:cross-validation-detail", args=[found.pk])
    if found.state != RunState.SUCCEEDED:
        return StageState("now", f"Cross-validation {found.number} is under way", url=page)
    said = f"{percent(found.metrics['accuracy'], 1)} of {found.metrics['n']:,} rows right over folds"
    return StageState("next", f"{said}; no model yet", url=page, action="Train the final model")


def _state(
    use_case: UseCase, found: dict | None, runs: dict[int, TrainingRun], version_id: int | None
) -> StageState:
    new = f"{reverse('training:run-new', args=[version_id])}" if version_id else ""
    if found is None:
        if version_id is None:
            return StageState("later", "Needs a frozen version", blocker="Freeze a dataset version first.")
        return StageState("next", "Nothing trained yet", url=new, action="Train a model")
    last = runs[found["last"]]
    page = reverse("training:run-detail", args=[last.pk])
    if not last.is_finished:
        return StageState("now", f"Run {last.number} is training", url=page)
    best = runs.get(found["best"]) if found["best"] else None
    if best is None:
        word = "failed" if last.state == RunState.FAILED else "was cancelled"
        return StageState("warn", f"Run {last.number} {word}", url=page, action="See why")
    score = best.metrics.get("validation") or {}
    which = "rows right over folds" if best.cross_validation_id else "validation rows right"
    said = f"{percent(score.get('accuracy'), 1)} of {score.get('n', 0):,} {which}"
    page = reverse("training:run-detail", args=[best.pk])
    if version_id and best.version_id < version_id:
        text = f"{said}, on an older version"
        return StageState("next", text, url=new, action="Train on the new version")
    if best.metrics.get("level") == "bad":
        return StageState("warn", f"{said}; overfitting", url=page, action="See the run")
    return StageState("done", said, url=page)


STAGE = Stage("train", "Train", states)
