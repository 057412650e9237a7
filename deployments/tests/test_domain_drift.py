from __future__ import annotations

import random
import time

import numpy as np
import pytest

from deployments.domain.drift import Bins, Settings, bins_of, by_chance, divergence, holm, read_drift, tell
from deployments.domain.performance import Lately, judge
from deployments.domain.sequential import Count


def test_divergence_matches_a_hand_calculation():
    # p = (1, 0), q = (1/2, 1/2), m = (3/4, 1/4): (ln(4/3) + ln(2/3)/2 + ln(2)/2) / 2 = 0.215762
    assert divergence([4, 0], [2, 2]) == pytest.approx(0.215762, abs=1e-6)
    assert divergence([1, 0], [0, 1]) == pytest.approx(np.log(2))
    assert divergence([3, 7], [30, 70]) == 0
    with pytest.raises(ValueError):
        divergence([0, 0], [1, 1])


def test_every_value_is_counted_somewhere():
    """D25: 1.0 went to a bin nobody read, values outside made stray bins, names always scored 0."""
    bins = bins_of([i / 100 for i in range(101)])
    assert len(bins.edges) == 11
    found = bins.count([0.0, 1.0, -3.0, 3.2, None, float("nan"), 0.55])
    assert found.sum() == 7 and found[0] == 1 and found[-2] == 1 and found[-1] == 2
    assert found[1] == 1 and found[-3] == 1  # 0.0 in the first bin, 1.0 in the last
    names = bins_of(["a"] * 5 + ["b"])
    assert names.count(["a", "b", "z", None, "a"]).tolist() == [2, 1, 1, 1]
    assert names.labels() == ["a", "b", "other", "missing"]


def test_the_upper_edge_belongs_to_the_last_bin():
    """D25: traffic at 1.0 against a baseline of .9 to 1.0 read as drift; half of it at 1.0 read as none."""
    rng = random.Random(1)
    high = [rng.uniform(0.9, 1.0) for _ in range(999)] + [1.0]
    bins = bins_of(high, buckets=2)
    assert bins.count([1.0] * 50)[-3] == 50
    even = Bins("number", edges=tuple(i / 10 for i in range(11)))
    spread = even.count([i / 1000 for i in range(1000)])
    half = even.count([i / 1000 for i in range(0, 1000, 2)] + [1.0] * 500)
    assert divergence(spread, half) == pytest.approx(0.124, abs=0.002)


def test_bins_come_from_the_reference_and_keep_few_values_apart():
    assert bins_of([0, 0, 1, 1, 2]).count([0, 1, 1, 2, 5, -1]).tolist() == [1, 1, 2, 1, 1, 0]
    assert bins_of([7.0] * 30).count([7.0, 7.0, 8.0]).tolist() == [0, 2, 1, 0]
    for nothing in ([], [None, None]):
        with pytest.raises(ValueError):
            bins_of(nothing)


def feature(values):
    bins = bins_of(values)
    return bins, bins.count(values).tolist()


def test_the_same_distribution_raises_few_false_alarms_at_any_size():
    """D26: with 30 rows each side a fixed threshold raised 33 % a feature and 98 % for any of ten."""
    rng = np.random.default_rng(3)
    alarms = 0
    settings = Settings(min_sample=30, least_divergence=0.0, n_permutations=400)
    for trial in range(60):
        reference = {f"f{i}": feature(rng.normal(size=120).tolist()) for i in range(5)}
        current = {f"f{i}": rng.normal(size=60).tolist() for i in range(5)}
        alarms += any(r.is_drifted for r in read_drift(reference, current, settings=settings, seed=trial))
    assert alarms <= 8


def test_half_a_standard_deviation_is_found():
    """D26: the source's threshold of .1 nats passed a shift of half a standard deviation."""
    rng = np.random.default_rng(4)
    reference = {
        "moved": feature(rng.normal(size=1000).tolist()),
        "same": feature(rng.normal(size=1000).tolist()),
    }
    current = {"moved": (rng.normal(size=1000) + 0.5).tolist(), "same": rng.normal(size=1000).tolist()}
    found = {r.feature: r for r in read_drift(reference, current, settings=Settings(), seed=1)}
    assert found["moved"].is_drifted and found["moved"].advice == "retrain_needed"
    assert 0.01 < found["moved"].divergence < 0.1
    assert not found["same"].is_drifted and found["same"].advice == "monitor"
    again = {r.feature: r for r in read_drift(reference, current, settings=Settings(), seed=1)}
    assert again == found


def test_a_new_language_is_found_and_named():
    reference = {"language": feature(["en"] * 900 + ["de"] * 100)}
    readings = read_drift(reference, {"language": ["en"] * 500 + ["fr"] * 500}, settings=Settings(), seed=0)
    state, finding = tell(readings, n_current=1000, min_sample=100)
    assert state == "drifted" and "language" in finding and "“other” went from 0% to 50%" in finding


def test_too_few_rows_say_nothing():
    """D25: empty data divided by zero."""
    reference = {"words": feature(list(range(500)))}
    for current in ({}, {"words": []}, {"words": [1] * 99}):
        readings = read_drift(reference, current, settings=Settings(), seed=0)
        assert readings[0].divergence is None and readings[0].advice == "too_few"
        assert tell(readings, n_current=0, min_sample=100)[0] == "too few"


def test_chance_is_drawn_at_the_actual_sizes():
    small = by_chance(np.array([20, 20]), np.array([20, 20]), n_permutations=500, seed=1)
    large = by_chance(np.array([2000, 2000]), np.array([2000, 2000]), n_permutations=500, seed=1)
    assert np.quantile(small, 0.95) > 20 * np.quantile(large, 0.95)


def test_holm_matches_a_hand_calculation():
    # sorted .01 .02 .04 -> x3 .03, x2 .04, x1 .04; in the given order
    assert holm([0.04, 0.01, 0.02]) == pytest.approx([0.04, 0.03, 0.04])
    assert holm([]) == []


def test_a_hundred_thousand_predictions_take_less_than_a_second():
    rng = np.random.default_rng(5)
    names = ("characters", "words", "non_ascii", "unknown_words", "answer_characters")
    reference = {name: feature(rng.gamma(2, 50, size=5000).tolist()) for name in names}
    reference["language"] = feature(["en"] * 4000 + ["de"] * 1000)
    current = {name: rng.gamma(2, 55, size=100_000).tolist() for name in names}
    current["language"] = ["en"] * 60_000 + ["de"] * 40_000
    start = time.process_time()
    readings = read_drift(reference, current, settings=Settings(), seed=1)
    assert time.process_time() - start < 1.0
    assert {r.feature for r in readings if r.is_drifted} == {"language"}


@pytest.mark.parametrize(
    "bad", [{"alpha": 0}, {"least_divergence": 1}, {"min_sample": 0}, {"n_permutations": 5}]
)
def test_settings_that_make_no_sense_are_refused(bad):
    with pytest.raises(ValueError):
        Settings(**bad)


# --- performance ---


@pytest.mark.parametrize(
    "right, n, baseline, state",
    [
        pytest.param(0, 100, Count(1000, 900), "degraded", id="nothing right is a drop (D28: it said false)"),
        pytest.param(800, 1000, Count(1000, 900), "degraded", id="a proven drop above 5 %"),
        pytest.param(855, 1000, Count(1000, 900), "holding", id="exactly 5 % is not above it"),
        pytest.param(50, 60, Count(1000, 900), "unsure", id="chance may explain it"),
        pytest.param(95, 100, Count(1000, 900), "holding", id="better"),
        pytest.param(10, 20, Count(1000, 900), "too few", id="too little feedback"),
        pytest.param(0, 0, Count(1000, 900), "too few", id="no feedback is no drop of 100 %"),
        pytest.param(80, 100, None, "no baseline", id="no baseline divides by nothing"),
        pytest.param(80, 100, Count(0, 0), "no baseline", id="an empty baseline"),
    ],
)
def test_performance_is_judged_with_intervals(right, n, baseline, state):
    """D28."""
    verdict = judge(Lately(Count(n, right)), baseline)
    assert verdict.state == state and verdict.finding.endswith(".") and (n == 0 or verdict.low is not None)
    assert (verdict.accuracy is None) == (n == 0)


def test_slower_answers_are_mentioned():
    verdict = judge(Lately(Count(100, 90), p50_ms=300), Count(1000, 900), baseline_ms=100)
    assert verdict.state == "holding" and "300 ms" in verdict.advice[0]


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        pytest.param([0, 0, 0], ["below 0", "always 0", "above 0"], id="constant zero has no tiny upper end"),
        pytest.param([7.5], ["below 7.5", "always 7.5", "above 7.5"], id="constant"),
        pytest.param([1, 2, 3], ["below 1", "1 to 2", "2 to 3", "3", "above 3"], id="few values"),
        pytest.param([-2, -2, 0], ["below -2", "-2 to 0", "0", "above 0"], id="ends at zero"),
    ],
)
def test_the_bin_of_the_last_of_few_values_is_named_by_it(values, labels):
    bins = bins_of(values)
    assert bins.labels() == [*labels, "missing"]
    assert len(bins.labels()) == bins.size
