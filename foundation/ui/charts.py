"""Charts as server-drawn SVG on CSS variables. Values in, escaped markup out; knows no request and no table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from django.utils.safestring import SafeString

from foundation.ui.formats import is_number
from foundation.ui.svg import el, number, path


def _finite(value: object) -> float | None:
    # Beyond 1e300 differences overflow; such a value is not a measurement.
    return float(value) if is_number(value) and abs(float(value)) < 1e300 else None  # type: ignore[arg-type]


def whisker(
    low: object, high: object, mean: object, *, span: float | None = None, tone: str = "", label: str = ""
) -> SafeString:
    """A difference with its interval, drawn around zero; the axis runs from −span to +span.

    Without a span the axis fits the interval. Anything that is not a finite number gives an empty axis.
    """
    lo, hi, mid = _finite(low), _finite(high), _finite(mean)
    axis = el("line", cls="axis", x1=150, x2=150, y1=0, y2=22)
    body: list[SafeString] = [axis]
    if lo is not None and hi is not None and mid is not None:
        reach = _finite(span) or max(abs(lo), abs(hi), abs(mid)) * 1.08 or 1.0

        def at(value: float) -> float:
            return 150 + 144 * max(-1.0, min(1.0, value / abs(reach)))

        body.append(el("line", cls="range", x1=at(lo), x2=at(hi), y1=11, y2=11))
        body.append(el("circle", cls="mean", cx=at(mid), cy=11, r=4))
    role = {"role": "img", "aria_label": label} if label else {"aria_hidden": "true"}
    return el("svg", *body, cls=f"whisker {tone}".strip(), viewBox="0 0 300 22", preserveAspectRatio="none", **role)


def sparkline(values: Sequence[object], *, label: str = "") -> SafeString:
    """A line the size of a word. Gaps (None) are skipped; the last point is marked."""
    points = [(i, v) for i, v in enumerate(map(_finite, values)) if v is not None]
    role = {"role": "img", "aria_label": label} if label else {"aria_hidden": "true"}
    if not points:
        return el("svg", cls="spark", viewBox="0 0 96 24", **role)
    low, high = min(v for _, v in points), max(v for _, v in points)
    width = max(len(values) - 1, 1)
    spread = high - low
    placed = [(2 + 92 * i / width, 12.0 if not spread else 21 - 18 * ((v - low) / spread)) for i, v in points]
    dot = el("circle", cx=placed[-1][0], cy=placed[-1][1], r=2.4)
    title = el("title", label) if label else None
    return el("svg", title, el("path", d=path(placed)), dot, cls="spark", viewBox="0 0 96 24", **role)


def shares(parts: Iterable[Any], *, label: str = "") -> SafeString:
    """One bar divided into parts, each (name, value[, tone]); values under zero or unknown count as nothing."""
    rows = [(str(p[0]), max(_finite(p[1]) or 0.0, 0.0), str(p[2]) if len(p) > 2 else "") for p in parts]
    total = sum(value for _, value, _ in rows)
    body, x = [], 0.0
    for index, (name, value, tone) in enumerate(rows):
        width = 100 * value / total if total else 0.0
        if not width:
            continue
        series = f"s{tone}" if tone else f"s{index % 6 + 1}"
        title = el("title", f"{name}: {number(value)} ({width:.0f}%)")
        body.append(el("rect", title, cls=series, x=x, y=0, width=width, height=18))
        if x:
            body.append(el("rect", cls="gap", x=x - 0.15, y=0, width=0.3, height=18))
        x += width
    role = {"role": "img", "aria_label": label} if label else {"aria_hidden": "true"}
    return el("svg", *body, cls="shares", viewBox="0 0 100 18", preserveAspectRatio="none", **role)
