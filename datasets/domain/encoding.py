"""Debris of wrong decodings ("CafÃ©"), mended only when the mended text proves itself, and characters nobody sees."""

from __future__ import annotations

import re

# UTF-8 read as Windows-1252 or Latin-1: a lead byte's letter followed by the picture of a continuation byte.
_CONTINUATION = "\u0080-\u00bf\u0152\u0153\u0160\u0161\u0178\u017d\u017e\u0192\u02c6\u02dc\u2013\u2014\u2018-\u201e\u2020-\u2022\u2026\u2030\u2039\u203a\u20ac\u2122"
_DEBRIS = re.compile(
    f"[\u00c2-\u00df][{_CONTINUATION}]|[\u00e0-\u00ef][{_CONTINUATION}]{{2}}|[\u00f0-\u00f4][{_CONTINUATION}]{{3}}"
)
_CONTROL = re.compile("[\u0080-\u009f]")

# Flags of countries within countries are written with tags, and stay. Other tags, two selectors of glyphs in a row and
# marks that turn the direction of what follows over are seen by a model and by no reader.
_FLAG = "\U0001f3f4[\U000e0030-\U000e0039\U000e0061-\U000e007a]{1,6}\U000e007f"
_HIDDEN = re.compile(
    f"(?P<flag>{_FLAG})|(?P<tags>[\U000e0000-\U000e007f]+)"
    "|(?P<selectors>[\ufe00-\ufe0f\U000e0100-\U000e01ef]{2,})|(?P<turned>[\u202d\u202e])"
)

# Windows-1252 leaves five bytes undefined; browsers read them as the control of the same number, so do we.
_TO_BYTE = {}
for _value in range(256):
    try:
        _TO_BYTE[bytes([_value]).decode("cp1252")] = _value
    except UnicodeDecodeError:
        _TO_BYTE[chr(_value)] = _value
for _value in range(0x80, 0xA0):
    _TO_BYTE.setdefault(chr(_value), _value)


def has_debris(text: str) -> bool:
    """Whether the text holds signs of a wrong decoding (a mendable kind, or lost characters)."""
    if text.isascii():
        return False
    return bool(_DEBRIS.search(text) or "\ufffd" in text or _CONTROL.search(text))


def repair(text: str) -> str:
    """The text as it was before it was decoded wrongly, once or twice; unchanged where nothing can be proved.

    Piece by piece: only stretches that decode as UTF-8 when read back as bytes are replaced, so a text that mixes
    sound and broken parts keeps its sound ones.
    """
    for _ in range(3):
        mended = _DEBRIS.sub(_decode_piece, text)
        # Lone C1 controls are Windows-1252 bytes that were read as Latin-1.
        mended = _CONTROL.sub(lambda m: _control(m.group()), mended)
        if mended == text:
            return text
        text = mended
    return text


def _decode_piece(match: re.Match[str]) -> str:
    piece = match.group()
    try:
        return bytes(_TO_BYTE[c] for c in piece).decode("utf-8")
    except (KeyError, UnicodeDecodeError):
        return piece


def _control(char: str) -> str:
    try:
        return char.encode("latin-1").decode("cp1252")
    except UnicodeDecodeError:
        return char


def is_lost(text: str) -> bool:
    """Whether characters are gone for good (replacement characters): nothing can bring them back."""
    return "\ufffd" in text


def hidden(text: str) -> str:
    """What no reader sees in the text, in words; empty where all of it shows. Tags are spelled out: they are letters."""
    if text.isascii():
        return ""
    found = [match for match in _HIDDEN.finditer(text) if match.lastgroup != "flag"]
    tags = "".join(match.group() for match in found if match.lastgroup == "tags")
    said = "".join(chr(ord(tag) - 0xE0000) for tag in tags).strip()
    n_turned = sum(match.lastgroup == "turned" for match in found)
    n_selectors = sum(len(match.group()) for match in found if match.lastgroup == "selectors")
    words = []
    if tags:
        words.append(
            f"hidden text “{said[:120]}”"
            if said.isprintable() and said
            else f"{len(tags)} {'tag' if len(tags) == 1 else 'tags'}"
        )
    if n_selectors:
        words.append(f"{n_selectors} selectors of glyphs in a row")
    if n_turned:
        words.append(
            f"{n_turned} {'mark that turns' if n_turned == 1 else 'marks that turn'} the text around"
        )
    return ", ".join(words)


def strip_hidden(text: str) -> str:
    """The text without what no reader sees."""
    return _HIDDEN.sub(lambda match: match.group() if match.lastgroup == "flag" else "", text)
