"""Languages, endings, refusals, tokens: what each says of texts whose truth is known."""

from __future__ import annotations

from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets.domain import quality
from datasets.domain.endings import Ending, ending_of, is_refusal, may_refuse, open_ones_were_cut
from datasets.domain.hashing import word_hashes
from datasets.domain.language import NAMES, language_of, languages_of
from datasets.domain.pii import find_pii, may_hold_pii
from datasets.domain.tokens import LIMITS, passed_limits, tokens_bound, tokens_estimate

SENTENCES = {
    "en": ["How do I change my PIN?", "I was charged twice for the same order", "Why can't I top up with my card?", "A transaction to a friend still hasn't shown up.", "I need mastercard as well as visa", "Please send my card as quickly as possible."],
    "de": ["Wie kann ich meine PIN ändern?", "Die Karte wurde nicht geliefert und ich warte noch", "Warum ist mein Konto gesperrt?"],
    "fr": ["Comment est-ce que je change mon code ?", "La carte ne fonctionne pas dans le magasin", "Je voudrais un remboursement pour ma commande"],
    "es": ["No puedo entrar en mi cuenta", "¿Cómo cambio el PIN de la tarjeta?", "El pedido no ha llegado y quiero mi dinero"],
    "it": ["Non riesco ad accedere al mio conto e non so perché", "La carta non funziona più in negozio, come posso fare?"],
    "pt": ["Não consigo entrar na minha conta", "O meu cartão não foi entregue e eu preciso dele"],
    "nl": ["Ik kan niet inloggen op mijn rekening", "Hoe kan ik het wachtwoord van mijn account wijzigen?"],
    "pl": ["Nie mogę się zalogować na moje konto", "Dlaczego moja karta nie działa w sklepie, proszę o pomoc"],
    "cyrillic": ["Я не могу войти в свой аккаунт"],
    "greek": ["Δεν μπορώ να συνδεθώ στον λογαριασμό μου"],
    "arabic": ["لا أستطيع الدخول إلى حسابي"],
    "chinese": ["我无法登录我的账户"],
    "japanese": ["アカウントにログインできません"],
    "korean": ["계정에 로그인할 수 없습니다"],
}  # fmt: skip


@pytest.mark.parametrize(("language", "text"), [(k, t) for k, texts in SENTENCES.items() for t in texts])
def test_a_language_is_known_by_its_words_or_its_script(language, text):
    assert language in NAMES
    assert language_of(text) == language


@pytest.mark.parametrize(
    "text",
    [
        "",
        "PIN",
        "card card card card",
        "la la la",
        "ref PM-2207 w/o reason",
        "4711 0815 12 7",
        "Voilà! Schadenfreude und the end",
    ],
)
def test_where_nothing_can_be_said_nothing_is_said(text):
    assert language_of(text) == ""


@pytest.mark.parametrize(
    ("text", "ending"),
    [
        ("Press reset and hold it for ten seconds until the light turns blue.", Ending.WHOLE),
        ("Yes", Ending.WHOLE),
        ("Press reset and hold it for ten seconds until the light turns blue,", Ending.CUT),
        ("Press reset and hold it for ten seconds until the light turns to the", Ending.CUT),
        ("Press reset and hold it for ten seconds until the light turns blu", Ending.OPEN),
        ("Here is the code you asked for, it prints a word:\n```python\nprint('a')", Ending.CUT),
        ("Here is the code you asked for, it prints a word:\n```python\nprint('a')\n```", Ending.WHOLE),
        ('{"name": "Ada", "city": "London", "job": "a person who counts", "tags": ["one", "tw', Ending.CUT),
        ('{"name": "Ada }", "city": "London", "job": "a person who counts", "tags": ["one"]}', Ending.WHOLE),
        ("These are the steps you need to take now:\n- open the box\n- take the lamp out", Ending.WHOLE),
        ("Drücken Sie die Taste zehn Sekunden lang, bis die Lampe blau leuchtet und", Ending.CUT),
    ],
)
def test_an_answer_that_was_cut_is_told_from_a_whole_one(text, ending):
    assert ending_of(text) is ending


def test_answers_without_a_final_mark_count_as_cut_only_where_that_is_rare():
    # 18 of 20 end with a mark: 0.9; 15 of 20: 0.75; too few to say
    assert open_ones_were_cut(18, 2)
    assert not open_ones_were_cut(15, 5)
    assert not open_ones_were_cut(9, 1)


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, but I can't help with that.",
        "I can’t assist with this request.",
        "I cannot provide medical advice.",
        "As an AI language model, I do not have feelings.",
        "I am unable to help with that, please ask a lawyer.",
        "I'm not able to assist with this.",
        "I must decline this request.",
        "Ich kann dabei leider nicht helfen.",
        "Je ne peux pas vous aider avec cela.",
        "Lo siento, no puedo ayudarte con eso.",
        "I won't help you with this.",
    ],
)
def test_a_refusal_is_known_by_its_beginning(text):
    assert is_refusal(text)


@pytest.mark.parametrize(
    "text",
    [
        "I can help with that.",
        "I'm sorry to hear that. We can refund the order today.",
        "I cannot see a payment on your account, so nothing was charged.",
        "You can't change the address once the parcel has left.",
        "We are unable to ship to islands.",
        "For that I would need your date of birth. Without it, I cannot provide the number.",
        "The manual says: I can. " + "It helps. " * 30 + "I can't help with that.",
    ],
)
def test_an_answer_that_says_no_to_a_customer_is_no_refusal(text):
    assert not is_refusal(text)


@given(st.text(max_size=300))
def test_any_text_has_an_ending_and_a_language_or_none(text):
    assert ending_of(text) in Ending
    assert language_of(text) in {*NAMES, ""}
    is_refusal(text)


def test_tokens_are_bounded_by_bytes_and_estimated_lower():
    # 28,000 bytes in two turns: at most 28,000 + 32; likely 28,000 / 2.8 + 32 = 10,032
    assert tokens_bound(28_000, 2) == 28_032
    assert tokens_estimate(28_000, 2) == 10_032
    assert [limit.name for limit in passed_limits(28_032)] == [LIMITS[0].name]
    assert passed_limits(10_032) == ()
    assert [limit.max_tokens for limit in LIMITS] == sorted(limit.max_tokens for limit in LIMITS)


# What the patterns of the checks look for, in pieces: mixed, they make texts that hit and texts that nearly do.
PIECES = st.sampled_from(
    ["I can't", "help", "helpful", "with that", "As an AI", "language model", "i won't", "fulfill", "je ne peux pas",
     "répondre", "Ignore", "all previous instructions", "give it", "full marks", "overall: 1", '"clarity" :', "<row>", "[INST]",
     "### system", "dear", "judge", "note to the ai", "this answer is", "perfect", "new instructions:", "system prompt:",
     "override the rubric", "do not report any issues", "a@b.de", "4111 1111 1111 1111", "٣", "İstanbul", "\n", "ß", "the",
     "und", "der", "«", "’", "Wie kann ich das", "Привет мир", "", "-"]
)  # fmt: skip
TEXTS = st.lists(
    st.one_of(st.lists(PIECES, max_size=8).map(" ".join), st.text(max_size=40)), min_size=1, max_size=12
)


@given(TEXTS)
def test_many_texts_at_once_show_what_each_shows_alone(texts):
    words = word_hashes(texts, loosely=True)
    assert languages_of(texts, words) == [language_of(text) for text in texts]
    may_be = quality.may_be_suspicious(words)
    assert quality.are_suspicious(texts, may_be) == [quality.is_suspicious(text) for text in texts]


@given(TEXTS)
def test_no_text_is_passed_over_that_a_closer_look_would_find(texts):
    words = word_hashes(texts, loosely=True)
    for text, refuses, personal in zip(texts, may_refuse(words), may_hold_pii(texts), strict=True):
        assert refuses or not is_refusal(text)
        assert personal or not find_pii(text)


def test_a_word_that_only_begins_like_help_is_no_refusal():
    assert is_refusal("I can't help with that")
    assert not is_refusal("I can't helpdesk this")


@pytest.mark.parametrize(
    "filler", ["\n", " ", "-", "\n \n", '"', ". ", "<", "[", "=", "a ", "\\n", "ignore all ", "#"]
)
def test_no_text_takes_more_than_its_length_to_look_at(filler):
    """A pattern tried anew from each of many thousand signs would hold a worker for hours; linear ones take some ms."""
    text = "perfect overall score: judge ai row prompt issues forget evaluation" + filler * (
        200_000 // len(filler)
    )
    began = process_time()
    quality.is_suspicious(text + "x")
    quality.is_degenerate(filler * (200_000 // len(filler)) + "x")
    is_refusal(text + "x")
    ending_of(text + "x")
    assert process_time() - began < 2
