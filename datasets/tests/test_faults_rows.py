"""A worker killed in the middle of writing rows leaves the old state, and whoever comes next brings about the new one.

The kill is a real one: a process of its own gets SIGKILL inside an open transaction, after others were committed.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest
from django.conf import settings as project
from django.db import connection

from datasets import searching, services
from datasets.jobs import KINDS
from datasets.models import Dataset, DatasetVersion, Example, Finding, Fix, Import, VersionRow
from datasets.services import fixing, imports, undoing
from datasets.tests.conftest import jsonl, tickets
from decisions.services import create_use_case
from foundation.files import store
from foundation.jobs.claiming import sweep
from foundation.jobs.kinds import register_kinds
from foundation.jobs.models import Job
from foundation.jobs.services import work_on
from foundation.jobs.tests.machinery import own_database, until
from foundation.teams.domain.roles import Role
from foundation.teams.models import Membership, Team, User

pytestmark = [pytest.mark.faults]

N_ROWS = 500
# Works on one job and dies inside its third transaction of rows: two slices of 100 stand, the third is lost.
DOOMED = """
import os, signal, sys
from contextlib import contextmanager
import django
django.setup()
from datasets import bulk
from foundation.jobs.services import work_on
bulk.Pace.most = bulk.Pace.least = 100
whole, seen = bulk.Pace.transaction, []

@contextmanager
def dying(pace, n_rows):
    with whole(pace, n_rows):
        yield
        seen.append(n_rows)
        if len(seen) == 3:
            os.kill(os.getpid(), signal.SIGKILL)

bulk.Pace.transaction = dying
for _ in range(50):
    work_on(int(sys.argv[1]), turn_s=5)
"""
# Works on one check and dies where its second word says: while it compares rows, or once one finding is written.
DOOMED_CHECK = """
import os, signal, sys
import django
django.setup()
from datasets.checking import Comparer
from datasets.services import reports
from foundation.jobs.claiming import sweep
from foundation.jobs.services import work_on
place, name = {"comparing": (Comparer, "alike"), "reporting": (reports, "_write_finding")}[sys.argv[2]]
whole = getattr(place, name)

def dying(*given, **named):
    whole(*given, **named)
    os.kill(os.getpid(), signal.SIGKILL)

setattr(place, name, dying)
while True:
    sweep()
    work_on(int(sys.argv[1]), turn_s=5)
"""


@pytest.fixture
def portal(django_db_blocker, tmp_path, settings, monkeypatch):
    """A database and a folder that other processes can reach; their environment."""
    settings.FILES_DIR = tmp_path / "files"
    settings.JOBS_DOORBELL = False
    register_kinds(KINDS)
    monkeypatch.setattr(searching, "_KNOWN", [])  # what was known of another database
    with django_db_blocker.unblock(), own_database(tmp_path) as environment:
        if not searching.exists():  # tables were made from the models, which know no index
            searching.make_anew()
        yield {
            **os.environ,
            "VAR_DIR": str(tmp_path),
            "DJANGO_SETTINGS_MODULE": "ftportal.settings",
            "TESTING": "yes",
            "JOBS_LEASE_S": "3",
            **environment,
        }


def killed(job: Job, environment: dict[str, str], code: str = DOOMED, *where: str) -> None:
    """Let a process work on the job until it dies."""
    connection.close()
    words = [sys.executable, "-c", code, str(job.pk), *where]
    child = subprocess.run(
        words, cwd=project.BASE_DIR, env=environment, capture_output=True, check=False, timeout=120
    )
    assert child.returncode == -signal.SIGKILL, child.stderr.decode()[-2000:]
    assert not Job.objects.get(pk=job.pk).is_finished


def finished(job: Job) -> None:
    """Take the job over once the lease of the dead has run out, and carry it to its end."""

    def over() -> bool:
        sweep()
        work_on(job.pk, turn_s=5)
        return Job.objects.filter(pk=job.pk, settled_at__isnull=False).exists()

    until(over, 60, "the end of a job")
    assert Job.objects.get(pk=job.pk).state == "succeeded", Job.objects.get(pk=job.pk).error


def n_indexed() -> int:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM {searching.TABLE}")
        return int(cursor.fetchone()[0])


def test_a_worker_killed_while_importing_checking_indexing_fixing_and_freezing_leaves_nothing_half(
    portal, monkeypatch
):
    team = Team.objects.create(slug="faults", name="Faults")
    user = User.objects.create_user("rows@example.org", "correct horse battery")
    Membership.objects.create(team=team, user=user, role=Role.EDITOR)
    use_case = create_use_case(actor=user, team=team, name="Tickets", task_kind="classify")
    dataset = services.create_dataset(actor=user, team=team, use_case=use_case, name="Tickets")
    rows = tickets(N_ROWS)
    rows += rows[:350]  # copies, to be dropped
    blob = store.put(team=team, stream=jsonl(rows).encode(), name="rows.jsonl", kind="import", actor=user)
    staged = services.stage_upload(actor=user, dataset=dataset, blob=blob)

    job = services.start_import(actor=user, import_=staged)
    killed(job, portal)
    assert Example.objects.filter(source=staged).count() == 200
    assert not Example.objects.filter(dataset=dataset).shown().exists()
    assert Dataset.objects.get(pk=dataset.pk).n_active == 0
    finished(job)
    assert Example.objects.filter(dataset=dataset).active().count() == len(rows)
    lines = Example.objects.filter(dataset=dataset).order_by("line").values_list("line", flat=True)
    assert list(lines) == list(range(1, len(rows) + 1))

    job = Job.objects.get(kind="datasets.checks")
    for where, n_findings in (("comparing", 0), ("reporting", 1)):
        killed(job, portal, DOOMED_CHECK, where)
        assert Finding.objects.filter(dataset=dataset).count() == n_findings
        assert Dataset.objects.get(pk=dataset.pk).checks is None
    finished(job)  # rows are made searchable after it
    runs = set(Finding.objects.filter(dataset=dataset).values_list("run", flat=True))
    assert runs == {Dataset.objects.get(pk=dataset.pk).checks_id}
    if searching.exists():
        job = Job.objects.get(kind=imports.INDEX_KIND)
        killed(job, portal)
        reached = Import.objects.get(pk=staged.pk).indexed_upto
        assert n_indexed() == Example.objects.filter(source=staged, pk__lte=reached).count() == 200
        finished(job)
        assert n_indexed() == len(rows)

    dataset.refresh_from_db()
    finding = Finding.objects.get(run_id=dataset.checks_id, rule="exact_duplicate")
    monkeypatch.setattr(fixing, "ROWS_AT_ONCE", 0)
    job = fixing.press_fix(actor=user, finding=finding)
    killed(job, portal)
    # What a killed fix has dropped it also has on its list, and the counts agree.
    dropped = Example.objects.filter(dataset=dataset, state="dropped").count()
    fix = Fix.objects.get(finding=finding)
    assert dropped == fix.rows.count() == Dataset.objects.get(pk=dataset.pk).n_dropped == 200
    finished(job)
    assert Dataset.objects.get(pk=dataset.pk).n_active == N_ROWS
    undoing.undo_fix(actor=user, fix=fix)
    assert Example.objects.filter(dataset=dataset).active().count() == len(rows)

    reason = "a test of kills"
    whole = services.start_freeze(actor=user, dataset=dataset, seed="s", override_reason=reason)
    finished(whole.job)
    version = services.start_freeze(actor=user, dataset=dataset, seed="s", override_reason=reason)
    killed(version.job, portal)
    assert VersionRow.objects.filter(version=version).count() == 200
    assert not DatasetVersion.objects.frozen().filter(pk=version.pk).exists()
    finished(version.job)
    whole.refresh_from_db()
    version.refresh_from_db()
    assert (version.state, version.checksum, version.n_rows) == ("frozen", whole.checksum, N_ROWS)
    told = [
        list(v.rows.order_by("split", "position").values_list("split", "position", "content_id", "label"))
        for v in (whole, version)
    ]
    assert told[0] == told[1]
