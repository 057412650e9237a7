"""Assumptions to cash flow: what switching to a fine-tuned model costs, saves and returns.

Pure and exact: money is whole micro-dollars, months and shares are fractions. No sum is divided by zero: when a
switch pays back is one of three answers, "never", "at once" or a number of months.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from math import floor
from typing import Any

MICRO = 1_000_000
STANDARD_HORIZON_MONTHS = 12
# The book's "$.50 per better answer". It is an assumption, and most verdicts rest on it.
STANDARD_VALUE_PER_IMPROVED_MICROUSD = 500_000
QUICK_PAYBACK_MONTHS = 6
FAIR_PAYBACK_MONTHS = 12


# --- when it pays back ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Never:
    """What was spent never comes back at these figures."""

    def __str__(self) -> str:
        return "Never"


@dataclass(frozen=True, slots=True)
class AtOnce:
    """There is nothing to pay back."""

    def __str__(self) -> str:
        return "At once"


@dataclass(frozen=True, slots=True)
class Months:
    """After this many months, exactly."""

    n: Fraction

    def __str__(self) -> str:
        value = float(self.n)
        if value < 1:
            return "Month 1"
        return f"{value:,.1f} months"


BreakEven = Never | AtOnce | Months


def break_even(once_microusd: int, monthly_gain_microusd: Fraction | int) -> BreakEven:
    """When `monthly_gain` has paid back what was spent `once`.

    Without anything spent and without a monthly loss there is nothing to pay back. Without a monthly gain nothing
    ever is.
    """
    if once_microusd == 0:
        return AtOnce() if monthly_gain_microusd >= 0 else Never()
    if monthly_gain_microusd <= 0:
        return Never()
    return Months(Fraction(once_microusd) / Fraction(monthly_gain_microusd))


def within(when: BreakEven, months: int) -> bool:
    """Whether it has paid back by the end of `months`."""
    match when:
        case AtOnce():
            return True
        case Months(n):
            return n <= months
        case _:
            return False


# --- verdicts -------------------------------------------------------------------------------------------------------


class Band(StrEnum):
    STRONG = "strong"
    YES = "yes"
    MAYBE = "maybe"
    NO = "no"

    @property
    def label(self) -> str:
        """The verdict in words."""
        return {
            "strong": "Strongly recommended",
            "yes": "Recommended",
            "maybe": "Consider",
            "no": "Not recommended",
        }[self.value]

    @property
    def why(self) -> str:
        """What the band means."""
        return {
            "strong": "a positive return that pays back within 6 months",
            "yes": "a positive return within the first year",
            "maybe": "a positive return, but a longer payback",
            "no": "no positive return over the months looked at",
        }[self.value]


def band(value_microusd: Fraction | int, when: BreakEven) -> Band:
    """The book's bands, applied to a break-even that cannot be negative."""
    if value_microusd <= 0:
        return Band.NO
    if within(when, QUICK_PAYBACK_MONTHS):
        return Band.STRONG
    if within(when, FAIR_PAYBACK_MONTHS):
        return Band.YES
    return Band.MAYBE


# --- the sum --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Assumptions:
    """What a return is worked out from. Money in micro-dollars, `quality_improvement` a share (0.15 is 15%)."""

    monthly_volume: int
    current_cost_per_request_microusd: int
    fine_tuned_cost_per_request_microusd: int
    setup_cost_microusd: int
    monthly_maintenance_microusd: int
    quality_improvement: Fraction
    training_cost_microusd: int = 0
    value_per_improved_microusd: int = STANDARD_VALUE_PER_IMPROVED_MICROUSD
    horizon_months: int = STANDARD_HORIZON_MONTHS

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name != "quality_improvement" and value < 0:
                raise ValueError(f"{field.name} must not be negative, it is {value}.")
        if not -1 <= self.quality_improvement <= 1:
            raise ValueError(
                f"quality_improvement is a share between -1 and 1, it is {self.quality_improvement}."
            )
        if self.horizon_months < 1:
            raise ValueError("horizon_months must be 1 or more.")

    @property
    def once_microusd(self) -> int:
        """Everything paid once: set-up and training."""
        return self.setup_cost_microusd + self.training_cost_microusd

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> Assumptions:
        """Assumptions from plain values, such as a saved snapshot."""
        plain = {field.name: values[field.name] for field in fields(cls) if field.name in values}
        try:
            plain["quality_improvement"] = Fraction(str(plain["quality_improvement"]))
        except (ValueError, ZeroDivisionError):
            raise ValueError(
                f"quality_improvement is a share such as 0.15, it is {plain['quality_improvement']!r}."
            ) from None
        return cls(**plain)

    def as_mapping(self) -> dict[str, Any]:
        """The assumptions as plain JSON values; the share as a decimal text, so that nothing is rounded."""
        plain = {field.name: getattr(self, field.name) for field in fields(self)}
        share = self.quality_improvement
        plain["quality_improvement"] = str(Decimal(share.numerator) / Decimal(share.denominator))
        return plain


@dataclass(frozen=True, slots=True)
class ChapterRoi:
    """What the book's code answers for the same figures; None where it divides by zero."""

    break_even_months: float | None
    roi_percent: float | None
    verdict: str
    crash: str = ""


@dataclass(frozen=True, slots=True)
class Roi:
    """What a switch costs, saves and returns over the horizon. Money in micro-dollars."""

    assumptions: Assumptions
    current_monthly_microusd: int
    fine_tuned_monthly_microusd: int
    current_total_microusd: int
    fine_tuned_total_microusd: int
    savings_microusd: int
    quality_monthly_microusd: Fraction
    quality_value_microusd: Fraction
    total_value_microusd: Fraction
    return_percent: Fraction | None
    break_even_cost: BreakEven
    break_even_quality: BreakEven
    verdict_cost: Band
    verdict_quality: Band
    flip_value_microusd: Fraction | None
    flip_improvement: Fraction | None
    volume_to_cover_upkeep: int | None
    volume_to_pay_back_in_a_year: int | None
    cash_flow: tuple[tuple[int, Fraction], ...]
    chapter: ChapterRoi

    @property
    def rests_on_value(self) -> bool:
        """Whether the verdict is another one without the worth of better answers."""
        return self.verdict_cost is not self.verdict_quality


def analyse(assumptions: Assumptions) -> Roi:
    """The return of switching, on cost alone and with the worth of better answers."""
    a = assumptions
    current = a.monthly_volume * a.current_cost_per_request_microusd
    tuned = a.monthly_volume * a.fine_tuned_cost_per_request_microusd + a.monthly_maintenance_microusd
    saved_a_month = current - tuned
    current_total = current * a.horizon_months
    tuned_total = a.once_microusd + tuned * a.horizon_months
    savings = current_total - tuned_total
    improved_a_month = a.monthly_volume * a.quality_improvement
    quality_a_month = improved_a_month * a.value_per_improved_microusd
    quality_value = quality_a_month * a.horizon_months
    total = savings + quality_value
    when_cost = break_even(a.once_microusd, saved_a_month)
    when_quality = break_even(a.once_microusd, saved_a_month + quality_a_month)
    return Roi(
        assumptions=a,
        current_monthly_microusd=current,
        fine_tuned_monthly_microusd=tuned,
        current_total_microusd=current_total,
        fine_tuned_total_microusd=tuned_total,
        savings_microusd=savings,
        quality_monthly_microusd=quality_a_month,
        quality_value_microusd=quality_value,
        total_value_microusd=total,
        return_percent=Fraction(total) / a.once_microusd * 100 if a.once_microusd else None,
        break_even_cost=when_cost,
        break_even_quality=when_quality,
        verdict_cost=band(savings, when_cost),
        verdict_quality=band(total, when_quality),
        flip_value_microusd=_flip(-savings, improved_a_month * a.horizon_months),
        flip_improvement=_flip(
            -savings, Fraction(a.monthly_volume * a.value_per_improved_microusd * a.horizon_months)
        ),
        volume_to_cover_upkeep=_volume_from(a, Fraction(a.monthly_maintenance_microusd)),
        volume_to_pay_back_in_a_year=_volume_from(
            a, a.monthly_maintenance_microusd + Fraction(a.once_microusd, FAIR_PAYBACK_MONTHS)
        ),
        cash_flow=tuple(
            (
                saved_a_month * month - a.once_microusd,
                (saved_a_month + quality_a_month) * month - a.once_microusd,
            )
            for month in range(a.horizon_months + 1)
        ),
        chapter=_chapter(a),
    )


def _flip(missing: Fraction | int, per_unit: Fraction) -> Fraction | None:
    """How large the unit must be to make up for what is missing; None when nothing is missing or no size would."""
    if missing <= 0 or per_unit <= 0:
        return None
    return Fraction(missing) / per_unit


def _volume_from(a: Assumptions, monthly_microusd: Fraction) -> int | None:
    """Requests a month above which what each saves carries `monthly`; None when a request saves nothing."""
    saved = a.current_cost_per_request_microusd - a.fine_tuned_cost_per_request_microusd
    return floor(monthly_microusd / saved) if saved > 0 else None


# --- the book beside it ---------------------------------------------------------------------------------------------


def _chapter(a: Assumptions) -> ChapterRoi:
    """The book's own code on the same figures: whole dollars of set-up and upkeep, signed break-even, its bands."""
    setup = a.once_microusd // MICRO
    upkeep = a.monthly_maintenance_microusd // MICRO
    current = a.monthly_volume * (a.current_cost_per_request_microusd / MICRO)
    tuned = a.monthly_volume * (a.fine_tuned_cost_per_request_microusd / MICRO) + upkeep
    savings = current * 12 - (setup + tuned * 12)
    total = savings + a.monthly_volume * 12 * float(a.quality_improvement) * 0.50
    # The book compares binary floats; a difference of less than a cent is the zero it divides by.
    saved_a_month = round(current - tuned, 6)
    if saved_a_month == 0:
        return ChapterRoi(None, None, "no answer", "it divides by zero: both cost the same each month")
    if setup == 0:
        return ChapterRoi(None, None, "no answer", "it divides by zero: there is no set-up cost")
    months = setup / saved_a_month
    if total > 0 and months <= QUICK_PAYBACK_MONTHS:
        verdict = "Strongly recommended, quick payback"
    elif total > 0 and months <= FAIR_PAYBACK_MONTHS:
        verdict = "Recommended, positive within the first year"
    elif total > 0:
        verdict = "Consider, longer payback"
    else:
        verdict = "Not recommended"
    return ChapterRoi(months, total / setup * 100, verdict)


# --- words ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Check:
    """One of the four things to look at when nothing pays back on cost alone."""

    question: str
    finding: str
    is_fine: bool


def four_checks(roi: Roi) -> tuple[Check, ...]:
    """The book's four checks for a break-even that is negative or infinite, answered with this team's figures."""
    a = roi.assumptions
    cheaper = a.fine_tuned_cost_per_request_microusd < a.current_cost_per_request_microusd
    enough = roi.volume_to_cover_upkeep
    if not cheaper:
        volume = "At these prices no volume is large enough: each request saves nothing."
    else:
        volume = f"Upkeep is carried above {enough:,} requests a month; you state {a.monthly_volume:,}."
    counted = roi.quality_value_microusd > 0
    return (
        Check(
            "Are the costs right?",
            f"{_dollars(a.current_cost_per_request_microusd, 6)} a request today, "
            f"{_dollars(a.fine_tuned_cost_per_request_microusd, 6)} fine-tuned, "
            f"{_dollars(a.monthly_maintenance_microusd)} upkeep a month. Check them against a bill: fine-tuned models "
            "are often billed by the hour of a GPU, not by the request.",
            True,
        ),
        Check(
            "Is a fine-tuned request really cheaper?",
            "Yes." if cheaper else "No: it costs as much or more, so cost alone can never pay back.",
            cheaper,
        ),
        Check("Is the volume too low?", volume, cheaper and enough is not None and a.monthly_volume > enough),
        Check(
            "Is quality counted?",
            f"Yes: {float(a.quality_improvement):.1%} better answers at "
            f"{_dollars(a.value_per_improved_microusd, 4)} each."
            if counted
            else "No: no improvement, or an improved answer is worth nothing.",
            counted,
        ),
    )


def finding(roi: Roi) -> str:
    """The analysis in one or two sentences: the verdict, and what it rests on."""
    if not roi.rests_on_value:
        when = _when(roi.break_even_cost)
        return f"{roi.verdict_quality.label}, with or without the worth of better answers: on cost alone it {when}."
    cost = f"on cost alone it {_when(roi.break_even_cost)}"
    if roi.quality_value_microusd < 0:
        return (
            f"{roi.verdict_quality.label}: the answers get worse, and that costs more than is saved; {cost}."
        )
    quality = f"with better answers counted it {_when(roi.break_even_quality)}"
    sentence = f"{roi.verdict_quality.label} if better answers are worth money: {quality}; {cost}."
    if roi.flip_value_microusd is not None and roi.total_value_microusd > 0:
        sentence += f" The verdict turns when an improved request is worth less than {flip_text(roi)}."
    return sentence


def headline(roi: Roi) -> str:
    """The analysis in a few words, for lists and the rail."""
    if not roi.rests_on_value:
        return f"{roi.verdict_quality.label}; cost alone: {str(roi.break_even_cost).lower()}"
    return f"{roi.verdict_quality.label} with quality counted; cost alone: {roi.verdict_cost.label.lower()}"


def flip_text(roi: Roi) -> str:
    """The worth of an improved request at which the verdict flips, to a hundredth of a cent; empty without one."""
    return "" if roi.flip_value_microusd is None else _dollars(roi.flip_value_microusd, 4)


def chapter_differs(roi: Roi) -> str:
    """Why the book's verdict is another one; empty when it is not."""
    book = roi.chapter
    if book.crash:
        return f"The book has no answer here: {book.crash}."
    reasons = []
    if book.break_even_months is not None and book.break_even_months < 0:
        reasons.append(
            f"The book prints a break-even of −{abs(book.break_even_months):,.1f} months and takes it for a quick payback, "
            f"because it is less than 6. A negative figure means never: each month costs "
            f"{_dollars(roi.fine_tuned_monthly_microusd - roi.current_monthly_microusd)} more."
        )
    elif not book.verdict.startswith(roi.verdict_quality.label):
        reasons.append(
            f"The book's break-even of {book.break_even_months:,.1f} months leaves the worth of better answers out, "
            "while its value counts it. Here both stand side by side."
        )
    if roi.rests_on_value and roi.flip_value_microusd is not None:
        reasons.append(
            f"Both verdicts rest on the worth of an improved request; below {flip_text(roi)} it is not recommended."
        )
    return " ".join(reasons)


def _when(when: BreakEven) -> str:
    match when:
        case Never():
            return "never pays back"
        case AtOnce():
            return "has nothing to pay back"
    return f"pays back in {when!s}" if when.n >= 1 else "pays back in the first month"


def _dollars(microusd: Fraction | int, places: int = 2) -> str:
    amount = Decimal(Fraction(microusd).numerator) / Decimal(Fraction(microusd).denominator) / MICRO
    sign = "−" if amount < 0 else ""
    text = f"{abs(amount):,.{places}f}"
    if places > 2 and "." in text:
        # Prices of a request keep the digits they have, and at least the cents.
        whole, part = text.split(".")
        text = f"{whole}.{part.rstrip('0').ljust(2, '0')}"
    return f"{sign}${text}"


def when_json(when: BreakEven) -> dict[str, Any]:
    """A break-even as plain JSON: its kind, its words, and the months where there are any."""
    kind = {Never: "never", AtOnce: "at_once", Months: "months"}[type(when)]
    return {"kind": kind, "text": str(when), "months": float(when.n) if isinstance(when, Months) else None}


def as_json(roi: Roi) -> dict[str, Any]:
    """The analysis as plain JSON values, money in whole micro-dollars, to be kept and drawn."""
    book = roi.chapter
    return {
        "finding": finding(roi),
        "headline": headline(roi),
        "current_monthly_microusd": roi.current_monthly_microusd,
        "fine_tuned_monthly_microusd": roi.fine_tuned_monthly_microusd,
        "current_total_microusd": roi.current_total_microusd,
        "fine_tuned_total_microusd": roi.fine_tuned_total_microusd,
        "savings_microusd": roi.savings_microusd,
        "quality_value_microusd": round(roi.quality_value_microusd),
        "total_value_microusd": round(roi.total_value_microusd),
        "return_percent": None if roi.return_percent is None else round(float(roi.return_percent), 1),
        "break_even_cost": when_json(roi.break_even_cost),
        "break_even_quality": when_json(roi.break_even_quality),
        "verdict": {
            "band": roi.verdict_quality,
            "label": roi.verdict_quality.label,
            "why": roi.verdict_quality.why,
        },
        "verdict_cost": {
            "band": roi.verdict_cost,
            "label": roi.verdict_cost.label,
            "why": roi.verdict_cost.why,
        },
        "rests_on_value": roi.rests_on_value,
        "flip_value_microusd": None if roi.flip_value_microusd is None else round(roi.flip_value_microusd),
        "flip_value_text": flip_text(roi),
        "flip_improvement": None if roi.flip_improvement is None else float(roi.flip_improvement),
        "volume_to_cover_upkeep": roi.volume_to_cover_upkeep,
        "volume_to_pay_back_in_a_year": roi.volume_to_pay_back_in_a_year,
        "cash_flow": [[round(cost), round(quality)] for cost, quality in roi.cash_flow],
        "checks": [
            {"question": check.question, "finding": check.finding, "is_fine": check.is_fine}
            for check in four_checks(roi)
        ]
        if isinstance(roi.break_even_cost, Never)
        else [],
        "chapter": {
            "break_even_months": None if book.break_even_months is None else round(book.break_even_months, 1),
            "roi_percent": None if book.roi_percent is None else round(book.roi_percent, 1),
            "verdict": book.verdict,
            "crash": book.crash,
            "differs": chapter_differs(roi),
        },
    }
