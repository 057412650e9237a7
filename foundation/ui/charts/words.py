"""Charts the size of a word."""

from __future__ import annotations

from collections.abc import Sequence

from django.utils.safestring import SafeString

from foundation.ui.charts.frame import (
    per_cent,
    role_of,
)
from foundation.ui.scales import finite
from foundation.ui.svg import el, path


def whisker(
    low: object, high: object, mean: object, *, span: float | None = None, tone: str = "", label: str = "",
    margin: float | None = None,
) -> SafeString:  # fmt: skip
    """A difference with its interval, drawn around zero; the axis runs from −span to +span.

    Without a span the axis fits the interval. `margin` shades what counts as no difference. Anything that is not a
    finite number gives an empty axis.
    """
    lo, hi, mid = finite(low), finite(high), finite(mean)
    known = [abs(v) for v in (lo, hi, mid) if v is not None]
    reach = abs(finite(span) or 0.0) or max(known, default=0.0) * 1.08 or 1.0

    def at(value: float) -> float:
        return 50 + 48 * max(-1.0, min(1.0, value / reach))

    body: list[SafeString] = []
    if (edge := finite(margin)) is not None and edge > 0:
        body.append(
            el(
                "rect",
                cls="margin",
                x=per_cent(at(-edge) / 100),
                width=per_cent((at(edge) - at(-edge)) / 100),
                height=22,
            )
        )
    body.append(el("line", cls="axis", x1="50%", x2="50%", y1=1, y2=21))
    if lo is not None and hi is not None:
        a, b = sorted((lo, hi))
        body.append(el("line", cls="range", x1=per_cent(at(a) / 100), x2=per_cent(at(b) / 100), y1=11, y2=11))
        # An end beyond the axis is drawn as an arrow, so that a cut interval does not look like a whole one.
        for end, value in ((-1, a), (1, b)):
            x = per_cent(at(value) / 100)
            if abs(value) > reach * 1.0001:
                body.append(el("text", "‹" if end < 0 else "›", x=x, y=11, dy="0.32em", cls="mid"))
            else:
                body.append(el("line", cls="range", x1=x, x2=x, y1=7, y2=15))
    if mid is not None:
        body.append(el("circle", cls="mean", cx=per_cent(at(mid) / 100), cy=11, r=4))
    return el("svg", *body, cls=f"whisker {tone}".strip(), **role_of(label))


def sparkline(values: Sequence[object], *, label: str = "") -> SafeString:
    """A line the size of a word. Gaps (None) are skipped; the last point is marked."""
    points = [(i, v) for i, v in enumerate(map(finite, values)) if v is not None]
    if not points:
        return el("svg", cls="spark", viewBox="0 0 96 24", **role_of(label))
    low, high = min(v for _, v in points), max(v for _, v in points)
    width = max(len(values) - 1, 1)
    spread = high - low
    placed = [(2 + 90 * i / width, 12.0 if not spread else 21 - 18 * ((v - low) / spread)) for i, v in points]
    title = el("title", label) if label else None
    dot = el("circle", cx=placed[-1][0], cy=placed[-1][1], r=2.4)
    return el(
        "svg", title, el("path", d=path(placed)), dot, cls="spark", viewBox="0 0 96 24", **role_of(label)
    )
