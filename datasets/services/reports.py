"""Writing a report of checks and showing it whole, with what was said of its rows before and still holds."""

from __future__ import annotations

from collections.abc import Callable

from django.db import transaction
from django.utils import timezone

from datasets import bulk
from datasets.checking import Alike, Checker, Found
from datasets.domain.rules import RULES
from datasets.models import Bindings, CheckRun, Dataset, Finding, FindingRow
from datasets.services import lasting
from foundation.jobs.models import Job
from foundation.teams import audit

_FINDING_ROW = ("finding_id", "example_id", "cluster", "keep", "note", "suggestion", "judged_content")


def write_report(
    *,
    job: Job,
    dataset: Dataset,
    checker: Checker,
    alike: Callable[[], Alike | None],
    revision: int,
    beat: Callable[[], None],
) -> CheckRun | None:
    """Write a report and show it at once in the place of the last one. Safe to repeat.

    `alike` is asked once everything else is written; where it answers None nothing is shown, and None comes back.
    """
    for old in CheckRun.objects.filter(job=job, finished_at=None):
        remove_run(old)
    run = CheckRun.objects.create(
        team=dataset.team,
        dataset=dataset,
        job=job,
        revision=revision,
        n_rows=len(checker.ids),
        stats=checker.stats(),
    )
    for found in checker.findings():
        _write_finding(run, found, beat)
    clusters = alike()
    if clusters is None:
        return None
    for found in checker.near_duplicates(clusters):
        _write_finding(run, found, beat)
    if bindings := checker.bindings(clusters):
        Bindings.objects.create(run=run, data=bindings)
        Bindings.objects.filter(run__dataset=dataset).exclude(run=run).delete()
    while not _show(run, dataset, job, take_over(run, dataset, beat)):
        pass  # somebody judged rows meanwhile: that is taken over as well
    bulk.learn_sizes(FindingRow, Finding, n_rows=FindingRow.objects.filter(finding__run=run).count())
    run.refresh_from_db()
    return run


def take_over(run: CheckRun, dataset: Dataset, beat: Callable[[], None]) -> list[int]:
    """Write into a report what outlasts the one that is shown; the keys of the findings that it stands for there."""
    shown = _shown(dataset.pk)
    standing = _lasting_keys(shown)
    CheckRun.objects.filter(pk=run.pk).update(stats={**run.stats, **lasting.stats(shown)})
    for found in lasting.findings(dataset, shown):
        put_finding(run=run, found=found, beat=beat)
    return standing


def _shown(dataset_id: int) -> CheckRun | None:
    return CheckRun.objects.filter(pk=Dataset.objects.filter(pk=dataset_id).values("checks_id")[:1]).first()


def _lasting_keys(shown: CheckRun | None) -> list[int]:
    rows = (
        Finding.objects.filter(run=shown, rule__in=lasting.RULES_THAT_LAST)
        if shown
        else Finding.objects.none()
    )
    return list(rows.values_list("pk", flat=True))


def _show(run: CheckRun, dataset: Dataset, job: Job, standing: list[int]) -> bool:
    """Put a report in the place of the one that is shown; False where that one has other lasting findings by now."""
    with transaction.atomic():
        Dataset.objects.select_for_update().get(pk=dataset.pk)
        if _lasting_keys(_shown(dataset.pk)) != standing:
            return False
        CheckRun.objects.filter(pk=run.pk).update(finished_at=timezone.now())
        Dataset.objects.filter(pk=dataset.pk).update(checks=run)
        audit.record(actor=job.created_by, team=dataset.team, verb="dataset.checked", target=dataset)
    return True


def put_in_shown(dataset_id: int, found: Callable[[CheckRun], Found]) -> None:
    """Put a finding into the report that is shown, and into the one that takes its place just now."""
    while (run := _shown(dataset_id)) is not None:
        put_finding(run=run, found=found(run))
        with transaction.atomic():
            if Dataset.objects.select_for_update().get(pk=dataset_id).checks_id == run.pk:
                return


def _write_finding(run: CheckRun, found: Found, beat: Callable[[], None]) -> Finding:
    rule = RULES[found.rule]
    finding = Finding.objects.create(
        team_id=run.team_id,
        run=run,
        dataset_id=run.dataset_id,
        rule=found.rule,
        severity=rule.severity.value,
        headline=found.headline[:300],
        detail=rule.why,
        n_rows=len(found.rows),
        n_fixable=found.n_fixable,
        facts=found.facts,
    )
    rows = [
        (
            finding.pk,
            row.example_id,
            row.cluster,
            row.keep,
            row.note[:200],
            row.suggestion[:200],
            row.content_id,
        )
        for row in found.rows
    ]
    for part in bulk.chunks(rows):
        with transaction.atomic():
            bulk.insert(FindingRow, _FINDING_ROW, part)
        beat()
    return finding


def put_finding(*, run: CheckRun, found: Found, beat: Callable[[], None] = lambda: None) -> Finding | None:
    """Add a finding that came later (a judge's, a classifier's) to a report, in the place of an older one of its rule.

    None when it has no rows: then the older one goes and nothing comes. Safe to repeat.
    """
    for old in Finding.objects.filter(run=run, rule=found.rule):
        # Its fixes stay on the record, as those of every older report do.
        _clear_finding(old)
        old.delete()
    return _write_finding(run, found, beat) if found.rows else None


def remove_run(run: CheckRun) -> None:
    """Take away an unfinished report with its rows, in short transactions."""
    for finding in Finding.objects.filter(run=run):
        _clear_finding(finding)
    run.delete()


def _clear_finding(finding: Finding) -> None:
    """Remove the rows of a finding, in short transactions."""
    pace = bulk.Pace(most=bulk.MOST_WHERE_ROWS_DIFFER)
    rows = FindingRow.objects.filter(finding=finding).order_by("id")
    while keys := list(rows.values_list("id", flat=True)[: pace.n_rows]):
        with pace.transaction(len(keys)):
            FindingRow.objects.filter(pk__in=keys)._raw_delete("default")
