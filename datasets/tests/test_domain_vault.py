"""How many looks a test bears: order statistics from the table, the rule by hand, and by simulation."""

from __future__ import annotations

from math import sqrt

import numpy as np
import pytest

from datasets.domain.vault import BEARABLE, expected_best, lift_by_luck, looks_borne, wear


@pytest.mark.parametrize(
    ("k", "value"),
    # David and Nagaraja, expected maximum of k standard normals
    [(1, 0), (2, 0.56419), (3, 0.84628), (4, 1.02938), (5, 1.16296), (10, 1.53875), (20, 1.86748)],
)
def test_the_expected_best_of_k_is_that_of_the_table(k, value):
    assert expected_best(k) == pytest.approx(value, abs=1e-4)


def test_two_hundred_rows_bear_ten_looks_and_fifty_bear_two():
    # 200 rows: standard error sqrt(.2 / 200) = 0.03162; 0.05 / 0.03162 = 1.581; ten give 1.539, eleven 1.586
    assert looks_borne(200) == 10
    # 50 rows: 0.06325; 0.05 / 0.06325 = 0.791; two give 0.564, three 0.846
    assert looks_borne(50) == 2
    assert looks_borne(1) == looks_borne(0) == 1
    assert looks_borne(100_000) == 200


def test_the_lift_is_what_picking_the_best_of_equals_shows():
    """Ten candidates as good as the baseline, 200 rows, a fifth of them answered differently: simulated."""
    chance = np.random.default_rng(1)
    differences = chance.choice([-1, 0, 1], p=[0.1, 0.8, 0.1], size=(4000, 10, 200)).mean(axis=2)
    assert differences.max(axis=1).mean() == pytest.approx(lift_by_luck(200, 10), rel=0.03)
    assert lift_by_luck(200, 10) == pytest.approx(sqrt(0.2 / 200) * 1.53875, abs=1e-5)
    assert lift_by_luck(200, 10) <= BEARABLE < lift_by_luck(200, 11)


def test_wear_says_what_is_left_and_when_to_draw_fresh_rows():
    assert wear(200, 0).sentence == "Nobody has looked yet. 200 test rows bear 10 looks."
    assert wear(1, 0).sentence == "Nobody has looked yet. 1 test row bears 1 look."
    assert (wear(200, 9).is_worn, wear(200, 9).n_left) == (False, 1)
    worn = wear(200, 10)
    assert worn.is_worn
    assert "Draw fresh rows" in worn.sentence
    assert not wear(0, 5).is_worn
