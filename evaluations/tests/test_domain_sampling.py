"""Samples are stratified, seeded by digest, and the same on any machine."""

from __future__ import annotations

import hashlib
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluations.domain.sampling import order_key, sample


def rows(**counts):
    return [
        (i, f"d{i}", label) for i, label in enumerate(x for label, n in counts.items() for x in [label] * n)
    ]


def test_the_order_is_a_digest_of_seed_and_row():
    assert order_key("s", "d1") == hashlib.sha256(b"s\nd1").hexdigest()


def test_labels_keep_their_shares():
    found = sample(rows(a=60, b=30, c=10), size=20, seed="s")
    labels = Counter("a" if i < 60 else "b" if i < 90 else "c" for i in found)
    assert labels == {"a": 12, "b": 6, "c": 2}


def test_a_rare_label_keeps_one_row():
    found = sample(rows(a=990, b=10), size=20, seed="s")
    assert sum(i >= 990 for i in found) == 1
    assert len(found) == 20


def test_the_same_seed_takes_the_same_rows_and_another_takes_others():
    assert sample(rows(a=200), size=50, seed="s") == sample(reversed(rows(a=200)), size=50, seed="s")
    assert sample(rows(a=200), size=50, seed="s") != sample(rows(a=200), size=50, seed="t")


@given(st.lists(st.sampled_from("abcd"), min_size=1, max_size=80), st.integers(1, 100))
def test_a_sample_has_its_size_and_no_row_twice(labels, size):
    found = sample([(i, f"d{i}", label) for i, label in enumerate(labels)], size=size, seed="s")
    assert len(found) == len(set(found)) == min(size, len(labels))
    assert found == sorted(found)


def test_a_sample_of_nothing_is_refused():
    with pytest.raises(ValueError, match="at least one"):
        sample(rows(a=3), size=0, seed="s")
