"""Cross-validation: who teaches and who is judged, and intervals that count rows which belong together once."""

from __future__ import annotations

import hashlib
from collections import Counter

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from datasets.domain.crossvalidation import (
    MOST_ROWS,
    FoldRow,
    FoldsDivided,
    Judged,
    apart_p,
    choosing_rows,
    corrected_t,
    offer,
    plan_folds,
    summarise,
)
from datasets.domain.dependence import clustered_share, few_units
from datasets.domain.power import wilson
from datasets.domain.splitting import folds_of
from datasets.domain.statuses import Split


def row(key, fold, unit=None, label="a", written_from=None):
    given_rows = None if written_from is None else frozenset(written_from)
    digest = hashlib.sha256(str(key).encode()).digest()
    return FoldRow(key, digest, fold, key if unit is None else unit, label, given_rows)


def test_each_fold_teaches_with_the_others_and_judges_its_own():
    folds = plan_folds([row(1, 1), row(2, 2), row(3, 1), row(4, 3)], n_folds=3)
    assert [(f.number, f.train, f.held) for f in folds] == [
        (1, (1, 3), (0, 2)),
        (2, (0, 2, 3), (1,)),
        (3, (0, 1, 2), (3,)),
    ]


def test_a_written_row_teaches_but_where_a_row_it_came_from_is_judged():
    # 5 was written from 1 (fold 1); 6 from nobody, and stands with 2 (fold 2); 7 from a row that is gone
    rows = [
        row(1, 1), row(2, 2), row(3, 1), row(4, 2),
        row(5, 2, written_from=[1]), row(6, 2, unit=2, written_from=[]), row(7, 1, written_from=[99]),
    ]  # fmt: skip
    one, two = plan_folds(rows, n_folds=2)
    assert (one.held, one.train, one.left_out) == ((0, 2), (1, 3, 5, 6), (4,))
    assert (two.held, two.train, two.left_out) == ((1, 3), (0, 2, 4, 6), (5,))


def test_a_unit_in_two_folds_is_refused():
    with pytest.raises(FoldsDivided):
        plan_folds([row(1, 1, unit=7), row(2, 2, unit=7), row(3, 2)], n_folds=2)


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        pytest.param([row(1, 0), row(2, 1)], "fold 0 of 2", id="a row without a fold"),
        pytest.param(
            [row(1, 1), row(2, 1)], "nothing to learn|anything to learn", id="one unit is everything"
        ),
        pytest.param([row(1, 1), row(2, 2, written_from=[])], "Fewer than two", id="one fold holds rows"),
    ],
)
def test_folds_that_cannot_be_are_a_sentence(rows, sentence):
    with pytest.raises(ValueError, match=sentence):
        plan_folds(rows, n_folds=2)


many = st.lists(
    st.tuples(st.sampled_from("abc"), st.integers(0, 30), st.booleans(), st.integers(0, 60)),
    min_size=12,
    max_size=80,
)


@given(many, st.integers(2, 6))
@settings(max_examples=80, deadline=None)
def test_every_row_of_people_is_judged_once_and_no_unit_stands_on_both_sides(found, n_folds):
    digests = [hashlib.sha256(str(i).encode()).digest() for i in range(len(found))]
    labels, units = [f[0] for f in found], [f[1] for f in found]
    places = folds_of(
        digests, [Split.TRAIN] * len(found), seed="s", n_folds=n_folds, labels=labels, units=units
    )
    rows = [
        FoldRow(
            i, digests[i], places[i], units[i], labels[i], frozenset({f[3]}) if f[2] and i % 3 == 0 else None
        )
        for i, f in enumerate(found)
    ]
    try:
        folds = plan_folds(rows, n_folds=n_folds)
    except FoldsDivided:
        raise
    except ValueError:
        return
    judged = Counter(i for fold in folds for i in fold.held)
    assert judged == Counter(i for i, r in enumerate(rows) if r.is_judged)
    for fold in folds:
        assert not {rows[i].unit for i in fold.train} & {rows[i].unit for i in fold.held}
        keys = {rows[i].key for i in fold.held}
        assert not any(rows[i].written_from & keys for i in fold.train if not rows[i].is_judged)
        assert sorted((*fold.train, *fold.held, *fold.left_out)) == list(range(len(rows)))
        # what chooses teaches too, leaves something to learn from, and shares no unit with what it judges
        inner = choosing_rows(rows, fold.train, seed="s")
        assert inner < set(fold.train)
        rest = {rows[i].unit for i in fold.train if i not in inner}
        assert not rest & {rows[i].unit for i in inner}
        assert all(rows[i].is_judged for i in inner)
        assert choosing_rows(rows, fold.train, seed="s") == inner
    assert plan_folds(rows, n_folds=n_folds) == folds


@pytest.mark.parametrize("seed", ["a", "b", "c", "d"])
def test_about_a_fifth_chooses_even_where_one_customer_has_most_rows(seed):
    rows = [row(i + 1, 1, unit=0 if i < 300 else i) for i in range(500)]
    # 300 rows are one place, the other 200 stand in four of about 50
    assert 30 <= len(choosing_rows(rows, range(500), seed=seed)) <= 100


# -- intervals -------------------------------------------------------------------------------------------------


def test_single_rows_have_wilsons_interval():
    # 8 of 10: centre (.8 + 3.8415/20) / 1.38415 = .71673, half 1.95996 sqrt(.016 + .0096036) / 1.38415 = .22657
    share = clustered_share([(i, i < 8) for i in range(10)])
    assert (share.n, share.right, share.n_units, share.effective) == (10, 8, 10, 10.0)
    assert (share.low, share.high) == pytest.approx((0.49016, 0.94330), abs=1e-4)


def test_rows_answered_by_models_that_learnt_from_the_same_rows_are_worth_a_little_less():
    # 5 models: 5/6 of 60 rows are 50
    share = clustered_share([(i, i < 48) for i in range(60)], n_models=5)
    assert share.effective == pytest.approx(50)
    assert (share.share, share.n) == (0.8, 60)
    assert (share.low, share.high) == pytest.approx(wilson(40, 50))


def test_rows_of_one_unit_count_for_less():
    # 4 customers of 5 rows, rights 5 5 5 0: sum (Y - .75 * 5)^2 = 3 * 1.5625 + 14.0625 = 18.75, times 4/3 / 400 = .0625;
    # single rows: .1875 / 20 = .009375; design effect 6.667, 3 rows; t(3) = 3.18245: 3 * (1.95996 / 3.18245)^2 = 1.1379
    share = clustered_share([(u, u < 3) for u in range(4) for _ in range(5)])
    assert share.effective == pytest.approx(1.1379, abs=1e-3)
    assert (share.low, share.high) == pytest.approx(wilson(0.75 * share.effective, share.effective))


def test_where_all_are_right_units_count_and_the_interval_stays_open():
    # 10 customers of 4 rows: 40^2 / (10 * 16) = 10 rows, t(9) = 2.26216: 10 * (1.95996 / 2.26216)^2 = 7.5067
    share = clustered_share([(u, True) for u in range(10) for _ in range(4)])
    assert share.effective == pytest.approx(7.5067, abs=1e-3)
    assert share.high == 1.0
    assert 0.6 < share.low < 0.7
    # one customer alone is one row, however often it wrote
    assert clustered_share([(1, True)] * 50).low == pytest.approx(wilson(1, 1)[0])
    with pytest.raises(ValueError, match="at least one"):
        clustered_share([])


def test_units_that_disagree_within_do_not_widen_nor_narrow():
    # each of 20 customers has one right and one wrong: units carry no extra spread, the design effect is floored at 1
    share = clustered_share([(u, bool(k)) for u in range(20) for k in (0, 1)])
    # t(19) = 2.09302
    assert share.effective == pytest.approx(40 * (1.959964 / 2.093024) ** 2, rel=1e-5)


def share_of(units, k=None):
    """Of units given as (size, right)."""
    rows = [(u, i < right) for u, (size, right) in enumerate(units) for i in range(size)]
    return clustered_share(rows, n_models=k)


@given(
    size=st.integers(1, 12),
    rights=st.lists(st.integers(0, 12), min_size=1, max_size=12),
    at=st.integers(0, 11),
    k=st.sampled_from([None, 5]),
)
@settings(max_examples=80, deadline=None)
@example(size=7, rights=[2, 4, 6, 3], at=2, k=None)  # the unit that is ahead gets further ahead
def test_one_more_right_answer_never_lowers_an_end(size, rights, at, k):
    at %= len(rights)
    units = [(size, min(right, size)) for right in rights]
    assume(units[at][1] < size)
    was = share_of(units, k)
    now = share_of([*units[:at], (size, units[at][1] + 1), *units[at + 1 :]], k)
    assert now.low >= was.low - 1e-9
    assert now.high >= was.high - 1e-9


@given(
    units=st.lists(
        st.integers(1, 30).flatmap(lambda size: st.tuples(st.just(size), st.integers(0, size))),
        min_size=2,
        max_size=12,
    )
)
@settings(max_examples=60, deadline=None)
def test_no_answers_end_higher_than_all_right_ones_nor_lower_than_all_wrong_ones(units):
    share = share_of(units)
    assert share.low <= share_of([(size, size) for size, _ in units]).low + 1e-9
    assert share.high >= share_of([(size, 0) for size, _ in units]).high - 1e-9
    assert share.low <= share.share + 1e-9
    assert share.high >= share.share - 1e-9


def test_one_wrong_answer_among_many_tells_nothing_of_how_units_go_together():
    def of(n_wrong):  # 40 customers of 5 rows, the wrong answers of as many customers
        rows = [(u, not (u < n_wrong and i == 0)) for u in range(40) for i in range(5)]
        return clustered_share(rows, n_models=5)

    # 40 * 5/6, t(39) = 2.02269: 31.3 rows; 31.3 / (31.3 + 3.8415) = .891
    assert of(0).low == pytest.approx(0.8907, abs=1e-3)
    assert of(1).low == pytest.approx(of(0).low)
    assert of(1).effective < 50
    # many wrong ones do tell: nobody's rows go together, so nearly all 200 * .939 * 5/6 count
    assert of(40).effective == pytest.approx(156.5, abs=1)


def test_one_large_unit_among_small_ones_counts_as_few_units():
    # 1 customer of 100 and 20 of 5: 200^2 / (100^2 + 20 * 25) = 3.8095, and t(2.8095) = 3.30 where t(20) is 2.09
    assert few_units([100] + [5] * 20) == pytest.approx((1.959964 / 3.305) ** 2, rel=0.01)
    rows = [(0, i < 50) for i in range(100)] + [(1 + i // 5, i % 2 == 0) for i in range(100)]
    assert clustered_share(rows).effective < 71


def test_the_corrected_t_is_half_as_wide_again_as_the_plain_one_over_five_folds():
    # .8 and .9, as much held as taught: s^2 = .005, (1/2 + 1) s^2 = .0075, t(1) = 12.7062: .85 -+ 1.10039
    assert corrected_t([0.8, 0.9], held_to_train=1) == pytest.approx((-0.25039, 1.95039), abs=1e-4)
    scores = [0.78, 0.81, 0.80, 0.84, 0.77]
    low, high = corrected_t(scores, held_to_train=1 / 4)
    plain_low, plain_high = corrected_t(scores, held_to_train=0)
    # sqrt((1/5 + 1/4) / (1/5)) = 1.5
    assert (high - low) / (plain_high - plain_low) == pytest.approx(1.5)
    with pytest.raises(ValueError, match="two folds"):
        corrected_t([0.8], held_to_train=1)


def test_folds_far_apart_are_told_from_folds_that_chance_scatters():
    # 10 and 20 of 20: p = .75, (5^2 + 5^2) / 20 / .1875 = 13.33; chi-squared with 1 degree: .000261
    assert apart_p([(10, 20), (20, 20)], effective_share=1) == pytest.approx(2.61e-4, rel=1e-2)
    # rows worth half as much: 6.67, .00982
    assert apart_p([(10, 20), (20, 20)], effective_share=0.5) == pytest.approx(9.82e-3, rel=1e-2)
    assert apart_p([(15, 20), (15, 20)], effective_share=1) == 1.0
    assert apart_p([(20, 20), (20, 20)], effective_share=1) == 1.0


def test_the_summary_holds_folds_labels_and_what_is_mixed_up():
    said = (
        [("a", "a"), ("a", "a"), ("a", "b"), ("b", "b")],
        [("a", "a"), ("b", "a"), ("b", "b"), ("b", " b ")],
    )
    rows = [
        Judged(fold, 10 * fold + i, expected, predicted)
        for fold, pairs in enumerate(said, 1)
        for i, (expected, predicted) in enumerate(pairs)
    ]
    found = summarise(rows, n_train={1: 4, 2: 4}, labelled=True)
    assert (found["n"], found["right"], found["accuracy"]) == (8, 6, 0.75)
    assert [(f["fold"], f["n"], f["right"], f["n_train"]) for f in found["folds"]] == [
        (1, 4, 3, 4),
        (2, 4, 3, 4),
    ]
    assert (found["lowest"], found["highest"], found["sd"], found["apart_p"]) == (0.75, 0.75, 0.0, 1.0)
    assert [(x["label"], x["n"], x["right"]) for x in found["labels"]] == [("a", 4, 3), ("b", 4, 3)]
    assert found["confusion"] == [["a", "b", 1], ["b", "a", 1]]
    # 3 right of 4 rows, and each label answered 4 times (" b " is "b"): 2 * 3 / (4 + 4)
    assert [x["f1"] for x in found["labels"]] == [0.75, 0.75]
    assert found["macro_f1"] == 0.75
    assert summarise(rows, n_train={}, labelled=False)["labels"] == []


def test_of_very_many_labels_the_weakest_are_kept():
    # 250 labels by name; the last 20 are never answered right
    rows = [Judged(1 + i % 2, i, f"l{i:03}", f"l{i:03}" if i < 230 else "l000") for i in range(250)]
    kept = summarise(rows, n_train={}, labelled=True)
    assert kept["n_labels"] == 250
    assert len(kept["labels"]) == 200
    assert {f"l{i:03}" for i in range(230, 250)} <= {line["label"] for line in kept["labels"]}


def test_the_matrix_of_24_labels_holds_every_error():
    pairs = [(a, b) for a in range(24) for b in range(24) if a != b]
    rows = [Judged(1 + i % 2, i, f"l{a}", f"l{b}") for i, (a, b) in enumerate(pairs)]
    assert sum(n for *_, n in summarise(rows, n_train={}, labelled=True)["confusion"]) == len(pairs) == 552


def test_it_is_offered_where_the_set_is_small_or_the_validation_rows_are_few():
    few = offer(n_rows=1000, n_train=756, n_validation=84, n_folds=5)
    assert few.sentence == "Only 84 validation rows: cross-validation over 5 folds uses all 840."
    assert few.has_folds
    assert few.is_advised
    without = offer(n_rows=1000, n_train=756, n_validation=84, n_folds=0)
    assert (without.n_folds, without.has_folds) == (5, False)
    assert offer(n_rows=9000, n_train=8000, n_validation=100, n_folds=0).is_advised
    assert offer(n_rows=9000, n_train=7000, n_validation=1000, n_folds=0) is None
    assert offer(n_rows=9000, n_train=7000, n_validation=1000, n_folds=10).sentence == (
        "Cross-validation over 10 folds uses all 8,000."
    )
    assert offer(n_rows=30_000, n_train=MOST_ROWS, n_validation=1, n_folds=5) is None
    assert offer(n_rows=1, n_train=1, n_validation=0, n_folds=0) is None
