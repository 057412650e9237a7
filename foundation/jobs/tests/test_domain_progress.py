"""Rates and times to go, by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from foundation.jobs.domain.progress import UNKNOWN, pace, rate_in_words, share, time_left_in_words
from foundation.jobs.domain.retrying import Again, GiveUp, after_error, after_loss
from foundation.jobs.domain.states import FINAL, FOLLOWERS, JobState, states_before

T0 = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)


def after(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def test_the_pace_is_items_over_seconds_since_the_window_began():
    # 30 of 100 were there; 20 more in 10 s are 2 a second; 50 left take 25 s, of which 1 s has passed.
    found = pace(settled=50, total=100, from_settled=30, from_at=T0, at=after(10), now=after(11))
    assert found.per_second == pytest.approx(2)
    assert found.eta_s == pytest.approx(24)


def test_nothing_is_guessed_from_nothing():
    assert pace(settled=0, total=9, from_settled=0, from_at=T0, at=after(3), now=after(3)) == UNKNOWN
    assert pace(settled=3, total=9, from_settled=0, from_at=None, at=None, now=T0) == UNKNOWN
    assert pace(settled=3, total=9, from_settled=0, from_at=T0, at=T0, now=T0) == UNKNOWN


def test_when_all_is_done_nothing_is_left():
    assert pace(settled=9, total=9, from_settled=0, from_at=T0, at=after(3), now=after(9)).eta_s == 0


@pytest.mark.parametrize("done", range(20, 100, 10))
def test_on_steady_work_the_estimate_is_within_a_quarter_after_a_fifth(done):
    # 100 items, one each second, written in flushes of half a second: never off by more than one flush.
    found = pace(
        settled=done, total=100, from_settled=0, from_at=T0, at=after(done + 0.4), now=after(done + 0.5)
    )
    truth = 100 - done - 0.5
    assert found.eta_s is not None
    assert abs(found.eta_s - truth) <= 0.25 * truth


def test_a_long_item_counts_by_its_part():
    assert share(settled=0, total=1, part_done=3, part_total=4) == pytest.approx(0.75)
    assert share(settled=2, total=4, part_done=1, part_total=2) == pytest.approx(0.625)
    assert share(settled=4, total=4, part_done=1, part_total=2) == 1
    assert share(settled=0, total=0) == 0


@pytest.mark.parametrize(
    ("rate", "words"),
    [(None, ""), (312.4, "312/s"), (2.5, "2.5/s"), (0.5, "30/min"), (0.01, "36/h"), (0.0001, "0.4/h")],
)
def test_rates_are_said_in_a_unit_that_can_be_pictured(rate, words):
    assert rate_in_words(rate) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, ""),
        (0.4, "almost done"),
        (12.2, "about 12 s left"),
        (130, "about 2 min left"),
        (5400, "about 1.5 h left"),
        (50_000, "about 14 h left"),
    ],
)
def test_time_to_go_is_said_coarsely(seconds, words):
    assert time_left_in_words(seconds) == words


def test_an_error_is_tried_again_until_the_attempts_are_used_up():
    assert after_error(1, 3, "x") == Again(1.0)
    assert after_error(2, 3, "x") == Again(5.0)
    assert after_error(3, 3, "x") == GiveUp("x")
    assert after_error(1, 3, "x", definite=True) == GiveUp("x")


def test_a_lost_attempt_is_poison_only_after_the_last():
    assert after_loss(0, 3) == Again(0.0)
    assert after_loss(2, 3) == Again(0.0)
    assert after_loss(3, 3) == GiveUp("poison: the worker died 3 times while doing this item")


def test_every_state_is_in_the_table_and_every_open_state_leads_to_an_end():
    assert set(FOLLOWERS) == set(JobState)
    for state in set(JobState) - FINAL:
        reached, fresh = {state}, {state}
        while fresh:
            fresh = {other for one in fresh for other in FOLLOWERS[one]} - reached
            reached |= fresh
        assert JobState.CANCELLED in reached
        assert JobState.SUCCEEDED in reached or state is JobState.CANCELLING


def test_only_cancelling_becomes_cancelled():
    assert states_before(JobState.CANCELLED) == {JobState.CANCELLING}
