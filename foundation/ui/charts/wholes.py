"""A whole and its parts as one bar."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.safestring import SafeString

from foundation.ui.charts.frame import (
    class_of,
    figure,
    legend_of,
    nothing_measured,
    role_of,
)
from foundation.ui.charts.tables import Measured, value_table
from foundation.ui.formats import as_unit, grouped, percent
from foundation.ui.scales import finite
from foundation.ui.svg import el


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a whole."""

    name: str
    value: float | None
    tone: str = ""


@dataclass(frozen=True, slots=True)
class Shares:
    """A whole and its parts as one bar."""

    title: str
    parts: Sequence[Part]
    unit: str = "number"
    sub: str = ""
    csv_url: str = ""


def shares_chart(chart: Shares) -> SafeString:
    """One bar of several parts with its legend."""
    parts = [p for p in chart.parts if (finite(p.value) or 0) > 0]
    if not parts:
        return nothing_measured(chart.title, chart.sub)
    total = sum(finite(p.value) or 0.0 for p in parts)
    body = shares([(p.name, p.value, p.tone) for p in parts], label=chart.title)
    entries = [
        (f"{p.name} {as_unit(p.value, chart.unit)}", class_of(p.tone, i), "box") for i, p in enumerate(parts)
    ]
    legend = legend_of(entries)
    rows = [
        (p.name, Measured(p.value, chart.unit), Measured((finite(p.value) or 0.0) / total, "percent"))
        for p in parts
    ]
    return figure(
        chart.title, chart.sub, body, value_table(["", "Value", "Share"], rows), chart.csv_url, legend
    )


def shares(parts: Iterable[Any], *, label: str = "") -> SafeString:
    """One bar divided into parts, each (name, value[, tone]); values below zero or unknown count as nothing."""
    rows = [(str(p[0]), max(finite(p[1]) or 0.0, 0.0), str(p[2]) if len(p) > 2 else "") for p in parts]
    total = sum(value for _, value, _ in rows)
    body, x = [], 0.0
    for index, (name, value, tone) in enumerate(row for row in rows if row[1]):
        width = 100 * value / total if total else 0.0
        title = el("title", f"{name}: {grouped(value)} ({percent(value / total, 1)})")
        body.append(el("rect", title, cls=class_of(tone, index), x=x, y=0, width=width, height=18))
        if x:
            body.append(el("rect", cls="gap", x=x - 0.15, y=0, width=0.3, height=18))
        x += width
    return el("svg", *body, cls="shares", viewBox="0 0 100 18", preserveAspectRatio="none", **role_of(label))
