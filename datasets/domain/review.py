"""Which rows people look at: a share of every label in the order of a seed (S34), and those that need it most."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from math import ceil

from datasets.domain.splitting import largest_remainder, rank

SHARE = 0.10


def sample_size(n_rows: int, share: float = SHARE) -> int:
    """Rows to look at: the share rounded up, so that a small dataset has at least one."""
    if not 0 < share <= 1:
        raise ValueError("The share to review must lie above 0 and at most 1.")
    return min(n_rows, ceil(n_rows * Fraction(str(share)))) if n_rows else 0


def covers(n_looked_at: int, n_rows: int) -> bool:
    """Whether so many rows, drawn at random, are the share asked for (S34), to the nearest percent.

    Rows that come in later make it less: a twentieth more of them asks for no new sample, many do.
    """
    return n_looked_at >= sample_size(n_rows, SHARE - 0.005)


def stratified_sample(digests: Sequence[bytes], labels: Sequence[str], *, size: int, seed: str) -> list[int]:
    """Positions of `size` rows, every label in proportion, in the order sha256(seed ‖ digest).

    Shapes: equal lengths. The same rows and seed give the same sample on any machine, whatever their order.
    """
    n = len(digests)
    size = min(size, n)
    if size <= 0:
        return []
    strata: dict[str, list[tuple[bytes, int]]] = {}
    for i in range(n):
        strata.setdefault(labels[i], []).append((rank(seed, digests[i]), i))
    names = sorted(strata)
    shares = [Fraction(len(strata[name]), n) for name in names]
    chosen: list[tuple[bytes, int]] = []
    for name, count in zip(names, largest_remainder(size, shares), strict=True):
        chosen += sorted(strata[name])[:count]
    return [i for _, i in sorted(chosen)]


class Need(StrEnum):
    """Why a row should be looked at before others, in the order of the queue."""

    DISAGREEMENT = "disagreement"
    LOW_SCORE = "low_score"
    FINDING = "finding"

    @property
    def label(self) -> str:
        """The words people read."""
        return {
            "disagreement": "answers or labels contradict each other",
            "low_score": "a model judged it weak",
            "finding": "a check found something",
        }[self.value]


@dataclass(frozen=True, slots=True)
class Place:
    """A row's place in a queue: where it stands in the list given, why, and who reads it."""

    index: int
    need: str
    in_sample: bool
    is_double: bool = False
    assignee: int | None = None
    second: int | None = None


def queue(
    sample: Sequence[int],
    needed: Sequence[tuple[int, str]],
    *,
    most_needed: int,
    double_share: float = 0.0,
    readers: Sequence[int] = (),
) -> list[Place]:
    """The rows to look at: those that need it first (at most `most_needed`), then the sample, which stays whole.

    `needed` are (index, need) with the neediest first; a row of the sample that is needed moves to the front and still
    counts for the sample. Rows to read twice are taken from the sample alone, spread evenly over it, so that agreement
    speaks about the dataset. Readers take turns; the second reader of a row is the next in turn.
    Raises: ValueError for a share outside 0 to 1, or for double reading with a single reader named.
    """
    if not 0 <= double_share <= 1:
        raise ValueError("The share to read twice must lie between 0 and 1.")
    if double_share and len(readers) == 1:
        raise ValueError("Reading twice needs two people. Choose another reader, or none for anybody.")
    in_sample = set(sample)
    order: dict[int, str] = {}
    for index, need in needed:
        if len(order) >= most_needed:
            break
        order.setdefault(index, need)
    for index in sample:
        order.setdefault(index, "")
    n_double = ceil(len(sample) * Fraction(str(double_share)))
    # Every k-th row of the sample by its own order, so that the pick does not hang on need.
    twice = {sample[i * len(sample) // n_double] for i in range(n_double)}
    places = []
    for turn, (index, need) in enumerate(order.items()):
        is_double = index in twice
        places.append(
            Place(
                index,
                need,
                index in in_sample,
                is_double,
                readers[turn % len(readers)] if readers else None,
                readers[(turn + 1) % len(readers)] if readers and is_double else None,
            )
        )
    return places
