"""Versions: freezing one, its page, its rows, opening the test, taking rows out."""

from __future__ import annotations

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.utils.text import slugify
from django.views.decorators.http import require_POST

from datasets import policies, presenting, services
from datasets.datasheets import datasheet_of
from datasets.domain.datasheet import markdown
from datasets.domain.gate import size_gate
from datasets.domain.power import power_sentence, rows_needed
from datasets.domain.rules import RULES
from datasets.domain.splitting import Ratios
from datasets.domain.statuses import Split
from datasets.errors import Blocked
from datasets.forms import FreezeForm, MixForm
from datasets.models import Dataset, DatasetVersion, VersionDiff, VersionRow
from datasets.services import mixing, versiondiffs
from datasets.training.crossvalidating import offer_for
from datasets.vault import looks_at, n_fresh_rows, wear_of
from datasets.vault_rows import RowsVault
from decisions.models import UseCase
from foundation.teams.errors import BadInput
from foundation.teams.presses import once
from foundation.ui import htmx

PAGE = 50
DIFF_PAGE = 25


def version_create(request: HttpRequest, dataset: Dataset) -> HttpResponse:
    """The form of a new version: what stands in the way, how it is split, what its test will see."""
    standing = services.standing(dataset)
    blockers = [one for one in standing if one.blocks]
    last = dataset.versions.only("number", "recipe", "dataset").first()
    number = (last.number if last else 0) + 1
    # One seed a dataset: with another one, most rows that were tested on would be learnt from.
    seed = (last.recipe or {}).get("seed") if last else ""
    gate = size_gate(dataset.n_active)
    # A version with few validation rows links here, however many rows the set has.
    wanted = request.GET.get("folds", "")
    wants_folds = wanted in ("5", "10")
    form = FreezeForm(
        request.POST or None,
        needs_reason=bool(blockers),
        has_versions=number > 1,
        initial={
            "seed": seed or f"{slugify(dataset.name)[:50] or 'dataset'}-{number}",
            "n_folds": int(wanted) if wants_folds else gate.folds,
            "fresh_test": request.GET.get("fresh") == "yes",
        },
    )
    status = 200
    if request.method == "POST":
        if form.is_valid():
            try:
                version, _ = once(
                    user=request.user,
                    press=form.cleaned_data["press"],
                    purpose="freeze",
                    model=DatasetVersion,
                    make=lambda: services.start_freeze(
                        actor=request.user, dataset=dataset, **form.arguments()
                    ),
                )
                return htmx.redirect(request, "datasets:version-detail", version.pk)
            except BadInput as error:
                form.refuse(error)
            except Blocked as error:
                form.add_error("override_reason" if "override_reason" in form.fields else None, str(error))
        status = 422
    planned = Ratios().with_test_rows(dataset.n_active, rows_needed()) if dataset.n_active else Ratios()
    n_test = int(dataset.n_active * planned.test)
    context = {
        "dataset": dataset,
        "lineage": presenting.lineage(dataset),
        "form": form,
        "blockers": blockers,
        "warnings": [one for one in standing if not one.blocks],
        "gate": gate,
        "wants_folds": wants_folds,
        "number": number,
        "n_test": n_test,
        "power": power_sentence(n_test),
        "power_chart": presenting.power_chart(n_test, mark="as chosen") if n_test else "",
        "can_change": policies.can_change(dataset),
    }
    return htmx.render_page(request, "datasets/version_create.html", None, context, status=status)


def version_detail(request: HttpRequest, version: DatasetVersion) -> HttpResponse:
    """The datasheet of one version: split, power, leakage, statistics, recipe, and what was overridden."""
    dataset = version.dataset
    report = version.report or {}
    labels, leaks = presenting.label_rows(report), presenting.leak_rows(version)
    can_change = policies.can_change(dataset)
    findings = [(RULES[key].title, n) for key, n in (report.get("findings") or {}).items() if key in RULES]
    recipe = version.recipe or {}
    wear = wear_of(version)
    context = {
        "leaks": leaks,
        "has_repairs": can_change and any(leak["repairs"] for leak in leaks),
        "findings": findings,
        "recipe": presenting.recipe_words(recipe),
        "train_url": presenting.train_url(version),
        "folds_offer": offer_for(version),
        "cross_validations": list(version.cross_validations.order_by("-pk")[:5]),
        "can_change": can_change,
        "version": version,
        "dataset": dataset,
        "lineage": presenting.lineage(dataset, version),
        "job": version.job,
        "report": report,
        "parts_chart": presenting.parts_chart(version),
        "empty_splits": presenting.empty_splits(version),
        "labels": labels,
        "labels_chart": presenting.labels_chart(labels),
        "tasks": [(name, *parts.values()) for name, parts in (report.get("tasks") or {}).items()],
        "lengths": presenting.lengths_chart(version.stats or {}),
        "power_chart": presenting.power_chart(version.n_test) if version.is_frozen else "",
        "looks": looks_at(version, most=10),
        "wear": wear,
        "others": list(dataset.versions.frozen().exclude(pk=version.pk).values_list("number", flat=True)[:10])
        if version.is_frozen
        else [],
        "n_fresh": n_fresh_rows(dataset) if version.is_frozen and wear.is_worn else 0,
        "has_looked": version.is_frozen and services.has_looked(actor=request.user, version=version),
    }
    return htmx.render_page(request, "datasets/version_detail.html", None, context)


def version_rows(request: HttpRequest, version: DatasetVersion) -> HttpResponse:
    """The frozen rows of one split; test rows are sealed until opened with a reason."""
    split = request.GET.get("split", "train")
    split = split if split in list(Split) else "train"
    sealed = split == Split.TEST and not services.has_looked(actor=request.user, version=version)
    after = request.GET.get("after", "")
    after_position = int(after) if after.isdecimal() and len(after) < 10 else -1
    found: list[VersionRow] = []
    if not sealed:
        rows = VersionRow.objects.filter(version=version, split=split, position__gt=after_position)
        found = list(rows.select_related("content").order_by("position")[: PAGE + 1])
    shown = found[:PAGE]
    # Another version's training may hold what the newest one tests on.
    closed: frozenset[int] = frozenset()
    if split != Split.TEST and shown:
        closed = RowsVault(version, request.user).closed([row.content for row in shown])
    for row in shown:
        row.is_closed = row.content_id in closed
    context = {
        "version": version,
        "dataset": version.dataset,
        "lineage": presenting.lineage(version.dataset, version),
        "split": split,
        "sizes": [("train", version.n_train), ("validation", version.n_validation), ("test", version.n_test)],
        "rows": shown,
        "is_sealed": sealed,
        "is_labelled": version.dataset.use_case.task_kind == "classify",
        "next": shown[-1].position if len(found) > PAGE else None,
    }
    return htmx.render_page(request, "datasets/version_rows.html", None, context)


@require_POST
def version_open_test(request: HttpRequest, version: DatasetVersion) -> HttpResponse:
    """Open the sealed test rows for this person; the reason is kept."""
    services.open_test_rows(actor=request.user, version=version, reason=request.POST.get("reason", ""))
    htmx.toast(request, "The test rows are open to you. Your reason is on the record.", "warn")
    return htmx.redirect(request, f"/dataset-versions/{version.pk}/rows/?split=test")


def version_datasheet(request: HttpRequest, version: DatasetVersion) -> HttpResponse:
    """What the version is for, what is in it, where it came from, what was done; with ?as=md as a Markdown file."""
    if not version.is_frozen:
        raise Http404("A version that is not frozen has no datasheet.")
    sheet = datasheet_of(version)
    if request.GET.get("as") == "md":
        response = HttpResponse(markdown(sheet), content_type="text/markdown; charset=utf-8")
        name = f"{slugify(version.dataset.name)[:60] or 'dataset'}-v{version.number}-datasheet.md"
        response["Content-Disposition"] = f'attachment; filename="{name}"'
        response["X-Content-Type-Options"] = "nosniff"
        return response
    context = {
        "sheet": sheet,
        "version": version,
        "dataset": version.dataset,
        "lineage": presenting.lineage(version.dataset, version),
    }
    return htmx.render_page(request, "datasets/version_datasheet.html", None, context)


def version_diff(request: HttpRequest, version: DatasetVersion, other: int) -> HttpResponse:
    """What changed since an earlier version of the same dataset; a press starts the comparison of large ones."""
    before = get_object_or_404(
        version.dataset.versions.frozen().exclude(pk=version.pk),
        number=other,
    )
    before.dataset = version.dataset
    if request.method == "POST":
        versiondiffs.start_diff(actor=request.user, before=before, after=version)
        return htmx.redirect(request, "datasets:version-diff", version.pk, other)
    found = versiondiffs.difference(before, version)
    kind = request.GET.get("kind", "")
    job = None
    context: dict[str, object] = {
        "before": before,
        "version": version,
        "dataset": version.dataset,
        "found": found,
    }
    if found is None:
        row = VersionDiff.objects.filter(before=before, after=version).select_related("job").first()
        job = row.job if row else None
    else:
        counts = found["counts"]
        if kind not in versiondiffs.KINDS:
            kind = next((k for k in ("changed", "moved", "added", "removed") if counts[k]), "changed")
        after = request.GET.get("after", "")
        start = int(after) if after.isdecimal() and len(after) < 10 else 0
        rows = versiondiffs.shown_rows(
            found, kind, before=before, after=version, user=request.user, start=start, n=DIFF_PAGE
        )
        context |= {
            "kind": kind,
            "kinds": [(k, counts[k]) for k in versiondiffs.KINDS],
            "rows": rows,
            "chart": presenting.diff_chart(counts),
            "next": start + DIFF_PAGE if len(found["rows"][kind]) > start + DIFF_PAGE else None,
            "n_kept": versiondiffs.KEPT if counts[kind] > versiondiffs.KEPT else 0,
        }
    context |= {"job": job, "lineage": presenting.lineage(version.dataset, version)}
    return htmx.render_page(request, "datasets/version_diff.html", None, context)


def version_mix(request: HttpRequest, use_case: UseCase) -> HttpResponse:
    """The form that makes one version of several tasks."""
    offered = mixing.offered(use_case)
    form = MixForm(request.POST or None, offered=offered, initial={"name": f"{use_case.name}, mixed"[:200]})
    status = 200
    if request.method == "POST":
        if form.is_valid():
            try:
                version, _ = once(
                    user=request.user,
                    press=form.cleaned_data["press"],
                    purpose="mix",
                    model=DatasetVersion,
                    make=lambda: mixing.mix_versions(
                        actor=request.user, use_case=use_case, **form.arguments()
                    ),
                )
                return htmx.redirect(request, "datasets:version-detail", version.pk)
            except BadInput as error:
                form.refuse(error)
        status = 422
    context = {"form": form, "use_case": use_case, "n_offered": len(offered)}
    return htmx.render_page(request, "datasets/version_mix.html", None, context, status=status)


@require_POST
def version_repair(request: HttpRequest, version: DatasetVersion) -> HttpResponse:
    """One press: a new version in which one kind of leak has ended. This one stays."""
    new = services.repair_leaks(actor=request.user, version=version, repair=request.POST.get("repair", ""))
    htmx.toast(
        request, f"Version {new.number} is being frozen without this leak. Version {version.number} stays."
    )
    return htmx.redirect(request, "datasets:version-detail", new.pk)


@require_POST
def version_notes(request: HttpRequest, version: DatasetVersion) -> HttpResponse:
    """Notes and tags, the only parts that may change."""
    tags = request.POST.get("tags", "").split(",")
    services.annotate(actor=request.user, version=version, notes=request.POST.get("notes", ""), tags=tags)
    htmx.toast(request, "Saved.")
    return htmx.redirect(request, "datasets:version-detail", version.pk)
