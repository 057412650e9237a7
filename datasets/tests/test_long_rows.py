"""Rows of megabytes: what is held at once is counted in characters, and what is found stays the same."""

from __future__ import annotations

import pytest

from datasets import active, freezing, services
from datasets.models import Example
from datasets.services import checks
from datasets.tests.conftest import jsonl, tickets
from foundation.jobs.services import run_until_idle

pytestmark = pytest.mark.django_db


def test_cuts_count_characters_and_rows(monkeypatch):
    monkeypatch.setattr(active, "MOST_CHARS", 10)
    # 4 + 6 are ten; 11 is too long for anybody but itself; three rows at most
    assert list(active.cuts([4, 6, 11, 1, 1, 1, 1], 3)) == [(0, 2), (2, 3), (3, 6), (6, 7)]
    assert list(active.cuts([])) == []


def test_long_rows_make_short_stretches_and_blocks_and_the_same_version(
    dataset, bring_in, editor, monkeypatch
):
    rows = tickets(24)
    rows[5:8] = [{"text": f"{row['text']} " + "long words " * 60, "label": row["label"]} for row in rows[5:8]]
    bring_in(dataset, jsonl([*rows, rows[0]]))
    keys = list(Example.objects.filter(dataset=dataset).order_by("id").values_list("id", flat=True))
    sizes = [row.prompt + row.completion for block in active.active_rows(dataset) for row in block]
    whole = services.start_freeze(
        actor=editor, dataset=dataset, seed="s", override_reason="a test of lengths"
    )
    assert run_until_idle(60)
    whole.refresh_from_db()

    monkeypatch.setattr(active, "MOST_CHARS", 500)
    stretches, is_last = checks.check_stretches(dataset=dataset, after=0, most=99)
    assert is_last
    held = []
    for after, upto in stretches:
        held.append([len(text) for key, text in zip(keys, sizes, strict=True) if after < key <= upto])
    assert sum(map(len, held)) == 25
    assert all(sum(some) <= 500 or len(some) == 1 for some in held)
    assert sum(len(some) == 1 for some in held) >= 3  # each of the three long ones by itself
    blocks = list(active.active_rows(dataset))
    assert [[row.id for row in block] for block in blocks] == [
        [key for key in keys if after < key <= upto] for after, upto in stretches
    ]
    seen, real = [], freezing.texts_of
    monkeypatch.setattr(freezing, "texts_of", lambda ids, kind: seen.append(len(ids)) or real(ids, kind))
    for known in (True, False):
        if not known:
            monkeypatch.setattr(freezing, "known_of", lambda *given, **more: None)
        again = services.start_freeze(
            actor=editor, dataset=dataset, seed="s", notes=str(known), override_reason="a test of lengths"
        )
        assert run_until_idle(60)
        again.refresh_from_db()
        assert (again.state, again.checksum, again.report["leakage"]) == (
            "frozen",
            whole.checksum,
            whole.report["leakage"],
        )
    assert max(seen) < 24
