"""Fixes of many rows as jobs: progress, cancel leaves the old rows, a kill goes on to the new ones."""

from __future__ import annotations

import pytest
from django.db import connection
from django.urls import reverse

from datasets import bulk, services
from datasets.models import Example, Finding, Fix
from datasets.services import checks, fixing, undoing
from datasets.tests.conftest import jsonl, tickets
from foundation.jobs.models import Job, Shard
from foundation.jobs.running import Run
from foundation.jobs.services import run_until_idle, work_on
from foundation.teams.errors import BadInput

pytestmark = pytest.mark.django_db


@pytest.fixture
def copies(dataset, bring_in, monkeypatch):
    """Thirty rows that each stand twice; fixes of more than ten rows are jobs of slices of eight."""
    bring_in(dataset, jsonl([*tickets(30), *tickets(30)]))
    monkeypatch.setattr(fixing, "ROWS_AT_ONCE", 10)
    chunks = checks.bulk.chunks
    monkeypatch.setattr(checks.bulk, "chunks", lambda rows, size=800: chunks(rows, min(size, 8)))
    for bound in ("least", "most"):
        monkeypatch.setattr(checks.bulk.Pace, bound, 8)
    return Finding.objects.get(run=dataset.checks, rule="exact_duplicate")


def n_dropped() -> int:
    return Example.objects.filter(state="dropped").count()


def test_many_rows_are_a_job_and_few_are_done_at_once(copies, editor):
    job = services.press_fix(actor=editor, finding=copies)
    assert isinstance(job, Job)
    assert n_dropped() == 0
    # a second press is the same job
    assert services.press_fix(actor=editor, finding=copies).pk == job.pk
    assert run_until_idle(60)
    fix = Fix.objects.get()
    assert (n_dropped(), fix.n_rows) == (30, 30)
    undo = services.press_undo(actor=editor, fix=fix)
    assert isinstance(undo, Job)
    assert run_until_idle(60)
    assert n_dropped() == 0
    # and once more, as a job of its own
    assert services.press_fix(actor=editor, finding=copies).pk != job.pk
    assert run_until_idle(60)
    assert n_dropped() == 30


def test_slices_of_a_fix_and_of_its_undo_stay_small(copies, editor, monkeypatch):
    """Its rows lie far apart: 370 of them were measured to hold SQLite's lock for 57 ms."""
    if connection.vendor == "postgresql":
        pytest.skip("PostgreSQL has no lock that a slice could hold")
    monkeypatch.setattr(bulk, "MOST_FAR_APART", 4)
    monkeypatch.setattr(bulk.Pace, "least", 4)
    for press in (checks.apply_fix, undoing.undo_fix):
        done: list[int] = []
        what = {"finding": copies} if press is checks.apply_fix else {"fix": Fix.objects.get()}
        press(actor=editor, beat=done.append, **what)
        assert done == list(range(0, 30, 4))


def test_a_small_fix_is_done_when_the_page_comes_back(copies, editor, monkeypatch):
    monkeypatch.setattr(fixing, "ROWS_AT_ONCE", 100)
    fix = services.press_fix(actor=editor, finding=copies)
    assert isinstance(fix, Fix)
    assert n_dropped() == 30


def test_an_unknown_action_is_refused_before_any_job(copies, editor):
    with pytest.raises(BadInput):
        services.press_fix(actor=editor, finding=copies, action="explode")
    assert not Job.objects.filter(kind="datasets.fix").exists()


class Killed(BaseException):
    """What a SIGKILL is to the code it stops."""


def test_a_killed_fix_is_finished_by_the_next_worker(copies, editor, monkeypatch, dataset):
    job = services.press_fix(actor=editor, finding=copies)
    calls = []

    def dies(*args):
        calls.append(args)
        if len(calls) == 3:
            raise Killed
        return moved(*args)

    moved = checks.move_counts
    monkeypatch.setattr(checks, "move_counts", dies)
    with pytest.raises(Killed):
        work_on(job.pk, turn_s=5)
    # two slices of eight stand, the third left nothing
    assert n_dropped() == 16
    Shard.objects.filter(job=job).update(state="queued", lease_token="", attempts=0, due_at=None)
    assert run_until_idle(60)
    dataset.refresh_from_db()
    assert (n_dropped(), dataset.n_active, dataset.n_dropped) == (30, 30, 30)
    assert Fix.objects.get().n_rows == 30


def test_a_cancelled_fix_leaves_every_row_as_it_was(copies, editor, monkeypatch, dataset):
    job = services.press_fix(actor=editor, finding=copies)
    moved, reached = checks.move_counts, []

    def cancels(*args):
        moved(*args)
        reached.append(n_dropped())
        if len(reached) == 2:
            Job.objects.filter(pk=job.pk).update(state="cancelling")

    monkeypatch.setattr(checks, "move_counts", cancels)
    # the question whether to stop is asked of the database once a second; here at every slice
    monkeypatch.setattr(Run, "cancelled", property(lambda run: len(reached) >= 2))
    assert run_until_idle(60)
    job.refresh_from_db()
    dataset.refresh_from_db()
    # two slices of eight were out when it was cancelled, then they came back
    assert reached[:2] == [8, 16]
    assert (job.state, n_dropped(), dataset.n_active, dataset.n_dropped) == ("cancelled", 0, 60, 0)
    assert not Fix.objects.filter(undone_at=None).exists()


def test_the_page_shows_how_far_a_fix_is(copies, editor, client_for):
    client = client_for(editor)
    page = reverse("datasets:finding-detail", args=[copies.pk])
    answer = client.post(reverse("datasets:finding-fix", args=[copies.pk]), {"action": "drop_extra"})
    assert answer.status_code == 302
    job = Job.objects.get(kind="datasets.fix")
    body = client.get(page).content.decode()
    assert f'id="job-{job.pk}"' in body
    assert "Keep one of each" not in body[body.index("<h1") : body.index(f'id="job-{job.pk}"')]
    assert run_until_idle(60)
    assert "Mended." in client.get(page).content.decode()
