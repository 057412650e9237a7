"""What a list of rows may be narrowed and ordered by, as it stands in an address line; and words as an index finds them.

Only what is named here is ever read of an address: any other key, and any value out of place, is left unheard.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from datasets.domain.statuses import ExampleState, Split

STATES = {"active": ExampleState.ACTIVE, "dropped": ExampleState.DROPPED, "rejected": ExampleState.REJECTED}
REVIEWS = ("accepted", "edited", "none")
ORDERS = ("oldest", "newest")
MAX_WORDS = 200
# A trigram index knows nothing shorter.
GRAM = 3
MOST_GRAMS = 16


def number(text: str) -> int | None:
    """A whole number of an address line, or None."""
    return int(text) if text.isdecimal() and text.isascii() and len(text) < 19 else None


@dataclass(frozen=True, slots=True)
class Filters:
    """One list of rows: what it is narrowed by, its order, and where the page begins."""

    state: str = "active"
    label: str = ""
    review: str = ""
    split: str = ""
    finding: int | None = None
    source: int | None = None
    words: str = ""
    order: str = "oldest"
    after: int | None = None
    before: int | None = None

    @classmethod
    def of(cls, query: Mapping[str, str]) -> Filters:
        """From the keys and values of an address."""

        def one_of(name: str, allowed: object, default: str = "") -> str:
            value = query.get(name, "")
            return value if value in allowed else default  # type: ignore[operator]

        after = number(query.get("after", ""))
        return cls(
            state=one_of("state", STATES, "active"),
            label=query.get("label", "")[:200].replace("\0", ""),
            review=one_of("review", REVIEWS),
            split=one_of("split", [split.value for split in Split]),
            finding=number(query.get("finding", "")),
            source=number(query.get("source", "")),
            words=query.get("q", "").strip()[:MAX_WORDS].replace("\0", ""),
            order=one_of("order", ORDERS, "oldest"),
            after=after,
            before=None if after is not None else number(query.get("before", "")),
        )

    @property
    def is_narrowed(self) -> bool:
        """Whether fewer rows are shown than the state has."""
        return bool(self.words or self.label or self.review or self.split or self.finding or self.source)


def holds(text: str, needle: str) -> bool:
    """Whether the text holds the needle, case aside: what a search means, whichever index proposed the row."""
    return needle.lower() in text.lower()


def grams(needle: str) -> list[str]:
    """Trigrams that every text with this needle holds, at most MOST_GRAMS of them; none for a shorter needle.

    They overlap, because it is the overlaps that tell a word from its parts standing apart. Of a long needle those at
    its start, at its end and between, evenly. Letters as an index folds them, one by one; a letter that folds to
    several is left out.
    """
    folded = needle.lower()
    if len(folded) != len(needle) or len(folded) < GRAM:
        return []
    found = list(dict.fromkeys(folded[i : i + GRAM] for i in range(len(folded) - GRAM + 1)))
    if len(found) <= MOST_GRAMS:
        return found
    return [found[i * (len(found) - 1) // (MOST_GRAMS - 1)] for i in range(MOST_GRAMS)]


def fts_expression(needle: str) -> str:
    """The needle as an FTS5 expression in which nothing of it is an operator; empty when the index cannot help."""
    return " AND ".join('"' + gram.replace('"', '""') + '"' for gram in grams(needle))


def like_pattern(needle: str) -> str:
    r"""The needle as a LIKE pattern escaped by \, anywhere in the text."""
    escaped = needle.lower().replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%"
