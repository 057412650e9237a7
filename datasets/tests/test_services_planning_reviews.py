"""Reviews of many rows are planned by a job: one for two presses, whole or not at all, the same queue as at once."""

from __future__ import annotations

import contextlib
import sqlite3

import pytest
from django.db import connection
from django.urls import reverse

from datasets import bulk, services
from datasets.models import Dataset, Review, ReviewItem
from datasets.services import queueing
from datasets.tests.conftest import jsonl, tickets
from foundation.jobs.models import Job, Shard
from foundation.jobs.running import Run
from foundation.jobs.services import cancel_job, run_until_idle, work_on
from foundation.teams.errors import BadInput

pytestmark = pytest.mark.django_db


@pytest.fixture
def filled(dataset, bring_in):
    bring_in(dataset, jsonl(tickets(60)))
    dataset.refresh_from_db()
    return dataset


@pytest.fixture
def many(filled, monkeypatch):
    """Sixty rows that count as many."""
    monkeypatch.setattr(queueing, "ROWS_AT_ONCE", 50)
    return filled


def queue_of(review):
    return list(
        review.items.order_by("position").values_list(
            "example_id", "position", "need", "in_sample", "is_double"
        )
    )


def test_few_rows_are_planned_when_the_page_comes_back_and_many_by_a_job(filled, editor, monkeypatch):
    at_once = services.press_review(actor=editor, dataset=filled, share=0.2, most_needed=5)
    assert isinstance(at_once, Review)
    wanted = queue_of(at_once)
    services.accept_all(actor=editor, review=at_once, reviewer="demo")
    monkeypatch.setattr(queueing, "ROWS_AT_ONCE", 50)
    job = services.press_review(actor=editor, dataset=filled, share=0.2, most_needed=5)
    assert isinstance(job, Job)
    assert Review.objects.count() == 1  # no row was read yet
    assert run_until_idle(60)
    planned = Review.objects.first()
    assert planned.pk != at_once.pk
    # A fifth of 60 rows, three labels of 20 each; the same rows and seed, so the same queue.
    assert (planned.n_total, planned.n_sample) == (12, 12)
    assert queue_of(planned) == wanted
    assert planned.created_by == editor


def test_two_presses_are_one_job_and_a_finished_queue_may_be_followed_by_another(many, editor):
    job = services.press_review(actor=editor, dataset=many)
    assert services.press_review(actor=editor, dataset=many).pk == job.pk
    assert run_until_idle(60)
    review = Review.objects.get()
    assert services.press_review(actor=editor, dataset=many) == review  # people work on it
    services.accept_all(actor=editor, review=review, reviewer="demo")
    assert services.press_review(actor=editor, dataset=many).pk != job.pk
    assert run_until_idle(60)
    assert Review.objects.count() == 2


def test_what_makes_no_sense_is_refused_before_any_job(many, editor, viewer):
    for given, field in (
        ({"share": 0.0}, "share"),
        ({"double_share": 2.0}, "double_share"),
        ({"double_share": 0.5}, "double_share"),  # one editor only
        ({"most_needed": -1}, "most_needed"),
        ({"most_needed": 10_001}, "most_needed"),
        ({"readers": [viewer]}, "readers"),
    ):
        with pytest.raises(BadInput) as refused:
            services.press_review(actor=editor, dataset=many, **given)
        assert refused.value.field == field, given
    assert not Job.objects.filter(kind=queueing.KIND).exists()


class Killed(BaseException):
    """What a SIGKILL is to the code it stops."""


def test_a_killed_planning_leaves_no_queue_and_the_next_worker_makes_a_whole_one(many, editor, monkeypatch):
    job = services.press_review(actor=editor, dataset=many, share=1.0)
    monkeypatch.setattr(queueing, "ITEMS_A_BEAT", 25)
    insert, calls = bulk.insert_in_chunks, []

    def dies(*args):
        calls.append(args)
        if len(calls) == 2:
            raise Killed
        return insert(*args)

    monkeypatch.setattr(bulk, "insert_in_chunks", dies)
    with pytest.raises(Killed):
        work_on(job.pk, turn_s=5)
    half = Review.objects.get()
    assert (half.n_total, half.items.count()) == (0, 25)  # written, and nobody sees it
    Shard.objects.filter(job=job).update(state="queued", lease_token="", attempts=0, due_at=None)
    assert run_until_idle(60)
    whole = Review.objects.get()
    assert (whole.n_total, whole.items.count(), ReviewItem.objects.count()) == (60, 60, 60)


@pytest.fixture
def on_a_file(transactional_db, tmp_path):
    """The database of the tests as a file: only there does SQLite refuse a write after an older read."""
    if connection.vendor != "sqlite":
        pytest.skip("SQLite alone has one writer")
    connection.ensure_connection()
    in_memory = connection.connection
    path = tmp_path / "portal.sqlite3"
    connection.connection = connection.get_new_connection(
        {**connection.get_connection_params(), "database": str(path)}
    )
    connection.connection.isolation_level = None  # as Django sets it: it begins transactions itself
    in_memory.backup(connection.connection)
    connection.connection.execute("PRAGMA journal_mode=WAL")
    yield path
    connection.connection.close()
    connection.connection = in_memory


@pytest.mark.django_db(transaction=True)
def test_progress_is_written_between_blocks_while_others_write(on_a_file, filled, editor, monkeypatch):
    monkeypatch.setattr(queueing, "ROWS_A_BEAT", 25)
    steps = []

    def beat(step):
        with contextlib.closing(sqlite3.connect(on_a_file, isolation_level=None)) as other:
            other.execute("UPDATE datasets_dataset SET description = 'by another process'")
        Dataset.objects.filter(pk=filled.pk).update(description=step)
        steps.append(step)

    review = services.plan_review(actor=editor, dataset=filled, share=1.0, beat=beat)
    assert steps.count("Reading rows") == 3  # 60 rows by 25
    assert review.n_total == 60


def test_a_review_that_is_being_planned_hides_no_finished_one(filled, editor, client_for, monkeypatch):
    done = services.plan_review(actor=editor, dataset=filled, share=1.0)
    services.accept_all(actor=editor, review=done, reviewer="Ada")
    assert "review" not in {b["rule"] for b in services.blockers(filled)}
    Review.objects.create(team=filled.team, dataset=filled, seed="half", n_sample=60)
    assert "review" not in {b["rule"] for b in services.blockers(filled)}
    version = services.start_freeze(actor=editor, dataset=filled, override_reason="small on purpose")
    assert run_until_idle(60)
    version.refresh_from_db()
    assert version.report["review"]["n_total"] == 60
    page = client_for(editor).get(reverse("datasets:dataset-detail", args=[filled.pk])).content.decode()
    assert reverse("datasets:review-detail", args=[done.pk]) in page


def test_a_cancelled_planning_leaves_nothing(many, editor, monkeypatch):
    job = services.press_review(actor=editor, dataset=many, share=1.0)
    monkeypatch.setattr(queueing, "ITEMS_A_BEAT", 25)
    insert, written = bulk.insert_in_chunks, []

    def cancels(*args):
        insert(*args)
        written.append(ReviewItem.objects.count())
        cancel_job(actor=editor, job=Job.objects.get(pk=job.pk))

    monkeypatch.setattr(bulk, "insert_in_chunks", cancels)
    # The question whether to stop is asked of the database once a second; here after the first part.
    monkeypatch.setattr(Run, "cancelled", property(lambda run: bool(written)))
    assert run_until_idle(60)
    job.refresh_from_db()
    assert (job.state, written) == ("cancelled", [25])
    assert (Review.objects.count(), ReviewItem.objects.count()) == (0, 0)


def test_the_press_goes_to_the_dataset_which_shows_the_job(many, editor, client_for):
    client = client_for(editor)
    page = reverse("datasets:dataset-detail", args=[many.pk])
    answer = client.post(reverse("datasets:review-create", args=[many.pk]))
    assert (answer.status_code, answer["Location"]) == (302, page)
    job = Job.objects.get(kind=queueing.KIND)
    assert f'id="job-{job.pk}"' in client.get(page).content.decode()
    assert run_until_idle(60)
    assert "Go on reviewing" in client.get(page).content.decode()
    form = reverse("datasets:review-create", args=[many.pk])
    given = {"share": "0.1", "most_needed": "5", "double_share": "1"}
    assert client.post(form, given)["Location"] == reverse(
        "datasets:review-detail", args=[Review.objects.get().pk]
    )
