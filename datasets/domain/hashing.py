"""Numbers for words, word groups and whole texts: many texts at once with numpy, the same on every machine.

Works on bytes: a block of texts is one buffer, a word's hash is a difference of two prefix sums. Knows no table.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from datasets.domain.cleaning import loose as loose_text

WORD_SHINGLE, CHAR_SHINGLE = 3, 4
MIX = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F), np.uint64(0x165667B19E3779F9))
# 3 mod 8: powers of it differ in their low bits, so that swapped letters cannot cancel out.
_R = 0x9E3779B97F4A7C13
_R_INVERSE = pow(_R, -1, 1 << 64)
# Texts are hashed in buffers of about this many bytes: arrays of eight times as many stay near the processor.
BUFFER_BYTES = 1 << 17


def _mixed(values: np.ndarray) -> np.ndarray:
    """splitmix64's finaliser: every bit of the answer hangs on every bit of the value."""
    values = values ^ (values >> np.uint64(30))
    values *= np.uint64(0xBF58476D1CE4E5B9)
    values ^= values >> np.uint64(27)
    values *= np.uint64(0x94D049BB133111EB)
    values ^= values >> np.uint64(31)
    return values


_LETTERS = _mixed(np.arange(1, 257, dtype=np.uint64) * MIX[0]) | np.uint64(1)
_SPACE = np.zeros(256, bool)
_SPACE[[*range(9, 14), *range(28, 33)]] = True  # what str.split() splits ASCII at
_MARKS = bytes(c if c >= 128 or chr(c).isalnum() or chr(c) == "_" else 32 for c in range(256))


class _Powers:
    """Powers of one number, as many as were ever asked for."""

    def __init__(self, base: int) -> None:
        self.base = np.uint64(base)
        self.known = np.ones(1, np.uint64)

    def upto(self, n: int) -> np.ndarray:
        """base ** 0 … base ** (n - 1), modulo 2 ** 64."""
        while len(self.known) < n:
            # The next stretch is the known one times its length's power.
            step = self.known[-1] * self.base
            self.known = np.concatenate((self.known, self.known * step))
        return self.known[:n]


_POWERS, _INVERSES = _Powers(_R), _Powers(_R_INVERSE)


@dataclass(slots=True)
class Words:
    """Word hashes of several texts, end to end; text i owns hashes[offsets[i]:offsets[i + 1]]."""

    hashes: np.ndarray
    offsets: np.ndarray

    @property
    def counts(self) -> np.ndarray:
        """Words of each text."""
        return np.diff(self.offsets)

    def text_of(self, at: np.ndarray) -> np.ndarray:
        """The text that owns each of these positions in `hashes`."""
        return np.searchsorted(self.offsets, at, side="right") - 1


def words_of(text: str) -> list[str]:
    """Words as they count for likeness: case folded, split at white space."""
    return text.casefold().split()


def word_hashes(texts: Sequence[str], *, loosely: bool = False) -> Words:
    """The hash of every word of every text, words being those of `words_of`; `loosely`, those of `cleaning.loose`."""
    hashes: list[np.ndarray] = []
    counts: list[np.ndarray] = []
    block: list[bytes] = []
    size = 0
    for text in texts:
        if text.isascii():
            part = text.encode()
        else:
            part = (loose_text(text) if loosely else " ".join(words_of(text))).encode(
                "utf-8", "surrogatepass"
            )
        block.append(part)
        size += len(part) + 1
        if size >= BUFFER_BYTES:
            _hash_block(block, loosely, hashes, counts)
            block, size = [], 0
    if block:
        _hash_block(block, loosely, hashes, counts)
    empty = np.empty(0, np.uint64)
    per_text = np.concatenate(counts) if counts else np.empty(0, np.int64)
    return Words(np.concatenate(hashes) if hashes else empty, np.concatenate(([0], np.cumsum(per_text))))


def _hash_block(
    block: list[bytes], loosely: bool, hashes: list[np.ndarray], counts: list[np.ndarray]
) -> None:
    # bytes.lower() touches ASCII only; other letters were folded before they became bytes.
    data = b"\n" + b"\n".join(block).lower() + b"\n"
    if loosely:
        data = data.translate(_MARKS)
    letters = np.frombuffer(data, np.uint8)
    space = _SPACE[letters]
    edges = np.flatnonzero(space[1:] != space[:-1]) + 1
    starts, ends = edges[::2], edges[1::2]
    with np.errstate(over="ignore"):
        sums = np.cumsum(_LETTERS[letters] * _POWERS.upto(len(letters)))
        # A word is the sum over its letters, shifted to where every word begins.
        words = (sums[ends - 1] - sums[starts - 1]) * _INVERSES.upto(len(letters))[starts]
        hashes.append(_mixed(words))
    text_ends = np.cumsum(np.fromiter((len(part) + 1 for part in block), np.int64, len(block))) + 1
    upto = np.searchsorted(starts, text_ends)
    counts.append(np.diff(np.concatenate(([0], upto))))


class WordSet:
    """Some words, to be looked for among the words of many texts at once."""

    def __init__(self, words: Iterable[str]) -> None:
        self.hashes = np.unique(word_hashes(list(words), loosely=True).hashes)
        # Most words are none of these: their low bits alone tell, without a search.
        self._low = np.zeros(1 << 16, bool)
        self._low[self.hashes & np.uint64(0xFFFF)] = True

    def found(self, words: Words) -> tuple[np.ndarray, np.ndarray]:
        """(where in `words.hashes` they stand, which of `self.hashes` each is), in order."""
        at = np.flatnonzero(self._low[words.hashes & np.uint64(0xFFFF)])
        which = np.searchsorted(self.hashes, words.hashes[at])
        same = self.hashes[np.minimum(which, len(self.hashes) - 1)] == words.hashes[at]
        return at[same], which[same]

    def stands_in(self, words: Words) -> np.ndarray:
        """For each text whether it holds one of them."""
        holds = np.zeros(len(words.offsets) - 1, bool)
        holds[words.text_of(self.found(words)[0])] = True
        return holds


@dataclass(slots=True)
class Flat:
    """Shingle hashes of several texts, end to end; text i owns tokens[offsets[i]:offsets[i + 1]]."""

    tokens: np.ndarray
    offsets: np.ndarray

    @property
    def counts(self) -> np.ndarray:
        """Shingles of each text."""
        offsets = self.offsets.astype(np.int64)
        return offsets[1:] - offsets[:-1]


def _flat(grams: np.ndarray, lengths: np.ndarray, width: int) -> Flat:
    """Without the windows that cross a text's end. A window belongs to the text of its first token."""
    ends = np.cumsum(lengths)
    keep = np.ones(len(grams), bool)
    for back in range(1, width):
        at = ends[:-1] - back
        # A text shorter than the window has fewer windows to lose.
        keep[at[(lengths[:-1] >= back) & (at < len(grams))]] = False
    counts = np.maximum(lengths - width + 1, 0)
    return Flat(grams[keep], np.concatenate(([0], np.cumsum(counts))).astype(np.uint64))


def word_shingles(words: Words) -> Flat:
    """Hashes of word 3-grams of texts that have at least three words each."""
    hashes = words.hashes
    with np.errstate(over="ignore"):
        grams = hashes[:-2] * MIX[0] + hashes[1:-1] * MIX[1]
        grams = np.bitwise_xor(grams, hashes[2:] * MIX[2])
    return _flat(grams, words.counts, WORD_SHINGLE)


def char_shingles(texts: Sequence[str]) -> Flat:
    """Hashes of character 4-grams; a text of fewer than four characters is filled up with NUL."""
    parts = [" ".join(words_of(text)).ljust(CHAR_SHINGLE, "\0") for text in texts]
    lengths = np.fromiter(map(len, parts), np.int64, len(parts))
    # utf-32: one number a character, so that a window of four is plain arithmetic
    codes = np.frombuffer("".join(parts).encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.uint64)
    with np.errstate(over="ignore"):
        grams = (codes[:-3] << np.uint64(21)) + codes[1:-2]
        grams = np.bitwise_xor(grams * MIX[0], ((codes[2:-1] << np.uint64(21)) + codes[3:]) * MIX[1])
    return _flat(grams, lengths, CHAR_SHINGLE)


def loose_keys(texts: Sequence[str]) -> np.ndarray:
    """A 64-bit key a text, equal where texts differ in case, punctuation and spacing only (`cleaning.loose`)."""
    return keys_of(word_hashes(texts, loosely=True))


def keys_of(words: Words) -> np.ndarray:
    """A 64-bit key a text from its words, order counting."""
    with np.errstate(over="ignore"):
        placed = words.hashes * _POWERS.upto(len(words.hashes) + 1)[1:]
        sums = np.concatenate((np.zeros(1, np.uint64), np.cumsum(placed, dtype=np.uint64)))
        starts, ends = words.offsets[:-1], words.offsets[1:]
        return _mixed((sums[ends] - sums[starts]) * _INVERSES.upto(len(words.hashes) + 1)[starts])


def joined_keys(*keys: np.ndarray) -> np.ndarray:
    """One key from several, order counting."""
    whole = np.zeros(len(keys[0]), np.uint64)
    with np.errstate(over="ignore"):
        for key in keys:
            whole = _mixed(whole * MIX[1] + key)
    return whole
