"""Rows: the browser with its filters, one row with its history, findings and their fixes."""

from __future__ import annotations

import json
from typing import Any

from django.db.models import Subquery
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_POST

from datasets import pii_measured, policies, presenting, presenting_findings, services
from datasets.domain.conversations import row_fields
from datasets.domain.listing import Filters, number
from datasets.domain.rules import RULES
from datasets.domain.statuses import ExampleState
from datasets.errors import EditedMeanwhile, Sealed
from datasets.forms import ExampleForm
from datasets.listing import keepers_beyond, page_of, rows_of
from datasets.models import Dataset, Edit, Example, Finding, Fix
from datasets.vault import Vault
from foundation.jobs.models import Job
from foundation.teams.errors import BadInput, Conflict
from foundation.ui import htmx
from foundation.ui.formats import grouped

PAGE = 50


def example_list(request: HttpRequest, dataset: Dataset) -> HttpResponse:
    """The rows, narrowed and ordered as the address says; what else stands there is ignored."""
    filters = Filters.of(request.GET)
    finding = None
    if filters.finding is not None:
        finding = Finding.objects.filter(pk=filters.finding, dataset=dataset).first()
    vault = Vault(dataset, request.user)
    # Which sealed rows hold a word, or carry a label, must not be learnt by asking for it.
    tells = bool(filters.words or filters.label)
    version = vault.newest
    closed = vault.closed if tells else None
    page = page_of(dataset, filters, finding=finding, closed=closed, version=version)
    sealed = frozenset() if tells else vault.closed(row.content_id for row in page.rows)
    for row in page.rows:
        row.is_sealed = row.content_id in sealed
    counts = {"active": dataset.n_active, "dropped": dataset.n_dropped, "rejected": dataset.n_rejected}
    context = {
        "dataset": dataset,
        "lineage": presenting.lineage(dataset, newest=version),
        "page": page,
        "rows": page.rows,
        "filters": filters,
        "counts": counts,
        "labels": list(dataset.label_counts.items())[:100],
        "n_labels": len(dataset.label_counts),
        "sources": page.sources.offered if page.sources else [],
        "version": version,
        "finding": finding,
        "narrowed": filters.is_narrowed,
        "is_labelled": dataset.use_case.task_kind == "classify",
        "note": "" if filters.is_narrowed else f"{grouped(counts[filters.state])} rows",
    }
    return htmx.render_page(request, "datasets/example_list.html", "datasets/_example_rows.html", context)


def _detail_context(
    request: HttpRequest, example: Example, form: ExampleForm | None = None
) -> dict[str, Any]:
    dataset = example.dataset
    is_labelled = dataset.use_case.task_kind == "classify"
    edits = list(example.edits.select_related("before", "after", "by")[:20])
    texts = {example.content_id, *(key for edit in edits for key in (edit.before_id, edit.after_id))}
    vault = Vault(dataset, request.user)
    closed = vault.closed(texts)
    sealed = example.content_id in closed
    # A row of the training may have had a text once that the test asks.
    edits = [edit for edit in edits if edit.before_id not in closed and edit.after_id not in closed]
    findings = list(
        example.finding_rows.filter(finding__run_id=dataset.checks_id)
        .select_related("finding")
        .order_by("id")
    )
    for row in findings:
        row.title = RULES[row.finding.rule].title
    beside = Example.objects.filter(dataset=dataset, state=example.state).shown().values("pk")
    before, after = (
        Example.objects.filter(dataset=dataset, pk=example.pk)
        .values_list(
            Subquery(beside.filter(pk__lt=example.pk).order_by("-pk")[:1]),
            Subquery(beside.filter(pk__gt=example.pk).order_by("pk")[:1]),
        )
        .get()
    )
    return {
        "example": example,
        "dataset": dataset,
        "lineage": presenting.lineage(dataset, newest=vault.newest),
        "is_sealed": sealed,
        "is_labelled": is_labelled,
        "form": form
        or ExampleForm.of(example, is_labelled=is_labelled, known=list(dataset.label_counts)[:200]),
        "tools": [_named(tool) for tool in example.content.tools],
        "fields": [
            (name, json.dumps(value, ensure_ascii=False)[:500])
            for name, value in row_fields(example.content.extra).items()
        ],
        "edits": edits,
        "findings": findings,
        "judgement": example.judgements.order_by("-id").first(),
        "before": before,
        "after": after,
        "can_change": policies.can_change(dataset) and example.state == ExampleState.ACTIVE and not sealed,
    }


def _named(tool: dict[str, Any]) -> tuple[str, str]:
    """(name, the beginning of its description) of a tool in whichever shape."""
    inner = next((tool[key] for key in ("function", "toolSpec") if isinstance(tool.get(key), dict)), tool)
    told = str(inner.get("description") or "")
    return str(inner.get("name") or "tool")[:100], told[:200] + ("…" if len(told) > 200 else "")


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
    conflict: EditedMeanwhile | None = None
    trouble: Conflict | Sealed | None = None
    if form.is_valid():
        try:
            edit = services.edit_example(actor=request.user, example=example, **form.changes())
            htmx.toast(request, "Saved. The old text is kept." if edit else "Nothing changed.")
            return htmx.redirect(request, "datasets:example-detail", example.pk)
        except EditedMeanwhile as error:
            conflict = error
        except BadInput as error:
            form.refuse(error)
        except (Conflict, Sealed) as error:
            # Taken out, archived or sealed since the page was opened: what was written stays with its writer.
            trouble = error
    # As it is now, with what the page of it needs.
    example = (
        Example.objects.of(example.team)
        .select_related("team", "content", "source", "dataset__team", "dataset__use_case", "dataset__checks")
        .get(pk=example.pk)
    )
    context = _detail_context(request, example, form)
    if trouble is not None:
        context |= {
            "trouble": str(trouble),
            "written": presenting.sides(form.cleaned_data, form.cleaned_data)[0],
        }
    if conflict is not None:
        context["conflict"] = {"sentence": str(conflict), **presenting.conflict(example, form.cleaned_data)}
        # The next press is made on purpose: it is made against the row as it is now.
        form.data = {**form.data.dict(), "edition": str(example.edition)}
    status = 409 if conflict else trouble.status if trouble else 422
    return htmx.render_page(request, "datasets/example_detail.html", None, context, status=status)


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
    after = number(request.GET.get("after", ""))
    found = rows_of(finding, after=after, n=PAGE + 1)
    shown = found[:PAGE]
    beyond = keepers_beyond(shown)
    vault = Vault(dataset, request.user)
    sealed = vault.closed(row.example.content_id for row in [*beyond, *shown])
    for row in [*beyond, *shown]:
        row.is_sealed = row.example.content_id in sealed
        row.sure = presenting_findings.sureness(row.note) if row.suggestion else ""
        row.is_open = row.example.state == ExampleState.ACTIVE and not (
            row.suggestion and row.example.label == row.suggestion
        )
    standing = services.standing_fixes(finding)
    # What stands for some rows alone may be done again to the others.
    whole = [fix for fix in standing if not fix.is_part]  # type: ignore[attr-defined]
    tried = {fix.action for fix in whole}
    # What found no row to change leaves the rule's other fixes to try.
    is_mended = any(fix.n_rows for fix in whole)
    # A fix on its way: its buttons come back when it has ended.
    job = Job.objects.about(finding).open().first()
    rule = RULES[finding.rule]
    each = [a for a in rule.actions if a.each]
    context = {
        "finding": finding,
        "each": each,
        "measured": pii_measured.measured() if rule.key == "pii" else None,
        "limits": finding.facts.get("limits") if rule.key == "token_limit" else None,
        "rule": rule,
        "dataset": dataset,
        "lineage": presenting.lineage(dataset, newest=vault.newest),
        "rows": shown,
        "groups": presenting_findings.groups_of_rows(
            shown,
            task_kind=dataset.use_case.task_kind,
            with_likeness=rule.key == "near_duplicate",
            beyond=beyond,
        )
        if shown and shown[0].cluster
        else [],
        "sizes": presenting_findings.sizes_chart(finding) if after is None else "",
        "next": shown[-1].pk if len(found) > PAGE else None,
        "job": job,
        "fixes": [] if job else standing,
        "actions": [
            a
            for a in rule.actions
            if a.key not in tried and not is_mended and not job and finding.n_fixable and not a.each
        ],
        "is_current": finding.run_id == dataset.checks_id,
        "can_change": policies.can_change(dataset),
    }
    fragment = "datasets/_finding_groups.html" if context["groups"] else "datasets/_finding_rows.html"
    return htmx.render_page(request, "datasets/finding_detail.html", fragment, context)


@require_POST
def finding_fix(request: HttpRequest, finding: Finding) -> HttpResponse:
    """One click of a fix."""
    if finding.run_id != finding.dataset.checks_id:
        raise BadInput("A newer report stands. Look at its findings.")
    ticked = [int(key) for key in request.POST.getlist("rows") if number(key) is not None]
    action = request.POST.get("action", "")
    if ticked:  # a page of rows at most: done at once
        fix = services.apply_fix(actor=request.user, finding=finding, action=action, only=ticked)
    else:
        fix = services.press_fix(actor=request.user, finding=finding, action=action)
    if isinstance(fix, Job):
        htmx.toast(request, "So many rows take a while. This page shows how far it is.")
        return htmx.redirect(request, "datasets:finding-detail", finding.pk)
    if fix.n_rows:
        words = "1 row" if fix.n_rows == 1 else f"{grouped(fix.n_rows)} rows"
        htmx.toast(request, f"Done: {words}. You can undo it on the finding's page.")
    else:
        htmx.toast(request, "The fix found no row to change.")
    return htmx.redirect(request, "datasets:finding-detail", finding.pk)


@require_POST
def fix_undo(request: HttpRequest, fix: Fix) -> HttpResponse:
    """Take a fix back."""
    undone = services.press_undo(actor=request.user, fix=fix)
    htmx.toast(
        request,
        "So many rows take a while. This page shows how far it is."
        if isinstance(undone, Job)
        else undone.undo_said or "Undone. The rows are as they were.",
        "warn" if isinstance(undone, Fix) and undone.undone_at is None else "good",
    )
    if fix.finding_id:
        return htmx.redirect(request, "datasets:finding-detail", fix.finding_id)
    return htmx.redirect(request, "datasets:dataset-detail", fix.dataset_id)
