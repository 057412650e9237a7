"""Assumptions to cash flow: what switching to a fine-tuned model costs, saves and returns.

Pure and exact: money is micro-dollars, months and shares are fractions. No sum is divided by zero: when a
switch pays back is one of three answers, "never", "at once" or a number of months. Figures in doubt are in `plans.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from fractions import Fraction
from math import floor

from decisions.domain.payback import (
    FAIR_PAYBACK_MONTHS,
    QUICK_PAYBACK_MONTHS,
    Band,
    BreakEven,
    Never,
    band,
    break_even,
)

MICRO = 1_000_000
STANDARD_HORIZON_MONTHS = 12
# The book's "$.50 per better answer". It is an assumption, and most verdicts rest on it.
STANDARD_VALUE_PER_IMPROVED_MICROUSD = 500_000


@dataclass(frozen=True, slots=True)
class Assumptions:
    """What a return is worked out from. Money in micro-dollars, `quality_improvement` a share (0.15 is 15%).

    What a month of serving costs whatever is asked (GPUs, provisioned units) stands in the `…_fixed_…` figures.
    """

    monthly_volume: Fraction | int
    current_cost_per_request_microusd: Fraction | int
    fine_tuned_cost_per_request_microusd: Fraction | int
    setup_cost_microusd: Fraction | int
    monthly_maintenance_microusd: Fraction | int
    quality_improvement: Fraction
    training_cost_microusd: Fraction | int = 0
    value_per_improved_microusd: Fraction | int = STANDARD_VALUE_PER_IMPROVED_MICROUSD
    horizon_months: int = STANDARD_HORIZON_MONTHS
    current_fixed_microusd: Fraction | int = 0
    fine_tuned_fixed_microusd: Fraction | int = 0
    data_labour_microusd: Fraction | int = 0
    monthly_labour_microusd: Fraction | int = 0
    # Whole months until the base model is served no more; None when nobody knows.
    lasts_months: int | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name != "quality_improvement" and value is not None and value < 0:
                raise ValueError(f"{field.name} must not be negative, it is {value}.")
        if not -1 <= self.quality_improvement <= 1:
            raise ValueError(
                f"quality_improvement is a share between -1 and 1, it is {self.quality_improvement}."
            )
        if self.horizon_months < 1:
            raise ValueError("horizon_months must be 1 or more.")

    @property
    def once_microusd(self) -> Fraction | int:
        """Everything paid once: set-up, work on the data, training."""
        return self.setup_cost_microusd + self.data_labour_microusd + self.training_cost_microusd

    @property
    def upkeep_microusd(self) -> Fraction | int:
        """What a month of the fine-tuned model costs whatever is asked: upkeep, people's work, fixed serving."""
        return (
            self.monthly_maintenance_microusd + self.monthly_labour_microusd + self.fine_tuned_fixed_microusd
        )


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
    current_monthly_microusd: Fraction | int
    fine_tuned_monthly_microusd: Fraction | int
    current_total_microusd: Fraction | int
    fine_tuned_total_microusd: Fraction | int
    savings_microusd: Fraction | int
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
    cash_flow: tuple[tuple[Fraction | int, Fraction], ...]
    chapter: ChapterRoi

    @property
    def rests_on_value(self) -> bool:
        """Whether the verdict is another one without the worth of better answers."""
        return self.verdict_cost is not self.verdict_quality

    @property
    def ends_too_early(self) -> bool:
        """Whether it would pay back on cost alone if only the base model were served for longer."""
        gain = self.current_monthly_microusd - self.fine_tuned_monthly_microusd
        once = self.assumptions.once_microusd
        return isinstance(self.break_even_cost, Never) and once > 0 and gain > 0


def analyse(assumptions: Assumptions, volumes: tuple[int | None, int | None] | None = None) -> Roi:
    """The return of switching, on cost alone and with the worth of better answers.

    `volumes` are the requests a month that carry the upkeep and pay back in a year, where a larger volume needs more
    replicas or units (`volumes.py`); without them they follow from the prices.
    """
    a = assumptions
    carried, repaid = volumes or (
        _volume_from(a, 0),
        _volume_from(a, Fraction(a.once_microusd) / FAIR_PAYBACK_MONTHS),
    )
    current = a.monthly_volume * a.current_cost_per_request_microusd + a.current_fixed_microusd
    tuned = a.monthly_volume * a.fine_tuned_cost_per_request_microusd + a.upkeep_microusd
    saved_a_month = current - tuned
    current_total = current * a.horizon_months
    tuned_total = a.once_microusd + tuned * a.horizon_months
    savings = current_total - tuned_total
    improved_a_month = a.monthly_volume * a.quality_improvement
    quality_a_month = improved_a_month * a.value_per_improved_microusd
    quality_value = quality_a_month * a.horizon_months
    total = savings + quality_value
    when_cost = break_even(a.once_microusd, saved_a_month, lasts_months=a.lasts_months)
    when_quality = break_even(a.once_microusd, saved_a_month + quality_a_month, lasts_months=a.lasts_months)
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
        volume_to_cover_upkeep=carried,
        volume_to_pay_back_in_a_year=repaid,
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


def _volume_from(a: Assumptions, more_microusd: Fraction | int) -> int | None:
    """Requests a month above which what each saves carries the upkeep and `more`; None when a request saves nothing."""
    saved = a.current_cost_per_request_microusd - a.fine_tuned_cost_per_request_microusd
    if saved <= 0:
        return None
    return max(0, floor(Fraction(a.upkeep_microusd - a.current_fixed_microusd + more_microusd) / saved))


# --- the book beside it ---------------------------------------------------------------------------------------------


def _chapter(a: Assumptions) -> ChapterRoi:
    """The book's own code on the same figures: whole dollars of set-up and upkeep, signed break-even, its bands."""
    setup = a.once_microusd // MICRO
    upkeep = a.upkeep_microusd // MICRO
    volume = float(a.monthly_volume)
    current = (
        volume * float(a.current_cost_per_request_microusd) / MICRO + float(a.current_fixed_microusd) / MICRO
    )
    tuned = volume * float(a.fine_tuned_cost_per_request_microusd) / MICRO + upkeep
    savings = current * 12 - (setup + tuned * 12)
    total = savings + volume * 12 * float(a.quality_improvement) * 0.50
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
