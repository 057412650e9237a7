"""Power, intervals, the gate, statistics and samples: figures worked out by hand or taken from the source."""

from __future__ import annotations

from fractions import Fraction

import pytest

from datasets.domain.gate import Gate, size_gate
from datasets.domain.power import mcnemar_power, power_sentence, rows_needed, wilson
from datasets.domain.review import sample_size, stratified_sample
from datasets.domain.stats import imbalance, stats


def test_power_is_the_one_the_source_lacks_at_fifty_and_two_hundred_rows():
    # D17: 75 → 85 % with 20 % of the rows answered differently
    assert mcnemar_power(50) == pytest.approx(0.24, abs=0.005)
    assert mcnemar_power(200) == pytest.approx(0.88, abs=0.006)


def test_power_of_few_rows_matches_a_hand_calculation():
    # Exact two-sided test at 0.05 needs 6 discordant rows, all on one side (2 · 0.5^6 = 0.031; 5 give 0.0625).
    # With n = 6 and every row discordant, wins 0.9: power = 0.9^6 + 0.1^6.
    value = mcnemar_power(6, baseline=0.1, improved=0.9, discordant=1.0)
    assert value == pytest.approx(0.9**6 + 0.1**6, abs=1e-9)
    assert mcnemar_power(5, baseline=0.1, improved=0.9, discordant=1.0) == 0


def test_rows_needed_reach_the_power_and_one_fewer_does_not_keep_it():
    n = rows_needed()
    assert all(mcnemar_power(m) >= 0.8 for m in range(n, n + 11))
    assert min(mcnemar_power(m) for m in range(n - 1, n + 10)) < 0.8


def test_power_grows_into_the_normal_approximation_without_a_step():
    exact, approximate = mcnemar_power(500), mcnemar_power(501)
    assert abs(exact - approximate) < 0.01
    assert mcnemar_power(1_000_000) == pytest.approx(1)


@pytest.mark.parametrize("n", [0, -1])
def test_without_test_rows_nothing_is_seen(n):
    assert mcnemar_power(n) == 0
    assert "nothing can be claimed" in power_sentence(n)


def test_shares_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="between the improvement and 1"):
        mcnemar_power(100, discordant=0.05)


def test_the_sentence_says_what_a_test_sees():
    assert power_sentence(200) == "200 test rows see an improvement from 75% to 85% with 88% power."
    assert "168 rows would see it with 80%" in power_sentence(50)
    # 1,000 rows miss such an improvement less than once in a million: still no certainty
    assert power_sentence(1000) == "1,000 test rows see an improvement from 75% to 85% with over 99% power."


def test_wilson_gives_the_interval_of_the_source():
    low, high = wilson(42, 50)
    assert (round(100 * low, 1), round(100 * high, 1)) == (71.5, 91.7)
    assert wilson(0, 0) == (0, 1)


@pytest.mark.parametrize(
    ("n", "reason", "state"),
    [
        pytest.param(0, "we need it now", Gate.BLOCKED, id="no rows are blocked, whatever the reason"),
        pytest.param(499, "", Gate.BLOCKED, id="below 500 is blocked"),
        pytest.param(499, "too short", Gate.BLOCKED, id="a word is no reason"),
        pytest.param(499, "a pilot with one team", Gate.OVERRIDDEN, id="a reason lifts it"),
        pytest.param(500, "", Gate.WARNED, id="500 is warned"),
        pytest.param(1999, "", Gate.WARNED, id="below 2,000 is warned"),
        pytest.param(2000, "", Gate.OPEN, id="2,000 is open"),
    ],
)
def test_the_size_gate_stands_where_the_source_puts_it(n, reason, state):
    gate = size_gate(n, override_reason=reason)
    assert gate.state is state
    assert gate.is_blocked is (state is Gate.BLOCKED)
    assert (gate.folds > 0) is (0 < n < 2000)


def test_statistics_count_characters_and_match_a_hand_calculation():
    found = stats([5, 10, 30], [1, 1, 4], ["a", "b", "a"])
    assert (found.prompt.min, found.prompt.max, found.prompt.avg, found.prompt.median) == (5, 30, 15.0, 10.0)
    assert found.completion.avg == 2.0
    assert found.labels == {"a": 2, "b": 1}
    assert found.prompt.histogram[:4] == (1, 1, 1, 0)
    assert sum(found.prompt.histogram) == 3


def test_statistics_of_nothing_are_not_zero_and_no_error():
    # D14: the source calls min() of nothing
    found = stats([], [])
    assert (found.total, found.prompt.min, found.prompt.avg) == (0, None, None)


def test_imbalance_is_largest_over_smallest():
    assert imbalance({"a": 40, "b": 4}) == 10
    assert imbalance({"a": 40}) is None


@pytest.mark.parametrize(
    ("n", "share", "size"),
    [(0, 0.1, 0), (1, 0.1, 1), (10, 0.1, 1), (11, 0.1, 2), (1000, 0.1, 100), (7, 1, 7)],
)
def test_a_review_sample_is_the_share_rounded_up(n, share, size):
    assert sample_size(n, share) == size


@pytest.mark.parametrize("share", [0, -0.1, 1.1])
def test_a_share_outside_its_range_is_refused(share):
    with pytest.raises(ValueError, match="above 0"):
        sample_size(10, share)


def test_a_sample_is_stratified_and_hangs_on_the_rows_not_their_order():
    digests = [bytes([i]) * 32 for i in range(100)]
    labels = ["rare" if i < 20 else "common" for i in range(100)]
    chosen = stratified_sample(digests, labels, size=10, seed="s")
    assert sum(labels[i] == "rare" for i in chosen) == 2
    turned = stratified_sample(digests[::-1], labels[::-1], size=10, seed="s")
    assert [digests[i] for i in chosen] == [digests[::-1][i] for i in turned]
    assert stratified_sample(digests, labels, size=10, seed="other") != chosen
    assert Fraction(len(chosen), len(digests)) == Fraction(1, 10)
