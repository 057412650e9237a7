"""A figure as people know it: one value, or low, likely and high. Exact fractions; knows no money and no page."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, DecimalException
from fractions import Fraction
from typing import Any

# Beyond these a figure is a slip of the keyboard, and turning it into a fraction would fill the memory.
MOST_DIGITS = 16
MOST_PLACES = 12
MOST_CHARACTERS = 120
_THOUSANDS = re.compile(r"\d{1,3}(,\d{3})+(\.\d+)?")
_BETWEEN = re.compile(r"[\s;/]+|\bto\b|…|–|\.\.")


@dataclass(frozen=True, slots=True)
class Range:
    """Low, likely and high; all three equal is a figure without doubt. The draws of it are triangular."""

    low: Fraction
    likely: Fraction
    high: Fraction

    def __post_init__(self) -> None:
        if not self.low <= self.likely <= self.high:
            raise ValueError(
                f"the figures run {plain_text(self.low)}, {plain_text(self.likely)}, {plain_text(self.high)}: "
                "give the low one first, then the likely one, then the high one"
            )

    @classmethod
    def of(cls, value: Any) -> Range:
        """From one figure, three of them, or a text of either. Raises ValueError with what is wrong, unpunctuated."""
        if isinstance(value, Range):
            return value
        if isinstance(value, str):
            return parse(value)
        if isinstance(value, Sequence):
            if len(value) != 3:
                raise ValueError("give one figure, or three: low, likely, high")
            return cls(*(exact(part) for part in value))
        only = exact(value)
        return cls(only, only, only)

    @property
    def is_point(self) -> bool:
        """Whether there is no doubt in it."""
        return self.low == self.high

    @property
    def mean(self) -> Fraction:
        """The mean of the triangular distribution: a third of the sum."""
        return (self.low + self.likely + self.high) / 3

    def times(self, factor: int | Fraction) -> Range:
        """Each of the three times a factor of 0 or more."""
        return Range(self.low * factor, self.likely * factor, self.high * factor)

    def as_plain(self) -> Any:
        """As JSON keeps it: one value or a list of three; whole numbers as such, others as exact decimal text."""
        if self.is_point:
            return _plain(self.likely)
        return [_plain(self.low), _plain(self.likely), _plain(self.high)]


def parse(text: str) -> Range:
    """The range a person typed, without units: "3000", "2,000 3,000 5,000", "2000 to 3000 to 5000". Raises ValueError."""
    if len(text) > MOST_CHARACTERS:
        raise ValueError("give one figure, or three: low, likely, high")
    parts = [part for part in _BETWEEN.split(text.strip()) if part]
    if len(parts) not in (1, 3):
        raise ValueError(
            "a figure is missing"
            if not parts
            else f"{len(parts)} figures are given; give one, or three: low, likely, high"
        )
    return Range.of([exact(part) for part in parts]) if len(parts) == 3 else Range.of(exact(parts[0]))


def exact(value: Any) -> Fraction:
    """One figure as a fraction; a float by its shortest decimal text. Raises ValueError.

    No sign of a unit is read: whether 0.5% is a half or a two-hundredth, only the field knows.
    """
    if isinstance(value, bool) or value is None:
        raise ValueError(f"{value!r} is not a number")
    if isinstance(value, int | Fraction):
        number = Fraction(value)
        if abs(number) >= 10**MOST_DIGITS:
            raise ValueError("a figure is too large to be meant")
        return number
    text = str(value).strip().replace("−", "-")
    if _THOUSANDS.fullmatch(text):
        text = text.replace(",", "")
    try:
        decimal = Decimal(text)
    except DecimalException:
        decimal = Decimal("NaN")
    if not decimal.is_finite():
        raise ValueError(f"“{text[:40]}” is not a number")
    if decimal and decimal.adjusted() >= MOST_DIGITS:
        raise ValueError("a figure is too large to be meant")
    if int(decimal.as_tuple().exponent) < -MOST_PLACES - MOST_DIGITS:
        raise ValueError("a figure has more digits than it can mean")
    return Fraction(decimal)


def plain_text(value: Fraction) -> str:
    """A fraction as people write it: grouped, without needless zeros."""
    text = f"{Decimal(value.numerator) / Decimal(value.denominator):,f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return text.replace("-", "−")


def _plain(value: Fraction) -> int | str:
    if value.denominator == 1:
        return int(value)
    return f"{Decimal(value.numerator) / Decimal(value.denominator):f}"
