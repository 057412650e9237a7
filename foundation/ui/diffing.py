"""What changed between two texts, word by word. Pure: text in, pieces out."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import takewhile

_WORDS = re.compile(r"\s+|\w+|[^\w\s]")
_SENTENCES = re.compile(r"[^.!?\n]*[.!?\n]+\s*|[^.!?\n]+$")
# difflib walks all pairs of equal tokens, and again for what stands on either side of each match. Above so many pairs
# sentences are compared instead of words, and above so many of them the texts stand side by side whole.
MAX_PAIRS = 25_000


@dataclass(frozen=True, slots=True)
class Piece:
    """A run of text that both sides share ("same"), or only the new ("added") or the old one has ("removed")."""

    kind: str
    text: str


def words_changed(before: str, after: str) -> list[Piece]:
    """The way from one text to the other; joining "same" and "added" gives `after`, "same" and "removed" `before`."""
    left, right = _WORDS.findall(before), _WORDS.findall(after)
    n_same = _n_alike(left, right)
    first, left, right = left[:n_same], left[n_same:], right[n_same:]
    n_same = _n_alike(left[::-1], right[::-1])
    last, left, right = left[len(left) - n_same :], left[: len(left) - n_same], right[: len(right) - n_same]
    return _joined([Piece("same", "".join(first)), *_compared(left, right), Piece("same", "".join(last))])


def _n_alike(left: Sequence[str], right: Sequence[str]) -> int:
    """How many tokens both begin with."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(left, right, strict=False)))


def _compared(left: Sequence[str], right: Sequence[str]) -> list[Piece]:
    if _n_pairs(left, right) > MAX_PAIRS:
        left, right = _SENTENCES.findall("".join(left)), _SENTENCES.findall("".join(right))
        if _n_pairs(left, right) > MAX_PAIRS:
            left, right = ["".join(left)], ["".join(right)]
    pieces: list[Piece] = []
    for op, i1, i2, j1, j2 in SequenceMatcher(str.isspace, left, right, autojunk=False).get_opcodes():
        if op == "equal":
            pieces.append(Piece("same", "".join(left[i1:i2])))
            continue
        pieces += [Piece("removed", "".join(left[i1:i2])), Piece("added", "".join(right[j1:j2]))]
    return pieces


def _n_pairs(left: Sequence[str], right: Sequence[str]) -> int:
    """Pairs of equal tokens, blanks aside: those are never where a match begins."""
    counts = Counter(right)
    return sum(n * counts[token] for token, n in Counter(left).items() if not token.isspace())


def _joined(pieces: list[Piece]) -> list[Piece]:
    """Without empty pieces; neighbours of one kind are one."""
    found: list[Piece] = []
    for piece in pieces:
        if found and piece.text and found[-1].kind == piece.kind:
            found[-1] = Piece(piece.kind, found[-1].text + piece.text)
        elif piece.text:
            found.append(piece)
    return found
