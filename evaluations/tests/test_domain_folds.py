"""Two configurations over the same folds: paired, and rows that belong together count once."""

from __future__ import annotations

import pytest

from evaluations.domain.folds import compare_over_folds
from evaluations.domain.paired import mcnemar_exact, tango
from evaluations.domain.statuses import Verdict

FIVE = [i % 5 + 1 for i in range(200)]


def both(better, worse, same):
    """Right or wrong of baseline and candidate: candidate better, worse, and the same."""
    pairs = [(False, True)] * better + [(True, False)] * worse + [(True, True)] * same
    return [p[0] for p in pairs], [p[1] for p in pairs]


def test_single_rows_give_tango_and_mcnemar():
    baseline, candidate = both(30, 10, 160)
    found = compare_over_folds(baseline, candidate, units=range(200), folds=[i % 5 + 1 for i in range(200)])
    assert (found.better, found.worse) == (30, 10)
    # five models that learnt from much the same rows: 5/6
    assert found.effective == pytest.approx(200 * 5 / 6)
    assert found.found.difference == pytest.approx(0.10)
    assert (found.found.low, found.found.high) == pytest.approx(tango(25, 50 / 6, 1000 / 6))
    assert found.found.p == pytest.approx(mcnemar_exact(30, 10))
    assert found.verdict is Verdict.BETTER
    # every fold holds 6 better, 2 worse of 40 rows: 4 / 40
    assert [(f.fold, f.n) for f in found.folds] == [(k, 40) for k in range(1, 6)]
    assert [f.difference for f in found.folds] == pytest.approx([0.1] * 5)


def test_rows_of_one_customer_that_move_together_prove_less():
    # 40 customers of 5 rows; 6 all better, 2 all worse: mean 20/200 = .1; net 5, -5 or 0 a customer.
    # whole: (6 * (5 - .5)^2 + 2 * (5 + .5)^2 + 32 * .25) * 40/39 / 200^2 = (121.5 + 60.5 + 8) * 40/39 / 40000 = .0048718
    # single: (40/200 - .01) / 200 = .00095; design effect 5.1282, t(39) = 2.02269: 200 / 5.1282 * .93896 = 36.62, 5/6 of it
    baseline, candidate = both(30, 10, 160)
    found = compare_over_folds(baseline, candidate, units=[i // 5 for i in range(200)], folds=FIVE)
    assert found.effective == pytest.approx(36.62 * 5 / 6, abs=0.02)
    assert found.n_units == 40
    # a customer votes once: 6 against 2, two-sided 2 * (1 + 8 + 28) / 256
    assert found.found.p == pytest.approx(2 * 37 / 256)
    assert found.verdict is Verdict.UNDECIDED
    plain = compare_over_folds(baseline, candidate, units=range(200), folds=FIVE)
    assert found.found.high - found.found.low > 2 * (plain.found.high - plain.found.low)


def test_nobody_moved_is_equivalent_only_with_enough_independent_rows():
    right = [True] * 400
    # 400 * 5/6 rows: +-z^2 / (n + z^2) = 3.84 / 337.2 = .0114, within 2 points
    assert compare_over_folds(right, right, units=range(400), folds=FIVE * 2).verdict is Verdict.EQUIVALENT
    # 20 customers of 20 rows are worth 20 rows at most
    few = compare_over_folds(right, right, units=[i // 20 for i in range(400)], folds=FIVE * 2)
    assert few.verdict is Verdict.UNDECIDED
    assert few.effective < 20


@pytest.mark.parametrize(
    ("baseline", "candidate"),
    [([], []), ([True], []), ([True, False], [True])],
    ids=["none", "one", "unequal"],
)
def test_other_rows_are_refused(baseline, candidate):
    with pytest.raises(ValueError, match="same rows"):
        compare_over_folds(baseline, candidate, units=[0] * len(baseline), folds=[1] * len(baseline))


def test_one_customer_alone_proves_nothing():
    baseline, candidate = both(10, 0, 0)
    found = compare_over_folds(baseline, candidate, units=[7] * 10, folds=[1] * 10)
    assert found.verdict is Verdict.UNDECIDED
    assert found.found.p == 1.0
