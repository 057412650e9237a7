from __future__ import annotations

import random
import uuid
from datetime import UTC, datetime, timedelta

import pytest

from deployments.domain.canary import Action, Measure, RolloutState
from deployments.models import Alias, Endpoint, Feedback, Prediction, Rollout, RolloutEvent
from deployments.services import (
    advance_rollout,
    advance_rollouts,
    move_rollout,
    set_alias,
    set_split,
    start_rollout,
    switch,
)
from deployments.services.measuring import arms_since, first_id_at, judgements
from foundation.teams.errors import BadInput, Conflict
from foundation.teams.models import AuditEvent, Notice

pytestmark = pytest.mark.django_db
START = datetime(2026, 3, 2, 0, 0, tzinfo=UTC)


@pytest.fixture
def candidate(make_version):
    return make_version("Better")


def id_at(moment, rng):
    return uuid.UUID(int=first_id_at(moment).int | rng.getrandbits(62))


def traffic(
    endpoint,
    now,
    n,
    *,
    right,
    latency_ms=(100, 100),
    failed=(0, 0),
    rng,
    sticky=True,
    judged=True,
    share=None,
):
    """n requests in the minute before `now`, split as the endpoint says; `right` and the rest by arm."""
    endpoint.refresh_from_db()
    share = endpoint.traffic_share if share is None else share
    predictions, feedback = [], []
    for _ in range(n):
        at = now - timedelta(seconds=rng.random() * 50)
        side = int(rng.random() < share)
        bad = rng.random() < failed[side]
        p = Prediction(
            id=id_at(at, rng),
            team_id=endpoint.team_id,
            endpoint=endpoint,
            version_id=endpoint.candidate_id if side else endpoint.baseline_id,
            arm="candidate" if side else "baseline",
            at=at,
            status=502 if bad else 200,
            error="cut" if bad else "",
            is_sticky=sticky,
            latency_ms=latency_ms[side] * rng.lognormvariate(0, 0.3),
            predicted="billing",
        )
        predictions.append(p)
        if judged:
            is_right = rng.random() < right[side]
            feedback.append(
                Feedback(
                    id=id_at(at, rng),
                    team_id=endpoint.team_id,
                    endpoint=endpoint,
                    prediction=p,
                    at=at,
                    label="billing" if is_right else "delivery",
                )
            )
    Prediction.objects.bulk_create(predictions, batch_size=2000)
    Feedback.objects.bulk_create(feedback, batch_size=2000)


def a_day(rollout, *, n=700, hours=25, seed=1, **kind):
    """The clock ticks each hour over a day, each step begins with traffic; the moves it made. Arms of equal size keep the test small."""
    rng = random.Random(seed)
    endpoint, now = rollout.endpoint, START
    for _ in range(hours):
        if rollout.state != RolloutState.RUNNING:
            break
        now += timedelta(hours=1)
        if now - rollout.step_started_at <= timedelta(hours=1):
            traffic(endpoint, now, n, rng=rng, share=0.5, **kind)
        advance_rollouts(now=now)
        rollout.refresh_from_db()
    return list(rollout.events.order_by("pk").values_list("action", flat=True))


def begin(endpoint, candidate, editor, **more):
    set_alias(actor=editor, version=endpoint.baseline)
    return start_rollout(actor=editor, endpoint=endpoint, candidate=candidate, now=START, **more)


def test_a_good_candidate_is_promoted_within_a_day(endpoint, candidate, editor):
    rollout = begin(endpoint, candidate, editor)
    before = endpoint.baseline
    moves = a_day(rollout, right=(0.80, 0.92))
    assert moves == ["start", "step", "step", "step", "promote"], rollout.reason
    endpoint.refresh_from_db()
    assert (endpoint.baseline, endpoint.candidate, endpoint.share_buckets) == (candidate, None, 0)
    names = dict(Alias.objects.values_list("name", "version"))
    assert names == {"production": candidate.pk, "previous": before.pk}
    assert rollout.ended_at - rollout.starts_at == timedelta(hours=24)
    events = list(rollout.events.order_by("pk"))
    assert [round(e.share, 2) for e in events] == [0.05, 0.1, 0.25, 0.5, 1.0]
    assert "better" in events[-1].reason and events[-1].measured["readings"]
    assert Notice.objects.filter(title__contains="is promoted").exists()
    assert AuditEvent.objects.filter(verb="rollout.promote").count() == 1


def test_a_bad_candidate_is_taken_back_before_its_first_hour(endpoint, candidate, editor):
    rollout = begin(endpoint, candidate, editor)
    now = START + timedelta(minutes=30)
    traffic(endpoint, now, 1500, right=(0.80, 0.30), rng=random.Random(2))
    advance_rollouts(now=now)
    rollout.refresh_from_db()
    moves = list(rollout.events.order_by("pk").values_list("action", flat=True))
    assert moves == ["start", "roll back"]
    endpoint.refresh_from_db()
    assert endpoint.candidate is None and endpoint.baseline == rollout.baseline
    assert rollout.ended_at - rollout.starts_at == timedelta(minutes=30)
    assert "Right answers".lower() in rollout.reason.lower() and "worse" in rollout.reason


def test_an_even_candidate_is_held_for_a_person(endpoint, candidate, editor):
    rollout = begin(endpoint, candidate, editor)
    moves = a_day(rollout, right=(0.80, 0.80))
    assert moves[-1] == "pause" and "promote" not in moves and rollout.state == RolloutState.PAUSED
    assert rollout.endpoint.share_buckets > 0


def test_a_candidate_that_fails_is_taken_back_although_the_baseline_answers_for_it(
    endpoint, candidate, editor
):
    rollout = begin(endpoint, candidate, editor)
    rng = random.Random(3)
    traffic(endpoint, START + timedelta(minutes=5), 900, right=(0.8, 0.8), rng=rng)
    Prediction.objects.filter(arm="candidate").update(is_fallback=True, fallback_reason="timeout")
    move = advance_rollout(rollout_id=rollout.pk, now=START + timedelta(minutes=5))
    assert move.action is Action.ROLL_BACK and "without an answer" in move.reason


def test_a_quiet_endpoint_waits_however_late(endpoint, candidate, editor):
    rollout = begin(endpoint, candidate, editor)
    move = advance_rollout(rollout_id=rollout.pk, now=START + timedelta(days=40))
    rollout.refresh_from_db()
    assert move.action is Action.WAIT and "0 of 300 requests" in rollout.reason


def test_without_feedback_nothing_is_passed(endpoint, candidate, editor):
    rollout = begin(endpoint, candidate, editor)
    now = START + timedelta(hours=1)
    traffic(endpoint, now, 700, right=(1, 1), judged=False, share=0.5, rng=random.Random(4))
    move = advance_rollout(rollout_id=rollout.pk, now=now)
    assert move.action is Action.WAIT and "0 of 100 judged answers" in move.reason


def test_requests_that_name_nobody_are_left_out_and_counted(endpoint, candidate, editor):
    begin(endpoint, candidate, editor)
    now = START + timedelta(minutes=2)
    traffic(endpoint, now, 500, right=(1, 1), sticky=False, rng=random.Random(4))
    baseline, arm, left_out = arms_since(endpoint, START, now=now)
    assert baseline.n == arm.n == 0 and left_out == 500 and baseline.failed.n + arm.failed.n == 500


def test_the_newest_word_about_an_answer_counts():
    a, b, c = (uuid.uuid4() for _ in range(3))
    said = [(a, True, "", ""), (a, False, "", ""), (b, None, "Billing ", "billing"), (c, None, "", "billing")]
    assert judgements([*said, (a, None, "", "x")]) == {a: False, b: True}


def test_two_clocks_take_one_step(endpoint, candidate, editor, monkeypatch):
    from deployments.services import rollouts

    rollout = begin(endpoint, candidate, editor)
    now = START + timedelta(hours=1)
    traffic(endpoint, now, 1500, right=(0.8, 0.95), share=0.5, rng=random.Random(5))
    honest = rollouts.look

    def overtaken(row, *, now):
        found = honest(row, now=now)
        monkeypatch.setattr(rollouts, "look", honest)
        assert advance_rollout(rollout_id=row.pk, now=now + timedelta(minutes=2)).action is Action.STEP
        return found

    monkeypatch.setattr(rollouts, "look", overtaken)
    move = advance_rollout(rollout_id=rollout.pk, now=now)
    assert move == move.__class__(Action.WAIT, "another worker moved it first")
    assert rollout.events.filter(action="step").count() == 1


def test_unmeasurable_too_often_is_taken_back(endpoint, candidate, editor, monkeypatch):
    from deployments.services import rollouts

    def broken(*_, **__):
        raise ValueError("no")

    rollout = begin(endpoint, candidate, editor)
    monkeypatch.setattr(rollouts, "arms_since", broken)
    moves = [advance_rollout(rollout_id=rollout.pk, now=START + timedelta(minutes=i)) for i in range(1, 6)]
    assert [m.action for m in moves] == [Action.WAIT] * 4 + [Action.ROLL_BACK]


def test_traffic_moved_by_hand_pauses_the_rollout(endpoint, candidate, editor, make_version):
    rollout = begin(endpoint, candidate, editor)
    set_split(
        actor=editor,
        endpoint=endpoint,
        baseline=endpoint.baseline,
        candidate=candidate,
        share=0.7,
        reason="x",
    )
    move = advance_rollout(rollout_id=rollout.pk, now=START + timedelta(minutes=1))
    assert move.action is Action.PAUSE and "70.00%" in move.reason


def test_people_pause_resume_step_promote_and_take_back(endpoint, candidate, editor, approver):
    rollout = begin(endpoint, candidate, editor)
    move_rollout(actor=editor, rollout=rollout, action=Action.PAUSE, reason="lunch", now=START)
    move_rollout(actor=editor, rollout=rollout, action=Action.PAUSE, now=START)  # a second press
    assert advance_rollouts(now=START + timedelta(days=2)) == 0
    resumed = move_rollout(
        actor=approver, rollout=rollout, action=Action.RESUME, now=START + timedelta(hours=5)
    )
    assert resumed.held_since == START + timedelta(hours=5) and resumed.step_started_at == START
    stepped = move_rollout(
        actor=approver, rollout=rollout, action=Action.STEP, now=START + timedelta(hours=6)
    )
    endpoint.refresh_from_db()
    assert stepped.step_index == 1 and endpoint.traffic_share == pytest.approx(0.10)
    move_rollout(actor=approver, rollout=rollout, action=Action.PROMOTE, reason="we are sure")
    endpoint.refresh_from_db()
    assert endpoint.baseline == candidate
    with pytest.raises(Conflict):
        move_rollout(actor=editor, rollout=rollout, action=Action.ROLL_BACK)
    assert list(rollout.events.order_by("pk").values_list("action", "reason"))[-1] == (
        "promote",
        "we are sure",
    )
    assert rollout.events.first().by == approver


def test_taking_back_gives_everything_to_the_baseline_at_once(endpoint, candidate, editor):
    rollout = begin(endpoint, candidate, editor)
    move_rollout(actor=editor, rollout=rollout, action=Action.ROLL_BACK, reason="complaints")
    endpoint.refresh_from_db()
    assert (endpoint.candidate, endpoint.share_buckets) == (None, 0)


def test_a_rollout_can_wait_for_its_hour(endpoint, candidate, editor):
    rollout = begin(endpoint, candidate, editor, starts_at=START + timedelta(hours=3))
    endpoint.refresh_from_db()
    assert rollout.state == "scheduled" and endpoint.share_buckets == 0
    assert advance_rollouts(now=START + timedelta(hours=2)) == 0
    assert advance_rollouts(now=START + timedelta(hours=3)) == 1
    endpoint.refresh_from_db()
    assert endpoint.traffic_share == pytest.approx(0.05)


def test_each_rollout_draws_people_anew(endpoint, candidate, editor):
    before = Endpoint.objects.get().salt
    begin(endpoint, candidate, editor)
    assert Endpoint.objects.get().salt != before


def test_what_makes_no_sense_is_refused(endpoint, candidate, editor):
    for more, field in (
        ({"steps": [{"share": 1.5, "hold_s": 1, "min_sample": 1}]}, "steps"),
        ({"guardrails": [{"measure": "errors", "margin": -1}]}, "guardrails"),
        ({"schedule": "moon"}, "schedule"),
    ):
        with pytest.raises(BadInput) as caught:
            begin(endpoint, candidate, editor, **more)
        assert caught.value.field == field
    with pytest.raises(BadInput):
        begin(endpoint, endpoint.baseline, editor)
    begin(endpoint, candidate, editor)
    with pytest.raises(Conflict):
        begin(endpoint, candidate, editor)
    assert Rollout.objects.count() == 1 and RolloutEvent.objects.count() == 1
    move_rollout(actor=editor, rollout=Rollout.objects.get(), action=Action.ROLL_BACK)
    switch(actor=editor, endpoint=endpoint, on=False, reason="x")
    with pytest.raises(Conflict):
        begin(endpoint, candidate, editor)


def test_guardrails_say_their_figures(endpoint, candidate, editor):
    """S69, S71: accuracy and latency of both arms, with significance, at a time."""
    rollout = begin(endpoint, candidate, editor)
    now = START + timedelta(minutes=30)
    traffic(endpoint, now, 1000, right=(0.8, 0.85), latency_ms=(100, 80), share=0.5, rng=random.Random(8))
    advance_rollout(rollout_id=rollout.pk, now=now)
    rollout.refresh_from_db()
    found = {r["measure"]: r for r in rollout.measured["readings"]}
    assert set(found) == {m.value for m in Measure} and rollout.measured_at == now
    assert found["latency"]["difference"] == pytest.approx(-0.2, abs=0.06) and found["latency"]["is_better"]
    assert found["quality"]["low"] < found["quality"]["difference"] < found["quality"]["high"]
