"""Cells of a CSV file that a spreadsheet will open as text."""

from __future__ import annotations

# The signs a formula begins with, in the width of some East Asian keyboards too.
_FORMULA_STARTS = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")
# What spreadsheets skip, or people do not see, before such a sign.
_SKIPPED = " \t\r\n\u00a0\u200b\u3000\ufeff"


def safe_cell(value: object) -> str:
    """The text of `value`, with a leading apostrophe where a spreadsheet would run it as a formula.

    Source: OWASP, CSV Injection. A plain number keeps its sign: "-3.5" stays "-3.5".
    """
    text = "" if value is None else str(value)
    if text[:1] not in ("\t", "\r", "\n") and not text.lstrip(_SKIPPED).startswith(_FORMULA_STARTS):
        return text
    try:
        float(text)
    except ValueError:
        return "'" + text
    return text if text == text.strip() else "'" + text
