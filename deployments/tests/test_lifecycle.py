from __future__ import annotations

import pytest
from django.utils import timezone

from decisions.services import create_use_case
from deployments.domain.canary import Action
from deployments.lifecycle import ship_states, watch_states
from deployments.models import DriftCheck, PerformanceCheck
from deployments.services import create_endpoint, move_rollout, set_split, start_rollout

pytestmark = pytest.mark.django_db


def ship(use_case):
    return ship_states([use_case])[use_case.pk]


def watch(use_case):
    return watch_states([use_case])[use_case.pk]


def test_shipping_is_told_from_nothing_to_serving(use_case, make_version, editor, approver):
    assert ship(use_case).state == "later" and watch(use_case).state == "later"
    one = make_version("A")
    assert ship(use_case).state == "next" and ship(use_case).action == "Serve it"
    endpoint = create_endpoint(actor=editor, use_case=use_case, slug="triage", version=one)
    assert ship(use_case).state == "done" and "v1 answers at triage" in ship(use_case).headline
    two = make_version("B")
    assert ship(use_case).state == "next" and f"candidate={two.pk}" in ship(use_case).url
    rollout = start_rollout(actor=approver, endpoint=endpoint, candidate=two)
    assert ship(use_case).state == "now" and "v2 at 5" in ship(use_case).headline
    move_rollout(actor=editor, rollout=rollout, action=Action.PAUSE, reason="odd answers")
    assert ship(use_case).state == "warn" and "odd answers" in ship(use_case).headline
    move_rollout(actor=approver, rollout=rollout, action=Action.PROMOTE)
    assert "v2 answers" in ship(use_case).headline


def test_watching_is_told_from_the_newest_checks(use_case, endpoint, make_version):
    assert watch(use_case).state == "next"
    common = {
        "team": endpoint.team, "endpoint": endpoint, "version": endpoint.baseline, "until": timezone.now()
    }  # fmt: skip
    DriftCheck.objects.create(**common, state="steady", finding="As before.")
    assert watch(use_case).state == "done"
    DriftCheck.objects.create(**common, state="drifted", finding="Language moved.")
    assert watch(use_case).state == "warn" and "Language moved" in watch(use_case).headline
    PerformanceCheck.objects.create(**common, state="degraded", finding="Less.")
    assert "Fewer answers" in watch(use_case).headline
    endpoint.baseline = make_version("B")
    endpoint.save()
    assert watch(use_case).state == "now"


def test_many_use_cases_ask_no_more(team, editor, use_case, endpoint, django_assert_max_num_queries):
    many = [use_case, *(create_use_case(actor=editor, team=team, name=f"u{i}") for i in range(20))]
    with django_assert_max_num_queries(3):
        ship_states(many)
    with django_assert_max_num_queries(6):
        watch_states(many)


def test_a_look_at_the_version_before_is_named_and_not_taken_for_one_at_this(use_case, make_version, editor):
    one, two = make_version("A"), make_version("B")
    endpoint = create_endpoint(actor=editor, use_case=use_case, slug="triage", version=one)
    DriftCheck.objects.create(
        team=use_case.team,
        endpoint=endpoint,
        version=one,
        until=timezone.now(),
        state="drifted",
        finding="F.",
    )
    assert watch(use_case).state == "warn"
    set_split(actor=editor, endpoint=endpoint, baseline=two, candidate=None, share=0, reason="r")
    assert watch(use_case).state == "now" and "the last look was at v1" in watch(use_case).headline
