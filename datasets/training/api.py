"""Training for programs: the same services as the pages."""

from __future__ import annotations

from typing import Any

from django.http import Http404, HttpRequest
from django.shortcuts import get_object_or_404
from ninja import Router, Schema

from datasets.models import CrossValidation, DatasetVersion, TrainingRun
from datasets.training import crossvalidating as folding
from datasets.training import fold_exports, services
from datasets.training.contract import backends_for
from foundation.ui.downloads import Download

router = Router(tags=["training"])


class RunIn(Schema):
    """What a run is told. Settings left out keep their defaults."""

    backend: str = ""
    settings: dict[str, Any] = {}
    seed: int = 0


class FoldsIn(RunIn):
    """What a cross-validation is told: a run's settings, and whether a final model follows."""

    trains_final: bool = False


def as_plain(run: TrainingRun) -> dict[str, Any]:
    """A run as plain values."""
    return {
        "id": run.pk,
        "number": run.number,
        "use_case": run.use_case_id,
        "version": run.version_id,
        "backend": run.backend,
        "settings": run.settings,
        "state": run.state,
        "metrics": run.metrics,
        "cost_microusd": run.cost_microusd,
        "seconds": run.seconds,
        "error": run.error,
        "job": run.job_id,
        "model_id": run.model_id,
        "cross_validation": run.cross_validation_id,
    }


@router.get("/versions/{version_id}/backends", url_name="training-backends")
def list_backends(request: HttpRequest, version_id: int) -> list[dict[str, Any]]:
    """Backends that can train on a version, with their settings."""
    version = get_object_or_404(
        DatasetVersion.objects.of(request.team).select_related("dataset__use_case"), pk=version_id
    )
    return [
        {
            "name": b.name,
            "title": b.title,
            "unavailable": b.unavailable,
            "defaults": b.defaults(),
            "settings": [
                {"name": s.name, "type": s.type, "help": s.help, "low": s.low, "high": s.high}
                for s in b.schema
            ],
        }
        for b in backends_for(services.task_of(version))
    ]


@router.post("/versions/{version_id}/runs", response={201: dict[str, Any]}, url_name="training-run-create")
def create_run(request: HttpRequest, version_id: int, payload: RunIn) -> tuple[int, dict[str, Any]]:
    """Start a run; poll its job."""
    version = get_object_or_404(DatasetVersion.objects.of(request.team), pk=version_id)
    run = services.start_training(
        actor=request.user,
        version=version,
        backend=payload.backend,
        settings=payload.settings,
        seed=payload.seed,
    )
    return 201, as_plain(run)


@router.get("/use-cases/{use_case_id}/runs", url_name="training-run-list")
def list_runs(request: HttpRequest, use_case_id: int) -> list[dict[str, Any]]:
    """The newest hundred runs of a use case."""
    runs = TrainingRun.objects.of(request.team).filter(use_case=use_case_id).order_by("-pk")[:100]
    return [as_plain(run) for run in runs]


@router.get("/runs/{run_id}", url_name="training-run")
def get_run(request: HttpRequest, run_id: int) -> dict[str, Any]:
    """One run."""
    return as_plain(get_object_or_404(TrainingRun.objects.of(request.team), pk=run_id))


def folds_as_plain(found: CrossValidation) -> dict[str, Any]:
    """A cross-validation as plain values."""
    final = TrainingRun.objects.filter(cross_validation=found).values_list("pk", flat=True).first()
    return {
        "id": found.pk,
        "number": found.number,
        "use_case": found.use_case_id,
        "version": found.version_id,
        "backend": found.backend,
        "settings": found.settings,
        "n_folds": found.n_folds,
        "n_rows": found.n_rows,
        "n_written": found.n_written,
        "state": found.state,
        "metrics": found.metrics,
        "seconds": found.seconds,
        "error": found.error,
        "job": found.job_id,
        "final_run": final,
    }


@router.post(
    "/versions/{version_id}/cross-validations",
    response={201: dict[str, Any]},
    url_name="cross-validation-create",
)
def create_cross_validation(
    request: HttpRequest, version_id: int, payload: FoldsIn
) -> tuple[int, dict[str, Any]]:
    """Judge settings over the folds of a version; poll its job."""
    version = get_object_or_404(DatasetVersion.objects.of(request.team), pk=version_id)
    found = folding.start_cross_validation(
        actor=request.user,
        version=version,
        backend=payload.backend,
        settings=payload.settings,
        seed=payload.seed,
        trains_final=payload.trains_final,
    )
    return 201, folds_as_plain(found)


@router.get("/versions/{version_id}/cross-validations", url_name="cross-validation-list")
def list_cross_validations(request: HttpRequest, version_id: int) -> list[dict[str, Any]]:
    """The newest twenty cross-validations of a version, without their figures by label."""
    version = get_object_or_404(DatasetVersion.objects.of(request.team), pk=version_id)
    found = version.cross_validations.order_by("-pk")[:20]
    wanted = ("n", "right", "accuracy", "low", "high")
    return [
        {
            "id": one.pk,
            "number": one.number,
            "backend": one.backend,
            "settings": one.settings,
            "state": one.state,
            "metrics": {name: one.metrics[name] for name in wanted if name in one.metrics},
        }
        for one in found
    ]


@router.get("/cross-validations/{pk}", url_name="cross-validation")
def get_cross_validation(request: HttpRequest, pk: int) -> dict[str, Any]:
    """One cross-validation with all its figures."""
    return folds_as_plain(get_object_or_404(CrossValidation.objects.of(request.team), pk=pk))


@router.get("/cross-validations/{pk}/answers", url_name="cross-validation-answers")
def list_answers(request: HttpRequest, pk: int, after: int = 0) -> dict[str, Any]:
    """Out-of-fold answers in reading order, a thousand at a time; go on `after` the last row's number."""
    found = get_object_or_404(
        CrossValidation.objects.of(request.team).select_related("version__dataset"), pk=pk
    )
    rows = next(
        fold_exports.lines(
            cross_validation=found,
            user=request.user,
            after=max(0, min(after, 2**62)),
            most=fold_exports.AT_ONCE,
        ),
        [],
    )
    fold_exports.record_reading(actor=request.user, cross_validation=found)
    return {"rows": rows, "next": rows[-1]["row"] if len(rows) == fold_exports.AT_ONCE else None}


@router.get("/cross-validations/{pk}/export.{form}", url_name="cross-validation-export")
def export_answers(request: HttpRequest, pk: int, form: str) -> Download:
    """Every row's out-of-fold answer as one file, csv or jsonl, streamed."""
    found = get_object_or_404(
        CrossValidation.objects.of(request.team).select_related("version__dataset", "team"), pk=pk
    )
    if form not in fold_exports.FORMS:
        raise Http404("There is no such format.")
    pieces = fold_exports.pieces(cross_validation=found, form=form, user=request.user)
    fold_exports.record(actor=request.user, cross_validation=found, form=form)
    return Download(pieces, name=f"cross-validation-{found.use_case_id}-{found.number}.{form}")


@router.post("/cross-validations/{pk}/retry", url_name="cross-validation-retry")
def retry_cross_validation(request: HttpRequest, pk: int) -> dict[str, Any]:
    """Try the folds again that failed; poll its job."""
    found = get_object_or_404(CrossValidation.objects.of(request.team).select_related("job", "team"), pk=pk)
    return folds_as_plain(folding.retry(actor=request.user, cross_validation=found))


@router.post(
    "/cross-validations/{pk}/final", response={201: dict[str, Any]}, url_name="cross-validation-final"
)
def create_final(request: HttpRequest, pk: int) -> tuple[int, dict[str, Any]]:
    """Train the one model on all rows outside the test; twice is once."""
    found = get_object_or_404(
        CrossValidation.objects.of(request.team).select_related("version__dataset__use_case", "team"), pk=pk
    )
    return 201, as_plain(folding.train_final(actor=request.user, cross_validation=found))
