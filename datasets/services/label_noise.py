"""Looking for labels that seem wrong: the rows go to a child process, its suspects become a finding."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from django.conf import settings
from django.urls import reverse

from datasets.active import active_rows
from datasets.checking import Found
from datasets.domain.label_noise import LEAST_TEXTS_A_LABEL, PLAIN
from datasets.errors import NothingToDo
from datasets.looking import Row
from datasets.models import CheckRun, Dataset
from datasets.policies import check_can_change
from datasets.services import lasting
from datasets.services.reports import put_in_shown
from foundation.jobs.models import Job
from foundation.jobs.services import start_job
from foundation.teams import audit
from foundation.teams.models import User

KIND = "datasets.label_noise"
# Beyond this the classifier would need minutes and gigabytes; what is left out is said.
MOST_ROWS = 100_000
NOTHING_TO_TELL = (
    f"Fewer than two labels have {LEAST_TEXTS_A_LABEL} different texts, so none can be told from another. "
    "Add rows that say something new."
)
LONGEST_TEXT = 4_000


def start_label_noise(*, actor: User | None, dataset: Dataset) -> Job:
    """The job that judges every label by the other rows. One job for one state of the rows.

    Raises: NothingToDo when the rows were not checked as they are now, or the task has no labels.
    """
    check_can_change(dataset)
    dataset = Dataset.objects.select_related("team", "use_case", "checks").get(pk=dataset.pk)
    if dataset.use_case.task_kind != "classify":
        raise NothingToDo("Only rows with labels can have wrong ones; this task has none.")
    if not dataset.checks_are_current:
        raise NothingToDo("The rows changed since they were checked. Check them first.")
    if len(dataset.label_counts) < 2:
        raise NothingToDo("There are fewer than two labels, so none can be told from another.")
    return start_job(
        actor=actor,
        team=dataset.team,
        kind=KIND,
        title=f"Look for wrong labels in {dataset.name}",
        recipe={"dataset": dataset.pk, "run": dataset.checks_id, "seed": f"noise-{dataset.pk}"},
        subject=dataset,
        url=reverse("datasets:report", args=[dataset.pk]),
        dedupe_key=f"label_noise:{dataset.checks_id}",
    )


def folder_of(job: Job) -> Path:
    """Where the child reads and writes. Private, and removed when the job ends."""
    return Path(settings.VAR_DIR) / "label-noise" / str(job.pk)


def write_rows(*, job: Job) -> Path:
    """The rows the child may see, as [[id, content], label, text]. Writing them again gives the same file."""
    folder = folder_of(job)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    dataset = Dataset.objects.get(pk=job.recipe["dataset"])
    n = 0
    with (folder / "rows.jsonl").open("w", encoding="utf-8") as out:
        for block in active_rows(dataset):
            for row in block:
                if row.label and n < MOST_ROWS:
                    out.write(
                        json.dumps([[row.id, row.content_id], row.label, row.prompt[:LONGEST_TEXT]]) + "\n"
                    )
                    n += 1
    (folder / "seed").write_text(job.recipe["seed"], "utf-8")
    return folder


def read_suspects(folder: Path) -> tuple[list[Row], frozenset[int]]:
    """Suspects as rows of a finding, least sure of their own label first; and the examples whose label is plainly doubted."""
    rows, plain = [], set()
    with (folder / "suspects.jsonl").open(encoding="utf-8") as lines:
        for line in lines:
            (key, content), given, suggested, p_given, p_suggested = json.loads(line)
            note = f"“{given[:60]}” {p_given:.0%}, “{suggested[:60]}” {p_suggested:.0%}"
            rows.append(Row(key, note=note, suggestion=suggested, content_id=content))
            if round(p_given, 2) <= PLAIN:  # as people read it
                plain.add(key)
    return rows, frozenset(plain)


def keep_suspects(*, job: Job, rows: list[Row], plain: frozenset[int], facts: dict[str, Any]) -> int:
    """Put the finding into the report that is shown; rows that left or changed meanwhile are left out. Safe to repeat."""
    asked = CheckRun.objects.select_related("dataset").filter(pk=job.recipe["run"]).first()
    if asked is None:
        return 0
    same = lasting.still_as_judged(asked.dataset, {row.example_id: row.content_id or 0 for row in rows})
    rows = [row for row in rows if row.example_id in same]
    found = lasting.suspected(rows, sum(row.example_id in plain for row in rows), facts)

    def put(run: CheckRun) -> Found:
        noise = {**found.facts, "run": run.pk, "revision": asked.revision}
        CheckRun.objects.filter(pk=run.pk).update(stats={**run.stats, lasting.NOISE: noise})
        return found

    put_in_shown(asked.dataset_id, put)
    audit.record(actor=job.created_by, team=job.team, verb="labels.judged", target=asked.dataset)
    return len(rows)


def forget(job: Job) -> None:
    """Remove the child's folder."""
    shutil.rmtree(folder_of(job), ignore_errors=True)
