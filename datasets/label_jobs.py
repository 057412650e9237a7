"""Long work on labels: looking for wrong ones in a child process, renaming them row by row."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

from datasets.models import LabelChange
from datasets.services import label_noise, labels
from foundation.jobs.kinds import Kind, Outcome, SubprocessKind, why_it_ended
from foundation.jobs.models import Job
from foundation.teams.errors import PortalError


class LabelNoise(SubprocessKind):
    """Judges every label by a classifier that never saw its row, in one supervised child."""

    name = label_noise.KIND
    title = "Wrong labels"
    cancelling = "Nothing of it is kept; no label was changed."

    def command(self, job: Job, item: Any) -> list[str]:
        """Write the rows the child may see, and name its folder."""
        return ["datasets.noise_child", str(label_noise.write_rows(job=job))]

    def environment(self, job: Job, item: Any) -> dict[str, str]:
        """One core: two jobs beside each other are faster than two that fight for threads."""
        return {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}

    def collect(
        self, job: Job, item: Any, data: dict[str, Any], returncode: int, stderr_tail: str
    ) -> Outcome:
        """Put what the child found into the report."""
        if returncode < 0:
            raise RuntimeError(why_it_ended(returncode, stderr_tail))  # worth another attempt
        if returncode:
            return Outcome.failure(item, why_it_ended(returncode, stderr_tail))
        if not data.get("facts", {}).get("n_judged"):
            return Outcome.failure(item, label_noise.NOTHING_TO_TELL)
        rows, plain = label_noise.read_suspects(label_noise.folder_of(job))
        n = label_noise.keep_suspects(job=job, rows=rows, plain=plain, facts=data.get("facts", {}))
        return Outcome(item, result={"suspects": n, **data.get("facts", {})})

    def finish(self, job: Job) -> dict[str, Any] | None:
        """The folder goes."""
        label_noise.forget(job)
        return None

    def abandoned(self, job: Job) -> None:
        """The folder goes."""
        label_noise.forget(job)


class Relabel(Kind):
    """Renames a label, or takes that back, in short transactions."""

    name = labels.KIND
    title = "Labels"
    cancelling = "Rows that have the new label keep it; that can be undone."
    parallel = 1

    def run(self, job: Job, items: Sequence[Any], work: Any) -> Iterator[Outcome]:
        """One item; interrupted anywhere it goes on where it stopped."""
        change = (
            LabelChange.objects.select_related("fix", "by", "dataset").filter(pk=job.recipe["change"]).first()
        )
        act = labels.rename_rows if job.recipe["what"] == "rename" else labels.give_back
        for item in items:
            if change is None:
                raise PortalError("This change of labels is gone.")

            def beat(done: int, total: int) -> None:
                work.progress(done, max(total, 1), "Changing labels")
                if work.cancelled:
                    raise _Stopped

            with contextlib.suppress(_Stopped):
                yield Outcome(item, result={"rows": act(change=change, beat=beat)})

    def finish(self, job: Job) -> dict[str, Any] | None:
        """How many rows it touched; of an undo also how many it left, because a person changed them since."""
        change = LabelChange.objects.select_related("fix").filter(pk=job.recipe["change"]).first()
        if change is None:
            return None
        if job.recipe["what"] == "rename":
            return {"rows": change.n_rows}
        n_kept = change.fix.edits.filter(undone_at=None).count()
        return {"rows": change.n_rows - n_kept, "kept": n_kept}

    def abandoned(self, job: Job) -> None:
        """What was done stands and can be undone."""
        change = LabelChange.objects.select_related("fix").filter(pk=job.recipe["change"]).first()
        if change is not None and job.recipe["what"] == "rename":
            labels.close(change=change)


class _Stopped(Exception):
    """Somebody cancelled or paused: the item is left for another time."""


KINDS: list[type[Kind]] = [LabelNoise, Relabel]
