"""Looking at rows one by one: the queue, a verdict by key, undo."""

from __future__ import annotations

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.views.decorators.http import require_POST

from datasets import policies, presenting, services
from datasets.domain.rules import RULES
from datasets.domain.statuses import Verdict
from datasets.errors import EditedMeanwhile, NothingToDo
from datasets.forms import ExampleForm
from datasets.models import Dataset, Review, ReviewItem
from foundation.teams.errors import BadInput
from foundation.ui import htmx

SHARES = {"0.1": 0.1, "0.2": 0.2, "0.5": 0.5, "1": 1.0}


@require_POST
def review_create(request: HttpRequest, dataset: Dataset) -> HttpResponse:
    """Plan a queue, or go on with the one that is unfinished."""
    share = SHARES.get(request.POST.get("share", "0.1"), 0.1)
    review = services.plan_review(actor=request.user, dataset=dataset, share=share)
    return htmx.redirect(request, "datasets:review-detail", review.pk)


def _item_at(review: Review, at: str) -> ReviewItem | None:
    """The item asked for, else the first that nobody has judged, else none."""
    items = review.items.select_related("example__content", "example__source", "edit")
    if at.isdecimal() and len(at) < 10:
        return items.filter(position=int(at)).first()
    return items.filter(verdict="").order_by("position").first()


def _context(request: HttpRequest, review: Review, item: ReviewItem | None) -> dict[str, object]:
    dataset = review.dataset
    is_labelled = dataset.use_case.task_kind == "classify"
    context: dict[str, object] = {
        "review": review,
        "dataset": dataset,
        "lineage": presenting.lineage(dataset),
        "item": item,
        "is_labelled": is_labelled,
        "can_change": policies.can_change(dataset),
        "last": review.items.exclude(verdict="").exclude(at=None).order_by("-at").first(),
        "names": sorted(
            set(review.items.exclude(verdict="").values_list("reviewer_name", flat=True).distinct()[:10])
        ),
    }
    if item is not None:
        example = item.example
        example.dataset = dataset
        findings = list(
            example.finding_rows.filter(finding__run_id=dataset.checks_id).select_related("finding")[:10]
        )
        context |= {
            "example": example,
            "form": ExampleForm.of(example, is_labelled=is_labelled, known=list(dataset.label_counts)[:200]),
            "notes": [(RULES[row.finding.rule].title, row.note) for row in findings],
            "judgement": example.judgements.order_by("-id").first(),
            "prev": item.position - 1 if item.position > 1 else None,
            "next": item.position + 1 if item.position < review.n_total else None,
        }
    return context


def review_detail(request: HttpRequest, review: Review) -> HttpResponse:
    """The row to look at now (or the one asked for), and how far the queue is."""
    item = _item_at(review, request.GET.get("at", ""))
    return htmx.render_page(
        request, "datasets/review_detail.html", "datasets/_review_row.html", _context(request, review, item)
    )


def _onwards(request: HttpRequest, review: Review, item: ReviewItem) -> HttpResponse:
    """The next row that nobody has judged, after this one first."""
    review.refresh_from_db()
    waiting = review.items.filter(verdict="").select_related("example__content", "example__source", "edit")
    item = (
        waiting.filter(position__gt=item.position).order_by("position").first()
        or waiting.order_by("position").first()
    )
    url = reverse("datasets:review-detail", args=[review.pk])
    if not htmx.wants_fragment(request):
        return htmx.redirect(request, f"{url}?at={item.position}" if item else url)
    response = htmx.render_page(
        request, "datasets/review_detail.html", "datasets/_review_row.html", _context(request, review, item)
    )
    response["HX-Push-Url"] = f"{url}?at={item.position}" if item else url
    return response


@require_POST
def review_judge(request: HttpRequest, review: Review, item: int) -> HttpResponse:
    """Accept, edit or reject one row, then show the next."""
    found = get_object_or_404(review.items.select_related("example__content", "example__source"), pk=item)
    try:
        verdict = Verdict(request.POST.get("verdict", ""))
    except ValueError:
        raise BadInput("Accept, edit or reject the row.") from None
    edition = request.POST.get("edition", "")
    extra: dict[str, object] = {
        "edition": int(edition) if edition.isdecimal() and len(edition) < 10 else None
    }
    is_labelled = review.dataset.use_case.task_kind == "classify"
    form = None
    try:
        if verdict is Verdict.EDITED:
            form = ExampleForm.of(found.example, is_labelled=is_labelled, data=request.POST)
            if not form.is_valid():
                raise BadInput("Both sides of the row need text.")
            extra = {k: v for k, v in form.changes().items() if k != "system"}
        services.review_example(
            actor=request.user, item=found, verdict=verdict, reason=request.POST.get("reason", ""), **extra
        )
    except NothingToDo:
        # A second press, or a colleague was quicker: the verdict stands, go on.
        return _onwards(request, review, found)
    except (EditedMeanwhile, BadInput) as error:
        found = _item_at(review, str(found.position))
        if found is None:
            raise Http404 from None
        context = _context(request, review, found)
        context["trouble"] = str(error)
        if form is not None and not isinstance(error, EditedMeanwhile):
            context["form"] = form
        return htmx.render_page(
            request, "datasets/review_detail.html", "datasets/_review_row.html", context, status=422
        )
    return _onwards(request, review, found)


@require_POST
def review_undo(request: HttpRequest, review: Review, item: int) -> HttpResponse:
    """Take one verdict back and show that row again."""
    found = get_object_or_404(review.items, pk=item)
    services.undo_review(actor=request.user, item=found)
    review.refresh_from_db()
    url = f"{reverse('datasets:review-detail', args=[review.pk])}?at={found.position}"
    if not htmx.wants_fragment(request):
        return htmx.redirect(request, url)
    context = _context(request, review, _item_at(review, str(found.position)))
    response = htmx.render_page(request, "datasets/review_detail.html", "datasets/_review_row.html", context)
    response["HX-Push-Url"] = url
    return response
