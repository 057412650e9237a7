"""How many rows of each task may learn, and how a task is named in a prompt."""

from __future__ import annotations

import itertools
import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from datasets.domain.mixing import known_elsewhere, prefixed, quotas, task_label


def test_temperature_balances_beside_the_smallest_task_and_repeats_no_row():
    # 100 beside 10,000: temperature 1 takes all, 2 takes 100 · sqrt(100) = 1,000, 100 about as many as the smallest
    assert quotas([100, 10_000]) == [100, 10_000]
    assert quotas([100, 10_000], temperature=2) == [100, 1000]
    assert quotas([100, 10_000], temperature=100) == [100, 104]  # 100 · 100 ** 0.01
    assert quotas([100, 10_000], most=300) == [100, 300]
    assert quotas([0, 5]) == [0, 5]
    assert quotas([]) == []


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.integers(0, 500), max_size=8), st.floats(1, 100), st.one_of(st.none(), st.integers(1, 300))
)
def test_no_task_gives_more_than_it_has_and_larger_ones_give_no_fewer(sizes, temperature, most):
    found = quotas(sizes, temperature=temperature, most=most)
    assert all(0 <= q <= n and (most is None or q <= most) for q, n in zip(found, sizes, strict=True))
    ordered = sorted(zip(sizes, found, strict=True))
    assert all(a[1] <= b[1] for a, b in itertools.pairwise(ordered))


def test_a_task_is_named_on_one_line_without_brackets():
    assert task_label("  Route [new]\n tickets ") == "Route new tickets"
    text = prefixed(task_label("Route [new] tickets"), "hello")
    assert text == "[TASK: Route new tickets]\n\nhello"
    assert re.match(r"\[TASK: ([^\]]+)\]", text).group(1) == "Route new tickets"
    with pytest.raises(ValueError, match="needs a name"):
        task_label("[]")


def test_a_row_goes_when_another_task_has_its_key_in_a_later_split_however_many_tasks_share_it():
    rows = [
        ("x", "A", "test"),
        ("x", "B", "train"),  # A tests on it
        ("x", "C", "validation"),  # A tests on it
        ("w", "A", "train"),  # only its own task tests on it: the matter of that version
        ("w", "A", "test"),
        ("w", "B", "train"),  # A tests on it
        ("y", "C", "validation"),
        ("y", "B", "train"),  # C validates on it
        ("y", "A", "validation"),  # as far as the others
        ("z", "A", "train"),
        ("z", "B", "train"),  # nobody tests on it
        ("", "A", "test"),
        ("", "B", "train"),  # no key
        (None, "A", "test"),
        (None, "B", "train"),
    ]
    keys, tasks, splits = zip(*rows, strict=True)
    assert known_elsewhere(keys, tasks, splits) == {1, 2, 5, 7}
    # A mapping from text to the last task that tests on it said that nobody else does.
    both = [("x", "A", "test"), ("x", "B", "test"), ("x", "B", "train"), ("x", "A", "train")]
    assert known_elsewhere(*zip(*both, strict=True)) == {2, 3}
