"""Debris of wrong decodings ("CafÃ©"): recognised, and mended only when the mended text proves itself."""

from __future__ import annotations

import re

# UTF-8 read as Windows-1252 or Latin-1: a lead byte's letter followed by the picture of a continuation byte.
_CONTINUATION = "\u0080-\u00bf\u0152\u0153\u0160\u0161\u0178\u017d\u017e\u0192\u02c6\u02dc\u2013\u2014\u2018-\u201e\u2020-\u2022\u2026\u2030\u2039\u203a\u20ac\u2122"
_DEBRIS = re.compile(
    f"[\u00c2-\u00df][{_CONTINUATION}]|[\u00e0-\u00ef][{_CONTINUATION}]{{2}}|[\u00f0-\u00f4][{_CONTINUATION}]{{3}}"
)
_CONTROL = re.compile("[\u0080-\u009f]")

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
