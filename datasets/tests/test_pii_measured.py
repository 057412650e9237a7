"""The detectors of personal data against texts written before them, and what masking and replacing leave behind."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets.domain.pii import KINDS, find_pii, mask_pii, pseudonym, replace_pii
from datasets.pii_measured import known_texts, measured

KEY = b"a key of the tests"


def test_the_fixtures_hold_enough_of_both_sorts():
    clean = [known for known in known_texts() if not known.pieces]
    assert len(clean) >= 200
    assert sum(len(known.pieces) for known in known_texts()) >= 150
    assert {kind for known in known_texts() for kind, _, _ in known.pieces} == set(KINDS)
    # enough different ways to look like personal data without being any
    assert len({known.category for known in clean}) >= 12
    assert not any("¦" in known.text or "«" in known.text for known in known_texts())


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_found_and_little_else(kind):
    found = next(m for m in measured().kinds if m.kind == kind)
    assert found.n_pieces >= 14
    assert found.recall >= 0.9
    assert found.precision >= 0.9
    low, high = found.recall_interval
    assert low < found.recall <= high


def test_texts_that_only_look_so_raise_few_alarms():
    report = measured()
    assert report.n_clean >= 200
    assert report.n_alarms <= 0.02 * report.n_clean


def test_masking_names_the_kind_and_replacing_leaves_nothing_to_find():
    for known in known_texts():
        masked = mask_pii(known.text)
        assert mask_pii(masked) == masked
        replaced = replace_pii(known.text, key=KEY)
        assert find_pii(replaced) == [], (known.text, replaced)
        for kind, start, end in known.pieces:
            piece = known.text[start:end]
            if any(m.kind == kind and m.start <= start and end <= m.end for m in find_pii(known.text)):
                assert piece not in masked
                assert piece not in replaced
    assert mask_pii("write to ada@example.org or +49 170 1234567") == "write to [EMAIL] or [PHONE]"


def test_one_value_is_one_pseudonym_however_it_is_spelt():
    assert pseudonym("phone", "+49 170 123-4567", key=KEY) == pseudonym("phone", "+491701234567", key=KEY)
    assert pseudonym("email", "Ada@Example.org", key=KEY) == pseudonym("email", "ada@example.org", key=KEY)
    assert pseudonym("email", "ada@example.org", key=KEY) != pseudonym(
        "email", "ada@example.org", key=b"other"
    )
    assert pseudonym("email", "ada@example.org", key=KEY) != pseudonym("email", "bob@example.org", key=KEY)
    text = replace_pii("ada@example.org wrote to bob@example.org, then ADA@example.org again", key=KEY)
    names = re.findall(r"person-\w+", text)
    assert names[0] == names[2] != names[1]


PIECES = st.sampled_from([known.text for known in known_texts()]) | st.text(max_size=20)


@given(st.lists(PIECES, max_size=4), st.sampled_from([" ", "\n", ", ", ". "]))
@settings(max_examples=100, deadline=None)
def test_mending_twice_changes_nothing_whatever_stands_beside_it(parts, between):
    text = between.join(parts)
    once = mask_pii(text)
    assert mask_pii(once) == once
    once = replace_pii(text, key=KEY)
    assert replace_pii(once, key=KEY) == once
