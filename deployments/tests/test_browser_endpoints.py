"""Pages of endpoints in a real browser."""

from __future__ import annotations

import pytest
from django.urls import reverse
from django.utils import timezone

from deployments.models import GatewayBeat
from deployments.services import set_split
from deployments.tests.test_views_endpoints import fill
from foundation.ui.testing import assert_good_page, follow, shoot

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def test_the_pages_of_an_endpoint(page_as, editor, team, endpoint, make_version):
    candidate = make_version("Few-shot, six examples")
    set_split(
        actor=editor,
        endpoint=endpoint,
        baseline=endpoint.baseline,
        candidate=candidate,
        share=0.1,
        reason="first step",
    )
    fill(
        endpoint,
        8,
        prompt_text="Where is my parcel? It was due on Monday.",
        answer_text="delivery",
        predicted="delivery",
    )
    fill(endpoint, 2, status=502, error="cut")
    fill(endpoint, 1, is_fallback=True, fallback_reason="timeout", arm="candidate")
    GatewayBeat.objects.create(name="a", seen_at=timezone.now(), started_at=timezone.now())
    page = page_as(editor)
    for name, args in (
        ("endpoint-list", [team.slug]),
        ("endpoint-create", [team.slug]),
        ("endpoint-detail", [endpoint.pk]),
        ("endpoint-edit", [endpoint.pk]),
        ("endpoint-tokens", [endpoint.pk]),
    ):
        page.goto(reverse(f"deployments:{name}", args=args))
        assert_good_page(page)
        shoot(page, name)


def test_a_token_is_made_and_the_endpoint_stopped_by_hand(page_as, editor, endpoint):
    page = page_as(editor)
    page.goto(reverse("deployments:endpoint-detail", args=[endpoint.pk]))
    page.get_by_role("link", name="Make a token").click()
    page.get_by_label("What it is for").fill("shop backend")
    page.get_by_role("button", name="Make the token").click()
    page.get_by_text("ftg_").first.wait_for()
    assert_good_page(page)
    shoot(page, "endpoint-token-shown")
    page.goto(reverse("deployments:endpoint-detail", args=[endpoint.pk]))
    page.get_by_role("button", name="Switch off").first.click()
    follow(page, page.locator("dialog[open]").get_by_role("button", name="Switch off"))
    endpoint.refresh_from_db()
    assert not endpoint.is_on
