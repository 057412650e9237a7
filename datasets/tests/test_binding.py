"""Freezing what a check has seen: fewer comparisons, the same version; near-duplicates never on two sides."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets import binding, freezing, services
from datasets.domain.duplicates import near_clusters
from datasets.models import Bindings, Example, VersionRow
from datasets.tests.conftest import jsonl, tickets
from foundation.jobs.services import run_until_idle


@given(st.sets(st.integers(1, 300)), st.sets(st.integers(1, 300)))
def test_what_was_seen_is_known_by_its_runs(seen, asked):
    data = binding.packed(
        np.array(sorted(seen), np.int64), np.array([], np.int64), threshold=0.8, task_kind="answer"
    )
    known = binding.Known(**binding.unpack(data)[1])
    assert known.has_seen(np.array(sorted(asked), np.int64)) == (asked <= seen)


def frozen(dataset, editor):
    version = services.start_freeze(
        actor=editor,
        dataset=dataset,
        seed="one",
        size_test_by_power=False,
        override_reason="a test of freezing",
    )
    assert run_until_idle(60)
    version.refresh_from_db()
    assert version.state == "frozen", version.error
    rows = VersionRow.objects.filter(version=version).order_by("split", "position")
    leakage = {k: v for k, v in version.report["leakage"].items() if k != "examples"}
    return version.checksum, list(rows.values_list("example_id", "split", "position")), leakage, version.stats


def alike(n: int) -> list[dict]:
    """Tickets in pairs and threes that are nearly the same, ask the same, or are equal but for formatting."""
    rows = []
    for i, row in enumerate(tickets(n)):
        long = f"{row['text']} and I have been waiting for an answer from your office ever since that day, please help"
        rows.append({"text": long, "label": row["label"]})
        if i % 3 == 0:
            rows.append({"text": f"{long} soon", "label": row["label"]})
        if i % 4 == 0:
            rows.append({"text": long.upper(), "label": "card" if i % 8 else row["label"]})
        if i % 7 == 0:
            rows.append({"text": f"{long} soon!", "label": row["label"]})
    return rows


@pytest.mark.django_db
def test_a_version_is_the_same_with_and_without_what_a_check_knows(dataset, bring_in, editor, monkeypatch):
    bring_in(dataset, jsonl(alike(60)))
    keys = list(Example.objects.order_by("id").values_list("id", flat=True))
    for key in keys[::9]:
        services.set_state(actor=editor, example=Example.objects.get(pk=key), active=False)
    paths = []
    by_check = freezing._by_check
    monkeypatch.setattr(freezing, "_by_check", lambda *a: (paths.append(1), by_check(*a))[1])
    with_check = frozen(dataset, editor)
    assert paths == [1]
    assert Bindings.objects.count() == 1
    Bindings.objects.all().delete()
    assert frozen(dataset, editor) == with_check
    assert paths == [1]


@pytest.mark.django_db
def test_a_row_the_check_has_not_seen_is_compared_with_all(dataset, bring_in, editor):
    bring_in(dataset, jsonl(alike(40)))
    row = Example.objects.select_related("content").order_by("id")[30]
    other = Example.objects.select_related("content").order_by("-id")[3]
    services.edit_example(
        actor=editor,
        example=row,
        edition=row.edition,
        prompt=f"{other.content.prompt} at once",
        completion="card",
    )
    one = frozen(dataset, editor)
    splits = {example: split for example, split, _ in one[1]}
    assert splits[row.pk] == splits[other.pk]
    Bindings.objects.all().delete()
    assert frozen(dataset, editor) == one


@pytest.mark.django_db
@pytest.mark.parametrize("seed", range(3))
def test_no_near_pair_stands_on_two_sides(dataset, bring_in, editor, seed):
    rows = alike(50 + seed)
    bring_in(dataset, jsonl(rows))
    _, placed, _, _ = frozen(dataset, editor)
    split_of = {example: split for example, split, _ in placed}
    kept = [e for e in Example.objects.select_related("content").order_by("id") if e.pk in split_of]
    groups = near_clusters([e.content.prompt for e in kept])
    assert len(groups) > 10
    for group in groups:
        assert len({split_of[kept[i].pk] for i in group}) == 1


@pytest.mark.django_db
def test_a_crowd_whose_pairs_were_not_all_compared_leaves_nothing_to_rely_on(dataset, bring_in):
    text = (
        "the very same long enough words stand in every one of these rows with another number behind them all"
    )
    bring_in(dataset, jsonl([{"text": f"{text} {i}", "label": "a"} for i in range(60)]))
    assert not Bindings.objects.exists()
