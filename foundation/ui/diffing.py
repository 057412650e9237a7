"""What changed between two texts, word by word. Pure: text in, pieces out."""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import SequenceMatcher

_WORDS = re.compile(r"\s+|\w+|[^\w\s]")
# difflib is quadratic in the worst case; beyond this many words lines are compared instead.
MAX_WORDS = 4_000


@dataclass(frozen=True, slots=True)
class Piece:
    """A run of text that both sides share ("same"), or only the new ("added") or the old one has ("removed")."""

    kind: str
    text: str


def words_changed(before: str, after: str) -> list[Piece]:
    """The way from one text to the other; joining "same" and "added" gives `after`, "same" and "removed" `before`."""
    left, right = _WORDS.findall(before), _WORDS.findall(after)
    if len(left) + len(right) > MAX_WORDS:
        left, right = before.splitlines(keepends=True), after.splitlines(keepends=True)
    pieces: list[Piece] = []
    for op, i1, i2, j1, j2 in SequenceMatcher(None, left, right, autojunk=False).get_opcodes():
        if op == "equal":
            pieces.append(Piece("same", "".join(left[i1:i2])))
            continue
        if i2 > i1:
            pieces.append(Piece("removed", "".join(left[i1:i2])))
        if j2 > j1:
            pieces.append(Piece("added", "".join(right[j1:j2])))
    return pieces
