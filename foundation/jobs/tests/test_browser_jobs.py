"""Pages of long work in a real browser: they fit, they are accessible, they poll without taking the focus away."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone
from playwright.sync_api import expect

from foundation.jobs import presence, schedules, services
from foundation.jobs.models import Job
from foundation.jobs.tests.kinds import Squares
from foundation.ui.testing import assert_good_page, shoot

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def running(start):
    """A job in the middle, as a worker's flush leaves it."""
    job = start(n=40, title="Evaluate “Claude, 6 examples” on 240 rows")
    now = timezone.now()
    Job.objects.filter(pk=job.pk).update(
        state="running",
        plan_cursor=None,
        total=240,
        done=57,
        failed=2,
        spent_microusd=412_000,
        cap_microusd=2_000_000,
        step="asking the judge",
        started_at=now - timedelta(seconds=30),
        pace_from_at=now - timedelta(seconds=30),
        pace_at=now,
    )
    job.refresh_from_db()
    return job


def test_the_list_and_the_page_of_a_job(page_as, editor, team, start, finish, running, monkeypatch):
    monkeypatch.setattr(presence, "_process_began", -1000.0)
    Job.objects.filter(pk=running.pk).update(state="paused")
    finish(start(n=12, fail=[3, 5], title="Score 12 rows"))
    failed = finish(start("test.all_squares", n=60, fail=[59], title="Import tickets.csv"))
    Job.objects.filter(pk=running.pk).update(state="running")
    page = page_as(editor)
    page.goto(reverse("jobs:job-list", args=[team.slug]))
    page.get_by_text("No worker and no clock has been seen").wait_for()
    assert_good_page(page)
    shoot(page, "jobs-list")
    page.goto(services.page_of(failed))
    page.get_by_text("59 is unlucky").first.wait_for()
    assert_good_page(page)
    shoot(page, "jobs-failed")


def test_polling_leaves_the_focus_alone_tells_the_figures_and_ends_by_itself(page_as, editor, running):
    page = page_as(editor)
    page.goto(services.page_of(running))
    assert_good_page(page)
    shoot(page, "jobs-running")
    page.get_by_role("button", name="Cancel").first.focus()
    Job.objects.filter(pk=running.pk).update(done=120, pace_at=timezone.now())
    page.get_by_text("122 of 240").first.wait_for()
    assert page.evaluate("document.activeElement.textContent").strip() == "Cancel"
    page.get_by_text("$0.41").first.wait_for()
    Job.objects.filter(pk=running.pk).update(
        state="succeeded", done=238, finished_at=timezone.now(), settled_at=timezone.now()
    )
    page.get_by_text("Done", exact=True).first.wait_for()
    expect(page.locator("[hx-trigger*=load]")).to_have_count(0)
    # Leaving and returning finds the same.
    page.reload()
    page.get_by_text("238 done, 2 failed").first.wait_for()
    assert_good_page(page)


def test_a_cancel_is_asked_once_more_and_then_said(page_as, editor, running):
    page = page_as(editor)
    page.goto(services.page_of(running))
    page.get_by_role("button", name="Cancel").first.click()
    page.get_by_role("button", name="Cancel it").click()
    page.get_by_text("Cancelled. What was done is kept.").first.wait_for()
    running.refresh_from_db()
    assert running.state == "cancelled"


def test_schedules_in_a_browser(page_as, admin_user, team, monkeypatch):
    monkeypatch.setattr(Squares, "schedulable", True)
    schedule = schedules.create_schedule(
        actor=admin_user,
        team=team,
        name="Weekly check",
        kind="test.squares",
        crontab="30 6 * * 1",
        recipe={"n": 3},
    )
    page = page_as(admin_user)
    for name, args in (
        ("schedule-list", [team.slug]),
        ("schedule-new", [team.slug]),
        ("schedule-edit", [schedule.pk]),
    ):
        page.goto(reverse(f"jobs:{name}", args=args))
        assert_good_page(page)
        shoot(page, f"jobs-{name}")
