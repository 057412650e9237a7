"""What the parts share: a fresh portal in this process, a dataset of any size in it, peak memory."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import django

T = TypeVar("T")
# How often a process that waits for others looks.
POLL_S = 0.02


def fresh_portal() -> None:
    """Django set up and migrated in the folder the environment names; no doorbell, nobody listens."""
    django.setup()
    from django.conf import settings
    from django.core.management import call_command
    from django.urls import get_resolver

    from foundation.database import garbage

    settings.JOBS_DOORBELL = False
    call_command("migrate", verbosity=0, interactive=False)
    # A worker has read its modules long before it hears of a job: half a second that is no part of a figure.
    get_resolver()._populate()
    garbage.settle()


def people() -> tuple[object, object]:
    """(team, its admin)."""
    from foundation.teams.models import Team
    from foundation.teams.services import create_first_admin

    admin = create_first_admin(email="bench@example.org", password="a long enough phrase", team_name="Bench")  # noqa: S106 - a portal of one minute
    return Team.objects.get(), admin


def imported(
    path: Path, *, name: str = "Bench", task_kind: str = "classify", by_workers: bool = False
) -> tuple[object, float]:
    """(dataset, seconds from start to the rows being visible) of one file whose columns can be guessed.

    `by_workers`: others do it, this process waits.
    """
    from datasets.models import Dataset
    from datasets.services import imports
    from decisions.services import create_use_case
    from foundation.files import store
    from foundation.jobs.services import work_on
    from foundation.teams.models import Team, User

    team, admin = Team.objects.get(), User.objects.order_by("pk")[0]
    use_case = create_use_case(actor=admin, team=team, name=name, task_kind=task_kind)
    dataset = imports.create_dataset(actor=admin, team=team, use_case=use_case, name=name)
    with open(path, "rb") as stream:
        blob = store.put(team=team, stream=stream, name=path.name, kind="upload", actor=admin)
    import_ = imports.stage_upload(actor=admin, dataset=dataset, blob=blob, name=path.name)
    job = imports.start_import(actor=admin, import_=import_, skip_bad_rows=True)

    def until_visible() -> None:
        # Only the import: the checks it starts by itself are another figure.
        end = time.monotonic() + 3000
        while time.monotonic() < end:
            if by_workers:
                time.sleep(POLL_S)
            else:
                work_on(job.pk, turn_s=5)
            import_.refresh_from_db()
            if import_.state not in ("draft", "running"):
                return

    _, seconds = timed(until_visible)
    if by_workers:
        awaited(job)  # what follows an import is started once it is shown
    if import_.state != "done":
        raise SystemExit(f"the import failed: {import_.error}")
    return Dataset.objects.get(pk=dataset.pk), seconds


def worked(job: object) -> None:
    """Carry one job on to its end in this process."""
    from foundation.jobs.models import Job
    from foundation.jobs.services import work_on

    while True:
        now = Job.objects.get(pk=job.pk)  # type: ignore[attr-defined]
        if now.is_finished and now.settled_at is not None:
            if now.state != "succeeded":
                raise SystemExit(f"{now.title}: {now.error or now.state}")
            return
        work_on(now.pk, turn_s=30)


def awaited(job: object) -> None:
    """Wait until workers in other processes have brought a job to its end."""
    from foundation.jobs.models import Job

    while True:
        now = Job.objects.get(pk=job.pk)  # type: ignore[attr-defined]
        if now.is_finished and now.settled_at is not None:
            if now.state != "succeeded":
                raise SystemExit(f"{now.title}: {now.error or now.state}")
            return
        time.sleep(POLL_S)


def cpu_s() -> float:
    """CPU seconds of this process so far: what a busy machine cannot inflate much."""
    return time.process_time()


def timed(what: Callable[[], T]) -> tuple[T, float]:
    """(answer, seconds)."""
    started = time.perf_counter()
    answer = what()
    return answer, time.perf_counter() - started


def peak_mb() -> float:
    """Largest resident size of this process so far, in megabytes of a million bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
