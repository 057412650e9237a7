"""Pages of evaluating: find, ask, call a service, render."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse

from evaluations.models import Comparison, Evaluation


def evaluation_detail(request: HttpRequest, evaluation: Evaluation) -> HttpResponse:
    """One evaluation."""
    return HttpResponse(status=204)


def comparison_detail(request: HttpRequest, comparison: Comparison) -> HttpResponse:
    """One comparison."""
    return HttpResponse(status=204)
