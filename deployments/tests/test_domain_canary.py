from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from math import log

import pytest

from deployments.domain import sequential
from deployments.domain.canary import (
    GUARDRAILS,
    MOVES,
    SCHEDULES,
    Action,
    ArmFigures,
    CanaryState,
    Guardrail,
    Measure,
    Measured,
    Phase,
    Reading,
    RolloutState,
    Step,
    measure,
    next_move,
    outlook,
    read_guardrail,
    read_guardrails,
    read_ladder,
    read_steps,
    write_ladder,
)
from deployments.domain.sequential import Count, Sums

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
STEPS = (Step(0.05, timedelta(hours=1), 100), Step(0.5, timedelta(hours=1), 100))


def reading(phase, *, better=False, which=Measure.QUALITY):
    return Reading(which, phase, f"{which} {phase}", 0.05, 500, 500, is_better=better)


def arm(n, *, right=None, failed=0, latency_ms=100.0, spread=0.2):
    middle = log(latency_ms)
    return ArmFigures(
        n=n,
        judged=Count(n, round(n * 0.8) if right is None else right),
        log_latency=Sums(n, n * middle, n * (middle**2 + spread**2)),
        failed=Count(n, failed),
    )


def look(baseline, candidate):
    return measure(GUARDRAILS, baseline, candidate, n_steps=4, tuned_to=300)


@pytest.mark.parametrize(
    "phases, n, errors, held_h, step, better, expected",
    [
        pytest.param([], 0, 0, 9, 0, False, Action.WAIT, id="no measurement is not a pass"),
        pytest.param(
            ["failed"], 500, 0, 0, 0, False, Action.ROLL_BACK, id="proven worse does not wait for its time"
        ),
        pytest.param(
            ["passed", "failed"], 9, 0, 9, 0, False, Action.ROLL_BACK, id="the worst guardrail decides"
        ),
        pytest.param(["passed"], 500, 5, 9, 0, False, Action.ROLL_BACK, id="unmeasurable too often"),
        pytest.param(["passed"], 500, 4, 9, 0, False, Action.WAIT, id="unmeasurable four times waits"),
        pytest.param(["passed"], 500, 0, 0.9, 0, True, Action.WAIT, id="time is not over"),
        pytest.param(["passed"], 99, 0, 99, 0, True, Action.WAIT, id="a quiet endpoint waits however late"),
        pytest.param(["passed", "too few"], 500, 0, 9, 0, False, Action.WAIT, id="no feedback is not a pass"),
        pytest.param(["passed", "inconclusive"], 500, 0, 9, 0, False, Action.PAUSE, id="inconclusive pauses"),
        pytest.param(["passed"], 100, 0, 1, 0, False, Action.STEP, id="time, sample and guardrails: a step"),
        pytest.param(
            ["passed"], 100, 0, 1, 1, True, Action.PROMOTE, id="the last step promotes what is better"
        ),
        pytest.param(
            ["passed"], 100, 0, 1, 1, False, Action.PAUSE, id="as good as before is held for a person"
        ),
    ],
)
def test_what_comes_next(phases, n, errors, held_h, step, better, expected):
    measured = Measured(tuple(reading(Phase(p), better=better) for p in phases), n, errors)
    state = CanaryState(step, NOW - timedelta(hours=held_h))
    assert next_move(STEPS, state, measured, now=NOW).action is expected


def test_an_ab_test_ends_with_a_person():
    measured = Measured((reading(Phase.PASSED, better=True),), 1000)
    state = CanaryState(1, NOW - timedelta(days=2), promotes=False)
    move = next_move(STEPS, state, measured, now=NOW)
    assert move.action is Action.PAUSE and "a person decides" in move.reason


def test_the_ready_made_schedules_are_the_ones_asked_for():
    """S69: 10 %. S70: 5, 10, 25, 50 % from hours 0, 1, 4, 8, and everything after 24; elapsed time, no clock times."""
    canary = SCHEDULES["canary"].steps
    starts = [sum((s.hold for s in canary[:i]), timedelta()) / timedelta(hours=1) for i in range(5)]
    assert [s.share for s in canary] == [0.05, 0.1, 0.25, 0.5] and starts == [0, 1, 4, 8, 24]
    assert [s.share for s in SCHEDULES["ab"].steps] == [0.1] and not SCHEDULES["ab"].promotes
    assert all(s.hold <= timedelta(seconds=10) for s in SCHEDULES["demo"].steps)


@pytest.mark.parametrize(
    "rows, words",
    [
        ([], "1 to 20"),
        ([{"share": 1.5, "hold_s": 1, "min_sample": 1}], "step 1: a step's share"),
        ([{"share": float("nan"), "hold_s": 1, "min_sample": 1}], "step 1: a step's share"),
        ([{"share": 0.5, "hold_s": float("inf"), "min_sample": 1}], "step 1"),
        ([{"share": 0.5, "hold_s": 1}], "step 1 needs"),
        ([{"share": 0.5, "hold_s": 1, "min_sample": 1}] * 2, "step 2 must"),
        ([{"share": 0.5, "hold_s": -1, "min_sample": 1}], "held between"),
    ],
)
def test_steps_that_make_no_ladder_are_refused(rows, words):
    """D24: a share of 150 % was accepted and split -50 to 150."""
    with pytest.raises(ValueError, match=words):
        read_steps(rows)


def test_steps_and_guardrails_survive_storage():
    steps = SCHEDULES["canary"].steps
    assert read_steps([s.as_dict() for s in steps]) == steps
    assert read_guardrails([g.as_dict() for g in GUARDRAILS]) == GUARDRAILS
    for bad in ([], [{"measure": "luck", "margin": 0.1}], [{"measure": "errors", "margin": 2}], [{}]):
        with pytest.raises(ValueError):
            read_guardrails(bad)


def test_finished_states_lead_nowhere():
    assert all((not MOVES[state]) == state.is_final for state in RolloutState)


def test_a_better_candidate_passes_and_is_better():
    measured = look(arm(3000, right=2400), arm(3000, right=2640))
    assert measured.worst is Phase.PASSED and measured.of(Measure.QUALITY).is_better


def test_a_bad_candidate_fails_with_its_figures():
    measured = look(arm(2000, right=1700), arm(200, right=100))
    assert measured.worst is Phase.FAILED and "-35" in measured.reason.replace("-34.9", "-35")


def test_slower_is_worse_and_faster_is_better():
    """D22: more latency counted as an improvement."""
    slow, fast = look(arm(900), arm(900, latency_ms=200)), look(arm(900), arm(900, latency_ms=50))
    assert slow.of(Measure.LATENCY).phase is Phase.FAILED
    assert slow.of(Measure.LATENCY).difference == pytest.approx(1.0)
    assert fast.of(Measure.LATENCY).phase is Phase.PASSED and fast.of(Measure.LATENCY).is_better


def test_a_candidate_that_never_answers_fails_although_it_has_no_spread():
    failed = look(arm(60), ArmFigures(n=0, failed=Count(60, 60))).of(Measure.ERRORS)
    assert failed.phase is Phase.FAILED


def test_an_even_candidate_with_few_requests_is_inconclusive_not_passed():
    found = read_guardrail(
        Guardrail(Measure.QUALITY, 0.05, 100), arm(150), arm(150), alpha=0.01, tuned_to=150
    )
    assert found.phase is Phase.INCONCLUSIVE


@pytest.mark.parametrize("n", [0, 1, 19])
def test_almost_nothing_says_nothing(n):
    assert look(arm(n, right=0), arm(n, right=0)).worst is Phase.NO_DATA


# --- the arithmetic ---


def test_newcombe_matches_the_published_example():
    # Newcombe 1998, table II, example (a): 56/70 against 48/80, method 10: 0.0524 to 0.3339
    found = sequential.shares_once(Count(80, 48), Count(70, 56))
    assert (found.value, found.low, found.high) == pytest.approx((0.2, 0.0524, 0.3339), abs=5e-5)


def test_sample_sizes_are_the_known_ones():
    """D24."""
    assert sequential.sample_per_arm(0.80, 0.85) == 906
    assert sequential.sample_per_arm(0.90, 0.855) == 833
    with pytest.raises(ValueError):
        sequential.sample_per_arm(0.8, 0.8)


def test_means_match_a_hand_calculation():
    # both arms: 100 values, variance 1 -> stderr sqrt(0.02) = 0.141421, half width 1.959964 of it
    a, b = Sums(100, 0.0, 99.0), Sums(100, 100.0, 199.0)
    found = sequential.means_once(a, b)
    assert (found.value, found.high) == pytest.approx((1.0, 1.277180), abs=1e-5)


def test_looking_at_every_request_raises_few_false_alarms():
    """D23: 24 looks with a one-look interval make 5 % into 26 %. Here: looked at after each 10 requests, 100 times."""
    rng = random.Random(5)
    alarms, naive = 0, 0
    for _ in range(300):
        hits = [0, 0]
        alarm = naive_alarm = False
        for n in range(10, 1010, 10):
            for side in (0, 1):
                hits[side] += sum(rng.random() < 0.85 for _ in range(10))
            a, b = Count(n, hits[0]), Count(n, hits[1])
            always = sequential.shares_always(a, b, alpha=0.05, tuned_to=500)
            once = sequential.shares_once(a, b)
            alarm |= always is not None and not always.low <= 0 <= always.high
            naive_alarm |= not once.low <= 0 <= once.high
        alarms += alarm
        naive += naive_alarm
    assert alarms <= 15 and naive > 60


def test_the_steady_interval_costs_a_known_width():
    a, b = Count(400, 320), Count(400, 320)
    once = sequential.shares_once(a, b)
    always = sequential.shares_always(a, b, alpha=0.05, tuned_to=400)
    assert 1.2 < (always.high - always.low) / (once.high - once.low) < 2.0


def test_planning_says_when_the_traffic_is_too_small():
    """D24: at 1,000 requests a day the first three steps see about 2, 12 and 42 requests."""
    found = outlook(SCHEDULES["canary"].steps, requests_per_day=1000)
    assert [round(o.n_expected) for o in found[:3]] == [2, 12, 42]
    assert all("requests in its time" in o.warning for o in found[:3])
    assert outlook(SCHEDULES["ab"].steps, requests_per_day=0)[0].warning.startswith("No traffic")
    assert not any(o.warning for o in outlook(SCHEDULES["canary"].steps, requests_per_day=200_000))


def test_a_ladder_can_be_written_and_read():
    for schedule in SCHEDULES.values():
        assert read_ladder(write_ladder(schedule.steps)) == schedule.steps
    assert write_ladder(SCHEDULES["canary"].steps).splitlines()[0] == "5 %, 1 h, 300 requests"
    assert read_ladder("2.5%,90 s,1,000\n\n50 %, 2 d, 10")[0] == Step(0.025, timedelta(seconds=90), 1000)
    with pytest.raises(ValueError, match="line 2"):
        read_ladder("5 %, 1 h, 1\nsoon")


def test_two_looks_put_together_weigh_by_their_precision():
    # Half widths 2 and 4: variances 1 and 4 (in units of z²), weights 1 and 1/4: (0.10 + 0.02/4) / 1.25 = 0.084; half 2/sqrt(1.25).
    found = sequential.pooled(
        [sequential.Difference(0.10, 0.08, 0.12), sequential.Difference(0.02, -0.02, 0.06)]
    )
    assert found.value == pytest.approx(0.084) and found.high - found.value == pytest.approx(0.02 / 1.25**0.5)
    assert sequential.pooled([]) is None and sequential.pooled([sequential.Difference(0.1, 0.1, 0.1)]) is None
