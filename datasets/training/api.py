"""Training for programs: the same services as the pages."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.shortcuts import get_object_or_404
from ninja import Router, Schema

from datasets.models import DatasetVersion, TrainingRun
from datasets.training import services
from datasets.training.contract import backends_for

router = Router(tags=["training"])


class RunIn(Schema):
    """What a run is told. Settings left out keep their defaults."""

    backend: str = ""
    settings: dict[str, Any] = {}
    seed: int = 0


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
