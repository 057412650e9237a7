"""Word-level differences."""

from __future__ import annotations

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


def test_a_long_text_is_compared_by_lines(monkeypatch):
    monkeypatch.setattr(diffing, "MAX_WORDS", 3)
    assert words_changed("a b\nc d\n", "a b\nc e\n") == [
        Piece("same", "a b\n"), Piece("removed", "c d\n"), Piece("added", "c e\n"),
    ]  # fmt: skip
