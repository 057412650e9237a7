"""Kappa and alpha: by hand, by the published examples, and against statsmodels."""

from __future__ import annotations

import random

import numpy as np
import pytest
from statsmodels.stats.inter_rater import cohens_kappa

from datasets.domain.agreement import cohen_kappa, krippendorff_alpha

_ = None


def readings(*readers: str) -> list[list[str]]:
    """Rows of answers from one text a reader; a point is a missing answer."""
    return [[a for a in answers if a != "."] for answers in zip(*(r.split() for r in readers), strict=True)]


def test_kappa_matches_a_hand_calculation():
    # 50 rows: 20 yes-yes, 5 yes-no, 10 no-yes, 15 no-no. Observed 0.7; yes 25/50 and 30/50, no 25/50 and 20/50:
    # expected 0.5 · 0.6 + 0.5 · 0.4 = 0.5; kappa (0.7 - 0.5) / 0.5 = 0.4.
    first = ["y"] * 25 + ["n"] * 25
    second = ["y"] * 20 + ["n"] * 5 + ["y"] * 10 + ["n"] * 15
    found = cohen_kappa(first, second)
    assert found.value == pytest.approx(0.4)
    # Fleiss, Cohen and Everitt: on the diagonal .4 (1 - 1.1 · .6)² + .3 (1 - .9 · .6)² = .10972, off it
    # .6² (.1 · 1.1² + .2 · .9²) = .10188, less (.4 - .5 · .6)² = .01; .2016 / (50 · .5²) = .016128, its root .126996
    assert (found.high - found.low) / 2 == pytest.approx(1.959964 * 0.126996, abs=1e-5)


def test_kappa_and_its_interval_are_those_of_statsmodels():
    chance = random.Random(3)
    for n_names in (2, 3, 6):
        first = [chance.randrange(n_names) for _ in range(300)]
        second = [a if chance.random() < 0.7 else chance.randrange(n_names) for a in first]
        table = np.zeros((n_names, n_names))
        for a, b in zip(first, second, strict=True):
            table[a, b] += 1
        theirs, ours = cohens_kappa(table), cohen_kappa(first, second)
        assert ours.value == pytest.approx(theirs.kappa, abs=1e-12)
        assert (ours.low, ours.high) == pytest.approx((theirs.kappa_low, theirs.kappa_upp), abs=1e-9)


@pytest.mark.parametrize(
    ("units", "alpha"),
    [
        # Krippendorff 2011, A: two observers, ten articles, 0 and 1
        (readings("0 1 0 0 0 0 0 0 1 0", "1 1 1 0 0 1 0 0 0 0"), 0.095),
        # B: five values, twelve units
        (readings("a a b b d c c c e d d a", "b a b b b c c c e d d d"), 0.692),
        # C: four observers, missing answers
        (
            readings(
                "1 2 3 3 2 1 4 1 2 . . .",
                "1 2 3 3 2 2 4 1 2 5 . 3",
                ". 3 3 3 2 3 4 2 2 5 1 .",
                "1 2 3 3 2 4 4 1 2 5 1 .",
            ),
            0.743,
        ),
    ],
    ids=["binary", "two observers, five values", "four observers with gaps"],
)
def test_alpha_is_that_of_the_published_examples(units, alpha):
    found = krippendorff_alpha(units)
    assert found.value == pytest.approx(alpha, abs=5e-4)
    assert found.low <= found.value <= found.high


def test_the_interval_of_alpha_covers_the_truth_about_as_often_as_it_says():
    """Two readers, each right with 90 %: alpha of the population is 1 - 0.18 / 0.5 = 0.64."""
    chance = random.Random(5)
    covered = 0
    for round_ in range(400):
        units = []
        for _row in range(150):
            truth = chance.random() < 0.5
            units.append([truth ^ (chance.random() < 0.1) for _reader in range(2)])
        found = krippendorff_alpha(units, seed=round_)
        covered += found.low <= 0.64 <= found.high
    assert 360 <= covered <= 395, covered  # 95 % of 400 is 380; bootstrap intervals run a little short


@pytest.mark.parametrize(
    ("units", "n"), [([], 0), ([["a"], []], 0), ([["a", "a"]] * 5, 5)], ids=["none", "alone", "all the same"]
)
def test_where_answers_cannot_tell_there_is_a_reason_and_no_number(units, n):
    found = krippendorff_alpha(units)
    assert (found.n, found.value, bool(found.words)) == (n, None, True)
    pairs = [unit for unit in units if len(unit) == 2]
    kappa = cohen_kappa([p[0] for p in pairs], [p[1] for p in pairs])
    assert (kappa.n, kappa.value) == (n, None)


def test_full_agreement_is_one_and_systematic_disagreement_below_zero():
    assert krippendorff_alpha([["a", "a"], ["b", "b"]]).value == pytest.approx(1)
    assert cohen_kappa("abab", "abab").value == pytest.approx(1)
    assert krippendorff_alpha([["a", "b"]] * 9).value < 0
    assert cohen_kappa("abab", "baba").value == pytest.approx(-1)
    assert cohen_kappa("abab", "abab").words == "almost perfect"
