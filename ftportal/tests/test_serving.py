"""The stage that serves: what an endpoint made by a trial may spend."""

from __future__ import annotations

import pytest

from deployments.models import Endpoint
from deployments.tests.conftest import make_candidate, make_version, use_case  # noqa: F401 - fixtures
from ftportal.course import Course
from ftportal.shipping import serve


@pytest.mark.django_db
@pytest.mark.parametrize("cap", [2_000_000, None], ids=["with a cap", "without"])
def test_an_endpoint_of_a_trial_spends_no_more_a_day_than_the_cap(cap, use_case, make_version, team, editor):
    recipe = {"cap_microusd": cap} if cap else {}
    facts = {"use_case": use_case.pk, "model_version": make_version().pk, "verdict": "better"}
    serve(Course(actor=editor, team=team, recipe=recipe, facts=facts))
    assert Endpoint.objects.get().daily_budget_microusd == cap
