"""The values of a chart as a table: in words to read, as plain numbers for the file that "Save as CSV" writes of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from django.utils.safestring import SafeString

from foundation.ui.charts.frame import said_as, with_interval
from foundation.ui.scales import finite
from foundation.ui.svg import el

# What a file calls the unit of a column, and how many of it make one of the value's own unit.
COLUMN_UNITS: dict[str, tuple[str, float]] = {
    "": ("", 1),
    "number": ("", 1),
    "signed": ("", 1),
    "share": ("", 1),
    "percent": ("%", 100),
    "points": ("points", 100),
    "ms": ("ms", 1),
    "usd": ("USD", 1e-6),
    "dollars": ("USD", 1),
    "duration": ("s", 1),
    "bytes": ("bytes", 1),
}


@dataclass(frozen=True, slots=True)
class Measured:
    """One value of a table, with its interval where both ends are known. `text` says it otherwise than by its unit."""

    value: object
    unit: str = ""
    low: object = None
    high: object = None
    text: str = ""

    @property
    def said(self) -> str:
        """As the page shows it."""
        if self.text:
            return self.text
        if self.low is None and self.high is None:
            return said_as(self.value, self.unit)
        return with_interval(self.value, self.low, self.high, self.unit)

    @property
    def column_unit(self) -> str:
        """The unit of `plain`; an unknown unit is a word of its own ("rows")."""
        return COLUMN_UNITS.get(self.unit, (self.unit, 1))[0]

    def plain(self, value: object) -> str:
        """A number as files carry it: a point, no grouping, no unit. "" when it was not measured."""
        number = finite(value)
        if number is None:
            return ""
        return f"{number * COLUMN_UNITS.get(self.unit, (self.unit, 1))[1]:.12g}"

    def cell(self, name: str, **attributes: object) -> SafeString:
        """The cell of the table, its numbers beside its words."""
        has_interval = finite(self.low) is not None and finite(self.high) is not None
        return el(
            name,
            self.said,
            data_value=self.plain(self.value) if self.value is not None or not has_interval else None,
            data_low=self.plain(self.low) if has_interval else None,
            data_high=self.plain(self.high) if has_interval else None,
            **attributes,
        )


def value_table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> SafeString:
    """The values of a chart as a table, folded away; the first column names the row. A `Measured` keeps its numbers."""
    listed = [tuple(row) for row in rows]

    def cell(i: int, value: object) -> SafeString:
        name, attributes = ("td", {"cls": "num"}) if i else ("th", {"scope": "row"})
        if isinstance(value, Measured):
            return value.cell(name, **attributes)
        return el(name, value, **attributes)

    def unit_of(i: int) -> str | None:
        for row in listed:
            if len(row) > i and isinstance(measured := row[i], Measured):
                return measured.column_unit or None
        return None

    heads = [
        el("th", name, scope="col", cls="num" if i else None, data_unit=unit_of(i))
        for i, name in enumerate(head)
    ]
    body = [el("tr", *(cell(i, value) for i, value in enumerate(row))) for row in listed]
    table = el("table", el("thead", el("tr", *heads)), el("tbody", *body), cls="dense")
    scroll = el("div", table, cls="scroll", tabindex=0, role="region", aria_label="The values as a table")
    return el("details", el("summary", "Show as a table"), scroll, cls="more")
