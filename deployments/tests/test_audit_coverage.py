"""T38 for shipping and watching: every address that changes something leaves an event of who did it."""

from __future__ import annotations

import pytest
from django.urls import reverse

from deployments.models import ModelVersion, Retraining
from deployments.services import (
    issue_gateway_token,
    register_version,
    set_alias,
    set_split,
    start_rollout,
)
from deployments.services.retraining import propose_retraining
from deployments.tests.test_views_predictions import ask, dataset  # noqa: F401 - a fixture
from foundation.teams.domain.roles import Role
from foundation.teams.models import AuditEvent
from foundation.teams.policy import table

pytestmark = pytest.mark.django_db
# Pages with a POST of their own, and what is sent there.
ONLY_READ = {
    "deployments:endpoint-list", "deployments:endpoint-detail", "deployments:version-list", "deployments:rollout-list",
    "deployments:rollout-detail", "deployments:watch-home", "deployments:watch", "deployments:drift-detail",
    "deployments:retraining-list", "deployments:retraining-detail", "deployments:prediction-list",
    "deployments:prediction-detail",
}  # fmt: skip


@pytest.fixture
def presses(
    endpoint, make_version, make_candidate, use_case, team, admin_user, dataset, settings, tmp_path
):  # fmt: skip
    """By route: address and data of one press that changes something, and the verb it leaves."""
    settings.FILES_DIR = tmp_path / "files"
    second = make_version("Second")

    def token():
        return issue_gateway_token(actor=admin_user, endpoint=endpoint, name="x")[0]

    def rolled():
        return start_rollout(actor=admin_user, endpoint=endpoint, candidate=second)

    def proposed():
        Retraining.objects.all().delete()
        return propose_retraining(actor=admin_user, endpoint=endpoint, reason="r")

    def twice_named():
        set_alias(actor=admin_user, version=ModelVersion.objects.order_by("pk").first())
        set_alias(actor=admin_user, version=second)
        return use_case

    def judged():
        return ask(endpoint, "a new text entirely", said=[("billing", None)])

    settings_form = {
        "text_retention": "none", "text_percent": 10, "text_days": 30, "system_policy": "replace", "timeout_s": 60,
        "max_in_flight": 200,
    }  # fmt: skip
    return {
        "endpoint-create": (
            lambda: team.slug,
            {"version": second.pk, "slug": "new-one", "text_retention": "none", "system_policy": "replace", "press": "p1"},
            "endpoint.created",
        ),
        "endpoint-edit": (lambda: endpoint.pk, settings_form, "endpoint.changed"),
        "endpoint-tokens": (lambda: endpoint.pk, {"name": "a", "days": "30", "press": "p2"}, "gateway_token.issued"),
        "endpoint-switch": (lambda: endpoint.pk, {}, "endpoint.switched_off"),
        "endpoint-archive": (lambda: endpoint.pk, {}, "endpoint.archived"),
        "token-revoke": (lambda: token().pk, {}, "gateway_token.revoked"),
        "version-detail": (lambda: second.pk, {"notes": "changed", "tags": ""}, "model_version.edited"),
        "version-promote": (lambda: second.pk, {}, "alias.moved"),
        "version-register": (
            lambda: use_case.pk, {"candidate": make_candidate("third").pk}, "model_version.registered"
        ),
        "use-case-rollback": (lambda: twice_named().pk, {}, "model_version.rolled_back"),
        "rollout-create": (
            lambda: endpoint.pk,
            {
                "candidate": second.pk, "schedule": "canary", "steps": "5 %, 1 h, 300 requests", "quality_margin": 5,
                "quality_min_n": 100, "latency_margin": 10, "errors_margin": 2,
            },
            "rollout.created",
        ),
        "rollout-move": (lambda: rolled().pk, {"action": "pause", "reason": "r"}, "rollout.pause"),
        "watch-check": (lambda: endpoint.pk, {}, "job.started"),
        "prediction-add": (
            lambda: endpoint.pk, lambda: {"dataset": dataset.pk, "prediction": [str(judged().pk)]},
            "predictions.added_to_dataset",
        ),
        "prediction-feedback": (lambda: judged().pk, {"correct": "yes"}, "feedback.given"),
        "retraining-create": (lambda: endpoint.pk, {"reason": "r"}, "retraining.proposed"),
        "retraining-approve": (lambda: proposed().pk, {"when": "later"}, "retraining.approved"),
        "retraining-decline": (lambda: proposed().pk, {}, "retraining.declined"),
    }  # fmt: skip


def changing_routes():
    """Every route of shipping and watching that is not only read."""
    names = {line.name for line in table() if line.name and line.name.startswith("deployments:")}
    return sorted(name.removeprefix("deployments:") for name in names - ONLY_READ)


@pytest.mark.parametrize("name", changing_routes())
def test_every_change_names_who_made_it(name, presses, client_for, approver, team):
    where, data, verb = presses[name]
    url = reverse(f"deployments:{name}", args=[where()])
    sent = data() if callable(data) else data
    before = AuditEvent.objects.filter(verb=verb).count()
    answer = client_for(approver).post(url, sent)
    assert answer.status_code in (200, 302), answer.content.decode()[:600]
    new = AuditEvent.objects.filter(verb=verb)
    assert new.count() > before
    event = new.order_by("-pk").first()
    assert event.actor_id == approver.pk and event.team_id == team.pk


def test_a_split_moved_by_hand_is_written_down_too(endpoint, make_version, editor):
    set_split(
        actor=editor, endpoint=endpoint, baseline=endpoint.baseline, candidate=make_version("B"), share=0.1, reason="r"
    )  # fmt: skip
    assert AuditEvent.objects.get(verb="endpoint.traffic_moved").actor_id == editor.pk


def test_registering_twice_is_one_event(use_case, make_candidate, editor):
    candidate = make_candidate()
    for _ in range(2):
        register_version(actor=editor, use_case=use_case, candidate=candidate)
    assert AuditEvent.objects.filter(verb="model_version.registered").count() == 1


@pytest.mark.parametrize("alone", [True, False], ids=["the only approver", "one of two"])
def test_nobody_waves_their_own_rollout_through_when_another_may(
    alone, endpoint, make_version, approver, admin_user, client_for, team
):
    """T39, short: promotion by hand and approval of a retraining need a second approver where there is one."""
    if alone:
        admin_user.memberships.filter(team=team).update(role=Role.EDITOR)
    rollout = start_rollout(actor=approver, endpoint=endpoint, candidate=make_version("B"))
    move = reverse("deployments:rollout-move", args=[rollout.pk])
    answer = client_for(approver).post(move, {"action": "promote", "reason": "r"})
    rollout.refresh_from_db()
    assert (rollout.state == "promoted") is alone, answer.content.decode()[:300]
    retraining = propose_retraining(actor=approver, endpoint=endpoint, reason="r")
    approve = reverse("deployments:retraining-approve", args=[retraining.pk])
    client_for(approver).post(approve, {"when": "later"})
    retraining.refresh_from_db()
    assert (retraining.state == "importing") is alone
    if not alone:
        assert answer.status_code == 403 and b"another approver" in answer.content
        # Taking back never waits for a second person, and the other one may press.
        client_for(admin_user).post(move, {"action": "promote", "reason": "looked at it"})
        client_for(admin_user).post(approve, {"when": "later"})
        rollout.refresh_from_db()
        retraining.refresh_from_db()
        assert (rollout.state, retraining.state) == ("promoted", "importing")


@pytest.mark.parametrize("alone", [True, False], ids=["the only approver", "one of two"])
def test_nobody_names_production_what_they_registered_when_another_may(
    alone, use_case, make_candidate, approver, admin_user, client_for, team
):
    if alone:
        admin_user.memberships.filter(team=team).update(role=Role.EDITOR)
    version = register_version(actor=approver, use_case=use_case, candidate=make_candidate())
    promote = reverse("deployments:version-promote", args=[version.pk])
    answer = client_for(approver).post(promote)
    assert version.aliases.filter(name="production").exists() is alone
    if not alone:
        assert answer.status_code == 403 and b"You registered this version yourself" in answer.content
        client_for(admin_user).post(promote)
        assert version.aliases.filter(name="production").exists()
