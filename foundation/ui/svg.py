"""A tiny SVG builder that escapes everything it is given. Knows no chart."""

from __future__ import annotations

from collections.abc import Iterable

from django.utils.html import conditional_escape, escape
from django.utils.safestring import SafeString, mark_safe


def number(value: float) -> str:
    """A coordinate with at most two digits, never NaN or infinite (those would break the whole picture)."""
    if value != value or value in (float("inf"), float("-inf")):
        return "0"
    text = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


def _text(child: object) -> str:
    return str(conditional_escape(child if isinstance(child, (str, SafeString)) else str(child)))


def el(name: str, *children: object, **attributes: object) -> SafeString:
    """One element. Underscores in attribute names become dashes, `cls` is `class`; None and False are left out.

    Children that are not SafeString are escaped, and so is every attribute.
    """
    parts = []
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        shown = number(value) if isinstance(value, float) else str(value)
        parts.append(f' {"class" if key == "cls" else key.rstrip("_").replace("_", "-")}="{escape(shown)}"')
    inner = "".join(_text(child) for child in children if child is not None)
    # Everything inside went through escape() above; SafeString children were built here.
    return mark_safe(f"<{name}{''.join(parts)}>{inner}</{name}>" if inner else f"<{name}{''.join(parts)}/>")  # noqa: S308


def join(parts: Iterable[object]) -> SafeString:
    """The parts one after the other, escaped unless they were built here."""
    return mark_safe("".join(_text(part) for part in parts))  # noqa: S308


def path(points: Iterable[tuple[float, float]], *, closed: bool = False) -> str:
    """The `d` of a line through the points."""
    steps = [f"{'L' if i else 'M'}{number(x)} {number(y)}" for i, (x, y) in enumerate(points)]
    return "".join(steps) + ("Z" if closed and steps else "")
