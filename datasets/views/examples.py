"""Rows: the browser with its filters, one row with its history, findings and their fixes."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_POST

from datasets import policies, presenting, services
from datasets.domain.rules import RULES
from datasets.domain.statuses import ExampleState
from datasets.errors import EditedMeanwhile
from datasets.forms import ExampleForm
from datasets.models import Dataset, Edit, Example, Finding, Fix
from datasets.vault import sealed_contents
from foundation.teams.errors import BadInput
from foundation.ui import htmx

PAGE = 50
STATES = {"active": ExampleState.ACTIVE, "dropped": ExampleState.DROPPED, "rejected": ExampleState.REJECTED}
REVIEWS = ("accepted", "edited", "none")


def _number(text: str) -> int | None:
    """A whole number of the address line, or None: nothing else of it ever reaches a query."""
    return int(text) if text.isdecimal() and len(text) < 19 else None


def example_list(request: HttpRequest, dataset: Dataset) -> HttpResponse:
    """The rows, oldest first, narrowed by state, finding, label, review and words; every other filter is ignored."""
    state = request.GET.get("state", "active")
    state = state if state in STATES else "active"
    words = request.GET.get("q", "").strip()[:200].replace("\0", "")
    label = request.GET.get("label", "")[:200].replace("\0", "")
    review = request.GET.get("review", "")
    finding_id = _number(request.GET.get("finding", ""))
    rows: QuerySet[Example] = Example.objects.filter(dataset=dataset, state=STATES[state]).shown()
    finding = None
    if finding_id is not None:
        finding = Finding.objects.filter(pk=finding_id, dataset=dataset).first()
        if finding is not None:
            rows = rows.filter(finding_rows__finding=finding)
    if label:
        rows = rows.filter(label=label)
    if review in REVIEWS:
        rows = rows.filter(review="" if review == "none" else review)
    if words:
        rows = rows.filter(content__prompt__icontains=words) | rows.filter(
            content__completion__icontains=words
        )
    after, before = _number(request.GET.get("after", "")), _number(request.GET.get("before", ""))
    rows = rows.select_related("content")
    if before is not None:
        found = list(rows.filter(pk__lt=before).order_by("-pk")[: PAGE + 1])
        more_before, shown = len(found) > PAGE, found[:PAGE][::-1]
        more_after = True
    else:
        if after is not None:
            rows = rows.filter(pk__gt=after)
        found = list(rows.order_by("pk")[: PAGE + 1])
        more_after, shown = len(found) > PAGE, found[:PAGE]
        more_before = after is not None
    sealed = sealed_contents(dataset, [row.content_id for row in shown], user=request.user)
    for row in shown:
        row.is_sealed = row.content_id in sealed
    counts = {"active": dataset.n_active, "dropped": dataset.n_dropped, "rejected": dataset.n_rejected}
    narrowed = bool(words or label or review in REVIEWS or finding)
    context = {
        "dataset": dataset,
        "lineage": presenting.lineage(dataset),
        "rows": shown,
        "state": state,
        "counts": counts,
        "words": words,
        "label": label,
        "labels": list(dataset.label_counts.items())[:100],
        "finding": finding,
        "review": review if review in REVIEWS else "",
        "narrowed": narrowed,
        "next": shown[-1].pk if shown and more_after else None,
        "prev": shown[0].pk if shown and more_before else None,
        "note": "" if narrowed else f"{counts[state]:,} rows",
    }
    return htmx.render_page(request, "datasets/example_list.html", "datasets/_example_rows.html", context)


def _detail_context(
    request: HttpRequest, example: Example, form: ExampleForm | None = None
) -> dict[str, Any]:
    dataset = example.dataset
    is_labelled = dataset.use_case.task_kind == "classify"
    sealed = example.content_id in sealed_contents(dataset, [example.content_id], user=request.user)
    edits = list(example.edits.select_related("before", "after", "by")[:20])
    findings = list(
        example.finding_rows.filter(finding__run_id=dataset.checks_id)
        .select_related("finding")
        .order_by("id")
    )
    for row in findings:
        row.title = RULES[row.finding.rule].title
    neighbours = Example.objects.filter(dataset=dataset, state=example.state).shown()
    return {
        "example": example,
        "dataset": dataset,
        "lineage": presenting.lineage(dataset),
        "is_sealed": sealed,
        "is_labelled": is_labelled,
        "form": form
        or ExampleForm.of(example, is_labelled=is_labelled, known=list(dataset.label_counts)[:200]),
        "edits": edits,
        "findings": findings,
        "judgement": example.judgements.order_by("-id").first(),
        "before": neighbours.filter(pk__lt=example.pk).order_by("-pk").values_list("pk", flat=True).first(),
        "after": neighbours.filter(pk__gt=example.pk).order_by("pk").values_list("pk", flat=True).first(),
        "can_change": policies.can_change(dataset) and example.state == ExampleState.ACTIVE and not sealed,
    }


def example_detail(request: HttpRequest, example: Example) -> HttpResponse:
    """One row: its conversation, what was found, what was changed."""
    return htmx.render_page(request, "datasets/example_detail.html", None, _detail_context(request, example))


@require_POST
def example_edit(request: HttpRequest, example: Example) -> HttpResponse:
    """New text for one row; somebody else's newer text is shown instead of being overwritten."""
    is_labelled = example.dataset.use_case.task_kind == "classify"
    form = ExampleForm.of(
        example, is_labelled=is_labelled, known=list(example.dataset.label_counts)[:200], data=request.POST
    )
    conflict = None
    if form.is_valid():
        try:
            edit = services.edit_example(actor=request.user, example=example, **form.changes())
            htmx.toast(request, "Saved. The old text is kept." if edit else "Nothing changed.")
            return htmx.redirect(request, "datasets:example-detail", example.pk)
        except EditedMeanwhile as error:
            conflict = error
        except BadInput as error:
            form.refuse(error)
    example.refresh_from_db()
    context = _detail_context(request, example, form)
    if conflict is not None:
        given = form.cleaned_data
        context["conflict"] = {
            "sentence": str(conflict),
            "mine": f"{given['prompt']}\n\n{given['completion']}",
            "theirs": f"{example.content.prompt}\n\n{example.content.completion}",
        }
        # The next press is made on purpose: it is made against the row as it is now.
        form.data = {**form.data.dict(), "edition": str(example.edition)}
    return htmx.render_page(
        request, "datasets/example_detail.html", None, context, status=409 if conflict else 422
    )


@require_POST
def example_state(request: HttpRequest, example: Example) -> HttpResponse:
    """Take one row out, or bring it back."""
    active = request.POST.get("active") == "yes"
    services.set_state(actor=request.user, example=example, active=active)
    htmx.toast(
        request, "The row is back." if active else "The row was taken out. You can bring it back here."
    )
    return htmx.redirect(request, "datasets:example-detail", example.pk)


@require_POST
def edit_undo(request: HttpRequest, edit: Edit) -> HttpResponse:
    """Put back the text from before an edit."""
    if services.undo_example_edit(actor=request.user, edit=edit):
        htmx.toast(request, "The text is as it was before.")
    else:
        htmx.toast(request, "The row was changed again since, so nothing was undone.", "warn")
    return htmx.redirect(request, "datasets:example-detail", edit.example_id)


# --- findings ----------------------------------------------------------------------------------------------------


def finding_detail(request: HttpRequest, finding: Finding) -> HttpResponse:
    """One rule's rows, grouped, with what can be done about them."""
    dataset = finding.dataset
    after = _number(request.GET.get("after", ""))
    rows = finding.rows.select_related("example__content").order_by("cluster", "id")
    if after is not None:
        start = finding.rows.filter(pk=after).values_list("cluster", "id").first()
        if start:
            rows = rows.filter(cluster__gt=start[0]) | rows.filter(cluster=start[0], id__gt=start[1])
    found = list(rows[: PAGE + 1])
    shown = found[:PAGE]
    sealed = sealed_contents(dataset, [row.example.content_id for row in shown], user=request.user)
    for row in shown:
        row.is_sealed = row.example.content_id in sealed
    standing = list(finding.fixes.filter(undone_at=None).select_related("by"))
    done = {fix.action for fix in standing}
    rule = RULES[finding.rule]
    context = {
        "finding": finding,
        "rule": rule,
        "dataset": dataset,
        "lineage": presenting.lineage(dataset),
        "rows": shown,
        "next": shown[-1].pk if len(found) > PAGE else None,
        "fixes": standing,
        "actions": [a for a in rule.actions if a.key not in done and not standing and finding.n_fixable],
        "is_current": finding.run_id == dataset.checks_id,
        "can_change": policies.can_change(dataset),
    }
    return htmx.render_page(request, "datasets/finding_detail.html", "datasets/_finding_rows.html", context)


@require_POST
def finding_fix(request: HttpRequest, finding: Finding) -> HttpResponse:
    """One click of a fix."""
    if finding.run_id != finding.dataset.checks_id:
        raise BadInput("A newer report stands. Look at its findings.")
    fix = services.apply_fix(actor=request.user, finding=finding, action=request.POST.get("action", ""))
    words = "1 row" if fix.n_rows == 1 else f"{fix.n_rows:,} rows"
    htmx.toast(request, f"Done: {words}. You can undo it on the finding's page.")
    return htmx.redirect(request, "datasets:finding-detail", finding.pk)


@require_POST
def fix_undo(request: HttpRequest, fix: Fix) -> HttpResponse:
    """Take a fix back."""
    services.undo_fix(actor=request.user, fix=fix)
    htmx.toast(request, "Undone. The rows are as they were.")
    if fix.finding_id:
        return htmx.redirect(request, "datasets:finding-detail", fix.finding_id)
    return htmx.redirect(request, "datasets:dataset-detail", fix.dataset_id)
