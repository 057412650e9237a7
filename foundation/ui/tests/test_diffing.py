"""Word-level differences."""

from __future__ import annotations

from time import process_time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foundation.ui import diffing
from foundation.ui.diffing import Piece, words_changed


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=60), st.text(max_size=60))
def test_the_pieces_join_to_both_sides(before, after):
    pieces = words_changed(before, after)
    assert "".join(p.text for p in pieces if p.kind != "added") == before
    assert "".join(p.text for p in pieces if p.kind != "removed") == after


def test_words_change_whole():
    assert words_changed("to the billing queue", "to the refunds queue") == [
        Piece("same", "to the "), Piece("removed", "billing"), Piece("added", "refunds"), Piece("same", " queue"),
    ]  # fmt: skip


def test_a_text_of_many_like_words_is_compared_by_sentences(monkeypatch):
    monkeypatch.setattr(diffing, "MAX_PAIRS", 1)
    assert words_changed("a b. c d. e f. g", "a b. c e. e f. h") == [
        Piece("same", "a b. c "), Piece("removed", "d. "), Piece("added", "e. "), Piece("same", "e f. "),
        Piece("removed", "g"), Piece("added", "h"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("before", "after"),
    [("the " * 990, "the a " * 490), ("a\n" * 20_000, "b\na\n" * 10_000), ("x" * 500_000, "y " * 250_000)],
)
def test_no_two_texts_take_long(before, after):
    """difflib alone needs 24 s for the first pair and hours for the second."""
    began = process_time()
    pieces = words_changed(before, after)
    assert process_time() - began < 2
    assert "".join(p.text for p in pieces if p.kind != "added") == before
