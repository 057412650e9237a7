"""What is measured of one request and its answer. One pure function, for live traffic and for training rows alike.

Knows no table and no model; what it returns is small, plain and free of the text itself.
"""

from __future__ import annotations

import base64
import re
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

# Longer texts are measured by their beginning, except for their length.
LONGEST_TEXT = 20_000
_WORD = re.compile(r"[^\W\d_]+")
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
    "en": "the and to of is in you my that for it with have not this was on be are i",
    "de": "der die und das ich nicht ist ein zu mit den auf für es eine sie wir hat bitte meine",
    "fr": "le la les et de un une je est pas que pour dans vous mon ma sur avec des ne",
    "es": "el la los y de un una que no es mi por para con en se lo está las del",
    "it": "il la e di un una che non è per con sono mi ho del della lo gli questo mia",
    "pt": "o a e de um uma que não é para com meu minha do da em os as por foi",
    "nl": "de het een en van ik is niet dat op te zijn mijn met voor aan er maar heb wij",
}
_LANGUAGES_OF: dict[str, tuple[str, ...]] = {}
for _language, _words in _COMMON.items():
    for _word in _words.split():
        _LANGUAGES_OF[_word] = (*_LANGUAGES_OF.get(_word, ()), _language)


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """A sketch of the words of the training rows: one bit a hash. Shapes: the number of bits is a power of two.

    A word never seen is taken for a known one as often as bits are set; the same for training rows and for traffic,
    so it moves no comparison.
    """

    bits: bytes

    @classmethod
    def of(cls, texts: Iterable[str], *, size_bits: int = 1 << 17) -> Vocabulary:
        """The sketch of every word in `texts`."""
        bits = bytearray(size_bits // 8)
        for text in texts:
            for word in words_of(text):
                at = zlib.crc32(word.encode()) % size_bits
                bits[at >> 3] |= 1 << (at & 7)
        return cls(bytes(bits))

    def knows(self, word: str) -> bool:
        """Whether the word, or one that shares its bit, was in the training rows."""
        at = zlib.crc32(word.encode()) % (len(self.bits) * 8)
        return bool(self.bits[at >> 3] >> (at & 7) & 1)

    def as_text(self) -> str:
        """For JSON: compressed, base64."""
        return base64.b64encode(zlib.compress(self.bits)).decode()

    @classmethod
    def from_text(cls, text: str) -> Vocabulary:
        """The inverse of `as_text`. Raises ValueError on anything else."""
        try:
            bits = zlib.decompressobj().decompress(base64.b64decode(text, validate=True), 1 << 22)
        except zlib.error:
            raise ValueError("not a vocabulary") from None
        if not bits or len(bits) & (len(bits) - 1):
            raise ValueError("not a vocabulary")
        return cls(bits)


def words_of(text: str) -> list[str]:
    """The words of a text, lower case, digits left out."""
    return _WORD.findall(text[:LONGEST_TEXT].lower())


def language_of(text: str, words: list[str]) -> str:
    """A guess: a two-letter code by common words, a script's name, or "unknown". For comparing, not for translating."""
    beginning = text[:400]
    if not beginning.isascii():
        scripts: dict[str, int] = {}
        letters = 0
        for char in beginning:
            if not char.isalpha():
                continue
            letters += 1
            code = ord(char)
            if code >= 0x0370:
                for low, high, name in _SCRIPTS:
                    if low <= code <= high:
                        scripts[name] = scripts.get(name, 0) + 1
                        break
        if scripts and 2 * sum(scripts.values()) > letters:
            # Kana tell Japanese from Chinese, however few they are.
            return "japanese" if "japanese" in scripts else max(scripts, key=lambda name: scripts[name])
    votes: dict[str, float] = {}
    for word in words[:100]:
        if spoken := _LANGUAGES_OF.get(word):
            for language in spoken:
                votes[language] = votes.get(language, 0) + 1 / len(spoken)
    return max(votes, key=lambda name: votes[name]) if votes else "unknown"


def features_of(
    prompt: str, *, answer: str = "", label: str = "", vocabulary: Vocabulary | None = None
) -> dict[str, Any]:
    """The features of one request: what drift is looked for in.

    `characters`, `words`, `non_ascii` (share of characters), `unknown_words` (share of words not in the training rows;
    None without a vocabulary or without words), `language`, and `label` where the task has labels, else
    `answer_characters`. For a training row give its expected answer.
    """
    words = words_of(prompt)
    beginning = prompt[:LONGEST_TEXT]
    foreign = 0 if beginning.isascii() else sum(char > "\x7f" for char in beginning)
    unknown = None
    if vocabulary is not None and words:
        unknown = round(sum(not vocabulary.knows(word) for word in words) / len(words), 4)
    found: dict[str, Any] = {
        "characters": len(prompt),
        "words": len(words),
        "non_ascii": round(foreign / len(beginning), 4) if beginning else 0.0,
        "unknown_words": unknown,
        "language": language_of(beginning, words),
    }
    if label:
        found["label"] = label
    else:
        found["answer_characters"] = len(answer)
    return found


def prompt_of(body: dict[str, Any]) -> str:
    """The last thing the user said in a Messages request, as text; "" when there is nothing."""
    messages = body.get("messages")
    if not isinstance(messages, list):
        return ""
    for message in reversed(messages):
        if isinstance(message, dict) and message.get("role") == "user":
            return text_of(message.get("content"))
    return ""


def text_of(content: Any) -> str:
    """The text in a message's content: a string, or the text blocks of a list."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    return "\n".join(
        block["text"]
        for block in content
        if isinstance(block, dict) and block.get("type") == "text" and isinstance(block.get("text"), str)
    )


def label_in(answer: str, labels: Iterable[str]) -> str:
    """The label an answer names: the whole answer, or the only label it begins with; "" otherwise."""
    said = answer.strip().strip("\"'`.").casefold()
    known = {label.casefold(): label for label in labels}
    if said in known:
        return known[said]
    begun = [label for folded, label in known.items() if re.match(re.escape(folded) + r"\b", said)]
    return max(begun, key=len) if begun else ""
