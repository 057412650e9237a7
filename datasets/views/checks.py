"""What the checks say: the report and its CSV, wrong labels, the team's gate, labels renamed."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.utils.text import slugify
from django.views.decorators.http import require_GET, require_POST

from datasets import pii_measured, policies, presenting, reporting, services
from datasets.domain.freezing_rules import GATE_RULES, WHOLE, Stance
from datasets.domain.labels import page_of_labels
from datasets.domain.listing import number
from datasets.domain.rules import RULES
from datasets.forms import LabelForm
from datasets.models import Dataset, DatasetGate, LabelChange
from datasets.services import gating, label_noise, labels
from foundation.jobs.models import Job
from foundation.teams.errors import BadInput, Conflict
from foundation.teams.models import Team
from foundation.ui import htmx
from foundation.ui.downloads import Download

MOST_OFFERED = 200


@require_GET
def report(request: HttpRequest, dataset: Dataset) -> HttpResponse:
    """Findings first, worst on top; what found nothing; how labels, lengths and languages are spread."""
    findings = services.open_findings(dataset)
    stances = gating.gate_of(dataset.team)
    for finding in findings:
        finding.stance = stances.get(finding.rule)
    task_kind = dataset.use_case.task_kind
    stats = dataset.checks.stats if dataset.checks else {}
    found = {finding.rule for finding in findings}
    noise = stats.get("label_noise")
    # Taken over from an earlier report: it speaks of the rows as they were then.
    noise_is_old = bool(noise) and dataset.checks.revision != noise.get("revision", dataset.checks.revision)
    labels = stats.get("labels") or {}
    only_label = next(iter(labels)) if task_kind == "classify" and len(labels) == 1 else None
    jobs = list(Job.objects.about(dataset).open()[:3])
    quality, newer = gating.judgings(dataset)
    context = {
        "dataset": dataset,
        "lineage": presenting.lineage(dataset),
        "findings": findings,
        "counts": reporting.counts_by_severity(findings),
        "quiet": [
            rule
            for rule in RULES.values()
            if rule.key not in found
            and rule.fits(task_kind)
            and rule.key != "judged_weak"
            and (rule.key != "label_noise" or noise)
        ],
        "standing": gating.standing(dataset, gate=stances),
        "stats": stats,
        "noise": noise,
        "noise_is_old": noise_is_old,
        "n_suspects": next((finding.n_rows for finding in findings if finding.rule == "label_noise"), 0),
        "can_look_for_noise": task_kind == "classify"
        and len(labels) > 1
        and dataset.checks_are_current
        and (not noise or noise_is_old)
        and not any(job.kind == label_noise.KIND for job in jobs),
        "only_label": only_label,
        "balance": reporting.balance_chart(labels),
        "lengths": presenting.lengths_chart(stats),
        "languages": reporting.languages_chart(stats.get("languages") or {}),
        "quality": quality,
        "newer_judging": newer,
        "jobs": jobs,
        "can_change": policies.can_change(dataset),
    }
    return htmx.render_page(request, "datasets/report.html", None, context)


@require_GET
def report_csv(request: HttpRequest, dataset: Dataset) -> Download:
    """Every finding's rows as CSV; sealed rows have their number alone, and all cells are safe to open."""
    name = f"{slugify(dataset.name) or 'dataset'}-findings.csv"
    pieces = reporting.findings_csv(dataset=dataset, user=request.user)
    return Download(pieces, name=name, content_type="text/csv; charset=utf-8")


@require_POST
def noise_start(request: HttpRequest, dataset: Dataset) -> HttpResponse:
    """Look for labels that look wrong to a classifier."""
    label_noise.start_label_noise(actor=request.user, dataset=dataset)
    return htmx.redirect(request, "datasets:report", dataset.pk)


@require_GET
def pii_detail(request: HttpRequest, team: Team) -> HttpResponse:
    """How good the detectors of personal data are, by kind, and what they do not look for."""
    measured = pii_measured.measured()
    return htmx.render_page(request, "datasets/pii_detail.html", None, {"measured": measured})


# --- labels ------------------------------------------------------------------------------------------------------


def label_list(request: HttpRequest, dataset: Dataset) -> HttpResponse:
    """Labels with their rows, renaming and merging them, and what was done before."""
    counts = dataset.label_counts
    after = number(request.GET.get("after", "")) or number(request.GET.get("before", "")) or 0
    page = page_of_labels(counts, words=request.GET.get("q", ""), after=after)
    asked = request.GET.get("from", "")
    form = LabelForm(request.POST or None, initial={"from_label": asked if asked in counts else ""})
    status = 200
    if request.method == "POST":
        if form.is_valid():
            try:
                labels.start_rename(
                    actor=request.user,
                    dataset=dataset,
                    from_label=form.cleaned_data["from_label"],
                    to_label=form.cleaned_data["to_label"],
                )
                return htmx.redirect(request, "datasets:labels", dataset.pk)
            except (BadInput, Conflict) as error:
                form.refuse(error)
        status = 422
    changes = list(dataset.label_changes.select_related("by", "job")[:50])
    why = labels.why_they_stand(dataset.pk, changes)
    for change in changes:
        change.stands_because = "" if change.undone_at or not change.finished_at else why[change.pk]
    chosen = form["from_label"].value() or ""
    known = dataset.use_case.task.label_names
    context = {
        "dataset": dataset,
        "lineage": presenting.lineage(dataset),
        "form": form,
        "page": page,
        # Offered while writing; any other label may be written all the same.
        "offered": list(counts)[:MOST_OFFERED],
        "chosen": (chosen, counts[chosen]) if chosen in counts else None,
        "unknown": sorted(set(counts) - set(known)) if known else [],
        "changes": changes,
        "jobs": list(Job.objects.about(dataset).open()[:3]),
        "can_change": policies.can_change(dataset),
    }
    return htmx.render_page(request, "datasets/label_list.html", None, context, status=status)


@require_POST
def label_undo(request: HttpRequest, change: LabelChange) -> HttpResponse:
    """Give the rows of one change their old label back."""
    labels.undo_rename(actor=request.user, change=change)
    return htmx.redirect(request, "datasets:labels", change.dataset_id)


# --- the team's gate ---------------------------------------------------------------------------------------------


def gate(request: HttpRequest, team: Team) -> HttpResponse:
    """Which rules stop a freeze in this team."""
    trouble = ""
    if request.method == "POST":
        chosen = {key: request.POST[key] for key in GATE_RULES if key in request.POST}
        try:
            services.set_gate(actor=request.user, team=team, chosen=chosen)
            htmx.toast(request, "Saved. It holds for every freeze from now on.")
            return htmx.redirect(request, "datasets:gate", team.slug)
        except BadInput as error:
            trouble = str(error)
    stances = gating.gate_of(team)
    whole = {rule.key for rule in WHOLE}
    rows = [(rule, stances[key], rule.start) for key, rule in GATE_RULES.items()]
    context = {
        "whole": [row for row in rows if row[0].key in whole],
        "rules": sorted(
            (row for row in rows if row[0].key not in whole), key=lambda row: list(Stance).index(row[1])
        ),
        "gate": DatasetGate.objects.of(team).select_related("changed_by").first(),
        "trouble": trouble,
    }
    return htmx.render_page(request, "datasets/gate.html", None, context, status=400 if trouble else 200)
