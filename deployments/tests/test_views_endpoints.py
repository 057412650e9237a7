from __future__ import annotations

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from deployments.gateway.protocol import uuid7
from deployments.models import Endpoint, GatewayBeat, GatewayToken, Prediction
from deployments.services import issue_gateway_token, set_split
from foundation.teams.testing import assert_route_guarded

pytestmark = pytest.mark.django_db


def fill(endpoint, n, **changes):
    now = timezone.now()
    Prediction.objects.bulk_create(
        Prediction(
            **{
                "id": uuid7(),
                "team_id": endpoint.team_id,
                "endpoint": endpoint,
                "version_id": endpoint.baseline_id,
                "arm": "baseline",
                "at": now - timedelta(seconds=i),
                "status": 200,
                "latency_ms": 100 + i % 100,
                "cost_microusd": 10,
                **changes,
            }
        )
        for i in range(n)
    )


def test_every_address_answers_each_person_as_declared(
    client, endpoint, team, outsider, viewer, editor, approver, admin_user
):
    token, _ = issue_gateway_token(actor=editor, endpoint=endpoint, name="t")
    for name, args in (
        ("endpoint-list", [team.slug]),
        ("endpoint-create", [team.slug]),
        ("endpoint-detail", [endpoint.pk]),
        ("endpoint-edit", [endpoint.pk]),
        ("endpoint-tokens", [endpoint.pk]),
    ):
        assert_route_guarded(
            client,
            reverse(f"deployments:{name}", args=args),
            outsider=outsider,
            viewer=viewer,
            editor=editor,
            approver=approver,
            admin=admin_user,
        )
    for name, pk in (
        ("endpoint-switch", endpoint.pk),
        ("endpoint-archive", endpoint.pk),
        ("token-revoke", token.pk),
    ):
        assert_route_guarded(
            client,
            reverse(f"deployments:{name}", args=[pk]),
            outsider=outsider,
            viewer=viewer,
            methods=("POST",),
        )


def test_an_endpoint_is_made_and_a_second_press_makes_no_other(client_for, editor, team, make_version):
    version = make_version()
    client = client_for(editor)
    page = client.get(reverse("deployments:endpoint-create", args=[team.slug]))
    press = page.context["form"]["press"].value()
    data = {
        "press": press,
        "version": version.pk,
        "slug": "triage",
        "text_retention": "none",
        "system_policy": "append",
    }
    for _ in range(2):
        response = client.post(reverse("deployments:endpoint-create", args=[team.slug]), data)
        assert response.status_code == 302
    endpoint = Endpoint.objects.get()
    assert (endpoint.baseline, endpoint.text_retention, endpoint.system_policy) == (version, "none", "append")
    taken = client.post(reverse("deployments:endpoint-create", args=[team.slug]), {**data, "press": "x"})
    assert taken.status_code == 422 and "is taken" in taken.content.decode()


def test_another_teams_version_is_not_offered(client_for, outsider, make_version):
    version = make_version()
    response = client_for(outsider).post(
        reverse("deployments:endpoint-create", args=["elsewhere"]),
        {"version": version.pk, "slug": "x", "text_retention": "none", "system_policy": "replace"},
    )
    assert response.status_code in (200, 422) and not Endpoint.objects.exists()


def test_the_page_shows_address_snippets_figures_and_predictions(
    client_for, viewer, endpoint, make_version, editor, settings, django_assert_max_num_queries
):
    """U39: the real address; the token is a variable."""
    settings.GATEWAY_URL = "http://gateway.example:8001"
    candidate = make_version("B")
    set_split(
        actor=editor,
        endpoint=endpoint,
        baseline=endpoint.baseline,
        candidate=candidate,
        share=0.1,
        reason="try",
    )
    fill(endpoint, 30)
    fill(endpoint, 3, status=502, error="cut")
    fill(endpoint, 1, prompt_text="<script>alert(1)</script>", answer_text="{{ 7|add:7 }}")
    fill(endpoint, 2, is_fallback=True, fallback_reason="timeout", arm="candidate")
    client = client_for(viewer)
    client.get(reverse("deployments:endpoint-detail", args=[endpoint.pk]))  # the session remembers the team
    with django_assert_max_num_queries(15):
        response = client.get(reverse("deployments:endpoint-detail", args=[endpoint.pk]))
    text = response.content.decode()
    assert text.count("http://gateway.example:8001/triage") >= 5 and "FTPORTAL_TOKEN" in text
    assert "<script>alert" not in text and "&lt;script&gt;alert" in text and "{{ 7|add:7 }}" in text
    assert "fell back: timeout" in text and "3 of 36" in text and "10.00" in text
    assert "No gateway is running" in text


@pytest.mark.parametrize("n", [1, 40])
def test_the_list_asks_the_database_no_more_for_many(
    client_for, viewer, endpoint, team, n, django_assert_max_num_queries
):
    for number in range(n - 1):
        Endpoint.objects.create(
            team=team, use_case=endpoint.use_case, slug=f"e{number}", baseline=endpoint.baseline, salt="00"
        )
    fill(endpoint, 5)
    GatewayBeat.objects.create(
        name="a", seen_at=timezone.now(), started_at=timezone.now(), trouble="Bad routes."
    )
    client = client_for(viewer)
    client.get(reverse("deployments:endpoint-list", args=[team.slug]))
    with django_assert_max_num_queries(10):
        response = client.get(reverse("deployments:endpoint-list", args=[team.slug]))
    text = response.content.decode()
    assert "No gateway is running" not in text and "Bad routes." in text and "triage" in text


def test_a_token_is_shown_once_and_revoked_by_a_press(client_for, editor, endpoint):
    client = client_for(editor)
    url = reverse("deployments:endpoint-tokens", args=[endpoint.pk])
    made = client.post(url, {"name": "shop", "days": "", "press": "p"})
    token = GatewayToken.objects.get()
    assert token.expires_at is None and f"ftg_{token.prefix}_" in made.content.decode()
    assert f"ftg_{token.prefix}_" not in client.get(url).content.decode()
    assert client.post(url, {"name": "", "days": "365"}).status_code == 422
    client.post(reverse("deployments:token-revoke", args=[token.pk]))
    token.refresh_from_db()
    assert token.revoked_at is not None and "revoked" in client.get(url).content.decode()


def test_an_editor_may_stop_and_an_approver_may_start(client_for, editor, approver, endpoint):
    url = reverse("deployments:endpoint-switch", args=[endpoint.pk])
    client_for(editor).post(url, {"on": "0"})
    endpoint.refresh_from_db()
    assert not endpoint.is_on
    assert client_for(editor).post(url, {"on": "1"}).status_code == 403
    client_for(approver).post(url, {"on": "1", "reason": "mended"})
    endpoint.refresh_from_db()
    assert endpoint.is_on and endpoint.traffic_changes.first().reason == "mended"


def test_settings_are_saved_and_nonsense_comes_back(client_for, editor, endpoint):
    client = client_for(editor)
    url = reverse("deployments:endpoint-edit", args=[endpoint.pk])
    good = {
        "text_retention": "all",
        "text_percent": "25",
        "text_days": "7",
        "system_policy": "refuse",
        "timeout_s": "30",
        "max_in_flight": "50",
        "requests_per_minute": "",
        "daily_budget": "2.50",
    }
    assert client.get(url).status_code == 200
    assert client.post(url, {**good, "text_percent": "101"}).status_code == 422
    assert client.post(url, good).status_code == 302
    endpoint.refresh_from_db()
    assert (endpoint.text_share, endpoint.daily_budget_microusd, endpoint.falls_back) == (
        0.25,
        2_500_000,
        False,
    )
    client.post(reverse("deployments:endpoint-archive", args=[endpoint.pk]))
    page = client.get(reverse("deployments:endpoint-list", args=[endpoint.team.slug]) + "?show=archived")
    assert "triage" in page.content.decode()


def test_an_empty_team_is_told_what_comes_first(client_for, viewer, team):
    text = client_for(viewer).get(reverse("deployments:endpoint-list", args=[team.slug])).content.decode()
    assert "No endpoint yet" in text and "Open the use cases" in text
