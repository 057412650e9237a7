"""The split: exact totals, every label in its share, clusters whole, the same on any machine."""

from __future__ import annotations

import hashlib
from collections import Counter
from datetime import UTC, datetime, timedelta
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets.domain.leakage import from_the_future, leakage, shared
from datasets.domain.recipe import Recipe, checksum
from datasets.domain.splitting import Ratios, Strategy, assign, largest_remainder, seats
from datasets.domain.statuses import Split


def digests(n, salt=""):
    return [hashlib.sha256(f"{salt}{i}".encode()).digest() for i in range(n)]


@pytest.mark.parametrize(
    ("n", "ratios", "expected"),
    [
        pytest.param(
            1000, ("0.7", "0.1", "0.2"), (700, 100, 200), id="the test share counts (D16: it was ignored)"
        ),
        pytest.param(9, ("0.8", "0.1", "0.1"), (7, 1, 1), id="nine rows (D16: 7/0/2)"),
        pytest.param(1, ("0.8", "0.1", "0.1"), (1, 0, 0), id="one row learns (D16: 0/0/1)"),
        pytest.param(100, ("0.58", "0.21", "0.21"), (58, 21, 21), id="58 of 100 (D16: int gives 57)"),
        pytest.param(0, ("0.8", "0.1", "0.1"), (0, 0, 0), id="nothing"),
        pytest.param(10, ("1", "0", "0"), (10, 0, 0), id="training alone"),
    ],
)
def test_largest_remainder_gives_whole_rows_that_add_up(n, ratios, expected):
    assert tuple(largest_remainder(n, Ratios.of(*ratios).parts)) == expected


@pytest.mark.parametrize(
    ("ratios", "words"),
    [
        (("0.7", "0.1", "0.1"), "add up to 100 %"),
        (("1.1", "-0.1", "0"), "below 0"),
        (("a", "0.5", "0.5"), "must be a number"),
        (("1e400", "0", "0"), "must be a number"),  # no float holds it
        (("1e20000000", "0", "0"), "must be a number"),  # 18 seconds of CPU, once
        (("0", "1e-20000000", "1"), "must be a number"),
        (("9" * 400, "0", "0"), "above 100 %"),
    ],
)
def test_shares_that_make_no_sense_are_refused(ratios, words):
    with pytest.raises(ValueError, match=words):
        Ratios.of(*ratios)


def test_decimal_shares_are_exact():
    # 0.8 + 0.1 + 0.1 is 1.0000000000000002 in floating point
    assert Ratios.of(0.8, 0.1, 0.1).parts == (Fraction(4, 5), Fraction(1, 10), Fraction(1, 10))


def test_the_test_share_is_raised_to_the_rows_power_needs_and_never_past_its_bound():
    raised = Ratios().with_test_rows(1000, 168)
    assert raised.test == Fraction(168, 1000)
    assert raised.train / raised.validation == 8
    assert Ratios().with_test_rows(200, 168).test == Fraction(3, 10)
    assert Ratios().with_test_rows(10_000, 168) == Ratios()


sizes = st.lists(st.integers(0, 60), min_size=1, max_size=12)
parts = st.tuples(st.integers(1, 20), st.integers(0, 10), st.integers(0, 10))


def ratios_of(numbers) -> Ratios:
    total = sum(numbers)
    return Ratios(*(Fraction(n, total) for n in numbers))


@given(sizes, parts)
@settings(max_examples=150, deadline=None)
def test_seats_add_up_both_ways_and_stay_near_every_share(strata, numbers):
    ratios = ratios_of(numbers)
    table = seats(strata, ratios)
    assert [sum(row) for row in table] == strata
    assert [sum(column) for column in zip(*table, strict=True)] == largest_remainder(
        sum(strata), ratios.parts
    )
    for row, size in zip(table, strata, strict=True):
        for count, share in zip(row, ratios.parts, strict=True):
            assert count >= 0
            assert abs(count - size * share) < 3


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=80), parts, st.integers(0, 5))
@settings(max_examples=100, deadline=None)
def test_the_split_is_whole_disjoint_and_the_same_in_any_order(labels, numbers, salt):
    ratios = ratios_of(numbers)
    keys = digests(len(labels), str(salt))
    first = assign(keys, seed="s", ratios=ratios, labels=labels)
    counts = Counter(first)
    expected = largest_remainder(len(labels), ratios.parts)
    assert [counts[s] for s in Split] == expected
    turned = assign(keys[::-1], seed="s", ratios=ratios, labels=labels[::-1])
    assert turned[::-1] == first


@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 15)), min_size=1, max_size=60),
    parts,
    st.sampled_from(list(Strategy)),
)
@settings(max_examples=100, deadline=None)
def test_a_unit_is_never_divided(rows, numbers, strategy):
    labels, units = [row[0] for row in rows], [row[1] for row in rows]
    found = assign(
        digests(len(rows)), seed="s", ratios=ratios_of(numbers), strategy=strategy, labels=labels, units=units
    )
    places: dict[int, set] = {}
    for unit, split in zip(units, found, strict=True):
        places.setdefault(unit, set()).add(split)
    assert all(len(split) == 1 for split in places.values())


def test_another_seed_gives_another_split():
    keys = digests(200)
    assert assign(keys, seed="a", ratios=Ratios()) != assign(keys, seed="b", ratios=Ratios())


def test_stratifying_keeps_a_rare_label_in_every_split():
    labels = ["rare"] * 20 + ["common"] * 180
    found = assign(digests(200), seed="s", ratios=Ratios(), labels=labels)
    rare = Counter(split for split, label in zip(found, labels, strict=True) if label == "rare")
    assert rare == {Split.TRAIN: 16, Split.VALIDATION: 2, Split.TEST: 2}


def test_by_time_the_newest_rows_are_the_test():
    start = datetime(2026, 1, 1, tzinfo=UTC)
    times = [start + timedelta(days=i) for i in range(100)]
    found = assign(digests(100), seed="s", ratios=Ratios(), strategy=Strategy.TIME, times=times)
    assert found == [Split.TRAIN] * 80 + [Split.VALIDATION] * 10 + [Split.TEST] * 10
    assert from_the_future(times, found) == 0
    # a random split of the same rows lets training look into the future
    assert from_the_future(times, assign(digests(100), seed="s", ratios=Ratios())) > 0


def test_rows_without_a_time_only_train():
    times = [None] * 10 + [datetime(2026, 1, 1, tzinfo=UTC)] * 10
    found = assign(
        digests(20), seed="s", ratios=Ratios.of("0.5", "0.2", "0.3"), strategy=Strategy.TIME, times=times
    )
    assert set(found[:10]) == {Split.TRAIN}


def test_leaks_are_named_by_kind_and_rows_without_a_key_join_nobody():
    splits = ["train", "test", "train", "test"]
    assert shared("group", ["a", "a", "", ""], splits).n_groups == 1
    report = leakage(
        digests=[b"1", b"1", b"2", b"3"],
        loose_keys=["x", "x", "y", "z"],
        prompt_keys=["p", "q", "r", "r"],
        near_roots=[0, 0, 2, 3],
        groups=["", "", "g", "g"],
        times=[None] * 4,
        splits=splits,
    )
    assert not report.is_clean
    assert (report.exact.n_groups, report.near.n_rows, report.prompt.n_groups, report.group.n_groups) == (
        1,
        1,
        1,
        1,
    )


def test_the_checksum_names_recipe_rows_labels_and_splits():
    rows = [("train", b"1" * 32, "a"), ("test", b"2" * 32, "b")]
    recipe = Recipe(seed="s")
    assert checksum(recipe, rows) == checksum(Recipe.from_json(recipe.as_json()), rows)
    for other in (
        checksum(Recipe(seed="t"), rows),
        checksum(recipe, rows[:1]),
        checksum(recipe, [("train", b"1" * 32, "b"), rows[1]]),
        checksum(recipe, [("test", b"1" * 32, "a"), rows[1]]),
    ):
        assert other != checksum(recipe, rows)
