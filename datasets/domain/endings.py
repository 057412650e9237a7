"""Answers that a model or a form cut off, and answers that refuse: neither should be learnt from."""

from __future__ import annotations

import re
from enum import StrEnum

import numpy as np

from datasets.domain.hashing import Words, WordSet

# An answer shorter than this may rightly end anywhere: a name, a title, a number.
LEAST_CHARS = 60
# Where this share of long answers ends as sentences do, one that does not was probably cut.
USUAL = 0.8
_CLOSERS = frozenset(".!?…:;\"'”’»)]}>`*_|~。！？）】」』।؟-=")
_HANGING = frozenset(
    "a an the and or but of to in on at for with from by as that which who is are was were be has have had this these "
    "your our their its my because if when while than into about not "
    "der die das den dem des ein eine einen und oder aber von zu in auf mit für aus bei als dass ist sind nicht "
    "le la les un une des et ou mais de du à en pour avec que qui est sont ne "
    "el los las un una y o pero de del en con por para que es son no".split()
)
_LAST_WORD = re.compile(r"([^\W\d_]+)\W{0,2}$")


class Ending(StrEnum):
    """How an answer ends."""

    WHOLE = "whole"
    OPEN = "open"  # without the mark a sentence ends with: cut only where others do end with one
    CUT = "cut"


def ending_of(completion: str) -> Ending:
    """Whether an answer ends as a whole one, was cut for certain, or only lacks its final mark."""
    if len(completion) < LEAST_CHARS:
        return Ending.WHOLE
    if completion.count("```") % 2:
        return Ending.CUT  # a block of code that was never closed
    last = completion[-1]
    if completion[0] in "{[" and _is_unclosed(completion):
        return Ending.CUT
    if last == ",":
        return Ending.CUT
    if last in _CLOSERS or not last.isalnum():
        return Ending.WHOLE
    if completion.rsplit("\n", 1)[-1].lstrip().startswith(("-", "*", "•", "#", "|", "http")):
        return Ending.WHOLE  # the last point of a list, a heading, an address
    word = _LAST_WORD.search(completion)
    if word and word[1].lower() in _HANGING:
        return Ending.CUT
    return Ending.OPEN


def _is_unclosed(text: str) -> bool:
    """Whether a text that begins like JSON has more brackets opened than closed outside its strings."""
    if text.count("{") == text.count("}") and text.count("[") == text.count("]") and text[-1] in "}]":
        return False  # nearly all whole ones, without looking at each character
    depth, in_string, escaped = 0, False, False
    for char in text:
        if in_string:
            if escaped:
                escaped = False
            elif char == "\\":
                escaped = True
            elif char == '"':
                in_string = False
        elif char == '"':
            in_string = True
        elif char in "{[":
            depth += 1
        elif char in "}]":
            depth -= 1
    return depth > 0 or in_string


def open_ones_were_cut(n_whole: int, n_open: int) -> bool:
    """Whether answers without a final mark are the exception in this dataset, so that they count as cut."""
    n = n_whole + n_open
    return n >= 20 and n_whole / n >= USUAL


_HELP = r"\b(?:help|assist|comply|fulfil|fulfill|provide|answer|do that|support|engage|participate|create|generate|continue)\b"
_REFUSALS = re.compile(
    rf"\bi (?:can(?:'t|not| not)|am (?:not able|unable) to|'m (?:not able|unable) to|won't|will not|must decline)"
    rf"(?: (?:to|be able to))? ?(?:directly |ethically |fulfill |really )?{_HELP}"
    rf"|\bi'm (?:not able|unable) to {_HELP}"
    r"|\bas an? (?:ai|artificial intelligence|large)[ -](?:language )?(?:model|assistant)\b"
    r"|\bi (?:must|have to) decline\b|\bagainst (?:my|openai'?s?) (?:guidelines|policy|policies|programming)\b"
    r"|\bich kann (?:dir|ihnen|dabei|das)? ?(?:leider )?(?:dabei |damit )?nicht (?:helfen|weiterhelfen|beantworten)\b"
    r"|\bals (?:ki|sprachmodell)\b|\bje ne (?:peux|suis) pas (?:vous aider|répondre|en mesure)\b"
    r"|\ben tant qu(?:e modèle|'ia|'intelligence)\b|\bno puedo (?:ayudar|ayudarte|ayudarle|responder|proporcionar)\b"
    r"|\bcomo modelo de lenguaje\b",
)
# One of these words stands in every refusal the patterns know: an answer without any needs no look.
_TELLING = WordSet(
    "help assist comply fulfil fulfill provide answer do support engage participate create generate continue decline "
    "model assistant guidelines policy policies programming helfen weiterhelfen beantworten ki sprachmodell aider "
    "répondre mesure modèle ia intelligence ayudar ayudarte ayudarle responder proporcionar modelo".split()
)


# "Without this I cannot …" asks for what is missing.
_ASKS = re.compile(r"\b(?:without|ohne|sans|sin)\b[^.!?]*$")


def is_refusal(completion: str) -> bool:
    """Whether an answer begins by refusing ("I can't help with …"). Only its first 200 characters count."""
    low = completion[:200].lower().replace("’", "'")
    return any(not _ASKS.search(low[: found.start()]) for found in _REFUSALS.finditer(low))


def may_refuse(words: Words) -> np.ndarray:
    """For each answer whether `is_refusal` is worth asking; `words` are theirs, hashed `loosely`."""
    return _TELLING.stands_in(words)
