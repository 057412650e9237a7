"""Checks at size: stretches looked at by several workers, joined by one; killed, repeated, cancelled."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest
from django.utils import timezone

from datasets import active, jobs, looking, services
from datasets.checking import Alike
from datasets.models import CheckPart, CheckRun, Example, FindingRow
from datasets.services import checks
from datasets.tests.conftest import jsonl, tickets
from foundation.jobs.models import Job, Shard
from foundation.jobs.services import cancel_job, run_until_idle, work_on

pytestmark = pytest.mark.django_db


@pytest.fixture
def small_stretches(monkeypatch):
    monkeypatch.setattr(checks, "BLOCK", 10)


def report_of(dataset):
    dataset.refresh_from_db()
    rows = FindingRow.objects.filter(finding__run=dataset.checks).order_by("finding__rule", "example_id")
    first = Example.objects.filter(dataset=dataset).order_by("id").values_list("id", flat=True)[0]
    return dataset.checks.stats, [
        (rule, example - first, cluster, keep, note)
        for rule, example, cluster, keep, note in rows.values_list(
            "finding__rule", "example_id", "cluster", "keep", "note"
        )
    ]


def dirty_rows() -> list[dict]:
    """Copies that stand far apart, so that they fall into different stretches."""
    rows = tickets(33)
    return [
        *rows,
        rows[0],
        {"text": rows[1]["text"].upper(), "label": rows[1]["label"]},
        {"text": f"{rows[2]['text']} please", "label": rows[2]["label"]},
        {"text": "hi", "label": "new"},
        {"text": rows[3]["text"], "label": "other"},
    ]


def test_a_report_is_the_same_however_the_rows_are_cut(dataset, bring_in, editor, monkeypatch):
    bring_in(dataset, jsonl(dirty_rows()))
    whole = report_of(dataset)
    for size in (1, 7, 10):
        monkeypatch.setattr(checks, "BLOCK", size)
        job = services.start_checks(actor=editor, dataset=dataset)
        assert run_until_idle(60)
        job.refresh_from_db()
        assert job.state == "succeeded"
        # 38 rows: ceil(38 / size) stretches, the one that compares and the one that reports
        assert job.total == -(-38 // size) + 2
        assert report_of(dataset) == whole
    assert {"exact_duplicate", "loose_duplicate", "near_duplicate", "conflict", "too_short"} <= {
        row[0] for row in whole[1]
    }
    assert not CheckPart.objects.exists()


def test_the_parts_wait_for_each_other(dataset, bring_in, editor, small_stretches):
    bring_in(dataset, jsonl(tickets(25)))
    old = dataset.checks_id
    job = services.start_checks(actor=editor, dataset=dataset)
    while job.state in ("planning", "queued"):
        work_on(job.pk, turn_s=0)
        job.refresh_from_db()
    # Somebody else holds a stretch: the comparing may not begin without it.
    missing = Shard.objects.filter(job=job, state="queued").order_by("position").first()
    Shard.objects.filter(pk=missing.pk).update(state="running", lease_token="another", attempts=1)
    work_on(job.pk, turn_s=5)
    dataset.refresh_from_db()
    assert dataset.checks_id == old
    Shard.objects.filter(pk=missing.pk).update(state="queued", lease_token="")
    assert run_until_idle(60)
    dataset.refresh_from_db()
    assert dataset.checks_id != old
    assert dataset.checks.n_rows == 25


@pytest.fixture
def compared_elsewhere(dataset, bring_in, editor, small_stretches):
    """(job, the item that compares, what it found) of a check whose comparison another worker has in hand."""
    bring_in(dataset, jsonl(dirty_rows()))
    job = services.start_checks(actor=editor, dataset=dataset)
    comparing = Shard.objects.filter(job=job, key="compare")
    while not comparing.exists() or Shard.objects.filter(job=job, state="queued").count() > 2:
        work_on(job.pk, turn_s=0)
    item = comparing.get()
    comparing.update(
        state="running", attempts=1, lease_token="another", lease_until=timezone.now() + timedelta(minutes=1)
    )
    found = checks.find_alike(
        job=job, dataset=dataset, n_parts=item.payload["n_parts"], progress=lambda *_: None
    )
    return job, item, found


def test_the_report_takes_in_what_another_worker_compares_meanwhile(dataset, compared_elsewhere, monkeypatch):
    whole, old = report_of(dataset), dataset.checks_id
    job, item, found = compared_elsewhere
    waited: list[float] = []

    def the_other_ends(seconds):
        waited.append(seconds)
        # Everything but the near-duplicates stands already, and nothing of it is shown.
        run = CheckRun.objects.get(job=job)
        assert "exact_duplicate" in set(run.findings.values_list("rule", flat=True))
        assert run.finished_at is None and report_of(dataset)[1] == whole[1]
        CheckPart.objects.create(job=job, position=item.position, data=found.as_bytes())
        Shard.objects.filter(pk=item.pk).update(state="done", lease_token="", lease_until=None)

    monkeypatch.setattr(jobs.time, "sleep", the_other_ends)
    work_on(job.pk, turn_s=0)
    assert waited == [jobs.LOOK_AGAIN_S]
    monkeypatch.undo()
    assert run_until_idle(60)
    assert report_of(dataset) == whole and dataset.checks_id != old


def test_a_report_whose_comparison_died_elsewhere_is_given_back_and_drawn_anew(
    dataset, compared_elsewhere, monkeypatch
):
    whole, old = report_of(dataset), dataset.checks_id
    job, item, _ = compared_elsewhere
    lost = {"state": "queued", "lease_token": "", "lease_until": None}
    monkeypatch.setattr(jobs.time, "sleep", lambda _: Shard.objects.filter(pk=item.pk).update(**lost))
    work_on(job.pk, turn_s=0)
    dataset.refresh_from_db()
    assert dataset.checks_id == old
    assert Shard.objects.get(job=job, key="report").state == "queued"
    monkeypatch.undo()
    assert run_until_idle(60)
    assert report_of(dataset) == whole and dataset.checks_id != old
    assert not CheckRun.objects.filter(job=job, finished_at=None).exists()


def test_a_check_planned_by_an_older_release_ends_with_a_sentence(dataset, bring_in, editor, small_stretches):
    bring_in(dataset, jsonl(tickets(25)))
    old = dataset.checks_id
    job = services.start_checks(actor=editor, dataset=dataset)
    while not Shard.objects.filter(job=job, key="report").exists():
        work_on(job.pk, turn_s=0)
    Shard.objects.filter(job=job, key="compare").update(payload={"join": True})
    assert run_until_idle(60)
    job.refresh_from_db()
    dataset.refresh_from_db()
    assert (job.state, dataset.checks_id) == ("failed", old)
    assert job.error == "The portal was renewed while this check ran. Check again."


def test_a_cancelled_check_leaves_the_old_report_and_no_parts(dataset, bring_in, editor, small_stretches):
    bring_in(dataset, jsonl(tickets(25)))
    old = dataset.checks_id
    job = services.start_checks(actor=editor, dataset=dataset)
    for _ in range(3):
        work_on(job.pk, turn_s=0)
    assert CheckPart.objects.filter(job=job).exists()
    cancel_job(actor=editor, job=job)
    assert run_until_idle(60)
    dataset.refresh_from_db()
    assert (dataset.checks_id, CheckRun.objects.count(), CheckPart.objects.count()) == (old, 1, 0)


def test_rows_that_change_under_a_check_make_its_report_out_of_date(
    dataset, bring_in, editor, small_stretches
):
    bring_in(dataset, jsonl(tickets(25)))
    job = services.start_checks(actor=editor, dataset=dataset)
    while not CheckPart.objects.filter(job=job).exists():
        work_on(job.pk, turn_s=0)
    services.set_state(actor=editor, example=Example.objects.order_by("-id").first(), active=False)
    assert run_until_idle(60)
    dataset.refresh_from_db()
    assert Job.objects.get(pk=job.pk).state == "succeeded"
    assert not dataset.checks_are_current


def test_a_part_survives_its_way_between_workers(dataset, bring_in):
    bring_in(dataset, jsonl(dirty_rows()))
    block = next(active.active_rows(dataset))
    part = looking.look(block, task_kind="classify", labels=frozenset())
    again = looking.Part.from_bytes(part.as_bytes())
    assert again.as_bytes() == part.as_bytes()
    assert again.flagged == part.flagged


def test_rows_looked_at_in_small_slices_show_the_same(dataset, bring_in, monkeypatch):
    bring_in(dataset, jsonl(dirty_rows()))
    block = next(active.active_rows(dataset))
    whole = looking.look(block, task_kind="answer", labels=frozenset())
    monkeypatch.setattr(looking, "CHARS_AT_ONCE", 200)
    assert looking.look(block, task_kind="answer", labels=frozenset()).as_bytes() == whole.as_bytes()


@pytest.mark.parametrize("is_whole", [True, False])
def test_clusters_survive_their_way_between_workers(is_whole):
    roots = np.array([0, 1, 0, 3, 1, 5])
    again = Alike.from_bytes(Alike(roots, is_whole).as_bytes())
    assert again.roots.tolist() == roots.tolist() and again.is_whole is is_whole
