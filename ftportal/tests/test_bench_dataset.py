"""The maker of dirty rows tells the truth about them, and the portal finds what was planted."""

from __future__ import annotations

import orjson
import pytest

from datasets.domain.duplicates import NearDuplicates
from ftportal.bench.dirty import LEAST_LIKENESS, likeness, write_dirty


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    path = tmp_path_factory.mktemp("dirty") / "rows.jsonl"
    truth = write_dirty(path, 6000, seed=3)
    texts = {}
    n_broken = 0
    for line in path.read_bytes().splitlines():
        try:
            row = orjson.loads(line)
        except orjson.JSONDecodeError:
            n_broken += 1
            continue
        texts[row["id"]] = f"{row['prompt']} {row['completion']}"
    return truth, texts, n_broken


def test_the_maker_plants_what_it_says(planted):
    truth, texts, n_broken = planted
    assert n_broken == truth.n_broken > 0
    assert len(truth.near) > 120
    for source, copy in truth.exact:
        assert texts[source] == texts[copy]
    for source, copy in truth.near:
        assert texts[source] != texts[copy]
        a, b = (texts[i].lower().split() for i in (source, copy))
        assert likeness(a, b) >= LEAST_LIKENESS - 0.05


def test_every_planted_near_duplicate_is_found_and_nothing_else(planted):
    truth, texts, _ = planted
    numbers = [i for i in texts if i not in set(truth.short)]
    finder = NearDuplicates()
    for start in range(0, len(numbers), 1000):
        finder.add([texts[i] for i in numbers[start : start + 1000]])
    roots = finder.clusters(lambda at: [texts[numbers[i]] for i in at]).roots()
    root_of = dict(zip(numbers, roots.tolist(), strict=True))
    found = sum(root_of[source] == root_of[copy] for source, copy in truth.near)
    assert found / len(truth.near) >= 0.99
    # one step of the planted pairs joins what belongs together; a root that joins strangers would be a wrong one
    parent = {i: i for i in numbers}
    for source, copy in truth.near + truth.exact:
        parent[copy] = parent[source]
    joined = {}
    for i in numbers:
        joined.setdefault(root_of[i], set()).add(parent[i])
    assert all(len(families) == 1 for families in joined.values())
