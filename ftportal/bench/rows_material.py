"""A dataset of a million rows with everything its pages may show: report, index, versions, review, judging, labels."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ftportal.bench import dirty, ground, material

N_LABELS = 5000
N_FOUND = 300_000
N_JUDGED = 500


@dataclass(frozen=True, slots=True)
class Rows:
    """What was made, as rows of the models."""

    dataset: Any
    crowded: Any  # another dataset, of many labels
    finding: Any
    large: Any  # a finding of very many rows
    review: Any
    doubled: Any  # a review whose rows two people read apart
    run: Any
    older: Any
    version: Any


def kept(folder: str) -> bool:
    """Whether a portal kept from an earlier measuring was copied here: BENCH_ROWS_KEPT names the folder of its VAR_DIR."""
    place = os.environ.get("BENCH_ROWS_KEPT", "")
    if not place or not Path(place).is_dir():
        return False
    if "DATABASE_URL" not in os.environ:
        shutil.rmtree(Path(folder) / "var", ignore_errors=True)
        shutil.copytree(place, Path(folder) / "var")
    return True


def keep(folder: str) -> None:
    """Keep this portal for the next measuring, where BENCH_ROWS_KEPT names a folder."""
    if place := os.environ.get("BENCH_ROWS_KEPT", ""):
        shutil.copytree(Path(folder) / "var", place, dirs_exist_ok=True)


def dataset_of(folder: str, n_rows: int) -> Any:
    """The large dataset: imported, indexed, checked, frozen. Minutes for a million rows."""
    from datasets.models import Dataset
    from datasets.services import start_freeze
    from foundation.jobs.models import Job
    from foundation.teams.models import User

    path = Path(folder) / "rows.jsonl"
    dirty.write_dirty(path, n_rows)
    dataset, _ = ground.imported(path, task_kind="answer")
    for kind in ("datasets.checks", "datasets.index"):  # indexing waits for the checks
        before = ground.cpu_s()
        ground.worked(Job.objects.get(kind=kind))
        print(f"  {kind}: CPU {ground.cpu_s() - before:.0f} s, peak {ground.peak_mb():.0f} MB", flush=True)
    dataset = Dataset.objects.get(pk=dataset.pk)  # type: ignore[attr-defined]
    version = start_freeze(
        actor=User.objects.get(), dataset=dataset, seed="bench", override_reason="measured, not used"
    )
    ground.worked(version.job)
    print(f"  frozen: peak {ground.peak_mb():.0f} MB", flush=True)
    path.unlink()
    return dataset


def furnish(folder: str) -> Rows:
    """Everything around the large dataset; what stands from an earlier measuring is taken as it is."""
    from datasets.models import Dataset, Finding, QualityRun, Review
    from datasets.services import plan_review
    from foundation.llm.models import Connection
    from foundation.llm.services import create_connection
    from foundation.teams.models import User

    admin = User.objects.order_by("pk")[0]
    if not Connection.objects.exists():  # so that quotes are worked out; nothing is ever asked of it
        team = admin.memberships.get().team
        create_connection(actor=admin, team=team, name="Nowhere", key="sk-ant-measured-and-never-sent")
    dataset = Dataset.objects.order_by("pk")[0]
    crowded = Dataset.objects.exclude(pk=dataset.pk).first() or _crowded(folder)
    versions = list(dataset.versions.frozen().order_by("number"))
    older, version = versions if len(versions) > 1 else (versions[0], _second_version(versions[0]))
    large = Finding.objects.filter(run=dataset.checks_id, rule="loose_duplicate").first()
    if large is None or large.n_rows < N_FOUND // 2:
        large = _large_finding(dataset)
    reviews = list(Review.objects.filter(dataset=dataset).order_by("pk"))
    if not reviews:
        second = User.objects.create_user(email="second@example.org", password="a long enough phrase")  # noqa: S106
        second.memberships.create(team=dataset.team, role=admin.memberships.get().role)
        doubled = plan_review(
            actor=admin, dataset=dataset, share=0.1, double_share=1.0, readers=[admin, second]
        )
        Review.objects.filter(pk=doubled.pk).update(
            n_accepted=doubled.n_total
        )  # so that another may be planned
        review = plan_review(actor=admin, dataset=dataset, share=0.1, most_needed=100)
        Review.objects.filter(pk=doubled.pk).update(n_accepted=0)
        reviews = [doubled, review]
    run = QualityRun.objects.filter(dataset=dataset).first() or _judging(dataset)
    finding = Finding.objects.get(run=dataset.checks_id, rule="near_duplicate")
    return Rows(
        dataset=dataset,
        crowded=crowded,
        finding=finding,
        large=large,
        review=reviews[1],
        doubled=reviews[0],
        run=run,
        older=older,
        version=version,
    )


def _second_version(first: Any) -> Any:
    """A later version of nearly the same rows, written in one statement, and the kept difference of the two."""
    from django.db import connection

    from datasets.models import DatasetVersion, VersionRow
    from datasets.services import versiondiffs
    from datasets.vault import keep_sealed_digests

    second = DatasetVersion.objects.get(pk=first.pk)
    second.pk, second.number, second.checksum = None, first.number + 1, "c" * 64
    second.save()
    table = VersionRow._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute(
            f"""INSERT INTO {table} (version_id, content_id, example_id, label, "group", at, split, position)
            SELECT %s, content_id, example_id, CASE WHEN id %% 97 = 0 THEN 'other' ELSE label END, "group", at,
            split, position FROM {table} WHERE version_id = %s AND id %% 101 <> 0""",  # noqa: S608
            [second.pk, first.pk],
        )
    keep_sealed_digests(second)
    row = versiondiffs.start_diff(actor=None, before=first, after=second)
    ground.worked(row.job)
    return second


def _large_finding(dataset: Any) -> Any:
    """A rule that found 300,000 rows, in pairs, as one that reads every text might."""
    from django.db import connection

    from datasets.models import Example, Finding, FindingRow

    Finding.objects.filter(run=dataset.checks_id, rule="loose_duplicate").delete()
    finding = Finding.objects.create(
        team=dataset.team, run=dataset.checks, dataset=dataset, rule="loose_duplicate", severity="warning",
        headline=f"{N_FOUND:,} rows are the same but for formatting", n_rows=N_FOUND, n_fixable=N_FOUND // 2,
    )  # fmt: skip
    table, examples = FindingRow._meta.db_table, Example._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute(
            f"""INSERT INTO {table} (finding_id, example_id, cluster, keep, note, suggestion)
            SELECT %s, id, 1 + id / 2, id %% 2 = 0, '', '' FROM {examples}
            WHERE dataset_id = %s AND state = 'active' ORDER BY id LIMIT %s""",  # noqa: S608
            [finding.pk, dataset.pk, N_FOUND],
        )
    return finding


def _judging(dataset: Any) -> Any:
    """500 judged rows, as a model would have left them: four in ten weak."""
    from django.utils import timezone

    from datasets.models import Example, Judgement, QualityRun
    from foundation.jobs.models import Job

    now = timezone.now()
    job = Job.objects.create(team=dataset.team, kind="datasets.quality", title="Judge", state="succeeded")
    run = QualityRun.objects.create(
        team=dataset.team, dataset=dataset, job=job, model="measured", prompt_version="1", seed="bench",
        n_sample=N_JUDGED, n_scored=N_JUDGED, average=0.75, low=0.73, high=0.77, finished_at=now,
    )  # fmt: skip
    rows = Example.objects.filter(dataset=dataset, state="active").order_by("-id")[:N_JUDGED]
    Judgement.objects.bulk_create(
        Judgement(
            job=job,
            run=run,
            example=row,
            content_id=row.content_id,
            position=i,
            state="done",
            overall=0.5 + (i % 10) / 20,
            scores={"clarity": 0.5},
            issues=["It could be clearer."],
            suspicious=i % 50 == 0,
        )
        for i, row in enumerate(rows)
    )
    return run


def _crowded(folder: str) -> Any:
    """A dataset of 20,000 rows under 5,000 labels."""
    import orjson

    from foundation.jobs.models import Job

    path = Path(folder) / "crowded.jsonl"
    material.write_jsonl(path, 20_000)
    lines = path.read_bytes().splitlines()
    with open(path, "wb") as out:
        for i, line in enumerate(lines):
            row = orjson.loads(line)
            out.write(orjson.dumps({**row, "label": f"intent {i * i % N_LABELS} of the shop"}) + b"\n")
    dataset, _ = ground.imported(path, name="Crowded")
    for kind in ("datasets.checks", "datasets.index"):  # indexing waits for the checks
        for job in Job.objects.open().filter(kind=kind):
            ground.worked(job)
    path.unlink()
    return dataset
