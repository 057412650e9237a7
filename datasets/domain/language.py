"""Which language a text is written in: by its script, else by its common words. A guess, and none for short texts.

Knows eight languages in Latin letters and nine scripts. It cannot tell languages that share a script outside Latin
(Russian and Ukrainian are both "Cyrillic script"), nor anything from fewer than MIN_WORDS words.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from datasets.domain.cleaning import loose
from datasets.domain.hashing import Words, WordSet, word_hashes

MIN_WORDS = 4
# How much of a text is looked at: characters for its script, words for its common words.
SEEN_CHARS, SEEN_WORDS = 400, 80
NAMES = {
    "en": "English",
    "de": "German",
    "fr": "French",
    "es": "Spanish",
    "it": "Italian",
    "pt": "Portuguese",
    "nl": "Dutch",
    "pl": "Polish",
    "greek": "Greek script",
    "cyrillic": "Cyrillic script",
    "hebrew": "Hebrew script",
    "arabic": "Arabic script",
    "devanagari": "Devanagari script",
    "thai": "Thai script",
    "japanese": "Japanese",
    "chinese": "Chinese",
    "korean": "Korean",
}
_SCRIPTS = (
    (0x0370, 0x03FF, "greek"),
    (0x0400, 0x052F, "cyrillic"),
    (0x0590, 0x05FF, "hebrew"),
    (0x0600, 0x06FF, "arabic"),
    (0x0900, 0x097F, "devanagari"),
    (0x0E00, 0x0E7F, "thai"),
    (0x3040, 0x30FF, "japanese"),
    (0x3400, 0x9FFF, "chinese"),
    (0xAC00, 0xD7AF, "korean"),
)
_FAR = re.compile(f"[{''.join(f'{chr(low)}-{chr(high)}' for low, high, _ in _SCRIPTS)}]")
_COMMON = {
    "en": "the and to of is in you my that for it with have not this was on be are i what how can do does why when where "
    "a as no so any did up out about after need well want still make me if or there will would they their from has been which an at but get all should were could",
    "de": "der die und das ich nicht ist ein zu mit den auf für es eine sie wir hat bitte meine mein wie was wenn von im "
    "dem sich auch kann wird noch bei aus nach oder aber warum einen einer habe sind wurde mir mich",
    "fr": "le la les et de un une je est pas que pour dans vous mon ma sur avec des ne qui il elle nous ce cette au du "
    "comment pourquoi mais ou où être avoir fait plus sont mes votre",
    "es": "el la los y de un una que no es mi por para con en se lo está las del como cuando qué cómo pero más mis su al "
    "tengo puedo hay quiero este esta fue son muy",
    "it": "il la e di un una che non è per con sono mi ho del della lo gli questo mia mio come quando perché ma più nel "
    "alla dal posso anche cosa se dei le si",
    "pt": "o a e de um uma que não é para com meu minha do da em os as por foi como quando mas mais eu está no na você "
    "isso posso tem seu sua são",
    "nl": "de het een en van ik is niet dat op te zijn mijn met voor aan er maar heb wij hoe waarom kan wat als bij ook "
    "naar om dit die nog wordt deze",
    "pl": "w i na z do nie się jest to że jak po co za od o ale czy mój moje dla tym przez są było już mam mogę proszę",
}
_SPOKEN: dict[str, tuple[str, ...]] = {}
for _language, _words in _COMMON.items():
    for _word in loose(_words).split():
        _SPOKEN[_word] = (*_SPOKEN.get(_word, ()), _language)
_SPEECHES = tuple(_COMMON)


def _share(word: str) -> float:
    """What a common word tells: less when several languages use it, and little when it is one letter ("w/o" is no Polish)."""
    return (0.5 if len(word) == 1 else 1.0) / len(_SPOKEN[word])


def _table() -> tuple[WordSet, np.ndarray]:
    """The common words, and for each of them its share by language."""
    known = WordSet(_SPOKEN)
    shares = np.zeros((len(known.hashes), len(_SPEECHES)))
    for word, languages in _SPOKEN.items():
        at = int(np.searchsorted(known.hashes, word_hashes([word], loosely=True).hashes[0]))
        shares[at, [_SPEECHES.index(language) for language in languages]] = _share(word)
    return known, shares


_KNOWN, _SHARES = _table()


def language_of(text: str) -> str:
    """A key of NAMES, or "" where nothing can be said: too few words, none of them common, or two languages alike."""
    return languages_of([text], word_hashes([text], loosely=True))[0]


def languages_of(texts: Sequence[str], words: Words) -> list[str]:
    """`language_of` for a block of texts; `words` are theirs, hashed `loosely`."""
    n = len(texts)
    at, which = _KNOWN.found(words)
    text = words.text_of(at)
    seen = at - words.offsets[text] < SEEN_WORDS
    text, which = text[seen], which[seen]
    votes = np.stack(
        [np.bincount(text, _SHARES[which, i], minlength=n) for i in range(len(_SPEECHES))], axis=1
    )
    best = votes.argmax(axis=1)
    ordered = np.sort(votes, axis=1)
    most, second = ordered[:, -1], ordered[:, -2]
    # Two common words and a clear lead: one "la" makes no text French.
    told = (words.counts >= MIN_WORDS) & (most >= 1.5) & (most >= 1.5 * second)
    found = [_SPEECHES[i] if sure else "" for i, sure in zip(best.tolist(), told.tolist(), strict=True)]
    for i, one in enumerate(texts):
        if not one.isascii() and (script := _script(one[:SEEN_CHARS])):
            found[i] = script
    return found


def _script(text: str) -> str:
    if not _FAR.search(text):
        return ""
    counts: dict[str, int] = {}
    letters = 0
    for char in text:
        if not char.isalpha():
            continue
        letters += 1
        code = ord(char)
        if code >= 0x0370:
            for low, high, name in _SCRIPTS:
                if low <= code <= high:
                    counts[name] = counts.get(name, 0) + 1
                    break
    if not counts or 2 * sum(counts.values()) <= letters:
        return ""
    # Kana tell Japanese from Chinese, however few they are.
    return "japanese" if "japanese" in counts else max(counts, key=lambda name: counts[name])
