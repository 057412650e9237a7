"""Hashes of words and texts against the plain rules they stand for, and columns on their way between workers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets.domain import hashing
from datasets.domain.cleaning import loose
from datasets.domain.hashing import (
    char_shingles,
    joined_keys,
    loose_keys,
    word_hashes,
    word_shingles,
    words_of,
)
from datasets.domain.packing import pack, unpack

TEXTS = st.lists(
    st.text(
        st.sampled_from("abAB é߀Σς_-.,!\t\n\x1c\u00a0\u2003漢") | st.characters(exclude_categories=["Cs"]),
        max_size=30,
    ),
    max_size=12,
)


def same_partition(keys, names) -> bool:
    """Two equal keys stand where two equal names stand, and nowhere else."""
    return len(set(zip(keys, names, strict=True))) == len(set(keys)) == len(set(names))


@given(TEXTS)
def test_words_have_one_hash_exactly_when_they_are_one_word(texts):
    words = word_hashes(texts)
    expected = [words_of(text) for text in texts]
    assert words.counts.tolist() == [len(part) for part in expected]
    assert same_partition(words.hashes.tolist(), [word for part in expected for word in part])


@given(TEXTS)
def test_loose_keys_are_equal_exactly_where_loose_texts_are(texts):
    assert same_partition(loose_keys(texts).tolist(), [loose(text) for text in texts])


@given(TEXTS)
def test_shingles_stay_inside_their_text(texts):
    long = [f"{text} these three words" for text in texts]
    flat = word_shingles(word_hashes(long))
    expected = [tuple(words[i : i + 3]) for words in map(words_of, long) for i in range(len(words) - 2)]
    assert same_partition(flat.tokens.tolist(), expected)
    flat = char_shingles(texts)
    joined = [" ".join(words_of(text)).ljust(4, "\0") for text in texts]
    assert same_partition(
        flat.tokens.tolist(), [text[i : i + 4] for text in joined for i in range(len(text) - 3)]
    )


def test_blocks_do_not_change_a_hash(monkeypatch):
    texts = [f"row {i} of a Text that is cut into blocks, ÄÖ {i * 7}" for i in range(50)]
    whole = word_hashes(texts).hashes
    monkeypatch.setattr(hashing, "BUFFER_BYTES", 100)
    assert np.array_equal(word_hashes(texts).hashes, whole)


def test_swapped_letters_and_repeated_patterns_are_other_words():
    # Thue–Morse pairs cancel out under a careless polynomial modulo 2 ** 64
    a, b = "x", "y"
    for _ in range(7):
        a, b = a + b, b + a
    words = ["ab", "ba", "aab", "aba", "baa", a, b, "abba", "baab"]
    assert len(set(word_hashes(words).hashes.tolist())) == len(words)


def test_order_counts_when_keys_are_joined():
    one, other = loose_keys(["a", "b"]), loose_keys(["b", "a"])
    keys = joined_keys(one, other)
    assert keys[0] != keys[1]


def test_packed_columns_come_back_as_they_were():
    columns = {
        "ids": np.array([1, 2**40, -3], np.int64),
        "keys": np.arange(6, dtype=np.uint32).reshape(3, 2),
        "flags": np.array([True, False, True]),
        "none": np.empty((0, 4), np.uint64),
    }
    facts, back = unpack(pack({"words": ["é", "b"]}, columns))
    assert facts == {"words": ["é", "b"]}
    assert list(back) == list(columns)
    for name, column in columns.items():
        assert back[name].dtype == column.dtype
        assert np.array_equal(back[name], column)
        assert back[name].shape == column.shape


def test_objects_are_never_packed():
    with pytest.raises(TypeError):
        pack({}, {"words": np.array(["a", None], dtype=object)})
