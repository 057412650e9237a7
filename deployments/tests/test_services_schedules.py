"""What the clock does for an endpoint is written with it and goes with it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from deployments.models import DriftCheck, PerformanceCheck
from deployments.services import archive_endpoint
from deployments.services.endpoints import schedules_of, watch_by_the_clock
from foundation.jobs import schedules
from foundation.jobs.models import Schedule
from foundation.jobs.services import run_until_idle

pytestmark = pytest.mark.django_db


def test_an_endpoint_is_watched_from_its_first_hour(endpoint, editor):
    found = {s.kind: s for s in schedules_of(endpoint)}
    assert {k: (s.interval_s, s.enabled) for k, s in found.items()} == {
        "deployments.check_drift": (3600, True),
        "deployments.check_performance": (86_400, True),
        "deployments.propose_retraining": (86_400, False),
    }
    # What an administrator changed stays when the endpoint asks again.
    schedules.change_schedule(actor=editor, schedule=found["deployments.check_drift"], interval_s=600)
    watch_by_the_clock(actor=editor, endpoint=endpoint)
    assert len(schedules_of(endpoint)) == 3
    assert Schedule.objects.get(kind="deployments.check_drift").interval_s == 600


def test_the_clock_starts_both_checks_of_this_endpoint_alone(endpoint, make_version, editor, use_case):
    from deployments.services import create_endpoint

    create_endpoint(actor=editor, use_case=use_case, slug="other", version=make_version("B"))
    Schedule.objects.exclude(recipe__endpoint=endpoint.slug).update(enabled=False)
    schedules.start_due(now=timezone.now() + timedelta(days=1, seconds=5))
    run_until_idle(max_seconds=30)
    assert set(PerformanceCheck.objects.values_list("endpoint__slug", flat=True)) == {endpoint.slug}
    # Its version learnt from no rows: the look at drift says so in its job and writes nothing.
    assert not DriftCheck.objects.exists()


def test_an_archived_endpoint_is_not_looked_at(endpoint, editor):
    archive_endpoint(actor=editor, endpoint=endpoint)
    assert not schedules_of(endpoint)


def test_the_page_of_checks_names_them_and_an_admin_edits_them(endpoint, client_for, admin_user, viewer):
    page = reverse("deployments:watch", args=[endpoint.pk])
    drift = Schedule.objects.get(kind="deployments.check_drift")
    edit = reverse("jobs:schedule-edit", args=[drift.pk])
    seen = client_for(admin_user).get(page).content.decode()
    assert "Look for drift at triage" in seen and edit in seen and "switched off" in seen
    assert edit not in client_for(viewer).get(page).content.decode()
    changed = client_for(admin_user).post(
        edit, {"name": "Drift", "every": "5", "unit": "60", "recipe": '{"endpoint": "triage"}', "enabled": "on"}
    )  # fmt: skip
    assert changed.status_code == 302
    drift.refresh_from_db()
    assert drift.interval_s == 300
