from __future__ import annotations

import random

import pytest

from deployments.domain.drift import Settings, holm, read_drift, strongest_change, tell
from deployments.domain.wording import read_wording

COMMON = "my parcel never came please send the money back for this order number again".split()
SETTINGS = Settings(n_permutations=199)


def texts(n, *, seed, new="", share=0.0):
    """n texts of eight common words; `new` stands in that share of them."""
    rng = random.Random(seed)
    return [" ".join([*rng.sample(COMMON, 8), *([new] if rng.random() < share else [])]) for _ in range(n)]


def test_a_new_word_is_found_and_named_with_its_shares():
    found = read_wording(
        texts(400, seed=1, new="locker", share=0.02), texts(300, seed=2, new="locker", share=0.3),
        settings=SETTINGS, seed=5,
    )  # fmt: skip
    assert found.bins.names[0] == "locker" and found.word_p[0] == pytest.approx(1 / 200)
    assert found.reference_counts[-1] == 400 and found.current_counts[-1] == 300
    [judged] = read_drift({}, {}, settings=SETTINGS, seed=1, more=[found])
    assert judged.is_drifted and judged.advice == "retrain_needed"
    # The shares are counts of texts: of 400 and of 300.
    before, now = found.reference_counts[0] / 400, found.current_counts[0] / 300
    assert (
        strongest_change(judged).split(",")[0] == f"Words in texts: “locker” from {before:.1%} to {now:.1%}."
    )
    assert tell([judged], n_current=300, min_sample=100)[0] == "drifted"


def test_the_same_words_are_steady_and_chance_finds_as_often_as_alpha_says():
    """Two samples of one source: at most 1 of 20 at alpha .05 is expected, 5 of 20 has p < .003."""
    false_alarms = 0
    for seed in range(20):
        found = read_wording(
            texts(150, seed=100 + seed), texts(150, seed=200 + seed), settings=Settings(n_permutations=100), seed=seed
        )  # fmt: skip
        [judged] = read_drift({}, {}, settings=SETTINGS, seed=1, more=[found])
        false_alarms += judged.is_drifted
    assert false_alarms < 5


@pytest.mark.parametrize(
    ("before", "now"),
    [
        pytest.param([], [], id="nothing"),
        pytest.param(texts(99, seed=1), texts(500, seed=2), id="too few rows"),
        pytest.param(texts(500, seed=1), texts(99, seed=2), id="too few requests"),
        pytest.param(["same words"] * 200, ["same words"] * 200, id="every text the same"),
        pytest.param(["12 34"] * 200, ["?!"] * 200, id="no words at all"),
    ],
)
def test_what_says_nothing_says_nothing(before, now):
    found = read_wording(before, now, settings=SETTINGS, seed=1)
    assert found.divergence is None and found.advice == "too_few" and strongest_change(found) == ""


def test_words_are_corrected_together_with_the_other_features():
    found = read_wording(
        texts(400, seed=1), texts(300, seed=2, new="locker", share=0.3), settings=SETTINGS, seed=5
    )
    judged = read_drift({}, {}, settings=SETTINGS, seed=1, more=[found, found])
    assert [r.p_adjusted for r in judged] == holm([found.p_value, found.p_value])
