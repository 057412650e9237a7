"""Pages of predictions: the browser of one endpoint, one prediction with its feedback, adding rows to a dataset."""

from __future__ import annotations

import uuid

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_POST

from datasets.models import Dataset
from deployments import predictions as browser
from deployments import services
from deployments.models import Endpoint, Prediction
from deployments.services.judged import add_to_dataset
from foundation.teams.errors import BadInput
from foundation.ui.htmx import redirect, toast

# "All that fit" adds so many of the newest at most; more is what a retraining is for.
MOST_AT_ONCE = 2000


def prediction_list(request: HttpRequest, endpoint: Endpoint) -> HttpResponse:
    """The endpoint's predictions, newest first, filtered as the address says."""
    filters = browser.Filters.read(request.GET.dict())
    rows, following = browser.page_of(endpoint, filters, after=request.GET.get("after", ""))
    use_case = endpoint.use_case
    return render(
        request,
        "deployments/prediction_list.html",
        {
            "endpoint": endpoint,
            "filters": filters,
            "rows": rows,
            "next": following,
            "arms": browser.ARMS,
            "feedback": browser.FEEDBACK.items(),
            "labels": use_case.task.label_names if use_case.task_kind == "classify" else (),
            "datasets": list(
                Dataset.objects.of(endpoint.team).filter(use_case=use_case, archived_at=None)[:50]
            ),
            "most": MOST_AT_ONCE,
            "most_looked_at": browser.MOST,
        },
    )


def prediction_detail(request: HttpRequest, prediction: Prediction) -> HttpResponse:
    """One prediction: what was asked and answered, by whom, at what cost, and what was said of it."""
    [row] = browser.judged([prediction])
    return render(
        request,
        "deployments/prediction_detail.html",
        {
            "p": prediction,
            "row": row,
            "features": [(k.replace("_", " "), v) for k, v in prediction.features.items()],
            "feedback": list(prediction.feedback.order_by("-pk")[:50]),
        },
    )


@require_POST
def prediction_feedback(request: HttpRequest, prediction: Prediction) -> HttpResponse:
    """A person says which answer was right."""
    said = request.POST.get("correct", "")
    services.record_feedback(
        actor=request.user,
        prediction=prediction,
        label=" ".join(request.POST.get("label", "").split()),
        is_correct={"yes": True, "no": False}.get(said),
        comment=request.POST.get("comment", "").strip(),
    )
    toast(request, "Kept. The next look at right answers counts it.")
    return redirect(request, "deployments:prediction-detail", prediction.pk)


@require_POST
def prediction_add(request: HttpRequest, endpoint: Endpoint) -> HttpResponse:
    """Judged predictions become a draft import of a dataset: the chosen ones, or all that fit."""
    posted = request.POST.get("dataset", "")
    datasets = Dataset.objects.of(endpoint.team).filter(use_case_id=endpoint.use_case_id, archived_at=None)
    dataset = datasets.filter(pk=int(posted) if posted.isdecimal() and len(posted) < 19 else 0).first()
    if dataset is None:
        raise BadInput("Choose a dataset of this use case.", field="dataset")
    if request.POST.get("which") == "all":
        filters = browser.Filters.read(request.POST.dict())
        chosen = list(browser.found(endpoint, filters).values_list("pk", flat=True)[:MOST_AT_ONCE])
    else:
        try:
            chosen = [uuid.UUID(text) for text in request.POST.getlist("prediction")[:MOST_AT_ONCE]]
        except ValueError:
            raise BadInput("Choose predictions from the list.", field="prediction") from None
    added = add_to_dataset(actor=request.user, endpoint=endpoint, dataset=dataset, predictions=chosen)
    toast(request, added.sentence)
    assert added.import_ is not None
    return redirect(request, "datasets:import-detail", added.import_.pk)
