"""Rows sent through the gateway's own application over HTTP: what is recorded, what is refused, what is taken back."""

from __future__ import annotations

import pytest

from deployments.domain.canary import Action
from deployments.models import BudgetDay, Feedback, GatewayToken, Prediction
from deployments.replaying import Asked, running_gateway, send
from deployments.services import (
    create_endpoint,
    issue_gateway_token,
    move_rollout,
    register_version,
    start_rollout,
    update_endpoint,
)
from deployments.tests.test_local_end_to_end import trained  # noqa: F401 - a fixture
from foundation.files import store
from foundation.jobs.services import run_until_idle, start_job
from foundation.llm.testing.stub_upstream import StubUpstream
from foundation.teams.errors import Conflict

pytestmark = pytest.mark.django_db
CSV = b"who,said,right\nc1,where is my parcel,delivery\nc2,charged twice on my card,billing\n,,\nc1,my invoice is wrong,delivery\n"


@pytest.fixture
def place(trained, use_case, editor, settings, tmp_path):
    settings.VAR_DIR = tmp_path
    version = register_version(actor=editor, use_case=use_case, candidate=trained)
    return create_endpoint(
        actor=editor, use_case=use_case, slug="local", version=version, text_retention="all"
    )


def replay(team, actor, place, **recipe):
    job = start_job(
        actor=actor, team=team, kind="deployments.replay", title="Replay", recipe={"endpoint": place.pk, **recipe}
    )  # fmt: skip
    run_until_idle(max_seconds=30)
    job.refresh_from_db()
    return job


def file_of(team, content=CSV):
    blob = store.put(team=team, stream=content, name="later.csv", kind="upload")
    return {"blob": blob.pk, "mapping": {"prompt": "said", "label": "right", "group": "who"}}


def test_a_file_is_asked_recorded_and_judged(place, team, editor):
    assert running_gateway() == ""
    job = replay(team, editor, place, **file_of(team), start=0, end=3)
    assert job.status.value == "succeeded", job.error
    assert (job.result["answered"], job.result["failures"]) == (3, {})
    rows = {p.prompt_text: p for p in Prediction.objects.all()}
    assert {t: p.predicted for t, p in rows.items()} == {
        "where is my parcel": "delivery", "charged twice on my card": "billing", "my invoice is wrong": "billing"
    }  # fmt: skip
    same = {rows["where is my parcel"].sticky_hash, rows["my invoice is wrong"].sticky_hash}
    assert len(same) == 1 and all(p.is_sticky for p in rows.values())
    said = dict(Feedback.objects.values_list("prediction__prompt_text", "label"))
    assert said["my invoice is wrong"] == "delivery" and len(said) == 3
    assert not GatewayToken.objects.filter(revoked_at=None).exists()


def test_frozen_test_rows_are_not_replayed(place, team, editor):
    job = replay(team, editor, place, version=1, split="test", start=0, end=5)
    assert job.status.value == "failed" or job.failed
    assert not Prediction.objects.exists()
    assert not GatewayToken.objects.filter(revoked_at=None).exists()


def test_a_step_that_is_over_gets_no_more_requests(place, team, editor, make_version):
    rollout = start_rollout(actor=editor, endpoint=place, candidate=make_version("B"))
    move_rollout(actor=editor, rollout=rollout, action=Action.ROLL_BACK)
    job = replay(team, editor, place, **file_of(team), start=0, end=3, rollout=rollout.pk, step=0)
    assert job.status.value == "succeeded" and job.result["answered"] == 0
    assert not Prediction.objects.exists()


def test_a_version_that_cannot_answer_is_counted_by_its_reason(place, trained, team, editor):
    store.path(trained.artefact).unlink()
    job = replay(team, editor, place, **file_of(team), start=0, end=2)
    [(reason, n)] = job.result["failures"].items()
    assert n == 2 and "503" in reason and job.result["answered"] == 0
    assert set(Prediction.objects.values_list("error", flat=True)) == {"no_model"}


def test_a_token_of_another_endpoint_opens_nothing(place, endpoint, editor, monkeypatch):
    monkeypatch.setattr("deployments.replaying.PATIENCE_S", 0.2)
    _, text = issue_gateway_token(actor=editor, endpoint=endpoint, name="x")
    with pytest.raises(Conflict, match="does not serve"):
        send(place, text, [Asked("hello")])


@pytest.fixture
def paid(use_case, editor, make_version, team, settings, tmp_path):
    """An endpoint that asks a paid model, and the provider that counts what it is asked."""
    from foundation.llm.models import Connection
    from foundation.llm.vault import seal

    settings.VAR_DIR = tmp_path
    with StubUpstream() as stub:
        made = Connection(team=team, name="Stub", base_url=stub.url)
        made.key_ciphertext, made.key_last4 = seal("sk-planted-secret", host=made.host), "cret"
        made.save()
        version = make_version(connection=made)
        yield create_endpoint(actor=editor, use_case=use_case, slug="paid", version=version), stub


def test_a_paid_model_without_a_daily_budget_is_not_replayed(paid, team, editor):
    place, stub = paid
    job = replay(team, editor, place, **file_of(team), start=0, end=3)
    assert job.status.value == "failed" and "has no daily budget" in job.error
    with pytest.raises(Conflict, match="has no daily budget"):
        send(place, "ftg_x", [Asked("hello")])
    assert stub.stats()["calls"] == 0


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("budget", "n_answered"), [(1_000_000, 3), (1, 0)], ids=["enough", "too little"])
def test_requests_in_this_process_keep_to_the_daily_budget(paid, team, editor, budget, n_answered):
    place, stub = paid
    update_endpoint(actor=editor, endpoint=place, daily_budget_microusd=budget)
    job = replay(team, editor, place, **file_of(team), start=0, end=3)
    assert job.result["answered"] == n_answered, job.result
    assert stub.stats()["calls"] == n_answered
    leased = sum(BudgetDay.objects.values_list("leased_microusd", flat=True))
    assert 0 < leased <= budget
    if not n_answered:
        [reason] = job.result["failures"]
        assert "budget for today is used up" in reason
