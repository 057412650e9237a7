"""Paired statistics against statsmodels, scipy, independent derivations and hand calculations."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats
from sklearn.metrics import f1_score
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from evaluations.domain import comparison as c
from evaluations.domain import paired
from evaluations.domain.statuses import Verdict

CORRECT = paired.Measure("correct", "Correct", "binary")
SCORE = paired.Measure("score", "Score", "mean")
MACRO = paired.Measure("macro_f1", "Macro F1", "macro_f1")
LATENCY = paired.Measure("latency", "Latency p95", "p95", "ms", False)
COST = paired.Measure("cost", "Cost", "mean", "microusd", False)


def arm(key, name="x", kind="prompt", predicted=(), **columns):
    return paired.Arm(key, name, kind, columns, predicted)


def right_wrong(both, better, worse, neither):
    """Two columns with so many rows right in both, only now, only before, in none."""
    was = [1.0] * both + [0.0] * better + [1.0] * worse + [0.0] * neither
    now = [1.0] * both + [1.0] * better + [0.0] * worse + [0.0] * neither
    return was, now


@pytest.mark.parametrize(("better", "worse"), [(0, 0), (5, 0), (10, 3), (37, 16), (100, 101), (600, 500)])
def test_mcnemar_equals_statsmodels(better, worse):
    expected = mcnemar([[10, better], [worse, 10]], exact=True).pvalue if better + worse else 1.0
    assert paired.mcnemar_exact(better, worse) == pytest.approx(min(1.0, expected), rel=1e-9)


def test_mcnemar_matches_a_hand_calculation():
    # 5 better, 0 worse: 2 * (1/2)^5 = 1/16
    assert paired.mcnemar_exact(5, 0) == pytest.approx(0.0625)


def _score_statistic_by_likelihood(better, worse, n, d):
    """Tango's statistic with the constrained likelihood maximised numerically: no formula shared with the code."""

    def minus_log(q):
        p12, p21 = q + d, q
        rest = 1 - p12 - p21
        parts = ((better, p12), (worse, p21), (n - better - worse, rest))
        return -sum(k * math.log(max(p, 1e-300)) for k, p in parts if k)

    low, high = max(0.0, -d), (1 - d) / 2
    q = optimize.minimize_scalar(minus_log, bounds=(low, high), method="bounded", options={"xatol": 1e-12}).x
    return (better - worse - n * d) / math.sqrt(n * (2 * q + d * (1 - d)))


@pytest.mark.parametrize(("better", "worse", "n"), [(37, 16, 218), (5, 0, 30), (150, 86, 1600), (3, 9, 40)])
def test_tango_is_where_the_score_test_begins_to_refuse(better, worse, n):
    low, high = paired.tango(better, worse, n)
    assert _score_statistic_by_likelihood(better, worse, n, low) == pytest.approx(1.959964, abs=2e-3)
    assert _score_statistic_by_likelihood(better, worse, n, high) == pytest.approx(-1.959964, abs=2e-3)


def test_tango_without_disagreement_matches_a_hand_calculation():
    # T(d) = -n d / sqrt(n d (1 - d)) = -z  =>  n d = z^2 (1 - d)  =>  d = z^2 / (n + z^2) = 3.8415 / 103.8415
    low, high = paired.tango(0, 0, 100)
    assert (low, high) == (pytest.approx(-0.036994, abs=1e-5), pytest.approx(0.036994, abs=1e-5))


@given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 60))
@settings(max_examples=60)
def test_tango_holds_the_estimate_and_mirrors(better, worse, rest):
    n = better + worse + rest
    if n == 0:
        return
    low, high = paired.tango(better, worse, n)
    assert -1 <= low <= (better - worse) / n <= high <= 1
    back = paired.tango(worse, better, n)
    assert back == (pytest.approx(-high, abs=1e-9), pytest.approx(-low, abs=1e-9))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
@settings(max_examples=20)  # one call of the reference takes 0.15 s
def test_holm_equals_statsmodels(p_values):
    assert c.holm(p_values) == pytest.approx(multipletests(p_values, method="holm")[1].tolist())


def test_bootstrap_of_a_mean_agrees_with_scipy():
    rng = np.random.default_rng(3)
    was = rng.random(200)
    now = np.clip(was + rng.normal(0.05, 0.2, 200), 0, 1)
    found = paired.paired_difference(SCORE, arm(1, score=was), arm(2, score=now), (), seed=5)
    truth = stats.bootstrap(((now - was),), np.mean, n_resamples=20_000, method="percentile", rng=rng)
    assert found.difference == pytest.approx(float((now - was).mean()))
    assert found.low == pytest.approx(truth.confidence_interval.low, abs=0.003)
    assert found.high == pytest.approx(truth.confidence_interval.high, abs=0.003)
    assert found.standard_error == pytest.approx(float((now - was).std(ddof=1)) / math.sqrt(200), rel=0.06)


def test_the_same_seed_gives_the_same_interval():
    rng = np.random.default_rng(1)
    a, b = arm(1, score=rng.random(80)), arm(2, score=rng.random(80))
    assert paired.paired_difference(SCORE, a, b, (), seed=9) == paired.paired_difference(
        SCORE, a, b, (), seed=9
    )
    assert paired.paired_difference(SCORE, a, b, (), seed=9) != paired.paired_difference(
        SCORE, a, b, (), seed=10
    )


def test_macro_f1_equals_scikit_learn():
    rng = np.random.default_rng(2)
    expected = rng.choice(["a", "b", "c"], 120).tolist()
    said = [e if rng.random() < 0.6 else str(rng.choice(["a", "b", "c", "other"])) for e in expected]
    found = paired.paired_difference(MACRO, arm(1, predicted=expected), arm(2, predicted=said), expected)
    truth = f1_score(expected, said, labels=["a", "b", "c"], average="macro")
    assert found.baseline == pytest.approx(1.0)
    assert found.candidate == pytest.approx(truth)
    assert found.low < found.difference < found.high < 0


def test_the_95th_percentile_of_latency_is_interpolated():
    was, now = list(range(101)), [v * 2 for v in range(101)]
    found = paired.paired_difference(LATENCY, arm(1, latency=was), arm(2, latency=now), ())
    assert (found.baseline, found.candidate) == (pytest.approx(95), pytest.approx(190))
    assert found.low > 0


def test_rows_unscored_on_either_side_are_left_out_of_both():
    found = paired.paired_difference(
        CORRECT, arm(1, correct=[1.0, None, 0.0, 1.0]), arm(2, correct=[1.0, 0.0, None, 0.0]), ()
    )
    assert (found.n, found.baseline, found.candidate) == (2, 1.0, 0.5)
    none = paired.paired_difference(CORRECT, arm(1, correct=[None]), arm(2, correct=[1.0]), ())
    assert (none.n, none.difference, none.p) == (0, None, None)


def test_other_rows_are_not_compared():
    with pytest.raises(ValueError, match="different rows"):
        paired.paired_difference(CORRECT, arm(1, correct=[1.0]), arm(2, correct=[1.0, 0.0]), ())


@pytest.mark.parametrize(
    ("low", "high", "p", "n", "exact", "verdict"),
    [
        pytest.param(0.032, 0.161, 0.01, 218, True, Verdict.BETTER, id="above zero"),
        pytest.param(-0.16, -0.03, 0.01, 218, True, Verdict.WORSE, id="below zero"),
        pytest.param(-0.01, 0.015, 0.8, 900, True, Verdict.EQUIVALENT, id="inside the margin"),
        pytest.param(0.001, 0.019, 0.03, 900, True, Verdict.EQUIVALENT, id="proven but too small to matter"),
        pytest.param(
            -0.01, 0.05, 0.3, 100, True, Verdict.UNDECIDED, id="holds zero and more than the margin"
        ),
        pytest.param(0.005, 0.06, 0.08, 100, True, Verdict.UNDECIDED, id="not after Holm"),
        pytest.param(0.03, 0.2, 0.001, 29, False, Verdict.UNDECIDED, id="too few for a bootstrap"),
        pytest.param(None, None, None, 0, True, Verdict.UNDECIDED, id="no data is not a pass"),
    ],
)
def test_verdicts(low, high, p, n, exact, verdict):
    middle = None if low is None else (low + high) / 2
    found = paired.Difference(n, 0.8, 0.9, middle, low, high, p, 0.03, "")
    assert (
        c.decide(found, higher_is_better=True, margin=0.02, p_holm=p, alpha=0.05, exact=exact)[0] is verdict
    )


def test_slower_and_dearer_are_worse():
    # D22: latency 1 s -> 2 s counted as +100 % improvement in the chapter
    rng = np.random.default_rng(0)
    was = rng.normal(1000, 50, 100)
    decided = c.compare(
        [arm(1, latency=was, cost=[100.0] * 100), arm(2, latency=was * 2, cost=[50.0] * 100)],
        baseline_key=1,
        measures=[LATENCY, COST],
    )
    slow, cheap = decided.lines
    assert (slow.verdict, cheap.verdict) == (Verdict.WORSE, Verdict.BETTER)
    assert slow.improvement == pytest.approx(-1.0, abs=0.01)
    assert cheap.improvement == pytest.approx(0.5)


def test_each_measure_has_its_own_p():
    # D21: the chapter tested one column for every metric
    was, now = right_wrong(150, 37, 16, 15)
    rng = np.random.default_rng(4)
    latency = rng.normal(900, 90, 218)
    decided = c.compare(
        [arm(1, correct=was, latency=latency), arm(2, correct=now, latency=latency)],
        baseline_key=1,
        measures=[CORRECT, LATENCY],
    )
    assert decided.lines[0].p == pytest.approx(paired.mcnemar_exact(37, 16))
    assert decided.lines[1].p == 1.0
    assert decided.family == 2
    assert decided.lines[0].p_holm == pytest.approx(2 * decided.lines[0].p)


def test_a_comparison_matches_the_page_it_was_drawn_for():
    # 218 rows, 37 better, 16 worse: +9.6 points; Tango 3.2 to 16.2, exact McNemar 0.0055
    was, now = right_wrong(160, 37, 16, 5)
    line = c.compare([arm(1, correct=was), arm(2, correct=now)], baseline_key=1, measures=[CORRECT]).lines[0]
    assert line.difference == pytest.approx(21 / 218)
    assert (round(line.low, 3), round(line.high, 3)) == (0.032, 0.162)
    assert line.p == pytest.approx(stats.binomtest(16, 53).pvalue)
    assert line.verdict is Verdict.BETTER


def test_all_zero_scores_have_a_winner_and_a_tie():
    # D19: the chapter began at 0 with ">" and found nobody
    decided = c.compare(
        [arm(1, "one", correct=[0.0] * 9), arm(2, "two", correct=[0.0] * 9)],
        baseline_key=1,
        measures=[CORRECT],
    )
    assert decided.winners[0].value == 0.0
    assert len(decided.winners[0].tied_with) == 1


def test_few_equal_rows_prove_nothing():
    # 3 rows that agree: z^2 / (3 + z^2) = 56 points either way
    decided = c.compare(
        [arm(1, correct=[1.0] * 3), arm(2, correct=[1.0] * 3)], baseline_key=1, measures=[CORRECT]
    )
    assert decided.lines[0].verdict is Verdict.UNDECIDED
    scores = c.compare([arm(1, score=[0.5] * 40), arm(2, score=[0.5] * 40)], baseline_key=1, measures=[SCORE])
    assert scores.lines[0].verdict is Verdict.UNDECIDED


def test_rows_and_labels_are_counted_worst_first():
    expected = ["a", "a", "b", "b"]
    decided = c.compare(
        [
            arm(1, correct=[1, 1, 0, 1], predicted=["a", "a", "a", "b"]),
            arm(2, correct=[0, 0, 1, 1], predicted=["b", "", "b", "b"]),
        ],
        baseline_key=1,
        measures=[CORRECT],
        expected=expected,
    )
    assert decided.rows[2] == c.RowCounts(worse=2, better=1, same=1, unscored=0)
    assert decided.labels[2] == (c.LabelChange("a", 2, 2, 0), c.LabelChange("b", 2, 1, 2))


def test_more_rows_matches_a_hand_calculation():
    # difference 0.05, standard error 0.03 over 100 rows: spread 0.3; ((1.95996 + 0.84162) * 0.3 / 0.05)^2 = 282.6
    # 282.6 - 100 = 182.6, rounded up to two digits: 190
    found = paired.Difference(100, 0.8, 0.85, 0.05, -0.01, 0.11, 0.1, 0.03, "")
    assert c.more_rows(found, margin=0.02, alpha=0.05) == 190
    none = paired.Difference(100, 0.8, 0.8, 0.0, -0.01, 0.01, 1.0, 0.0, "")
    assert c.more_rows(none, margin=None, alpha=0.05) is None


def test_chance_is_called_better_or_worse_in_at_most_one_of_twenty():
    # D23: the chapter's z-test gave 11.8 % at n = 5; 300 comparisons of equal candidates, right 70 % each
    rng = np.random.default_rng(11)
    false = 0
    for _ in range(300):
        was, now = (rng.random(60) < 0.7).astype(float), (rng.random(60) < 0.7).astype(float)
        line = c.compare(
            [arm(1, correct=was), arm(2, correct=now)], baseline_key=1, measures=[CORRECT]
        ).lines[0]
        false += line.verdict in (Verdict.BETTER, Verdict.WORSE)
    assert false / 300 <= 0.05


def test_a_comparison_needs_its_baseline():
    with pytest.raises(ValueError, match="two candidates"):
        c.compare([arm(1, correct=[1.0])], baseline_key=1, measures=[CORRECT])
