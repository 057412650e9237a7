"""The pages of shipping and watching in a real browser: light and dark, 360 px, one primary button, no CSP fault."""

from __future__ import annotations

import pytest
from django.urls import reverse
from django.utils import timezone

from deployments.services import set_alias, start_rollout, watching
from deployments.services.retraining import propose_retraining
from deployments.tests.test_services_watching import NOW, evaluated, reference, requests  # noqa: F401
from foundation.ui.testing import assert_good_page, shoot

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def rollout(endpoint, make_version, approver):
    set_alias(actor=approver, version=endpoint.baseline)
    made = start_rollout(actor=approver, endpoint=endpoint, candidate=make_version("Better"))
    made.measured = {
        "n_baseline": 900, "n_candidate": 100, "n_left_out": 7, "routed_baseline": 903, "routed_candidate": 104,
        "readings": [
            {"measure": "quality", "phase": "passed", "reason": "not worse than the margin: +2.0 points (-3.0 to +7.0)",
             "margin": 0.05, "n_baseline": 900, "n_candidate": 100, "baseline": 0.8, "candidate": 0.82,
             "difference": 0.02, "low": -0.03, "high": 0.07},
            {"measure": "latency", "phase": "too few", "reason": "3 of 50 requests in the smaller arm", "margin": 0.1,
             "n_baseline": 3, "n_candidate": 0, "baseline": 100.0, "candidate": None, "difference": None,
             "low": None, "high": None},
        ],
    }  # fmt: skip
    made.measured_at = timezone.now()
    made.save()
    return made


def test_the_rollout_page_is_whole_and_taking_back_is_in_sight(page_as, rollout, approver):
    """U38: abort within one press and a confirmation, visible at 360 px."""
    page = page_as(approver)
    page.goto(reverse("deployments:rollout-detail", args=[rollout.pk]))
    assert_good_page(page)
    page.set_viewport_size({"width": 360, "height": 800})
    box = page.get_by_role("button", name="Roll back").first.bounding_box()
    assert box is not None and box["y"] + box["height"] < 800 and box["x"] + box["width"] <= 360
    shoot(page, "rollout")


def test_the_pages_of_watching_are_whole(page_as, endpoint, reference, approver, team):
    evaluated(endpoint, 0.9, 1000)
    requests(endpoint, 200, right=0.7, language="fr", high=900)
    for _ in range(2):
        check = watching.keep_drift(watching.look_for_drift(endpoint, now=NOW))
        watching.keep_performance(watching.look_at_performance(endpoint, now=NOW))
    made = propose_retraining(actor=None, endpoint=endpoint, reason="Requests have changed.", trigger="drift")
    for name, args in (
        ("watch", [endpoint.pk]),
        ("drift-detail", [check.pk]),
        ("retraining-detail", [made.pk]),
        ("version-detail", [endpoint.baseline_id]),
    ):
        page = page_as(approver)
        page.goto(reverse(f"deployments:{name}", args=args))
        assert_good_page(page)
        shoot(page, name)


def test_planning_a_rollout_is_whole(page_as, endpoint, make_version, approver):
    make_version("Better")
    page = page_as(approver)
    page.goto(reverse("deployments:rollout-create", args=[endpoint.pk]))
    assert_good_page(page)
    shoot(page, "rollout-create")
