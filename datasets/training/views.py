"""Pages of training: find, ask, call a service, render."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse

from datasets.models import DatasetVersion, TrainingRun
from decisions.models import UseCase


def run_list(request: HttpRequest, use_case: UseCase) -> HttpResponse:
    """The training runs of one use case."""
    return HttpResponse(status=204)


def run_new(request: HttpRequest, version: DatasetVersion) -> HttpResponse:
    """The form of a new run, and its start."""
    return HttpResponse(status=204)


def run_detail(request: HttpRequest, run: TrainingRun) -> HttpResponse:
    """One run."""
    return HttpResponse(status=204)


def run_retry(request: HttpRequest, run: TrainingRun) -> HttpResponse:
    """Try a failed run again."""
    return HttpResponse(status=204)
