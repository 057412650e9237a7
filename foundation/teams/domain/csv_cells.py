"""Cells of a CSV file that a spreadsheet will open as text."""

from __future__ import annotations

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")


def safe_cell(value: object) -> str:
    """The text of `value`, with a leading apostrophe where a spreadsheet would run it as a formula.

    Source: OWASP, CSV Injection. A plain number keeps its sign: "-3.5" stays "-3.5".
    """
    text = "" if value is None else str(value)
    # Spreadsheets skip leading blanks before they look for a formula.
    if not text.lstrip(" ").startswith(_FORMULA_STARTS):
        return text
    try:
        float(text)
    except ValueError:
        return "'" + text
    return text if text == text.strip() else "'" + text
