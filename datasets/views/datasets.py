"""Datasets: the list, beginning one, the page that gathers it all, putting it away."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.views.decorators.http import require_POST

from datasets import policies, presenting, services
from datasets.domain.statuses import ImportState
from datasets.forms import DatasetForm
from datasets.models import Dataset, DatasetVersion, Review
from datasets.services import gating
from decisions.models import UseCase
from foundation.jobs.models import Job
from foundation.teams.errors import BadInput
from foundation.teams.models import Team
from foundation.teams.presses import once
from foundation.ui import htmx

PAGE = 50


def dataset_list(request: HttpRequest, team: Team) -> HttpResponse:
    """The team's datasets, newest first."""
    show = "archived" if request.GET.get("show") == "archived" else "current"
    words = request.GET.get("q", "").strip()[:200]
    rows = Dataset.objects.of(team).select_related("use_case", "checks")
    rows = rows.exclude(archived_at=None) if show == "archived" else rows.filter(archived_at=None)
    if words:
        rows = rows.filter(name__icontains=words)
    after = request.GET.get("after", "")
    if after.isdecimal() and len(after) < 19:
        rows = rows.filter(pk__lt=int(after))
    found = list(rows.order_by("-pk")[: PAGE + 1])
    shown = found[:PAGE]
    latest: dict[int, DatasetVersion] = {}
    versions = DatasetVersion.objects.frozen().filter(dataset__in=shown).order_by("number")
    for version in versions.defer("report", "stats", "recipe", "labels"):
        latest[version.dataset_id] = version
    for dataset in shown:
        dataset.latest = latest.get(dataset.pk)
    context = {
        "rows": shown,
        "next": shown[-1].pk if len(found) > PAGE else None,
        "show": show,
        "words": words,
        "is_filtered": bool(words or after) or show == "archived",
    }
    return htmx.render_page(request, "datasets/dataset_list.html", "datasets/_dataset_rows.html", context)


def dataset_create(request: HttpRequest, team: Team) -> HttpResponse:
    """A new, empty dataset for a use case."""
    use_cases = UseCase.objects.of(team).active().order_by("name")
    chosen = request.GET.get("use_case", "")
    initial = {"use_case": chosen} if chosen.isdecimal() else {}
    if initial and request.method == "GET":
        # A first dataset is mostly called like what it serves.
        initial["name"] = use_cases.filter(pk=chosen).values_list("name", flat=True).first() or ""
    form = DatasetForm(request.POST or None, use_cases=use_cases, initial=initial)
    status = 200
    if request.method == "POST":
        if form.is_valid():
            given = form.cleaned_data
            try:
                dataset, _ = once(
                    user=request.user,
                    press=given["press"],
                    purpose="dataset",
                    model=Dataset,
                    make=lambda: services.create_dataset(
                        actor=request.user,
                        team=team,
                        use_case=given["use_case"],
                        name=given["name"],
                        description=given["description"],
                        licence=given["licence"],
                    ),
                )
                return htmx.redirect(request, "datasets:import-create", dataset.pk)
            except BadInput as error:
                form.refuse(error)
        status = 422
    context = {"form": form, "has_use_cases": use_cases.exists()}
    return htmx.render_page(request, "datasets/dataset_create.html", None, context, status=status)


def dataset_detail(request: HttpRequest, dataset: Dataset) -> HttpResponse:
    """Everything about one dataset: imports, findings, review, quality, versions, and the one next step."""
    imports = list(dataset.imports.select_related("created_by")[:6])
    findings = services.open_findings(dataset)
    review = Review.objects.planned().filter(dataset=dataset).first()
    quality, newer = gating.judgings(dataset)
    versions = list(dataset.versions.select_related("created_by").defer("stats")[:6])
    newest = next((v for v in versions if v.is_frozen), None)
    jobs = list(Job.objects.about(dataset).open()[:3])
    busy_imports = [i for i in imports if i.state == ImportState.RUNNING]
    draft = next((i for i in imports if i.state == ImportState.DRAFT), None)
    draft_url = reverse("datasets:import-detail", args=[draft.pk]) if draft and imports[0] == draft else ""
    step = presenting.next_of(
        dataset,
        findings=findings,
        review=review,
        version=newest,
        is_busy=bool(jobs or busy_imports),
        draft_url=draft_url,
    )
    labels = list(dataset.label_counts.items())
    context = {
        "dataset": dataset,
        "lineage": presenting.lineage(dataset),
        "imports": imports,
        "findings": findings,
        "review": review,
        "quality": quality,
        "newer_judging": newer,
        "versions": versions,
        "jobs": jobs,
        "step": step,
        "labels": labels[:8],
        "n_more_labels": max(0, len(labels) - 8),
        "can_change": policies.can_change(dataset),
    }
    return htmx.render_page(request, "datasets/dataset_detail.html", None, context)


def dataset_edit(request: HttpRequest, dataset: Dataset) -> HttpResponse:
    """Name and description."""
    initial = {"name": dataset.name, "description": dataset.description, "licence": dataset.licence}
    form = DatasetForm(request.POST or None, initial=initial)
    status = 200
    if request.method == "POST":
        if form.is_valid():
            try:
                services.rename_dataset(
                    actor=request.user,
                    dataset=dataset,
                    name=form.cleaned_data["name"],
                    description=form.cleaned_data["description"],
                    licence=form.cleaned_data["licence"],
                )
                return htmx.redirect(request, "datasets:dataset-detail", dataset.pk)
            except BadInput as error:
                form.refuse(error)
        status = 422
    context = {"form": form, "dataset": dataset, "lineage": presenting.lineage(dataset)}
    return htmx.render_page(request, "datasets/dataset_edit.html", None, context, status=status)


@require_POST
def dataset_archive(request: HttpRequest, dataset: Dataset) -> HttpResponse:
    """Put it away, or bring it back."""
    put_away = request.POST.get("restore") != "yes"
    services.archive_dataset(actor=request.user, dataset=dataset, archived=put_away)
    htmx.toast(request, "Archived. You find it under Archived." if put_away else "Restored.")
    if put_away:
        return htmx.redirect(request, "datasets:dataset-list", dataset.team.slug)
    return htmx.redirect(request, "datasets:dataset-detail", dataset.pk)


@require_POST
def dataset_check(request: HttpRequest, dataset: Dataset) -> HttpResponse:
    """Check all active rows."""
    if dataset.checks_are_current:
        # A press sent again: the report that stands speaks of these rows.
        return htmx.redirect(request, "datasets:dataset-detail", dataset.pk)
    services.start_checks(actor=request.user, dataset=dataset)
    return htmx.redirect(request, "datasets:dataset-detail", dataset.pk)
