"""Signing on the page, and what differs between two answers."""

from __future__ import annotations

import pytest
from django.urls import reverse

from decisions import services
from decisions.models import SignOff
from foundation.teams.testing import assert_route_guarded

pytestmark = pytest.mark.django_db


@pytest.fixture
def decision(editor, use_case):
    return services.decide(actor=editor, use_case=use_case, note="First.")


def url(name, decision):
    return reverse(f"decisions:{name}", args=[decision.use_case_id, decision.number])


def test_only_approvers_sign(client, decision, outsider, viewer, editor, approver):
    for who, status in ((outsider, 404), (viewer, 403), (editor, 403)):
        client.force_login(who)
        assert client.post(url("decision-sign", decision)).status_code == status
    assert not SignOff.objects.exists()


def test_an_approver_signs_on_the_page_and_a_second_press_is_told(client_for, approver, decision):
    client = client_for(approver)
    page = client.get(url("decision-detail", decision)).content.decode()
    assert "Sign decision 1" in page
    data = {"digest": decision.inputs_sha256, "note": "Figures <b>checked</b>."}
    assert client.post(url("decision-sign", decision), data).status_code == 302
    page = client.get(url("decision-detail", decision)).content.decode()
    assert "Figures &lt;b&gt;checked&lt;/b&gt;." in page
    assert "Sign decision 1" not in page
    again = client.post(url("decision-sign", decision), data)
    assert again.status_code == 409
    assert "signed decision 1 already" in again.content.decode()


def test_a_missing_word_comes_back_at_its_field(client_for, approver, decision):
    response = client_for(approver).post(
        url("decision-sign", decision), {"digest": decision.inputs_sha256, "note": " "}
    )
    assert response.status_code == 422
    assert "Say in a sentence what you looked at" in response.content.decode()


def test_the_author_is_told_that_somebody_else_signs(client_for, admin_user, use_case):
    services.decide(actor=admin_user, use_case=use_case)
    other = services.decide(actor=admin_user, use_case=use_case)
    from foundation.teams.domain.roles import Role
    from foundation.teams.models import Membership, User

    Membership.objects.create(
        team=use_case.team, user=User.objects.create_user("b@example.org", "correct horse"), role=Role.VIEWER
    )
    page = client_for(admin_user).get(url("decision-detail", other)).content.decode()
    assert "Somebody else with the approver role signs it." in page
    assert "Sign decision" not in page


def test_who_may_see_what_changed(client, decision, outsider, viewer, editor):
    assert_route_guarded(
        client, url("decision-changes", decision), outsider=outsider, viewer=viewer, editor=editor,
        methods=("GET",),
    )  # fmt: skip


def test_two_answers_stand_beside_each_other_in_facts_scores_and_answer(
    client_for, viewer, editor, use_case, decision
):
    services.update_use_case(
        actor=editor,
        use_case=use_case,
        version=1,
        data_quality="low",
        requires_citations=True,
        name="Renamed",
    )
    second = services.decide(actor=editor, use_case=use_case, note="They need citations.")
    client = client_for(viewer)
    html = client.get(url("decision-changes", second)).content.decode()
    assert "Another answer: RAG instead of hybrid; 2 facts differ." in html
    assert "<del>high</del>" in html
    assert "<ins>citations +0.20</ins>" in html
    # Fine-tuning loses "plenty of good data".
    assert "<del>plenty of good data +0.40</del>" in html
    assert "They need citations." in html
    first = client.get(url("decision-changes", decision)).content.decode()
    assert "Nothing to compare with yet" in first
    assert client.get(url("decision-changes", second), {"from": "1"}).status_code == 200
    assert client.get(url("decision-changes", second), {"from": "77"}).status_code == 404
    assert client.get(url("decision-changes", second), {"from": "x"}).status_code == 200
