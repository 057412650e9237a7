"""Returns turned into what the templates draw: charts, rows, lines of a comparison. Decides nothing, asks no database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.safestring import SafeString

from decisions.domain.actuals import Beside, planned_line
from decisions.domain.costs import DOLLAR
from decisions.domain.plans import PLAN_FIGURES, SIDES, Plan, label_of, range_text
from decisions.models import RoiAnalysis
from decisions.presenting import break_even_title
from foundation.ui.charts import (
    Cause,
    Cumulative,
    HistogramPair,
    Lines,
    Point,
    Running,
    Series,
    Tornado,
    cumulative,
    histogram_pair,
    line_with_band,
    tornado,
)
from foundation.ui.formats import percent, usd

# A tornado of more bars than this is a list nobody reads; the table and the CSV have all.
MOST_BARS = 8


def cumulative_chart(result: Mapping[str, Any], *, csv_url: str = "") -> SafeString:
    """The running total by month at the likely figures, each line with the band nine of ten draws lie in."""
    found = result.get("uncertainty") or {}
    is_spread = bool(found.get("n"))
    last = len(result["cash_flow"]) - 1

    def line(name: str, column: int, when: Mapping[str, Any], band: str, **more: Any) -> Running:
        rows = found.get(band, []) if is_spread else []
        at = 0.0 if when["kind"] == "at_once" else when["months"]
        return Running(
            name,
            [row[column] / DOLLAR for row in result["cash_flow"]],
            breaks_even=at,
            low=[row[0] / DOLLAR for row in rows],
            high=[row[2] / DOLLAR for row in rows],
            **more,
        )

    sub = "Cumulative value against staying with the prompt, in dollars"
    return cumulative(
        Cumulative(
            title=break_even_title(result["break_even_quality"], result["break_even_cost"], last),
            lines=(
                line("With quality", 1, result["break_even_quality"], "band_quality"),
                line("Cost alone", 0, result["break_even_cost"], "band_cost", tone="mute", dashed=True),
            ),
            sub=f"{sub}. Lines: likely figures; bands: nine of ten draws" if is_spread else sub,
            csv_url=csv_url,
        )
    )


def tornado_chart(result: Mapping[str, Any]) -> SafeString | str:
    """Which figure matters most, widest first; empty for a return kept before tornados were."""
    found = result.get("tornado")
    if not found or not found["swings"]:
        return ""
    first = found["swings"][0]
    turning = [swing["label"] for swing in found["swings"] if swing["turns"]]
    title = f"{_begin(first['label'])} matters most"
    if turning:
        side = "below" if found["total_microusd"] > 0 else "above"
        title += f"; {_list(turning)} can turn the total {side} zero"
    else:
        title += "; no single figure turns the total"
    how = "its own range" if found["is_given"] else "80% to 120% of itself, because no ranges are given"
    return tornado(
        Tornado(
            title=title,
            middle=found["total_microusd"] / DOLLAR,
            causes=[
                Cause(
                    _begin(swing["label"]),
                    swing["low"],
                    swing["high"],
                    swing["at_low"] / DOLLAR,
                    swing["at_high"] / DOLLAR,
                    "Turns the total." if swing["turns"] else "",
                )
                for swing in found["swings"][:MOST_BARS]
            ],
            sub=f"Total value when one figure runs over {how}, all others at their likely value",
        )
    )


def needed_chart(result: Mapping[str, Any]) -> SafeString | str:
    """How the worth an improved request must have spreads over the draws; empty where it does not."""
    needed = (result.get("uncertainty") or {}).get("needed") or {}
    if not needed.get("edges"):
        return ""
    middle = "no worth" if needed["middle"] is None else usd(needed["middle"])
    return histogram_pair(
        HistogramPair(
            title=f"Half of the draws need {middle} or less for each improved answer",
            edges=[edge / DOLLAR for edge in needed["edges"]],
            before=needed["counts"],
            before_name="Share of the draws",
            unit="dollars",
            x_name="worth of an improved answer, $",
            sub="What an improved answer must be worth for a total of zero; the largest tenth stands in the last bar",
        )
    )


@dataclass(frozen=True, slots=True)
class FigureLine:
    """One assumption in words."""

    name: str
    label: str
    text: str
    is_range: bool


def figures_of(plan: Plan) -> list[FigureLine]:
    """The assumptions of a plan in the order of the form; work that costs nothing is left out."""
    serving = [f"{side}.{name}" for side in SIDES for name in plan.serving(side).figures]
    names = ["monthly_volume", *serving, *(name for name in PLAN_FIGURES if name != "monthly_volume")]
    quiet = ("hour_of_work_microusd", "data_hours", "review_hours", "upkeep_hours")
    return [
        FigureLine(name, _begin(label_of(name)), range_text(name, value), not value.is_point)
        for name in names
        if (value := plan.ranges[name]).high or name not in quiet
    ]


@dataclass(frozen=True, slots=True)
class Column:
    """One return of a comparison."""

    analysis: RoiAnalysis
    name: str
    scenario_id: int | None
    plan: Plan


@dataclass(frozen=True, slots=True)
class CompareRow:
    """One line of a comparison: a cell a column, and whether they differ."""

    label: str
    cells: tuple[str, ...]
    differs: bool


def compare_rows(columns: Sequence[Column]) -> tuple[list[CompareRow], list[CompareRow]]:
    """(answers, assumptions) side by side. An assumption all share stands once, after those that differ."""
    answers = [_row(label, [cell(c.analysis.result) for c in columns]) for label, cell in _ANSWERS]
    by_column = [{line.label: line.text for line in figures_of(c.plan)} for c in columns]
    labels = list(dict.fromkeys(label for lines in by_column for label in lines))
    rows = [_row(label, [lines.get(label, "–") for lines in by_column]) for label in labels]
    rows.insert(0, _row("Months looked at", [_months(c.plan) for c in columns]))
    return answers, [r for r in rows if r.differs] + [r for r in rows if not r.differs]


def _row(label: str, cells: Sequence[str]) -> CompareRow:
    return CompareRow(label, tuple(cells), len(set(cells)) > 1)


def _months(plan: Plan) -> str:
    return (
        f"{plan.months} (the base model retires {plan.retires_on})" if plan.is_cut_short else str(plan.months)
    )


def _share(*path: str) -> Any:
    def cell(result: Mapping[str, Any]) -> str:
        value: Any = result.get("uncertainty")
        for part in path:
            value = value.get(part) if isinstance(value, Mapping) else None
        return "–" if value is None else percent(value, 0 if value in (0, 1) else 1)

    return cell


def _spread(result: Mapping[str, Any]) -> str:
    found = result.get("uncertainty") or {}
    return (
        f"{usd(found['total']['low'])} to {usd(found['total']['high'])}"
        if found.get("n")
        else "no ranges given"
    )


_ANSWERS: tuple[tuple[str, Any], ...] = (
    ("Verdict", lambda r: r["verdict"]["label"]),
    ("Total value, likely figures", lambda r: usd(r["total_value_microusd"])),
    ("Nine of ten draws", _spread),
    ("Chance that the total is above zero", _share("positive")),
    ("Pays back, quality counted", lambda r: r["break_even_quality"]["text"]),
    ("Pays back on cost alone", lambda r: r["break_even_cost"]["text"]),
    ("Chance within 6 months, quality counted", _share("quality", "within_6")),
    ("Chance within 12 months, quality counted", _share("quality", "within_12")),
    ("Chance of never within the months", _share("quality", "never")),
    ("Spent once", lambda r: usd(r["once_microusd"]) if "once_microusd" in r else "–"),
    ("A month fine-tuned", lambda r: usd(r["fine_tuned_monthly_microusd"])),
    (
        "Worth needed of an improved answer",
        lambda r: r["flip_value_text"] or ("nothing" if r["savings_microusd"] >= 0 else "no worth would do"),
    ),
)


def compare_chart(columns: Sequence[Column]) -> SafeString:
    """The running totals with quality, one line a return."""
    best = max(columns, key=lambda c: c.analysis.result["total_value_microusd"])
    worst = min(columns, key=lambda c: c.analysis.result["total_value_microusd"])
    title = (
        f"{best.name} brings most, {usd(best.analysis.result['total_value_microusd'])}; "
        f"{worst.name} least, {usd(worst.analysis.result['total_value_microusd'])}"
        if best is not worst
        else f"{best.name} brings {usd(best.analysis.result['total_value_microusd'])}"
    )
    return cumulative(
        Cumulative(
            title=title,
            lines=[
                Running(
                    column.name,
                    [quality / DOLLAR for _, quality in column.analysis.result["cash_flow"]],
                    breaks_even=column.analysis.result["break_even_quality"]["months"],
                    dashed=i % 2 == 1,
                )
                for i, column in enumerate(columns)
            ],
            sub="Cumulative value with quality counted, likely figures, in dollars",
        )
    )


def actual_chart(plan: Plan, found: Beside, finding: str, *, csv_url: str = "") -> SafeString:
    """The plan's running total over its months, and what came of it so far with its interval."""
    points = [Point(float(month), value / DOLLAR) for month, value in enumerate(planned_line(plan))]
    actual = [Point(r.months, r.actual / DOLLAR, r.low / DOLLAR, r.high / DOLLAR) for r in found.running]
    return line_with_band(
        Lines(
            title=finding,
            series=[
                Series("Planned", points, tone="mute", dashed=True),
                Series("Actual", actual),
            ],
            unit="dollars",
            x_name="months of service",
            sub="Cumulative value against staying with the prompt; the band is the interval of the measured gain",
            zero=True,
            reference=0.0,
            csv_url=csv_url,
        )
    )


def _begin(label: str) -> str:
    return f"{label[0].upper()}{label[1:]}"


def _list(words: Sequence[str]) -> str:
    shown = list(words) if len(words) <= 3 else [*words[:2], f"{len(words) - 2} more"]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} or {shown[-1]}"
