"""Two configurations over the same folds: paired, and rows that belong together count once."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

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


@pytest.mark.parametrize("n", [49, 98, 103, 107])
def test_one_customer_of_any_size_is_compared(n):
    # n * (1 / n) is a hair below 1 for these
    found = compare_over_folds([True] * n, [False] * n, units=[7] * n, folds=[i % 2 for i in range(n)])
    assert found.worse == n
    assert -1 <= found.found.low <= found.found.high <= 1


@given(n=st.integers(2, 60), k=st.integers(2, 10), better=st.integers(0, 60))
@settings(max_examples=60, deadline=None)
@example(n=11, k=5, better=3)
def test_rows_that_all_moved_are_compared(n, k, better):
    baseline = [i >= better for i in range(n)]
    found = compare_over_folds(
        baseline, [not was for was in baseline], units=range(n), folds=[i % k for i in range(n)]
    )
    assert found.better + found.worse == n
    assert found.found.low <= found.found.difference + 1e-9
    assert found.found.high >= found.found.difference - 1e-9


@pytest.mark.parametrize(("better", "worse"), [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_a_moved_row_does_not_prove_what_none_that_moved_leaves_open(better, worse):
    # 80 customers of 5: nobody moved is worth 80 rows at most, and one moved row tells nothing of how customers move
    baseline, candidate = both(better, worse, 400 - better - worse)
    units = [i % 80 for i in range(400)]
    found = compare_over_folds(baseline, candidate, units=units, folds=[u % 5 for u in units])
    assert found.verdict is Verdict.UNDECIDED
    assert found.effective < 85


def test_customers_of_unequal_size_count_as_few():
    # one customer with half of the rows: 200^2 / (100^2 + 100) = 3.96, t(2.96) = 3.2 and not t(100) = 1.98
    baseline, candidate = both(60, 60, 80)
    pairs = list(zip(baseline, candidate, strict=True))
    pairs = pairs[::2] + pairs[1::2]
    units = [0] * 100 + list(range(1, 101))
    found = compare_over_folds([p[0] for p in pairs], [p[1] for p in pairs], units=units, folds=FIVE)
    assert found.effective < 200 * (1.96 / 3.18) ** 2


def test_an_interval_without_its_test_says_which_test():
    # 6 better, none worse, customers of 1: the interval leaves zero out, McNemar: 2 / 2^6 = .031; 5: .0625
    baseline, candidate = both(5, 0, 20)
    found = compare_over_folds(baseline, candidate, units=range(25), folds=[i % 5 for i in range(25)])
    assert found.found.low > 0
    assert found.verdict is Verdict.UNDECIDED
    assert "Holm" not in found.why
    assert "exact test" in found.why
