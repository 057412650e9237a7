"""How large the next transaction is: by what the last one held, whatever it was spent on."""

from __future__ import annotations

import gc

import pytest
from django.db import connection

from datasets import bulk

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.skipif("connection.vendor != 'sqlite'", reason="only SQLite's lock is measured"),
]


def test_a_slow_disk_shrinks_slices_although_the_processor_does_little():
    assert connection.vendor == "sqlite"
    pace = bulk.Pace(800)
    sizes = []
    # 200 ms held, 5 us of work a row: 4 ms for 800 rows
    for _ in range(4):
        pace.took(pace.n_rows, 0.2, 5e-6 * pace.n_rows)
        sizes.append(pace.n_rows)
    # halved until a slice is 1 ms of work: 200 rows of 5 us
    assert sizes == [400, 200, 200, 200]


def test_waiting_a_little_for_the_processor_shrinks_nothing():
    pace = bulk.Pace(800)
    # 35 ms held, 4 ms of work: 12 ms count, so 1,000 rows would fit into 15 ms
    pace.took(800, 0.035, 0.004)
    assert pace.n_rows == 1000


def test_work_shrinks_slices_at_once():
    pace = bulk.Pace(800)
    # 150 ms of work for 800 rows: 80 rows fit into 15 ms
    pace.took(800, 0.15, 0.15)
    assert pace.n_rows == 80


def test_taking_rows_away_never_grows_to_slices_of_thousands():
    pace = bulk.Pace(most=bulk.MOST_WHERE_ROWS_DIFFER)
    for _ in range(20):
        pace.took(pace.n_rows, 0.001, 0.001)
    assert pace.n_rows == 1000


def test_a_fix_never_grows_to_slices_that_would_hold_the_lock_where_its_rows_lie_far_apart():
    pace = bulk.Pace(most=bulk.MOST_FAR_APART)
    for _ in range(20):
        pace.took(pace.n_rows, 0.001, 0.001)
    # What 200 rows were measured to take at most.
    assert pace.n_rows * 0.16 < 40


def test_no_slice_is_held_up_by_a_search_for_garbage():
    with bulk.Pace().transaction(1):
        assert not gc.isenabled()
    assert gc.isenabled()
