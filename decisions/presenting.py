"""Saved answers turned into what the templates draw: bars, charts, rows. Decides nothing and asks no database."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.safestring import SafeString

from decisions.domain.approaches import Approach
from decisions.domain.costs import DOLLAR
from decisions.domain.framework import Report
from decisions.models import RoiAnalysis
from foundation.ui.charts import Cumulative, Running, cumulative


@dataclass(frozen=True, slots=True)
class Bar:
    """One factor of a score as a row: its points, and where its bar starts and how wide it is (0 to 1000)."""

    name: str
    why: str
    points: int
    x: float
    width: float
    tone: str


@dataclass(frozen=True, slots=True)
class Waterfall:
    """One approach: its factors one after the other, the sum, and the sum kept within 0 and 1."""

    approach: str
    label: str
    bars: tuple[Bar, ...]
    # Where 0 stands on the axis, and how far 1.00 is from it.
    zero_x: float
    span: float
    raw: int
    capped: int
    chapter: float
    is_open: bool
    missing: tuple[str, ...]
    untaken: tuple[Mapping[str, Any], ...]
    is_recommended: bool

    @property
    def capped_span(self) -> float:
        """How far the score itself reaches from 0 on the axis."""
        return round(self.span * self.capped / 100, 1)

    @property
    def is_cut(self) -> bool:
        """Whether the parts add up to more than 1.00 or less than 0."""
        return self.raw != self.capped

    @property
    def moved(self) -> str:
        """What moved the score, in one line: "plenty of good data +0.40, consistency +0.20"."""
        if self.approach == "hybrid":
            return self.bars[0].why if self.bars else ""
        parts = [f"{bar.name[0].lower()}{bar.name[1:]} {_signed(bar.points)}" for bar in self.bars[1:]]
        return ", ".join(parts) or "nothing beyond its start"


def _signed(points: int) -> str:
    return f"{'+' if points > 0 else '−'}{abs(points) // 100}.{abs(points) % 100:02d}"


def waterfalls(result: Mapping[str, Any]) -> list[Waterfall]:
    """The four approaches of a saved answer, the recommended one first, on one common axis."""
    runs = {score["approach"]: _runs(score["parts"]) for score in result["scores"]}
    low = min(0, *(x for run in runs.values() for pair in run for x in pair))
    high = max(100, *(x for run in runs.values() for pair in run for x in pair))
    scale = 1000 / (high - low)
    return [
        Waterfall(
            approach=score["approach"],
            label=score["label"],
            bars=tuple(
                Bar(
                    part["name"],
                    part["why"],
                    part["points"],
                    round((start - low) * scale, 1),
                    round((end - start) * scale, 1),
                    "bad" if part["points"] < 0 else "mute" if i == 0 and len(score["parts"]) > 1 else "1",
                )
                for i, (part, (start, end)) in enumerate(
                    zip(score["parts"], runs[score["approach"]], strict=True)
                )
            ),
            zero_x=round(-low * scale, 1),
            span=round(100 * scale, 1),
            raw=score["raw"],
            capped=score["capped"],
            chapter=score["chapter"],
            is_open=score["is_open"],
            missing=tuple(score["missing"]),
            untaken=tuple(score["untaken"]),
            is_recommended=score["is_recommended"],
        )
        for score in result["scores"]
    ]


def _runs(parts: list[Mapping[str, Any]]) -> list[tuple[int, int]]:
    """Each part's stretch from left to right, as (start, end) with start <= end."""
    total, runs = 0, []
    for part in parts:
        after = total + part["points"]
        runs.append((min(total, after), max(total, after)))
        total = after
    return runs


@dataclass(frozen=True, slots=True)
class Moved:
    """One approach's score as saved and as it would be, in hundredths, with what keeps it out."""

    label: str
    saved: int
    now: int
    missing: tuple[str, ...]
    is_recommended: bool
    was_recommended: bool

    @property
    def by(self) -> int:
        """How far it moved."""
        return self.now - self.saved


def what_if_rows(saved: Report, now: Report) -> list[Moved]:
    """The four approaches as they would rank, each beside its saved score."""
    return [
        Moved(
            score.approach.label,
            saved.score(score.approach).capped,
            score.capped,
            score.gate.missing,
            score.approach is now.verdict.recommendation,
            score.approach is saved.verdict.recommendation,
        )
        for score in now.scores
    ]


@dataclass(frozen=True, slots=True)
class ScoreChange:
    """One approach's score in two saved answers, in hundredths, and the factors that came or went."""

    label: str
    before: int
    after: int
    came: tuple[str, ...]
    went: tuple[str, ...]

    @property
    def by(self) -> int:
        """How far it moved."""
        return self.after - self.before


def scores_between(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[ScoreChange]:
    """What moved each score from one saved answer to another, in the order of effort."""
    old = {score["approach"]: score for score in before["scores"]}
    new = {score["approach"]: score for score in after["scores"]}

    def parts(score: Mapping[str, Any]) -> dict[str, int]:
        # The hybrid's only part is a sum with its figures in words: its own row says it all.
        return (
            {} if score["approach"] == Approach.HYBRID else {p["name"]: p["points"] for p in score["parts"]}
        )

    return [
        ScoreChange(
            new[approach.value]["label"],
            old[approach.value]["capped"],
            new[approach.value]["capped"],
            _parts_beyond(parts(new[approach.value]), parts(old[approach.value])),
            _parts_beyond(parts(old[approach.value]), parts(new[approach.value])),
        )
        for approach in Approach
    ]


def _parts_beyond(these: Mapping[str, int], those: Mapping[str, int]) -> tuple[str, ...]:
    return tuple(
        f"{name[0].lower()}{name[1:]} {_signed(points)}"
        for name, points in these.items()
        if those.get(name) != points
    )


def beside_the_book(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The book's scores in its own order beside the corrected ones."""
    here = {score["approach"]: score for score in result["scores"]}
    return [
        {
            "label": row["label"],
            "book": row["score"],
            "here": here[row["approach"]]["capped"],
            "differs": abs(row["score"] * 100 - here[row["approach"]]["capped"]) > 0.5,
            "is_book": row["approach"] == result["chapter"]["recommendation"],
            "is_here": here[row["approach"]]["is_recommended"],
            "is_open": here[row["approach"]]["is_open"],
        }
        for row in result["chapter"]["scores"]
    ]


def cost_rows(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One row an approach: money, time and upkeep together, the recommended one marked."""
    efforts = {effort["approach"]: effort for effort in result["efforts"]}
    return [
        {
            **cost,
            "effort": efforts[cost["approach"]],
            "is_recommended": cost["approach"] == _recommended(result),
        }
        for cost in result["costs"]
    ]


def _recommended(result: Mapping[str, Any]) -> str:
    return result["verdict"]["recommendation"]


def roi_chart(analysis: RoiAnalysis, *, csv_url: str = "") -> SafeString:
    """Cumulative value by month, on cost alone and with quality counted. The title says the finding."""
    result = analysis.result
    cost, quality = result["break_even_cost"], result["break_even_quality"]
    last = len(result["cash_flow"]) - 1

    def at(when: Mapping[str, Any]) -> float | None:
        if when["kind"] == "at_once":
            return 0.0
        return when["months"]

    return cumulative(
        Cumulative(
            title=break_even_title(quality, cost, last),
            lines=(
                Running(
                    "With quality",
                    [q / DOLLAR for _, q in result["cash_flow"]],
                    breaks_even=at(quality),
                    tone="",
                ),
                Running(
                    "Cost alone",
                    [c / DOLLAR for c, _ in result["cash_flow"]],
                    breaks_even=at(cost),
                    tone="mute",
                    dashed=True,
                ),
            ),
            sub="Cumulative value against staying with the prompt, in dollars",
            csv_url=csv_url,
        )
    )


def break_even_title(quality: Mapping[str, Any], cost: Mapping[str, Any], last: int) -> str:
    """When it pays back, with quality counted and on cost alone, as the title of a chart over `last` months."""
    first = {"never": "Never pays back, even with quality counted", "at_once": "Nothing to pay back"}.get(
        quality["kind"]
    ) or f"Pays back {_after(quality['months'], last)} with quality counted"
    second = {"never": "never on cost alone", "at_once": "nor on cost alone"}.get(
        cost["kind"]
    ) or f"on cost alone {_after(cost['months'], last)}"
    return f"{first}; {second}"


def _after(months: float, last: int) -> str:
    if months <= 1:
        return "in month 1"
    return f"{'only ' if months > last else ''}after {months:,.1f} months"
