"""Finding rows that say the same: exactly, but for formatting, or nearly.

Near-duplicates: MinHash bands propose pairs, exact Jaccard over shingles decides each one, union-find joins them.
Works on texts and row positions; knows no table. Deterministic: hashes come from the words, not from the process.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain

import numpy as np

THRESHOLD = 0.8
PERM, BANDS, SEED = 128, 32, 42
WORD_SHINGLE, CHAR_SHINGLE = 3, 4
# One changed word kills three of a short text's few word shingles, so short texts are compared by characters.
# Texts between the two bounds stand in both indexes, so that no pair falls between them.
SHORT_BELOW, LONG_FROM = 20, 14
# Buckets up to this size are compared pair by pair; larger ones against one row of each cluster found so far.
ALL_PAIRS_UP_TO = 48
MOST_HEADS = 64


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


def groups_of(keys: Iterable[Hashable]) -> list[list[int]]:
    """Positions that share a key, only groups of two or more, in order of first appearance."""
    seen: dict[Hashable, list[int]] = {}
    for position, key in enumerate(keys):
        seen.setdefault(key, []).append(position)
    return [members for members in seen.values() if len(members) > 1]


def words_of(text: str) -> list[str]:
    """Words as they count for likeness: case folded, split at white space."""
    return text.casefold().split()


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


def _hash64(token: str) -> int:
    return int.from_bytes(
        hashlib.blake2b(token.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little"
    )


class _Vocabulary(dict[str, int]):
    """Word → 64-bit hash, computed once a word; the same on every machine."""

    def __missing__(self, word: str) -> int:
        value = self[word] = _hash64(word)
        return value


_MIX = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F), np.uint64(0x165667B19E3779F9))


@dataclass(slots=True)
class Flat:
    """Shingle hashes of several texts, end to end; text i owns tokens[offsets[i]:offsets[i + 1]]."""

    tokens: np.ndarray
    offsets: np.ndarray

    def of(self, i: int) -> np.ndarray:
        """Distinct shingle hashes of one text, sorted."""
        return np.unique(self.tokens[int(self.offsets[i]) : int(self.offsets[i + 1])])


def _word_shingles(texts: Sequence[list[str]], vocabulary: _Vocabulary) -> Flat:
    lengths = np.fromiter((len(words) for words in texts), np.int64, len(texts))
    hashes = np.fromiter(
        map(vocabulary.__getitem__, chain.from_iterable(texts)), np.uint64, int(lengths.sum())
    )
    with np.errstate(over="ignore"):
        grams = hashes[:-2] * _MIX[0] + hashes[1:-1] * _MIX[1]
        grams ^= hashes[2:] * _MIX[2]
    ends = np.cumsum(lengths)
    keep = np.ones(len(grams), bool)
    for back in (0, 1):  # a shingle may not cross a row's end
        at = ends[:-1] - 1 - back
        keep[at[(at >= 0) & (at < len(grams))]] = False
    counts = np.maximum(lengths - 2, 0)
    return Flat(grams[keep], np.concatenate(([0], np.cumsum(counts))).astype(np.uint64))


def _char_shingles(texts: Sequence[list[str]]) -> Flat:
    lengths = np.empty(len(texts), np.int64)
    parts = []
    for i, words in enumerate(texts):
        # utf-32: one number a character, so that a window of four is plain arithmetic
        codes = np.frombuffer(" ".join(words).encode("utf-32-le", "surrogatepass"), np.uint32)
        if len(codes) < CHAR_SHINGLE:
            codes = np.concatenate((codes, np.zeros(CHAR_SHINGLE - len(codes), np.uint32)))
        parts.append(codes)
        lengths[i] = len(codes)
    codes = np.concatenate(parts).astype(np.uint64) if parts else np.empty(0, np.uint64)
    with np.errstate(over="ignore"):
        grams = (codes[:-3] << np.uint64(21)) + codes[1:-2]
        grams = grams * _MIX[0] ^ ((codes[2:-1] << np.uint64(21)) + codes[3:]) * _MIX[1]
    ends = np.cumsum(lengths)
    keep = np.ones(len(grams), bool)
    for back in range(CHAR_SHINGLE - 1):
        at = ends[:-1] - 1 - back
        keep[at[(at >= 0) & (at < len(grams))]] = False
    counts = np.maximum(lengths - CHAR_SHINGLE + 1, 0)
    return Flat(grams[keep], np.concatenate(([0], np.cumsum(counts))).astype(np.uint64))


def _band_keys(flat: Flat) -> np.ndarray:
    """One 64-bit key a row and band: rows that agree in a band are candidates."""
    from rensa import RMinHash  # lazy: a compiled wheel only workers need

    n = len(flat.offsets) - 1
    matrix = RMinHash.digest_matrix_from_flat_token_hashes(flat.tokens, flat.offsets, PERM, SEED)
    digests = np.array(matrix.to_rows(), dtype=np.uint64).reshape(n, BANDS, PERM // BANDS)
    keys = np.zeros((n, BANDS), np.uint64)
    with np.errstate(over="ignore"):
        for step in range(PERM // BANDS):
            keys = keys * _MIX[0] + digests[:, :, step]
            keys ^= keys >> np.uint64(29)
    return keys


@dataclass(slots=True)
class _Index:
    """Rows of one kind of shingle with their band keys, filled block by block."""

    by_chars: bool
    rows: list[np.ndarray] = field(default_factory=list)
    keys: list[np.ndarray] = field(default_factory=list)

    def add(self, rows: np.ndarray, texts: Sequence[list[str]], vocabulary: _Vocabulary) -> None:
        if len(rows):
            flat = _char_shingles(texts) if self.by_chars else _word_shingles(texts, vocabulary)
            self.rows.append(rows)
            self.keys.append(_band_keys(flat))


class NearDuplicates:
    """Collects texts block by block, then says which rows are nearly the same.

    Keeps 256 bytes a row, not the texts: those of candidates are asked for again through `fetch`.
    """

    def __init__(self, threshold: float = THRESHOLD) -> None:
        self.threshold = threshold
        self.size = 0
        self._vocabulary = _Vocabulary()
        self._indexes = (_Index(by_chars=True), _Index(by_chars=False))

    def add(self, texts: Sequence[str]) -> None:
        """Take the next rows in order."""
        split = [words_of(text) for text in texts]
        lengths = np.fromiter((len(words) for words in split), np.int64, len(split))
        for index, mask in zip(self._indexes, (lengths < SHORT_BELOW, lengths >= LONG_FROM), strict=True):
            at = np.flatnonzero(mask)
            index.add(at + self.size, [split[i] for i in at], self._vocabulary)
        self.size += len(split)
        if len(self._vocabulary) > 2_000_000:
            self._vocabulary.clear()

    def clusters(
        self, fetch: Callable[[list[int]], list[str]], *, beat: Callable[[], None] = lambda: None
    ) -> Clusters:
        """Rows joined when their verified Jaccard reaches the threshold. `fetch` gives texts by position."""
        found = Clusters(self.size)
        for index in self._indexes:
            if index.rows:
                self._join(index, found, fetch, beat)
        return found

    def _join(
        self,
        index: _Index,
        found: Clusters,
        fetch: Callable[[list[int]], list[str]],
        beat: Callable[[], None],
    ) -> None:
        rows, keys = np.concatenate(index.rows), np.concatenate(index.keys)
        runs: list[np.ndarray] = []
        for band in range(BANDS):
            column = keys[:, band]
            order = np.argsort(column, kind="stable")
            ordered = column[order]
            starts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
            lengths = np.diff(np.concatenate((starts, [len(ordered)])))
            for start, length in zip(starts[lengths > 1], lengths[lengths > 1], strict=True):
                runs.append(rows[order[start : start + length]])
        index.keys.clear()
        sets = _ShingleSets(index.by_chars, fetch, self._vocabulary)
        sets.want(runs)
        tried: set[tuple[int, int]] = set()
        for number, run in enumerate(runs):
            if number % 2000 == 0:
                beat()
            self._join_run(run.tolist(), found, sets, tried)

    def _join_run(
        self, run: list[int], found: Clusters, sets: _ShingleSets, tried: set[tuple[int, int]]
    ) -> None:
        heads: list[int] = []
        all_pairs = len(run) <= ALL_PAIRS_UP_TO
        for row in run:
            matched = False
            for head in heads:
                pair = (head, row) if head < row else (row, head)
                if pair in tried:
                    continue
                if found.find(head) == found.find(row):
                    matched = True
                    continue
                tried.add(pair)
                if sets.jaccard(head, row) >= self.threshold:
                    found.join(head, row)
                    matched = True
            if all_pairs or (not matched and len(heads) < MOST_HEADS):
                heads.append(row)


class _ShingleSets:
    """Shingle hashes of candidate rows, fetched in blocks and kept while the bands are compared."""

    def __init__(
        self, by_chars: bool, fetch: Callable[[list[int]], list[str]], vocabulary: _Vocabulary
    ) -> None:
        self.by_chars, self.fetch, self.vocabulary = by_chars, fetch, vocabulary
        self.sets: dict[int, np.ndarray] = {}

    def want(self, runs: list[np.ndarray]) -> None:
        if not runs:
            return
        wanted = np.unique(np.concatenate(runs)).tolist()
        for start in range(0, len(wanted), 5000):
            block = wanted[start : start + 5000]
            texts = [words_of(text) for text in self.fetch(block)]
            flat = _char_shingles(texts) if self.by_chars else _word_shingles(texts, self.vocabulary)
            for i, row in enumerate(block):
                self.sets[row] = flat.of(i)

    def jaccard(self, a: int, b: int) -> float:
        first, second = self.sets[a], self.sets[b]
        small, large = sorted((len(first), len(second)))
        if not large or small / large < 0.5:
            return 0.0
        same = len(np.intersect1d(first, second, assume_unique=True))
        return same / (len(first) + len(second) - same)


def near_clusters(texts: Sequence[str], *, threshold: float = THRESHOLD) -> list[list[int]]:
    """Groups of positions whose texts are nearly the same, each sorted, only groups of two or more."""
    finder = NearDuplicates(threshold)
    for start in range(0, len(texts), 20_000):
        finder.add(texts[start : start + 20_000])
    roots = finder.clusters(lambda positions: [texts[i] for i in positions]).roots()
    return groups_from(roots)


def groups_from(roots: np.ndarray) -> list[list[int]]:
    """Groups of two or more positions from the root of each position."""
    order = np.argsort(roots, kind="stable")
    ordered = roots[order]
    if not len(order):
        return []
    starts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
    ends = np.concatenate((starts[1:], [len(order)])).astype(int)
    return [order[a:b].tolist() for a, b in zip(starts, ends, strict=True) if b - a > 1]
