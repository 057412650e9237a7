"""Finding rows that say the same: exactly, but for formatting, or nearly.

Near-duplicates: MinHash bands propose pairs, exact Jaccard over shingles decides each one, union-find joins them.
Works on texts and row positions; knows no table. Deterministic: hashes come from the words, not from the process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from datasets.domain.hashing import (
    CHAR_SHINGLE,
    MIX,
    WORD_SHINGLE,
    Flat,
    Words,
    char_shingles,
    word_hashes,
    word_shingles,
    words_of,
)

THRESHOLD = 0.8
PERM, BANDS, SEED = 128, 32, 42
# One changed word kills three of a short text's few word shingles, so short texts are compared by characters.
# Texts between the two bounds stand in both indexes, so that no pair falls between them.
SHORT_BELOW, LONG_FROM = 20, 14
# Buckets up to this size are compared pair by pair; larger ones against one row of each cluster found so far.
ALL_PAIRS_UP_TO = 48
MOST_HEADS = 64
# Pairs verified at once, and the bits of a shingle's hash that stay beside a pair's number in 64 bits.
PAIRS_AT_ONCE, PAIR_BITS = 4096, 12
# Rows whose digests are asked for at once: they come as Python's own numbers, and so few of those stay near the processor.
SIGNED_AT_ONCE = 250
# Texts fetched at once to verify pairs.
FETCH_AT_ONCE = 2048
# Bits of a row's sketch: most pairs that bands propose can be refused by comparing these, a hundred times sooner.
SKETCH_BITS = 512
# Far below one shingle: what floating point may lose of a bound on a count.
ROUNDING = 1e-6


class Clusters:
    """Union-find over row positions; the root of a cluster is its smallest position."""

    def __init__(self, size: int) -> None:
        self.parent = np.arange(size, dtype=np.int64)

    def find(self, i: int) -> int:
        """The smallest position in the cluster of `i`."""
        parent = self.parent
        root = i
        while parent[root] != root:
            root = int(parent[root])
        while parent[i] != root:
            parent[i], i = root, int(parent[i])
        return root

    def join(self, a: int, b: int) -> None:
        """Put two positions into one cluster."""
        a, b = self.find(a), self.find(b)
        if a != b:
            self.parent[max(a, b)] = min(a, b)

    def roots(self) -> np.ndarray:
        """The root of every position, in order."""
        parent = self.parent
        while True:
            further = parent[parent]
            if np.array_equal(further, parent):
                self.parent = parent
                return parent
            parent = further


def groups_of_numbers(keys: np.ndarray) -> list[list[int]]:
    """Positions that share a key, only groups of two or more, in order of first appearance. A million keys at once."""
    if not len(keys):
        return []
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    starts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
    ends = np.append(starts[1:], len(order))
    shared = ends - starts > 1
    spans = zip(starts[shared].tolist(), ends[shared].tolist(), strict=True)
    return sorted(order[a:b].tolist() for a, b in spans)


def shingles(text: str, *, by_chars: bool) -> set[str]:
    """The set compared by Jaccard: word 3-grams, or character 4-grams of a short text."""
    words = words_of(text)
    if by_chars:
        joined = " ".join(words)
        return {joined[i : i + CHAR_SHINGLE] for i in range(max(1, len(joined) - CHAR_SHINGLE + 1))}
    return {" ".join(words[i : i + WORD_SHINGLE]) for i in range(max(1, len(words) - WORD_SHINGLE + 1))}


def jaccard(a: str, b: str) -> float:
    """Likeness of two texts, 0 to 1, as near-duplicate verification measures it."""
    by_chars = min(len(words_of(a)), len(words_of(b))) < LONG_FROM
    first, second = shingles(a, by_chars=by_chars), shingles(b, by_chars=by_chars)
    return len(first & second) / len(first | second)


def _band_keys(flat: Flat) -> np.ndarray:
    """One 32-bit key a row and band: rows that agree in a band are candidates.

    32 bits are enough: a chance meeting of two keys costs one comparison and joins nobody.
    """
    from rensa import RMinHash  # lazy: a compiled wheel only workers need

    n = len(flat.offsets) - 1
    digests = np.empty((n, PERM), np.uint32)
    for start in range(0, n, SIGNED_AT_ONCE):
        offsets = flat.offsets[start : start + SIGNED_AT_ONCE + 1]
        tokens = flat.tokens[int(offsets[0]) : int(offsets[-1])]
        matrix = RMinHash.digest_matrix_from_flat_token_hashes(tokens, offsets - offsets[0], PERM, SEED)
        digests[start : start + SIGNED_AT_ONCE] = matrix.to_rows()
    banded = digests.reshape(n, BANDS, PERM // BANDS)
    keys = np.zeros((n, BANDS), np.uint64)
    with np.errstate(over="ignore"):
        for step in range(PERM // BANDS):
            keys = keys * MIX[0] + banded[:, :, step]
            keys ^= keys >> np.uint64(29)
        keys *= MIX[1]
    return (keys >> np.uint64(32)).astype(np.uint32)


@dataclass(slots=True)
class Signed:
    """What is kept of a block of texts: the band keys of those compared by characters and of those by words.

    Shapes: `at` holds positions in the block, `keys` one row of BANDS numbers for each.
    """

    n: int
    char_at: np.ndarray
    char_keys: np.ndarray
    word_at: np.ndarray
    word_keys: np.ndarray

    @classmethod
    def joined(cls, parts: Sequence[Signed]) -> Signed:
        """The signatures of blocks that follow each other, as those of one block."""
        starts = np.cumsum([0, *(part.n for part in parts)]).tolist()
        return cls(
            starts[-1],
            np.concatenate([part.char_at + start for part, start in zip(parts, starts, strict=False)]),
            np.concatenate([part.char_keys for part in parts]),
            np.concatenate([part.word_at + start for part, start in zip(parts, starts, strict=False)]),
            np.concatenate([part.word_keys for part in parts]),
        )


def sign(texts: Sequence[str]) -> Signed:
    """The signatures of a block of texts: pure work for a processor, of any block in any process."""
    words = word_hashes(texts)
    counts = words.counts
    char_at, word_at = np.flatnonzero(counts < SHORT_BELOW), np.flatnonzero(counts >= LONG_FROM)
    none = np.empty((0, BANDS), np.uint32)
    char_keys = _band_keys(char_shingles([texts[i] for i in char_at.tolist()])) if len(char_at) else none
    word_keys = _band_keys(word_shingles(_only(words, word_at))) if len(word_at) else none
    return Signed(len(texts), char_at, char_keys, word_at, word_keys)


def _only(words: Words, at: np.ndarray) -> Words:
    """The words of some of the texts."""
    counts = words.counts
    if len(at) == len(counts):
        return words
    chosen = np.zeros(len(counts), bool)
    chosen[at] = True
    return Words(words.hashes[np.repeat(chosen, counts)], np.concatenate(([0], np.cumsum(counts[at]))))


Fetch = Callable[[list[int]], list[str]]


class NearDuplicates:
    """Collects signatures block by block, then says which rows are nearly the same.

    Keeps 128 bytes a row, not the texts: those of candidates are asked for again through `fetch`.
    """

    def __init__(self, threshold: float = THRESHOLD) -> None:
        self.threshold = threshold
        self.size = 0
        # The largest bucket seen: up to ALL_PAIRS_UP_TO every pair of every bucket was compared.
        self.largest_bucket = 0
        self._char: list[tuple[np.ndarray, np.ndarray]] = []
        self._word: list[tuple[np.ndarray, np.ndarray]] = []

    def add(self, texts: Sequence[str]) -> None:
        """Take the next rows in order."""
        self.take(sign(texts))

    def take(self, block: Signed) -> None:
        """Take the signatures of the next rows in order."""
        self._char.append((block.char_at + self.size, block.char_keys))
        self._word.append((block.word_at + self.size, block.word_keys))
        self.size += block.n

    def clusters(
        self, fetch: Fetch, *, beat: Callable[[], None] = lambda: None, leave_out: Iterable[int] = ()
    ) -> Clusters:
        """Rows joined when their verified Jaccard reaches the threshold. `fetch` gives texts by position.

        Rows in `leave_out` are compared with nobody: copies of rows that are.
        """
        found = Clusters(self.size)
        present = np.ones(self.size, bool)
        present[np.fromiter(leave_out, np.int64)] = False
        for by_chars, blocks in ((True, self._char), (False, self._word)):
            rows = np.concatenate([at for at, _ in blocks]) if blocks else np.empty(0, np.int64)
            if len(rows):
                keep = present[rows]
                keys = np.concatenate([keys for _, keys in blocks])[keep]
                self._join(rows[keep], keys, by_chars, found, fetch, beat)
            blocks.clear()
        return found

    def _join(
        self,
        rows: np.ndarray,
        keys: np.ndarray,
        by_chars: bool,
        found: Clusters,
        fetch: Fetch,
        beat: Callable[[], None],
    ) -> None:
        pairs = np.empty(0, np.uint64)
        crowds: list[np.ndarray] = []
        for band in range(BANDS):
            beat()
            close, crowded = _meetings(keys[:, band])
            if crowded:
                self.largest_bucket = max(self.largest_bucket, *map(len, crowded))
                crowds += crowded
            pairs = _distinct(np.concatenate((pairs, close)))
        del keys
        wanted = _distinct(
            np.concatenate((pairs >> np.uint64(32), pairs & np.uint64(0xFFFFFFFF), *crowds)).astype(np.int64)
        )
        if not len(wanted):
            return
        sets = _ShingleSets(rows, wanted, by_chars, fetch, beat)
        for start in range(0, len(pairs), PAIRS_AT_ONCE):
            beat()
            some = pairs[start : start + PAIRS_AT_ONCE]
            a, b = (some >> np.uint64(32)).astype(np.int64), (some & np.uint64(0xFFFFFFFF)).astype(np.int64)
            # What one cluster holds already need not be compared again.
            roots = found.roots()
            apart = roots[rows[a]] != roots[rows[b]]
            a, b = a[apart], b[apart]
            for i in sets.alike(a, b, self.threshold).tolist():
                found.join(int(rows[a[i]]), int(rows[b[i]]))
        for number, crowd in enumerate(crowds):
            if number % 100 == 0:
                beat()
            self._join_crowd(crowd, rows, found, sets)

    def _join_crowd(self, crowd: np.ndarray, rows: np.ndarray, found: Clusters, sets: _ShingleSets) -> None:
        """A bucket too large for all its pairs: each row against one of each cluster met before it."""
        heads: list[int] = []
        for i in crowd.tolist():
            known = [h for h in heads if found.find(int(rows[h])) == found.find(int(rows[i]))]
            if known:
                continue
            here = np.full(len(heads), i)
            for at in sets.alike(np.array(heads, np.int64), here, self.threshold).tolist():
                known.append(heads[at])
                found.join(int(rows[heads[at]]), int(rows[i]))
            if not known and len(heads) < MOST_HEADS:
                heads.append(i)


def _distinct(values: np.ndarray) -> np.ndarray:
    """Each value once, sorted. A plain sort is faster here than the hash table of np.unique."""
    values.sort()
    return values[np.concatenate(([True], values[1:] != values[:-1]))] if len(values) else values


def _meetings(column: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
    """Who meets in one band: pairs of small buckets as smaller << 32 | larger, and the members of large ones."""
    order = (column.astype(np.uint64) << np.uint64(32)) | np.arange(len(column), dtype=np.uint64)
    order.sort()
    key, at = order >> np.uint64(32), order & np.uint64(0xFFFFFFFF)
    starts = np.flatnonzero(np.concatenate(([True], key[1:] != key[:-1])))
    lengths = np.diff(np.concatenate((starts, [len(key)])))
    crowded = [at[s : s + n].astype(np.int64) for s, n in zip(*_where(starts, lengths), strict=True)]
    small = (lengths > 1) & (lengths <= ALL_PAIRS_UP_TO)
    starts, lengths = starts[small], lengths[small]
    found = []
    for first in range(int(lengths.max(initial=1)) - 1):
        for second in range(first + 1, int(lengths.max())):
            s = starts[lengths > second]
            found.append((at[s + first] << np.uint64(32)) | at[s + second])
    return np.concatenate(found) if found else np.empty(0, np.uint64), crowded


def _where(starts: np.ndarray, lengths: np.ndarray) -> tuple[list[int], list[int]]:
    large = lengths > ALL_PAIRS_UP_TO
    return starts[large].tolist(), lengths[large].tolist()


class _ShingleSets:
    """Distinct shingle hashes of candidate rows, fetched in blocks, end to end and sorted within each row."""

    def __init__(
        self, rows: np.ndarray, wanted: np.ndarray, by_chars: bool, fetch: Fetch, beat: Callable[[], None]
    ) -> None:
        parts, sizes = [], []
        self.sketches = np.empty((len(wanted), SKETCH_BITS // 64), np.uint64)
        for start in range(0, len(wanted), FETCH_AT_ONCE):
            beat()
            texts = fetch(rows[wanted[start : start + FETCH_AT_ONCE]].tolist())
            flat = char_shingles(texts) if by_chars else word_shingles(word_hashes(texts))
            owner = np.repeat(np.arange(len(texts), dtype=np.uint64), flat.counts)
            held = _distinct((owner << np.uint64(64 - PAIR_BITS)) | (flat.tokens >> np.uint64(PAIR_BITS)))
            sizes.append(
                np.bincount((held >> np.uint64(64 - PAIR_BITS)).astype(np.int64), minlength=len(texts))
            )
            parts.append(held & np.uint64((1 << (64 - PAIR_BITS)) - 1))
            self.sketches[start : start + len(texts)] = _sketches(held, len(texts))
        self.tokens = np.concatenate(parts)
        self.sizes = np.concatenate(sizes)
        self.starts = np.cumsum(self.sizes) - self.sizes
        self.place = np.full(len(rows), -1, np.int64)
        self.place[wanted] = np.arange(len(wanted))

    def alike(self, a: np.ndarray, b: np.ndarray, threshold: float) -> np.ndarray:
        """The pairs i whose Jaccard (a[i] with b[i]) reaches the threshold; positions as they were `wanted`.

        Shapes: `a` and `b` hold at most PAIRS_AT_ONCE.
        """
        a, b = self.place[a], self.place[b]
        # A bit that stands in one sketch alone is a shingle of one set alone, and J >= t says that no more than
        # (1 - t) / (1 + t) of both sets' shingles are. So nothing is refused here that is alike.
        apart = np.bitwise_count(self.sketches[a] ^ self.sketches[b]).sum(axis=1, dtype=np.int64)
        most = (1 - threshold) / (1 + threshold) * (self.sizes[a] + self.sizes[b]) + ROUNDING
        left = np.flatnonzero(apart <= most)
        if not len(left):
            return left
        return left[self._likeness(a[left], b[left]) >= threshold]

    def _likeness(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        both = np.concatenate([self._tagged(a), self._tagged(b)])
        both.sort()
        # Each set holds a shingle once, so a tagged shingle that stands twice is in both.
        twice = both[1:][both[1:] == both[:-1]] >> np.uint64(64 - PAIR_BITS)
        same = np.bincount(twice.astype(np.int64), minlength=len(a))
        whole = self.sizes[a] + self.sizes[b] - same
        return np.divide(same, whole, out=np.zeros(len(a)), where=whole > 0)

    def _tagged(self, places: np.ndarray) -> np.ndarray:
        """The shingles of these rows, each with the number of its pair in the top bits."""
        sizes = self.sizes[places]
        first = np.repeat(self.starts[places] - (np.cumsum(sizes) - sizes), sizes)
        tokens = self.tokens[first + np.arange(len(first))]
        return tokens | (
            np.repeat(np.arange(len(places), dtype=np.uint64), sizes) << np.uint64(64 - PAIR_BITS)
        )


def _sketches(held: np.ndarray, n: int) -> np.ndarray:
    """A bit for every shingle of each of `n` rows, by the end of its hash; `held` has the row's number in the top bits."""
    flags = np.zeros((n, SKETCH_BITS), np.uint8)
    flags[
        (held >> np.uint64(64 - PAIR_BITS)).astype(np.int64),
        (held & np.uint64(SKETCH_BITS - 1)).astype(np.int64),
    ] = 1
    return np.packbits(flags, axis=1).view(np.uint64)


def near_clusters(texts: Sequence[str], *, threshold: float = THRESHOLD) -> list[list[int]]:
    """Groups of positions whose texts are nearly the same, each sorted, only groups of two or more."""
    finder = NearDuplicates(threshold)
    for part in blocks_of(texts, 20_000):
        finder.add(part)
    roots = finder.clusters(lambda positions: [texts[i] for i in positions]).roots()
    return groups_from(roots)


def blocks_of(texts: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    """Slices of at most `size`."""
    for start in range(0, len(texts), size):
        yield texts[start : start + size]


def groups_from(roots: np.ndarray) -> list[list[int]]:
    """Groups of two or more positions from the root of each position."""
    return groups_of_numbers(roots)
