"""How good the detectors of personal data are: run over texts whose truth was written down before them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from datasets.domain.pii import KINDS, find_pii
from datasets.domain.power import wilson

FILE = Path(__file__).parent / "fixtures" / "pii.tsv"
_MARK = re.compile(r"«(\w+)\|(.*?)»")


@dataclass(frozen=True, slots=True)
class Known:
    """One text with the pieces that stand in it, as (kind, start, end); none for a text that only looks so."""

    category: str
    text: str
    pieces: tuple[tuple[str, int, int], ...]


@lru_cache(maxsize=1)
def known_texts() -> tuple[Known, ...]:
    """The texts of the fixture file."""
    found = []
    for line in FILE.read_text("utf-8").splitlines():
        if line.startswith("# "):
            continue
        category, marked = line.replace("¦", "").split("\t", 1)
        pieces, text, at = [], "", 0
        for mark in _MARK.finditer(marked):
            text += marked[at : mark.start()]
            pieces.append((mark[1], len(text), len(text) + len(mark[2])))
            text += mark[2]
            at = mark.end()
        found.append(Known(category, text + marked[at:], tuple(pieces)))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Measured:
    """Of one kind: how many pieces were covered whole, how many finds were right, each with a Wilson interval."""

    kind: str
    name: str
    n_pieces: int
    n_covered: int
    n_found: int
    n_right: int

    @property
    def recall(self) -> float | None:
        """Share of pieces covered whole; None without pieces."""
        return self.n_covered / self.n_pieces if self.n_pieces else None

    @property
    def recall_interval(self) -> tuple[float, float]:
        """95 % Wilson interval of the recall."""
        return wilson(self.n_covered, self.n_pieces)

    @property
    def precision(self) -> float | None:
        """Share of finds that touch a piece of their kind; None without finds."""
        return self.n_right / self.n_found if self.n_found else None

    @property
    def precision_interval(self) -> tuple[float, float]:
        """95 % Wilson interval of the precision."""
        return wilson(self.n_right, self.n_found)


@dataclass(frozen=True, slots=True)
class Report:
    """All kinds, and how many of the texts that hold nothing raised an alarm."""

    kinds: tuple[Measured, ...]
    n_texts: int
    n_clean: int
    n_alarms: int


@lru_cache(maxsize=1)
def measured() -> Report:
    """Precision and recall of each kind, by running the detectors. Some milliseconds, once a process."""
    pieces = dict.fromkeys(KINDS, 0)
    covered, found, right = dict(pieces), dict(pieces), dict(pieces)
    n_clean = n_alarms = 0
    for known in known_texts():
        matches = find_pii(known.text)
        for kind, start, end in known.pieces:
            pieces[kind] += 1
            covered[kind] += any(m.kind == kind and m.start <= start and end <= m.end for m in matches)
        for match in matches:
            found[match.kind] += 1
            right[match.kind] += any(
                kind == match.kind and match.start < end and start < match.end
                for kind, start, end in known.pieces
            )
        if not known.pieces:
            n_clean += 1
            n_alarms += bool(matches)
    return Report(
        tuple(Measured(k, name, pieces[k], covered[k], found[k], right[k]) for k, name in KINDS.items()),
        len(known_texts()),
        n_clean,
        n_alarms,
    )
