from __future__ import annotations

import pytest
from django.urls import reverse
from django.utils import timezone

from deployments.models import Alias, Endpoint, Rollout
from deployments.services import register_version, set_alias, start_rollout
from deployments.tests.test_views_endpoints import fill
from foundation.teams.testing import assert_route_guarded

pytestmark = pytest.mark.django_db
STEPS = "5 %, 1 h, 300 requests\n50 %, 1 h, 300 requests"


@pytest.fixture
def candidate(make_version):
    return make_version("<b>Better</b>")


@pytest.fixture
def rollout(endpoint, candidate, approver):
    return start_rollout(actor=approver, endpoint=endpoint, candidate=candidate)


def test_every_address_answers_each_person_as_declared(
    client, rollout, endpoint, team, outsider, viewer, editor, approver, admin_user
):
    people = {
        "outsider": outsider, "viewer": viewer, "editor": editor, "approver": approver, "admin": admin_user
    }  # fmt: skip
    for name, args in (
        ("version-list", [team.slug]),
        ("version-detail", [rollout.candidate_id]),
        ("rollout-list", [team.slug]),
        ("rollout-create", [endpoint.pk]),
        ("rollout-detail", [rollout.pk]),
    ):
        assert_route_guarded(client, reverse(f"deployments:{name}", args=args), **people)
    for name, pk in (
        ("rollout-move", rollout.pk),
        ("version-promote", rollout.candidate_id),
        ("version-register", endpoint.use_case_id),
        ("use-case-rollback", endpoint.use_case_id),
    ):
        assert_route_guarded(
            client,
            reverse(f"deployments:{name}", args=[pk]),
            outsider=outsider,
            viewer=viewer,
            methods=("POST",),
        )


def test_a_rollout_is_planned_looked_ahead_and_begun_once(client_for, approver, endpoint, candidate):
    client = client_for(approver)
    url = reverse("deployments:rollout-create", args=[endpoint.pk])
    fill(endpoint, 48)
    page = client.get(url).content.decode()
    assert (
        "48 requests in the last 24 hours" in page and "of 300 requests in its time" in page and "906" in page
    )
    data = {
        "candidate": candidate.pk,
        "schedule": "canary",
        "steps": STEPS,
        "quality_margin": "5",
        "quality_min_n": "100",
        "latency_margin": "",
        "errors_margin": "2",
        "must_be_better": "on",
        "promotes": "on",
    }
    ahead = client.post(url, {**data, "preview": "1"})
    assert ahead.status_code == 200 and not Rollout.objects.exists()
    wrong = client.post(url, {**data, "steps": "150 %, 1 h, 1"})
    assert wrong.status_code == 422 and "A step&#x27;s share" in wrong.content.decode().replace(
        "Step 1: a", "A"
    )
    for _ in range(2):
        assert client.post(url, data).status_code == 302
    rollout = Rollout.objects.get()
    assert [g.measure.value for g in rollout.guardrails] == ["quality", "errors"] and len(rollout.steps) == 2
    assert Endpoint.objects.get().share_buckets == 500


def test_an_editor_takes_back_and_an_approver_goes_on(client_for, editor, approver, viewer, rollout):
    """U38: one press and one confirmation."""
    url = reverse("deployments:rollout-move", args=[rollout.pk])
    assert client_for(editor).post(url, {"action": "promote"}).status_code == 403
    assert client_for(editor).post(url, {"action": "moon"}).status_code in (400, 422)
    client_for(editor).post(url, {"action": "pause"})
    assert client_for(editor).post(url, {"action": "resume"}).status_code == 403
    client_for(approver).post(url, {"action": "resume"})
    rollout.refresh_from_db()
    assert rollout.state == "running"
    page = client_for(editor).get(reverse("deployments:rollout-detail", args=[rollout.pk])).content.decode()
    assert "Roll back" in page and 'value="promote"' not in page and "&lt;b&gt;Better" in page
    page = client_for(viewer).get(reverse("deployments:rollout-detail", args=[rollout.pk])).content.decode()
    assert "Roll back" not in page
    client_for(editor).post(url, {"action": "roll back"})
    rollout.refresh_from_db()
    assert rollout.state == "rolled back" and Endpoint.objects.get().share_buckets == 0


def test_the_page_shows_ladder_split_and_guardrails(
    client_for, viewer, rollout, django_assert_max_num_queries
):
    rollout.measured = {
        "n_baseline": 900, "n_candidate": 100, "n_left_out": 7, "routed_baseline": 903, "routed_candidate": 104,
        "readings": [
            {"measure": "quality", "phase": "passed", "reason": "not worse", "margin": 0.05, "n_baseline": 900,
             "n_candidate": 100, "baseline": 0.8, "candidate": 0.82, "difference": 0.02, "low": -0.03, "high": 0.07},
            {"measure": "latency", "phase": "too few", "reason": "3 of 50", "margin": 0.1, "n_baseline": 3,
             "n_candidate": 0, "baseline": 100.0, "candidate": None, "difference": None, "low": None, "high": None},
        ],
    }  # fmt: skip
    rollout.measured_at = timezone.now()
    rollout.save()
    client = client_for(viewer)
    url = reverse("deployments:rollout-detail", args=[rollout.pk])
    client.get(url)
    with django_assert_max_num_queries(15):
        text = client.get(url).content.decode()
    assert "10.3" in text and "104 of 1,007" in text and "n = 900" in text and "too few" in text
    live = client.get(url + "?seen=running-0", headers={"HX-Request": "true"})
    assert (
        live.content.decode().lstrip().startswith("<section") or "rollout-live" in live.content.decode()[:400]
    )
    moved = client.get(url + "?seen=running-1", headers={"HX-Request": "true"})
    assert moved.headers.get("HX-Refresh") == "true"


def test_versions_are_registered_edited_and_brought_back(
    client_for, editor, approver, use_case, make_candidate, endpoint, candidate
):
    """S67, S68 in the browser."""
    client = client_for(editor)
    made = make_candidate("Third")
    client.post(reverse("deployments:version-register", args=[use_case.pk]), {"candidate": made.pk})
    version = made.model_versions.get()
    page = reverse("deployments:version-detail", args=[version.pk])
    client.post(page, {"notes": "good one", "tags": "b, a"})
    text = client.get(page).content.decode()
    assert "good one" in text and "a, b" in text and "Plan a rollout" not in text
    assert client.post(reverse("deployments:version-promote", args=[version.pk])).status_code == 403
    set_alias(actor=approver, version=endpoint.baseline)
    chief = client_for(approver)
    chief.post(reverse("deployments:version-promote", args=[version.pk]))
    assert Alias.objects.get(name="production").version == version
    chief.post(reverse("deployments:use-case-rollback", args=[use_case.pk]))
    assert Alias.objects.get(name="production").version == endpoint.baseline


def test_another_use_cases_candidate_cannot_be_registered(client_for, editor, use_case, make_candidate, team):
    from decisions.services import create_use_case

    other = create_use_case(actor=editor, team=team, name="Other")
    url = reverse("deployments:version-register", args=[use_case.pk])
    answer = client_for(editor).post(url, {"candidate": make_candidate(of=other).pk})
    assert answer.status_code >= 400 and not other.model_versions.exists()


@pytest.mark.parametrize("n", [1, 30])
def test_the_lists_ask_no_more_for_many(
    client_for, viewer, team, make_candidate, use_case, n, django_assert_max_num_queries
):
    for number in range(n):
        register_version(actor=None, use_case=use_case, candidate=make_candidate(f"c{number}"))
    client = client_for(viewer)
    for name in ("version-list", "rollout-list"):
        url = reverse(f"deployments:{name}", args=[team.slug])
        client.get(url)
        with django_assert_max_num_queries(10):
            assert client.get(url).status_code == 200
