"""Looking at rows one by one: the queue, a verdict by key, undo; two readings apart, and who settles them."""

from __future__ import annotations

from collections import Counter

from django.db.models import Count, Exists, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.views.decorators.http import require_POST

from datasets import policies, presenting, services
from datasets.domain.review import Need
from datasets.domain.rules import RULES
from datasets.domain.statuses import Verdict
from datasets.errors import EditedMeanwhile, NothingToDo, Sealed
from datasets.forms import ExampleForm, ReviewForm
from datasets.models import Dataset, Reading, Review, ReviewItem
from datasets.presenting_reviews import summary
from datasets.services.queueing import MOST_NEEDED
from datasets.services.reviewing import to_settle
from datasets.vault import Vault, check_not_sealed
from foundation.jobs.models import Job
from foundation.teams.errors import BadInput, Conflict
from foundation.teams.requests import TeamRequest
from foundation.ui import htmx

WHOSE = ("mine", "all", "open")
# Rows read twice that are counted by their readings for a page; of more, a key press would be slow.
MOST_COUNTED = 5_000


def review_create(request: HttpRequest, dataset: Dataset) -> HttpResponse:
    """The form of a queue; a press without one plans the usual: a tenth, and the rows that need a look."""
    people = services.editors_of(dataset)
    form = ReviewForm(request.POST if "share" in request.POST else None, people=people)
    if request.method == "POST":
        if not form.is_bound:
            planned = services.press_review(actor=request.user, dataset=dataset, most_needed=MOST_NEEDED)
            return _planned(request, dataset, planned)
        if form.is_valid():
            try:
                planned = services.press_review(actor=request.user, dataset=dataset, **form.arguments())
                return _planned(request, dataset, planned)
            except BadInput as error:
                form.refuse(error)
    context = {
        "dataset": dataset,
        "form": form,
        "lineage": presenting.lineage(dataset),
        "can_change": policies.can_change(dataset),
    }
    status = 422 if form.is_bound and form.errors else 200
    return htmx.render_page(request, "datasets/review_create.html", None, context, status=status)


def _planned(request: HttpRequest, dataset: Dataset, planned: Review | Job) -> HttpResponse:
    """To the queue; where a job makes it, to the dataset, whose page shows how far it is."""
    if isinstance(planned, Job):
        htmx.toast(request, "So many rows take a while. This page shows how far it is.")
        return htmx.redirect(request, "datasets:dataset-detail", dataset.pk)
    return htmx.redirect(request, "datasets:review-detail", planned.pk)


# --- whose turn --------------------------------------------------------------------------------------------------


def _with_its_row(items: QuerySet[ReviewItem]) -> QuerySet[ReviewItem]:
    return items.select_related("example__content", "example__source", "edit", "assignee", "second")


def _items(review: Review) -> QuerySet[ReviewItem]:
    return _with_its_row(review.items.all())


def _waiting(review: Review, request: HttpRequest, whose: str) -> QuerySet[ReviewItem]:
    """Rows this person can judge now: not their second reading, not one that waits to be settled."""
    own = Reading.objects.filter(item=OuterRef("pk"), reader=request.user)
    rows = _items(review).filter(verdict="")
    if whose == "open":
        return _with_its_row(to_settle(review)) if review.n_double else rows.none()
    if review.n_double:
        # Counted apart: beside the join to its texts a Count would group by every one of them.
        read = (
            Reading.objects.of(review.team)
            .filter(item=OuterRef("pk"))
            .order_by()
            .values("item")
            .annotate(n=Count("pk"))
        )
        rows = rows.annotate(n_read=Coalesce(Subquery(read.values("n")), 0), is_read=Exists(own))
        rows = rows.filter(Q(is_double=False) | Q(is_read=False, n_read__lt=2))
    if whose == "mine":
        rows = rows.filter(Q(assignee=None, second=None) | Q(assignee=request.user) | Q(second=request.user))
    return rows


def _next_item(review: Review, request: HttpRequest, whose: str, after: int = 0) -> ReviewItem | None:
    """The next row after a position, else the first one that waits."""
    rows = _waiting(review, request, whose).order_by("position")
    return (rows.filter(position__gt=after).first() if after else None) or rows.first()


def _whose(request: HttpRequest) -> str:
    asked = request.POST.get("whose") or request.GET.get("whose", "")
    return asked if asked in WHOSE else "mine"


def _last_judged(request: HttpRequest, review: Review) -> ReviewItem | None:
    """What this person judged last: the row that one key takes back."""
    judged = review.items.exclude(verdict="").filter(reviewer=request.user).exclude(at=None)
    return judged.order_by("-at").first()


def _context(
    request: HttpRequest, review: Review, item: ReviewItem | None, whose: str, last: ReviewItem | None
) -> dict[str, object]:
    dataset = review.dataset
    is_labelled = dataset.use_case.task_kind == "classify"
    vault = Vault(dataset, request.user)
    context: dict[str, object] = {
        "review": review,
        "dataset": dataset,
        "lineage": presenting.lineage(dataset, newest=vault.newest),
        "item": item,
        "whose": whose,
        "is_labelled": is_labelled,
        "can_change": policies.can_change(dataset),
        "last": last or _last_judged(request, review),
    }
    if 0 < review.n_double <= MOST_COUNTED:
        # A row read once does not count as looked at; its reader still wants to see that the work moves.
        waiting = review.items.filter(is_double=True, verdict="").order_by().annotate(n=Count("readings"))
        read = Counter(waiting.values_list("n", flat=True))
        context |= {"n_once": read[1], "n_apart": read[2]}
    if review.n_double and item is None:
        context["n_to_settle"] = _waiting(review, request, "open").count()
    if item is None:
        if whose == "mine":
            context["n_others"] = _waiting(review, request, "all").count()
        return context
    example = item.example
    example.dataset = dataset
    findings = list(
        example.finding_rows.filter(finding__run_id=dataset.checks_id).select_related("finding")[:10]
    )
    if item.is_double:
        readings = list(item.readings.select_related("reader"))
        own = next((r for r in readings if r.reader_id == request.user.pk), None)
        # Nobody sees the other reading before both are written.
        context |= {
            "own": own,
            "readings": readings if item.verdict or len(readings) >= 2 else [],
            "may_settle": policies.can_settle(item, readings, request.user, request.role),
            "is_to_settle": not item.verdict and len(readings) >= 2,
        }
    # Rows that a freeze sealed left gaps.
    places = review.items.values("position")
    before, after = (
        review.items.filter(pk=item.pk)
        .values_list(
            Subquery(places.filter(position__lt=item.position).order_by("-position")[:1]),
            Subquery(places.filter(position__gt=item.position).order_by("position")[:1]),
        )
        .get()
    )
    return context | {
        "example": example,
        "is_sealed": example.content_id in vault.closed([example.content_id]),
        "need": Need(item.need).label if item.need else "",
        "form": ExampleForm.of(example, is_labelled=is_labelled, known=list(dataset.label_counts)[:200]),
        "notes": [(RULES[row.finding.rule].title, row.note) for row in findings],
        "judgement": example.judgements.order_by("-id").first(),
        "prev": before,
        "next": after,
    }


def _page(
    request: HttpRequest,
    review: Review,
    item: ReviewItem | None,
    whose: str,
    *,
    status: int = 200,
    last: ReviewItem | None = None,
    **more: object,
) -> HttpResponse:
    context = _context(request, review, item, whose, last) | more
    return htmx.render_page(
        request, "datasets/review_detail.html", "datasets/_review_row.html", context, status=status
    )


def review_detail(request: HttpRequest, review: Review) -> HttpResponse:
    """The row to look at now (or the one asked for), and how far the queue is."""
    whose, at = _whose(request), request.GET.get("at", "")
    if at.isdecimal() and len(at) < 10:
        item = _items(review).filter(position=int(at)).first()
    else:
        item = _next_item(review, request, whose)
    return _page(request, review, item, whose)


def review_summary(request: HttpRequest, review: Review) -> HttpResponse:
    """What the review found: how far it is, trouble by reason with intervals, who read what, how far two agree."""
    context = {
        "review": review,
        "dataset": review.dataset,
        "lineage": presenting.lineage(review.dataset),
        **summary(review),
    }
    return htmx.render_page(request, "datasets/review_summary.html", None, context)


def _address(review: Review, item: ReviewItem | None, whose: str) -> str:
    url = reverse("datasets:review-detail", args=[review.pk])
    parts = [f"at={item.position}" if item else "", f"whose={whose}" if whose != "mine" else ""]
    query = "&".join(part for part in parts if part)
    return f"{url}?{query}" if query else url


def _as_it_is_now(review: Review) -> Review:
    """With what a page of it needs: a verdict moves its counts, and an edit those of the dataset."""
    rows = Review.objects.of(review.team).select_related("team", "dataset__use_case")
    return rows.get(pk=review.pk)


def _onwards(
    request: HttpRequest, review: Review, item: ReviewItem, *, was_judged: bool = False
) -> HttpResponse:
    """The next row that waits for this person, after this one first; a row judged just now is the last one judged."""
    review = _as_it_is_now(review)
    whose = _whose(request)
    following = _next_item(review, request, whose, after=item.position)
    url = _address(review, following, whose)
    if not htmx.wants_fragment(request):
        return htmx.redirect(request, url)
    response = _page(request, review, following, whose, last=item if was_judged else None)
    response["HX-Push-Url"] = url
    return response


# --- verdicts ----------------------------------------------------------------------------------------------------


@require_POST
def review_judge(request: TeamRequest, review: Review, item: int) -> HttpResponse:
    """Accept, edit or reject one row, or settle it; then show the next."""
    found = get_object_or_404(_items(review), pk=item)
    taken = request.POST.get("take", "")
    form = None
    try:
        if taken:
            reading = (
                found.readings.filter(pk=int(taken)).first()
                if taken.isdecimal() and len(taken) < 19
                else None
            )
            if reading is None:
                raise BadInput("Choose one of the two readings.")
            services.settle(actor=request.user, role=request.role, item=found, reading=reading)
            return _onwards(request, review, found)
        try:
            verdict = Verdict(request.POST.get("verdict", ""))
        except ValueError:
            raise BadInput("Accept, edit or reject the row.") from None
        edition = request.POST.get("edition", "")
        extra: dict[str, object] = {
            "edition": int(edition) if edition.isdecimal() and len(edition) < 10 else None
        }
        if verdict is Verdict.EDITED:
            # The services refuse what was sealed since it was queued; no form is read for it either.
            check_not_sealed(review.dataset, [found.example.content_id], user=request.user)
            is_labelled = review.dataset.use_case.task_kind == "classify"
            form = ExampleForm.of(found.example, is_labelled=is_labelled, data=request.POST)
            if not form.is_valid():
                raise BadInput("Both sides of the row need text.")
            extra = {k: v for k, v in form.changes().items() if k != "system"}
        extra |= {"verdict": verdict, "reason": request.POST.get("reason", "")}
        if found.is_double and found.readings.count() >= 2:
            services.settle(actor=request.user, role=request.role, item=found, **extra)
        else:
            services.review_example(actor=request.user, item=found, **extra)
    except NothingToDo:
        # A second press, or a colleague was quicker: the verdict stands, go on.
        return _onwards(request, review, found)
    except (EditedMeanwhile, BadInput, Conflict, Sealed) as error:
        return _refused(request, review, found, error, form)
    # One of two readings is no verdict yet.
    return _onwards(request, review, found, was_judged=bool(found.verdict))


def _refused(
    request: HttpRequest, review: Review, found: ReviewItem, error: Exception, form: ExampleForm | None
) -> HttpResponse:
    """The row as it is now, with what went wrong; what the person wrote stands beside it, so that nothing is lost."""
    item = _items(review).filter(pk=found.pk).first()
    if item is None:
        raise Http404
    more: dict[str, object] = {"trouble": str(error)}
    if form is not None:
        more["form"] = form
        if isinstance(error, EditedMeanwhile):
            more["conflict"] = presenting.conflict(item.example, form.cleaned_data)
            # The next press is made on purpose: against the row as it is now.
            form.data = {**form.data.dict(), "edition": str(item.example.edition)}
    status = 409 if isinstance(error, EditedMeanwhile) else 403 if isinstance(error, Sealed) else 422
    return _page(request, review, item, _whose(request), status=status, **more)


@require_POST
def review_undo(request: HttpRequest, review: Review, item: int) -> HttpResponse:
    """Take one verdict back and show that row again."""
    found = get_object_or_404(review.items, pk=item)
    services.undo_review(actor=request.user, item=found)
    review = _as_it_is_now(review)
    whose = _whose(request)
    shown = _items(review).filter(pk=found.pk).first()
    url = _address(review, shown, whose)
    if not htmx.wants_fragment(request):
        return htmx.redirect(request, url)
    response = _page(request, review, shown, whose)
    response["HX-Push-Url"] = url
    return response
