"""Fixes of many rows as a kind of job."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from datasets.models import Finding, Fix
from datasets.services import checks, fixing, undoing
from foundation.jobs.kinds import Kind, Outcome, Work
from foundation.jobs.models import Job


class _Stopped(Exception):
    """Somebody cancelled or paused between two slices."""


class FixRows(Kind):
    """Mends or takes back what was mended on many rows, some at a time. Cancelled, a fix is taken back whole."""

    name = "datasets.fix"
    title = "Fix"
    cancelling = "Every row goes back to how it was before."
    parallel = 1

    def run(self, job: Job, items: Sequence[Any], work: Work) -> Iterator[Outcome]:
        """One item; begun again after a kill it goes on where it was, because what is done is recognised."""
        recipe = job.recipe
        finding = Finding.objects.get(pk=job.subject_id or 0)
        total = max(2, finding.n_fixable)

        def beat(done: int) -> None:
            work.progress(min(done, total - 1), total, "Changing rows")
            if work.cancelled:
                raise _Stopped

        for item in items:
            try:
                if recipe["do"] == fixing.APPLY:
                    fix = checks.apply_fix(
                        actor=job.created_by, finding=finding, action=recipe["action"], beat=beat
                    )
                else:
                    fix = undoing.undo_fix(
                        actor=job.created_by, fix=Fix.objects.get(pk=recipe["fix"]), beat=beat
                    )
            except _Stopped:
                return
            yield Outcome(item, result={"fix": fix.pk, "rows": fix.n_rows})

    def abandoned(self, job: Job) -> None:
        """A fix that was not finished leaves every row as it was."""
        if job.recipe["do"] != fixing.APPLY:
            return
        fixes = Fix.objects.filter(
            finding_id=job.subject_id or 0, action=job.recipe["action"], undone_at=None
        )
        for fix in fixes:
            undoing.undo_fix(actor=job.created_by, fix=fix)
