"""Pressing a fix: at once where few rows are touched, as a job with progress where many are."""

from __future__ import annotations

from django.urls import reverse

from datasets.domain.rules import RULES
from datasets.models import Dataset, Finding, Fix
from datasets.policies import check_can_change
from datasets.services.checks import apply_fix
from datasets.services.undoing import undo_fix
from foundation.jobs.models import Job
from foundation.jobs.services import start_job
from foundation.teams.errors import BadInput
from foundation.teams.models import User

# About a second of a request; more rows than this are a job.
ROWS_AT_ONCE = 5000
APPLY, UNDO = "apply", "undo"
KIND = "datasets.fix"


def press_fix(*, actor: User | None, finding: Finding, action: str = "") -> Fix | Job:
    """The fix that was done, or the job that does it. Two presses are one. Raises: BadInput for an unknown action."""
    if finding.n_fixable <= ROWS_AT_ONCE:
        return apply_fix(actor=actor, finding=finding, action=action)
    rule = RULES[finding.rule]
    chosen = rule.action(action) if action else (rule.actions[0] if rule.actions else None)
    if chosen is None:
        raise BadInput("This finding has no such fix.", field="action")
    check_can_change(finding.dataset)
    n_before = Fix.objects.filter(finding=finding).count()
    return _start(actor, finding, f"{rule.title}: {chosen.label}", f"fix:{finding.pk}:{chosen.key}:{n_before}",
                  {"do": APPLY, "finding": finding.pk, "action": chosen.key})  # fmt: skip


def press_undo(*, actor: User | None, fix: Fix) -> Fix | Job:
    """The fix taken back, or the job that takes it back."""
    if fix.n_rows <= ROWS_AT_ONCE or fix.finding is None:
        return undo_fix(actor=actor, fix=fix)
    check_can_change(fix.dataset)
    title = f"Undo: {RULES[fix.rule].title}"
    return _start(actor, fix.finding, title, f"undo:{fix.pk}", {"do": UNDO, "fix": fix.pk})


def fix_under_way(dataset: Dataset) -> bool:
    """Whether a job is mending rows of this dataset, or taking that back."""
    findings = Finding.objects.filter(dataset=dataset)
    open_ones = Job.objects.open().filter(
        kind=KIND, team=dataset.team_id, subject_type=Finding._meta.label_lower
    )
    return findings.filter(pk__in=list(open_ones.values_list("subject_id", flat=True))).exists()


def _start(actor: User | None, finding: Finding, title: str, key: str, recipe: dict[str, object]) -> Job:
    return start_job(
        actor=actor,
        team=finding.dataset.team,
        kind=KIND,
        title=title,
        recipe=recipe,
        subject=finding,
        url=reverse("datasets:finding-detail", args=[finding.pk]),
        dedupe_key=key,
    )
