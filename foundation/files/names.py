"""File names are text that people read: shown, offered at a download, never used to find or place a file."""

from __future__ import annotations

import unicodedata

MAX_CHARACTERS = 150
_SEPARATORS = str.maketrans({"/": "_", "\\": "_", ":": "_"})
# Names Windows keeps for devices; saving under one of them hangs or fails there.
_DEVICES = {"con", "prn", "aux", "nul", *(f"com{n}" for n in range(10)), *(f"lpt{n}" for n in range(10))}


def clean(name: str, fallback: str = "file") -> str:
    """`name` as one harmless line of at most 150 characters, its extension kept.

    Control and direction characters go (they can hide the true extension), separators become `_`, a name of
    dots or a device name gets a leading `_`.
    """
    kept = "".join(
        c
        for c in unicodedata.normalize("NFC", str(name))
        if unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
    )
    kept = kept.translate(_SEPARATORS).strip().rstrip(". ")
    if not kept.strip("._ "):
        return fallback
    if kept.split(".")[0].strip().lower() in _DEVICES or kept.startswith("."):
        kept = "_" + kept
    if len(kept) > MAX_CHARACTERS:
        stem, dot, extension = kept.rpartition(".")
        if dot and 0 < len(extension) <= 12:
            kept = stem[: MAX_CHARACTERS - len(extension) - 1] + "." + extension
        else:
            kept = kept[:MAX_CHARACTERS]
    return kept
