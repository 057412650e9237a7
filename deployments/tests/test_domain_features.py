from __future__ import annotations

import pytest

from deployments.domain.features import (
    Vocabulary,
    features_of,
    label_in,
    language_of,
    prompt_of,
    text_of,
    words_of,
)


def test_the_features_of_a_short_text_counted_by_hand():
    # "Käse is 2 good": 14 characters, one of them not ASCII, words käse, is, good
    vocabulary = Vocabulary.of(["is good"])
    found = features_of("Käse is 2 good", label="food", vocabulary=vocabulary)
    assert found["characters"] == 14 and found["words"] == 3
    assert found["non_ascii"] == pytest.approx(1 / 14, abs=1e-4)
    assert found["unknown_words"] == pytest.approx(1 / 3, abs=1e-4)
    assert found["label"] == "food" and "answer_characters" not in found


def test_nothing_is_measured_as_nothing_and_not_as_an_error():
    found = features_of("", answer="abc")
    assert found == {
        "characters": 0,
        "words": 0,
        "non_ascii": 0.0,
        "unknown_words": None,
        "language": "unknown",
        "answer_characters": 3,
    }
    assert features_of("x", vocabulary=None)["unknown_words"] is None


def test_a_training_row_and_the_same_live_request_measure_the_same():
    vocabulary = Vocabulary.of(["where is my parcel"])
    body = {"messages": [{"role": "user", "content": [{"type": "text", "text": "where is my order"}]}]}
    live = features_of(prompt_of(body), label="delivery", vocabulary=vocabulary)
    assert live == features_of("where is my order", label="delivery", vocabulary=vocabulary)


def test_a_vocabulary_survives_its_journey_and_refuses_nonsense():
    vocabulary = Vocabulary.of(["one two three"])
    again = Vocabulary.from_text(vocabulary.as_text())
    assert again == vocabulary and again.knows("two") and not again.knows("seventeen")
    for nonsense in ("", "###", "YWJj"):
        with pytest.raises(ValueError):
            Vocabulary.from_text(nonsense)


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("Where is the parcel that you have sent to me", "en"),
        ("Wo ist das Paket, ich habe es nicht bekommen", "de"),
        ("Où est le colis que vous avez envoyé pour ma femme", "fr"),
        ("¿Dónde está el paquete? No lo tengo y es para mi madre", "es"),
        ("Где моя посылка", "cyrillic"),
        ("荷物はどこですか", "japanese"),
        ("我的包裹在哪里", "chinese"),
        ("xyzzy 12345", "unknown"),
    ],
)
def test_a_language_is_guessed(text, want):
    assert language_of(text, words_of(text)) == want


@pytest.mark.parametrize(
    ("answer", "want"),
    [
        ("billing", "billing"),
        (" Billing.\n", "billing"),
        ("billing dispute", "billing dispute"),
        ("billing: the customer was charged twice", "billing"),
        ("It is about billing", ""),
        ("billings", ""),
        ("", ""),
    ],
)
def test_a_label_is_read_from_an_answer(answer, want):
    assert label_in(answer, ["billing", "billing dispute", "delivery"]) == want


def test_text_is_found_in_blocks_and_nonsense_is_no_text():
    assert text_of([{"type": "text", "text": "a"}, {"type": "image"}, 7, {"type": "text", "text": 3}]) == "a"
    assert (
        prompt_of({"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]})
        == "q"
    )
    for body in ({}, {"messages": 7}, {"messages": [7]}, {"messages": []}):
        assert prompt_of(body) == ""
