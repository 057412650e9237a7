"""What every chart shares: its figure with title, legend and table, its axes, its columns to hover over."""

from __future__ import annotations

from collections.abc import Sequence

from django.utils.safestring import SafeString

from foundation.ui.formats import as_unit
from foundation.ui.scales import Axis, finite
from foundation.ui.svg import el, number

TONES = frozenset({"good", "warn", "bad", "mute"})


def per_cent(share: float) -> str:
    """A share (0 to 1) as SVG writes it: `12.5%`."""
    return number(100 * share) + "%"


def said_as(value: object, unit: str) -> str:
    """The value in words with its unit; "not measured" when it is no finite number."""
    return as_unit(value, unit) if finite(value) is not None else "not measured"


def with_interval(value: object, low: object, high: object, unit: str) -> str:
    """The value in words, its interval in brackets where both ends are known."""
    said = said_as(value, unit)
    if finite(low) is None or finite(high) is None:
        return said
    return f"{said} ({as_unit(low, unit)} to {as_unit(high, unit)})"


def figure(
    title: str, sub: str, body: SafeString, table: SafeString | None, csv_url: str, legend: object = None
) -> SafeString:
    """A chart with its title, legend and what stands under it: table, picture, CSV."""
    caption = el("figcaption", el("p", title, cls="title"), el("p", sub, cls="sub") if sub else None)
    link = el("a", "Download as CSV", href=csv_url, download="") if csv_url else None
    values = (
        el("button", "Save as CSV", type="button", cls="linklike", data_table_csv="", hidden="")
        if table and not csv_url
        else None
    )
    # Drawn by the page's own script, which shows the button.
    picture = (
        el("button", "Save as picture", type="button", cls="linklike", data_picture="", hidden="")
        if table
        else None
    )
    foot = el("div", table, picture, values, link, cls="foot") if table or link else None
    return el("figure", caption, body, legend, foot, cls="chart")


def legend_of(entries: Sequence[tuple[str, str, str]]) -> SafeString | None:
    """Entries are (name, series class, shape); shapes: line, dash, box, area, diamond."""
    if len(entries) < 2:
        return None

    def swatch(series: str, shape: str) -> SafeString:
        if shape in ("box", "area"):
            inner = el(
                "rect", x=2, y=0, width=14, height=10, cls="fill area" if shape == "area" else "fill", rx=2
            )
        elif shape == "diamond":
            inner = el("path", d="M9 0 L14 5 L9 10 L4 5 Z", cls="fill diamond")
        else:
            inner = el("path", d="M1 5H17", cls=f"line stroke{' dash' if shape == 'dash' else ''}")
        return el("svg", inner, viewBox="0 0 18 10", cls=f"plot {series}", aria_hidden="true")

    return el("ul", *(el("li", swatch(series, shape), name) for name, series, shape in entries), cls="legend")


def plot(*children: object, label: str, height: str = "") -> SafeString:
    """The picture itself; `label` is what it says to those who do not see it."""
    return el("svg", *children, cls=f"plot box {height}".strip(), role="img", aria_label=label)


def stretched(*children: object) -> SafeString:
    """An inner picture of 1000 by 1000 units that stretches with the plot; strokes keep their width."""
    return el("svg", *children, viewBox="0 0 1000 1000", preserveAspectRatio="none", overflow="visible")


def draw_y_axis(axis: Axis) -> list[SafeString]:
    """Lines across the plot and their labels at its left."""
    out = []
    for tick in axis.ticks:
        y = per_cent(1 - axis.share(tick))
        is_zero = tick == 0 and axis.low < 0
        out.append(el("line", x1="0", x2="100%", y1=y, y2=y, cls="axis" if is_zero else "grid"))
        out.append(el("text", axis.label(tick), x="-8", y=y, dy="0.32em", cls="end"))
    return out


def draw_x_axis(axis: Axis, name: str = "") -> list[SafeString]:
    """Labels under the plot, its name under them."""
    out = []
    for i, tick in enumerate(axis.ticks):
        share = axis.share(tick)
        anchor = "end" if share > 0.96 else ("mid" if share > 0.03 or i else "")
        out.append(el("text", axis.label(tick), x=per_cent(share), y="100%", dy="16", cls=anchor or None))
    if name:
        out.append(el("text", name, x="100%", y="100%", dy="31", cls="end"))
    return out


def draw_value_ticks(axis: Axis, height: int, *, marks_zero: bool) -> list[SafeString]:
    """Lines down a plot of rows, `height` pixels of them, and their labels under it; `marks_zero` as the axis itself."""
    out = []
    for tick in axis.ticks:
        share = axis.share(tick)
        x = per_cent(share)
        style = "axis" if tick == 0 and marks_zero else "grid"
        out.append(el("line", x1=x, x2=x, y1="0", y2=height, cls=style))
        anchor = {0.0: None, 1.0: "end"}.get(share, "mid")
        out.append(el("text", axis.label(tick), x=x, y=height, dy="16", cls=anchor))
    return out


def hit_columns(columns: Sequence[tuple[float, str]]) -> list[SafeString]:
    """One invisible column a position (0 to 1), as wide as the way to its neighbours, that says its values."""
    ordered = sorted(columns)
    out = []
    for i, (at, text) in enumerate(ordered):
        left = (ordered[i - 1][0] + at) / 2 if i else 0.0
        right = (ordered[i + 1][0] + at) / 2 if i + 1 < len(ordered) else 1.0
        title = el("title", text)
        out.append(
            el(
                "rect",
                title,
                x=per_cent(left),
                width=per_cent(max(right - left, 0)),
                y="0",
                height="100%",
                cls="hit",
            )
        )
    return out


def class_of(tone: str, index: int) -> str:
    """The CSS class that colours a series: by its tone, else by its place."""
    return f"s{tone}" if tone in TONES else f"s{index % 6 + 1}"


def nothing_measured(title: str, sub: str) -> SafeString:
    """The figure of a chart without values, saying so."""
    return figure(title, sub, el("p", "Nothing has been measured yet.", cls="muted small"), None, "")


def role_of(label: str) -> dict[str, str]:
    """Attributes of a small picture: with its label, or hidden from those who would only hear noise."""
    return {"role": "img", "aria_label": label} if label else {"aria_hidden": "true"}


def tight(axis: Axis, xs: Sequence[float]) -> Axis:
    """The same ticks, on an axis that ends where the data end: lines should not stop short of the frame."""
    low, high = min(xs), max(xs)
    if high <= low or not high - low > abs(high) * 1e-9:
        return axis
    ticks = tuple(t for t in axis.ticks if low <= t <= high) or (low, high)
    return Axis(low, high, ticks, axis.label)
