"""Which language a text is written in: by its script, else by its common words. A guess, and none for short texts.

Knows eight languages in Latin letters and nine scripts. It cannot tell languages that share a script outside Latin
(Russian and Ukrainian are both "Cyrillic script"), nor anything from fewer than MIN_WORDS words.
"""

from __future__ import annotations

import re

MIN_WORDS = 4
SEEN = 400
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
    for _word in _words.split():
        _SPOKEN[_word] = (*_SPOKEN.get(_word, ()), _language)
_WORD = re.compile(r"[^\W\d_]+")


def language_of(text: str) -> str:
    """A key of NAMES, or "" where nothing can be said: too few words, none of them common, or two languages alike."""
    beginning = text[:SEEN]
    if not beginning.isascii() and (script := _script(beginning)):
        return script
    words = _WORD.findall(beginning.lower())
    if len(words) < MIN_WORDS:
        return ""
    votes: dict[str, float] = {}
    for word in words:
        spoken = _SPOKEN.get(word)
        if spoken is not None:
            share = (0.5 if len(word) == 1 else 1.0) / len(spoken)  # "w/o" is no Polish
            for language in spoken:
                votes[language] = votes.get(language, 0.0) + share
    if not votes:
        return ""
    best = max(votes, key=lambda name: votes[name])
    second = max((n for name, n in votes.items() if name != best), default=0.0)
    # Two common words and a clear lead: one "la" makes no text French.
    return best if votes[best] >= 1.5 and votes[best] >= 1.5 * second else ""


def _script(text: str) -> str:
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
