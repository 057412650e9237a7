"""Text to numbers, the same way at training and at prediction: hashed words and characters.

Word 1- and 2-grams and character 3- to 5-grams inside words, each hashed (MurmurHash3, 32 bit, seed 0) into
its own half, counts damped to 1 + ln(count), optionally weighted by idf, rows scaled to length 1. Equal to
scikit-learn's HashingVectorizer and TfidfTransformer (a test compares them), but a whole batch at once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy import sparse

_WORD = re.compile(r"\w+")
# One run of letters this long is debris (base64, hashes); the cut keeps a hostile megabyte word from costing
# seconds.
LONGEST_WORD = 64
LONGEST_TEXT = 100_000
BLOCK_ROWS = 2048


@dataclass(frozen=True, slots=True)
class Features:
    """The settings of the vectoriser. `size` columns: words first, then characters."""

    word_bits: int = 16
    char_bits: int = 16
    word_ngrams: tuple[int, int] = (1, 2)
    char_ngrams: tuple[int, int] = (3, 5)

    def __post_init__(self) -> None:
        if not (1 <= self.word_bits <= 24 and 1 <= self.char_bits <= 24):
            raise ValueError("word_bits and char_bits must be between 1 and 24")
        for low, high in (self.word_ngrams, self.char_ngrams):
            if not 1 <= low <= high <= 8:
                raise ValueError("n-gram ranges must lie between 1 and 8")
        if self.char_ngrams[0] > 3:
            # A one-letter word, with the blanks around it, has three characters and must keep a feature.
            raise ValueError("character n-grams must begin at 3 or fewer")

    @property
    def size(self) -> int:
        """Number of columns."""
        return (1 << self.word_bits) + (1 << self.char_bits)

    def as_settings(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_settings(cls, settings: dict[str, Any]) -> Features:
        """The inverse of `as_settings`. Raises ValueError, KeyError, TypeError on nonsense."""
        return cls(
            word_bits=int(settings["word_bits"]),
            char_bits=int(settings["char_bits"]),
            word_ngrams=tuple(int(n) for n in settings["word_ngrams"]),  # type: ignore[arg-type]
            char_ngrams=tuple(int(n) for n in settings["char_ngrams"]),  # type: ignore[arg-type]
        )

    def counts(self, texts: Sequence[str]) -> sparse.csr_matrix:
        """How often each column occurs. Shapes: (len(texts), size), float32."""
        blocks = [self._count_block(texts[i : i + BLOCK_ROWS]) for i in range(0, len(texts), BLOCK_ROWS)]
        if not blocks:
            return sparse.csr_matrix((0, self.size), dtype=np.float32)
        return blocks[0] if len(blocks) == 1 else sparse.vstack(blocks, format="csr")

    def matrix(self, texts: Sequence[str], idf: np.ndarray | None = None) -> sparse.csr_matrix:
        """Rows of length 1 (or 0 for a text without any letter).

        Shapes: (len(texts), size); idf is (size,).
        """
        return weighted(self.counts(texts), idf)

    def _count_block(self, texts: Sequence[str]) -> sparse.csr_matrix:
        lowered = [t[:LONGEST_TEXT].lower() for t in texts]
        word_rows, word_hashes = _hash_spans(*_word_spans(lowered, *self.word_ngrams))
        char_rows, char_hashes = _hash_spans(*_char_spans(lowered, *self.char_ngrams))
        columns = np.concatenate(
            [
                _column(word_hashes, self.word_bits),
                _column(char_hashes, self.char_bits) + (1 << self.word_bits),
            ]
        )
        rows = np.concatenate([word_rows, char_rows])
        ones = np.ones(len(rows), dtype=np.float32)
        return sparse.coo_matrix((ones, (rows, columns)), shape=(len(texts), self.size)).tocsr()


def weighted(counts: sparse.csr_matrix, idf: np.ndarray | None = None) -> sparse.csr_matrix:
    """Counts damped, weighted and scaled to rows of length 1, as a new matrix."""
    matrix = counts.astype(np.float32, copy=True)
    np.log(matrix.data, out=matrix.data)
    matrix.data += 1
    if idf is not None:
        matrix.data *= idf.astype(np.float32)[matrix.indices]
    rows = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    lengths = np.sqrt(
        np.bincount(rows, weights=matrix.data.astype(np.float64) ** 2, minlength=matrix.shape[0])
    )
    lengths[lengths == 0] = 1
    matrix.data /= lengths[rows].astype(np.float32)
    return matrix


def fit_idf(counts: sparse.csr_matrix) -> np.ndarray:
    """Weight of each column, ln((1 + rows) / (1 + rows with it)) + 1. Shapes: (columns,), float32.

    Source: scikit-learn's TfidfTransformer with smooth_idf.
    """
    present = np.bincount(counts.indices, minlength=counts.shape[1])
    return (np.log((1 + counts.shape[0]) / (1 + present)) + 1).astype(np.float32)


def _column(hashes: np.ndarray, bits: int) -> np.ndarray:
    # The hash is read as a signed number and its absolute value taken, as scikit-learn's FeatureHasher does.
    signed = hashes.view(np.int32).astype(np.int64)
    return np.abs(signed) % (1 << bits)


Spans = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]  # bytes, row, first byte, number of bytes


def _byte_offsets(text: str) -> tuple[np.ndarray, np.ndarray]:
    """UTF-8 bytes of `text`, and for every character (and the end) the byte it begins at."""
    data = np.frombuffer(text.encode("utf-8", "replace"), dtype=np.uint8)
    if len(data) == len(text):
        return data, np.arange(len(data) + 1)
    begins = np.flatnonzero((data & 0xC0) != 0x80)
    return data, np.append(begins, len(data))


def _word_spans(lowered: Sequence[str], low: int, high: int) -> Spans:
    """Words of each text stand joined by one blank, texts by a line feed; an n-gram is a stretch of that."""
    lines = [" ".join([w[:LONGEST_WORD] for w in _WORD.findall(t)]) for t in lowered]
    n_words = np.fromiter(
        (line.count(" ") + 1 if line else 0 for line in lines), dtype=np.int64, count=len(lines)
    )
    data, _ = _byte_offsets("\n".join(line for line in lines if line))
    gaps = np.flatnonzero((data == 32) | (data == 10))
    begins = np.concatenate([[0], gaps + 1]) if len(data) else np.empty(0, dtype=np.int64)
    ends = np.append(gaps, len(data)) if len(data) else np.empty(0, dtype=np.int64)
    row_of_word = np.repeat(np.arange(len(lines)), n_words)
    rows, firsts, sizes = [], [], []
    for n in range(low, high + 1):
        if len(begins) < n:
            continue
        first, last = np.arange(len(begins) - n + 1), np.arange(n - 1, len(begins))
        keep = row_of_word[first] == row_of_word[last]
        first, last = first[keep], last[keep]
        rows.append(row_of_word[first])
        firsts.append(begins[first])
        sizes.append(ends[last] - begins[first])
    return data, _joined(rows), _joined(firsts), _joined(sizes)


def _char_spans(lowered: Sequence[str], low: int, high: int) -> Spans:
    """Each word stands between two blanks of its own; an n-gram is a window that stays inside them."""
    padded = [[" " + w + " " for w in t.split()] for t in lowered]
    words = [w for row in padded for w in row]
    lengths = np.fromiter(map(len, words), dtype=np.int64, count=len(words))
    n_words = np.fromiter(map(len, padded), dtype=np.int64, count=len(padded))
    data, begin_byte = _byte_offsets("".join(words))
    left = np.repeat(np.cumsum(lengths), lengths) - np.arange(
        int(lengths.sum())
    )  # characters to the word's end
    row_of_char = np.repeat(np.repeat(np.arange(len(padded)), n_words), lengths)
    rows, firsts, sizes = [], [], []
    for n in range(low, high + 1):
        start = np.flatnonzero(left >= n)
        rows.append(row_of_char[start])
        firsts.append(begin_byte[start])
        sizes.append(begin_byte[start + n] - begin_byte[start])
    return data, _joined(rows), _joined(firsts), _joined(sizes)


def _joined(parts: list[np.ndarray]) -> np.ndarray:
    return np.concatenate(parts) if parts else np.empty(0, dtype=np.int64)


def _hash_spans(
    data: np.ndarray, rows: np.ndarray, firsts: np.ndarray, sizes: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Rows and MurmurHash3 (x86, 32 bit, seed 0) of each stretch of bytes, all at once.

    Source: Austin Appleby, MurmurHash3_x86_32 (public domain).
    """
    if not len(firsts):
        return rows, np.empty(0, dtype=np.uint32)
    order = np.argsort(
        -(sizes // 4), kind="stable"
    )  # longest first: the stretches with a further block are a prefix
    rows, firsts, sizes = rows[order], firsts[order], sizes[order]
    wide = np.concatenate([data, np.zeros(4, dtype=np.uint8)]).astype(np.uint32)
    four = (
        wide[:-3] | wide[1:-2] << 8 | wide[2:-1] << 16 | wide[3:] << 24
    )  # the little-endian word at every byte
    blocks = sizes // 4
    h = np.zeros(len(rows), dtype=np.uint32)
    for block, n_active in _prefixes(blocks):
        k = _scrambled(four[firsts[:n_active] + 4 * block])
        mixed = h[:n_active] ^ k
        h[:n_active] = (mixed << 13 | mixed >> 19) * np.uint32(5) + np.uint32(0xE6546B64)
    masks = np.array([0, 0xFF, 0xFFFF, 0xFFFFFF], dtype=np.uint32)
    tail = four[firsts + 4 * blocks] & masks[sizes % 4]
    h ^= _scrambled(tail)  # an empty tail scrambles to 0
    h ^= sizes.astype(np.uint32)
    h ^= h >> 16
    h *= np.uint32(0x85EBCA6B)
    h ^= h >> 13
    h *= np.uint32(0xC2B2AE35)
    h ^= h >> 16
    return rows, h


def _scrambled(k: np.ndarray) -> np.ndarray:
    k = k * np.uint32(0xCC9E2D51)
    k = k << 15 | k >> 17
    return k * np.uint32(0x1B873593)


def _prefixes(blocks_descending: np.ndarray) -> Iterator[tuple[int, int]]:
    ascending = blocks_descending[::-1]
    for block in range(int(blocks_descending[0])):
        yield block, len(ascending) - int(np.searchsorted(ascending, block, side="right"))
