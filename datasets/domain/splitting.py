"""Which row goes to training, validation or test: seed and digests in, splits out. No random generator.

Rows are ordered by sha256(seed ‖ digest), so that any machine gets the same split. Rows that belong together (near-
duplicates, one customer) form a unit and are never divided. A million rows are columns of numbers here, not objects.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from fractions import Fraction
from itertools import pairwise

import numpy as np

from datasets.domain.statuses import Split

SPLITS = (Split.TRAIN, Split.VALIDATION, Split.TEST)
# The power of ten in a number, and the largest that a share is written with: floats have 17 digits.
_POWER, MOST_POWER = re.compile(r"[eE]([+-]?\d[\d_]*)"), 30


class Strategy(StrEnum):
    """How rows are dealt out."""

    STRATIFIED = "stratified"
    RANDOM = "random"
    TIME = "time"

    @property
    def label(self) -> str:
        """The words people read."""
        return {
            "stratified": "Stratified: every label in the same shares",
            "random": "Random: labels are not looked at",
            "time": "By time: the newest rows are the test",
        }[self.value]


@dataclass(frozen=True, slots=True)
class Ratios:
    """Shares of the three splits; at least 0 each, 1 together."""

    train: Fraction = Fraction(8, 10)
    validation: Fraction = Fraction(1, 10)
    test: Fraction = Fraction(1, 10)

    def __post_init__(self) -> None:
        if min(self.parts) < 0:
            raise ValueError("A share cannot be below 0.")
        if max(self.parts) > 1:
            raise ValueError("A share cannot be above 100 %.")
        if sum(self.parts) != 1:
            raise ValueError(
                f"The three shares must add up to 100 %, they add up to {float(sum(self.parts)):.4g}."
            )

    @property
    def parts(self) -> tuple[Fraction, Fraction, Fraction]:
        """Train, validation, test."""
        return self.train, self.validation, self.test

    @classmethod
    def of(cls, train: object, validation: object, test: object) -> Ratios:
        """Exact shares from decimals as people write them ("0.8", 0.8). Raises ValueError."""
        try:
            texts = [str(part) for part in (train, validation, test)]
            # "1e20000000" is short to write and long to work out.
            if any(abs(int(power)) > MOST_POWER for text in texts for power in _POWER.findall(text)):
                raise ValueError
            parts = [Fraction(text) for text in texts]
        except (ValueError, ZeroDivisionError):
            raise ValueError("A share must be a number between 0 and 1.") from None
        return cls(*parts)

    def as_json(self) -> list[str]:
        """Exact text of the three shares."""
        return [str(part) for part in self.parts]

    def with_test_rows(self, n_rows: int, wanted: int, *, most: Fraction = Fraction(3, 10)) -> Ratios:
        """The same shares, the test's raised to hold `wanted` of `n_rows`, at most `most` of all.

        What the test gains, training and validation give in proportion. Never lowers the test.
        """
        if n_rows <= 0 or self.test == 0:
            return self
        test = min(max(self.test, Fraction(wanted, n_rows)), max(most, self.test))
        rest = self.train + self.validation
        if test == self.test or rest == 0:
            return self
        train = (1 - test) * self.train / rest
        return Ratios(train, 1 - test - train, test)


def largest_remainder(total: int, shares: Sequence[Fraction]) -> list[int]:
    """Whole numbers that add up to `total`, each within 1 of its share; ties go to the earlier share."""
    exact = [total * share for share in shares]
    counts = [int(value) for value in exact]
    by_rest = sorted(range(len(shares)), key=lambda i: (counts[i] - exact[i], i))
    for i in by_rest[: total - sum(counts)]:
        counts[i] += 1
    return counts


def seats(sizes: Sequence[int], ratios: Ratios) -> list[list[int]]:
    """How many rows of each stratum each split gets: whole totals by largest remainder, every stratum close to its share.

    Shapes: one row a stratum, three columns (train, validation, test); rows add up to the sizes, columns to the totals.
    """
    shares = ratios.parts
    totals = largest_remainder(sum(sizes), shares)
    table = [[int(size * share) for share in shares] for size in sizes]
    left = [size - sum(row) for size, row in zip(sizes, table, strict=True)]
    open_seats = [total - sum(row[s] for row in table) for s, total in enumerate(totals)]
    # Largest fractions first; where fractions tie, training comes first, so that a thin label is learnt before it is tested.
    wishes = sorted(
        (
            (table[i][s] - size * shares[s], s, i)
            for i, size in enumerate(sizes)
            for s in range(3)
            if size * shares[s] != table[i][s]
        ),
    )
    for _, s, i in wishes:
        if left[i] and open_seats[s]:
            table[i][s] += 1
            left[i] -= 1
            open_seats[s] -= 1
    for i, rest in enumerate(left):
        for s in range(3):
            take = min(rest, open_seats[s])
            table[i][s] += take
            open_seats[s] -= take
            rest -= take
    return table


def rank(seed: str, digest: bytes) -> bytes:
    """The place of a row in the order of a seed: sha256(seed ‖ digest)."""
    return hashlib.sha256(seed.encode() + digest).digest()


def ranks_of(seed: str, digests: Sequence[bytes]) -> list[bytes]:
    """The rank of each of many rows."""
    begin, sha256 = seed.encode(), hashlib.sha256
    return [sha256(begin + digest).digest() for digest in digests]


def byte_order(keys: Sequence[bytes]) -> np.ndarray:
    """Positions in the order of the keys; equal keys in the order given."""
    if set(map(len, keys)) != {32}:
        return np.array(sorted(range(len(keys)), key=keys.__getitem__), np.int64)
    words = np.frombuffer(b"".join(keys), ">u8").reshape(len(keys), 4)
    first = words[:, 0].astype(np.uint64)
    order = np.argsort(first)
    found = first[order]
    if (found[1:] == found[:-1]).any():  # equal keys, hardly ever others: then all bytes are looked at
        order = np.lexsort([words[:, i].astype(np.uint64) for i in (3, 2, 1, 0)])
    return order


def numbered(values: Sequence[str]) -> tuple[list[str], np.ndarray]:
    """The distinct values in order, and for each value its place among them."""
    names = sorted(set(values))
    number = {name: i for i, name in enumerate(names)}
    return names, np.fromiter(map(number.__getitem__, values), np.int64, len(values))


def places_of(order: np.ndarray) -> np.ndarray:
    """Where each position stands in an order."""
    places = np.empty(len(order), np.int64)
    places[order] = np.arange(len(order))
    return places


def assign(
    digests: Sequence[bytes],
    *,
    seed: str,
    ratios: Ratios,
    strategy: Strategy = Strategy.STRATIFIED,
    labels: Sequence[str] = (),
    units: Sequence[int] | np.ndarray = (),
    times: Sequence[datetime | None] = (),
    furthest: Sequence[int] = (),
    by_rank: np.ndarray | None = None,
) -> list[Split]:
    """The split of every row, in the order given.

    Shapes: `labels`, `units`, `times` and `furthest` are empty or as long as `digests`; rows with the same unit stay
    together. `furthest` says how far a row may go: 0 training only (written by a model), 1 not into the test (seen
    before), 2 anywhere; a unit goes as far as its most bound row. A split that lacks such rows stays smaller.
    `by_rank` is the order of the rows by `rank`, from whoever knows it already.
    The result depends on the set of rows, not on their order: a unit is named by its smallest digest.
    """
    n = len(digests)
    is_stratified = strategy is Strategy.STRATIFIED and len(labels) > 0
    names, label = numbered(labels[:n]) if is_stratified else ([""], np.zeros(n, np.int64))
    unit, head = _units(digests, units)
    if strategy is Strategy.TIME:
        return _by_time(_groups(digests, unit, head, [""] * n), seed, ratios, times, furthest, n)
    if (label != label[head][unit]).any():
        return _deal_mixed(_groups(digests, unit, head, labels), seed, ratios, labels, furthest, n)
    sizes, reach = np.bincount(unit, minlength=len(head)), np.full(len(head), 2)
    if len(furthest):
        np.minimum.at(reach, unit, np.asarray(furthest))
    place = places_of(byte_order(ranks_of(seed, digests)) if by_rank is None else by_rank)[head]
    stratum = label[head]
    # Bound units first: what they may not fill is left to those that may go anywhere.
    order = np.lexsort((place, reach, stratum))
    quotas = seats(np.bincount(label, minlength=len(names)).tolist(), ratios)
    ends = np.cumsum(np.bincount(stratum, minlength=len(names))).tolist()
    choices = np.zeros(len(head), np.int8)
    for (start, end), quota in zip(pairwise([0, *ends]), quotas, strict=True):
        here = order[start:end]
        choices[here] = _deal(sizes[here], reach[here], quota, ratios)
    return [SPLITS[choice] for choice in choices[unit].tolist()]


def _units(digests: Sequence[bytes], units: Sequence[int] | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The unit of every row, numbered from 0, and the row of each unit's smallest digest."""
    n = len(digests)
    if not len(units):
        return np.arange(n), np.arange(n)
    order = byte_order(digests)
    _, first, unit = np.unique(np.asarray(units)[order], return_index=True, return_inverse=True)
    found = np.empty(n, np.int64)
    found[order] = unit
    return found, order[first]


def _groups(
    digests: Sequence[bytes], unit: np.ndarray, head: np.ndarray, labels: Sequence[str]
) -> list[tuple[str, bytes, list[int]]]:
    """Units as (label and digest of the head, rows), for the ways of dealing that look at each."""
    order = np.argsort(unit, kind="stable")
    ends = np.cumsum(np.bincount(unit, minlength=len(head))).tolist()
    rows = order.tolist()
    return [
        (labels[i], digests[i], rows[start:end])
        for i, (start, end) in zip(head.tolist(), pairwise([0, *ends]), strict=True)
    ]


def _reach(rows: Sequence[int], furthest: Sequence[int]) -> int:
    """How far a unit may go: as far as its most bound row."""
    return min((furthest[i] for i in rows), default=2) if len(furthest) else 2


def _deal(sizes: np.ndarray, reaches: np.ndarray, quota: Sequence[int], ratios: Ratios) -> np.ndarray:
    """Fill test, then validation, then training, each with whole units, never above its quota while another has room.

    Shapes: one number a unit, in the order they are dealt. Single rows that may go equally far are dealt together.
    """
    out = np.zeros(len(sizes), np.int8)
    left = list(quota)
    if not len(sizes):
        return out
    cut = (sizes[1:] > 1) | (sizes[:-1] > 1) | (reaches[1:] != reaches[:-1])
    for start, end in pairwise([0, *(np.flatnonzero(cut) + 1).tolist(), len(sizes)]):
        reach, size, at = int(reaches[start]), int(sizes[start]), start
        if size == 1:
            for s in range(reach, -1, -1):
                take = min(end - at, max(left[s], 0))
                out[at : at + take] = s
                left[s] -= take
                at += take
        for i in range(at, end):
            choice = next((s for s in (2, 1, 0) if s <= reach and left[s] >= size), None)
            if choice is None:
                # No split has room for the whole unit: the one with most room takes it, training first. What a test
                # may not hold goes to training.
                usable = [s for s in (0, 1, 2) if ratios.parts[s] > 0] if reach == 2 else [0]
                choice = max(usable, key=lambda s: (left[s], -s))
            left[choice] -= size
            out[i] = choice
    return out


def _deal_mixed(
    groups: Sequence[tuple[str, bytes, list[int]]],
    seed: str,
    ratios: Ratios,
    labels: Sequence[str],
    furthest: Sequence[int],
    n: int,
) -> list[Split]:
    """Stratified within groups: a unit holds several labels (one customer's tickets), so its rows go together.

    Units go, the largest first, to the split that lacks most of what they bring; equal wishes are settled by the order
    of the seed. The totals stay within the largest unit of their shares.
    """
    whole = Counter(labels)
    shares = [float(part) for part in ratios.parts]
    room = {name: [count * share for share in shares] for name, count in whole.items()}
    left = largest_remainder(n, ratios.parts)
    out = [Split.TRAIN] * n
    ordered = sorted(
        ((_reach(rows, furthest), -len(rows), rank(seed, first), rows) for _, first, rows in groups),
        key=lambda unit: unit[:3],
    )
    for reach, _, _, rows in ordered:
        # By name: sums of fractions must not hang on the order of rows.
        brought = sorted(Counter(labels[i] for i in rows).items())
        usable = [s for s in (0, 1, 2) if s <= reach and ratios.parts[s] > 0] or [0]
        fitting = [s for s in usable if left[s] >= len(rows)] or (usable if reach == 2 else [0])
        choice = max(
            fitting,
            key=lambda s: (
                # The share of its need that is still open, over the labels this unit brings.
                sum(k * room[name][s] / (whole[name] * shares[s] or 1) for name, k in brought),
                left[s] / (n * shares[s] or 1),
                s,
            ),
        )
        left[choice] -= len(rows)
        for name, k in brought:
            room[name][choice] -= k
        for i in rows:
            out[i] = SPLITS[choice]
    return out


def folds_of(
    digests: Sequence[bytes],
    splits: Sequence[Split],
    *,
    seed: str,
    n_folds: int,
    labels: Sequence[str] = (),
    units: Sequence[int] = (),
) -> list[int]:
    """The fold, 1 to `n_folds`, of every row outside the test; 0 for test rows. Units whole, labels spread (S41).

    Shapes: equal lengths; `labels` and `units` may be empty. The same on any machine, whatever the order of the rows.
    Raises: ValueError for fewer than two folds.
    """
    if n_folds < 2:
        raise ValueError("Cross-validation needs at least two folds.")
    members: dict[int, list[int]] = {}
    for i, split in enumerate(splits):
        if split != Split.TEST:
            members.setdefault(units[i] if len(units) else -1 - i, []).append(i)
    heads = [(min(digests[i] for i in rows), rows) for rows in members.values()]
    out = [0] * len(digests)
    held: dict[str, list[int]] = defaultdict(lambda: [0] * n_folds)
    sizes = [0] * n_folds
    for _, _, rows in sorted((-len(rows), rank(f"{seed} folds", head), rows) for head, rows in heads):
        brought = Counter(labels[i] if len(labels) else "" for i in rows)

        def fullness(fold: int, brought: Counter[str] = brought) -> tuple[int, int, int]:
            return sum(held[name][fold] * k for name, k in brought.items()), sizes[fold], fold

        choice = min(range(n_folds), key=fullness)
        sizes[choice] += len(rows)
        for name, k in brought.items():
            held[name][choice] += k
        for i in rows:
            out[i] = choice + 1
    return out


def _by_time(
    groups: Sequence[tuple[str, bytes, list[int]]],
    seed: str,
    ratios: Ratios,
    times: Sequence[datetime | None],
    furthest: Sequence[int],
    n: int,
) -> list[Split]:
    """Oldest to training, newest to test. A unit is as new as its newest row; rows without a time are the oldest."""
    out = [Split.TRAIN] * n

    def age(group: tuple[str, bytes, list[int]]) -> tuple[bool, float, bytes]:
        known = [t.timestamp() for i in group[2] if (t := times[i]) is not None] if len(times) else []
        return bool(known), max(known, default=0.0), rank(seed, group[1])

    quota = largest_remainder(n, ratios.parts)
    boundaries = (n - quota[2], n - quota[2] - quota[1])
    after = n
    for _, _, rows in sorted(groups, key=age, reverse=True):
        before = after - len(rows)
        # A unit belongs to the split that holds its middle row.
        middle = (before + after - 1) / 2
        choice = 2 if middle >= boundaries[0] else 1 if middle >= boundaries[1] else 0
        if not (times and any(times[i] is not None for i in rows)):
            choice = 0
        choice = min(choice, _reach(rows, furthest))
        # What may not go into the test must not make a validation split that nobody asked for.
        if ratios.parts[choice] == 0:
            choice = 0
        for i in rows:
            out[i] = SPLITS[choice]
        after = before
    return out
