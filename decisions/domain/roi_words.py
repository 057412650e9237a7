"""A return in words and as plain JSON: the finding, the four checks, where the book differs. Decides nothing."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any

from decisions.domain.payback import AtOnce, BreakEven, Never, when_json
from decisions.domain.roi import MICRO, Roi


@dataclass(frozen=True, slots=True)
class Check:
    """One of the four things to look at when nothing pays back on cost alone."""

    question: str
    finding: str
    is_fine: bool


def four_checks(roi: Roi) -> tuple[Check, ...]:
    """The book's four checks for a break-even that is negative or infinite, answered with this team's figures."""
    a = roi.assumptions
    today, tuned = _a_request(roi)
    cheaper = today is not None and tuned is not None and tuned < today
    return (
        Check(
            "Are the costs right?",
            f"{_dollars(roi.current_monthly_microusd)} a month today; fine-tuned "
            f"{_dollars(roi.fine_tuned_monthly_microusd)}, of which {_dollars(a.upkeep_microusd)} whatever is asked. "
            "Check them against a bill"
            + (
                "."
                if a.fine_tuned_fixed_microusd
                else ": fine-tuned models are often billed by the hour of a GPU."
            ),
            not roi.ends_too_early,
        ),
        Check("Is a fine-tuned request really cheaper?", _cheaper_text(today, tuned, roi), cheaper),
        _volume_check(roi),
        _quality_check(roi),
    )


def _a_request(roi: Roi) -> tuple[Fraction | None, Fraction | None]:
    """What a request costs today and fine-tuned, fixed serving shared out over the volume; None without requests."""
    a = roi.assumptions
    if not a.monthly_volume:
        return None, None
    return (
        a.current_cost_per_request_microusd + Fraction(a.current_fixed_microusd) / a.monthly_volume,
        a.fine_tuned_cost_per_request_microusd + Fraction(a.fine_tuned_fixed_microusd) / a.monthly_volume,
    )


def _cheaper_text(today: Fraction | None, tuned: Fraction | None, roi: Roi) -> str:
    if today is None or tuned is None:
        return "Nobody can tell: no requests are stated."
    prices = f"{_dollars(tuned, 6)} against {_dollars(today, 6)}"
    if tuned < today:
        return f"Yes, upkeep aside: {prices}."
    if roi.volume_to_cover_upkeep is not None:
        return f"Not at this volume: {prices}, because the fixed part is shared by so few requests."
    return f"No: {prices}, so cost alone can never pay back."


def _volume_check(roi: Roi) -> Check:
    question = "Is the volume too low?"
    stated = f"you state {_count(roi.assumptions.monthly_volume)}"
    enough, year = roi.volume_to_cover_upkeep, roi.volume_to_pay_back_in_a_year
    if enough is None:
        return Check(question, f"No volume is large enough at these prices; {stated}.", False)
    words = f"Upkeep is carried above {enough:,} requests a month; {stated}."
    if year is not None and year > enough:
        words += f" Everything is paid back within 12 months above {year:,}."
    if roi.ends_too_early:
        words += f" As it stands it would take longer than the {roi.assumptions.lasts_months} months the base model has left."
    return Check(question, words, roi.assumptions.monthly_volume > enough and not roi.ends_too_early)


def _quality_check(roi: Roi) -> Check:
    question, a = "Is quality counted?", roi.assumptions
    if roi.quality_value_microusd <= 0:
        return Check(question, "No: no improvement, or an improved answer is worth nothing.", False)
    words = f"{float(a.quality_improvement):.1%} better answers at {_dollars(a.value_per_improved_microusd, 4)} each"
    if roi.total_value_microusd > 0:
        needed = f"; {flip_text(roi)} each would do" if roi.flip_value_microusd is not None else ""
        return Check(question, f"Yes: {words}{needed}.", True)
    return Check(question, f"Yes, but not enough: {words}, and {flip_text(roi)} each would be needed.", False)


def _count(value: Fraction | int) -> str:
    return f"{float(value):,.0f}"


def finding(roi: Roi) -> str:
    """The analysis in one or two sentences: the verdict, and what it rests on."""
    if not roi.rests_on_value:
        when = _when_cost(roi)
        return f"{roi.verdict_quality.label}, with or without the worth of better answers: on cost alone it {when}."
    cost = f"on cost alone it {_when_cost(roi)}"
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


def _when_cost(roi: Roi) -> str:
    if roi.ends_too_early:
        return f"does not pay back within the {roi.assumptions.lasts_months} months the base model has left"
    return _when(roi.break_even_cost)


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


def as_json(roi: Roi) -> dict[str, Any]:
    """The analysis as plain JSON values, money in whole micro-dollars, to be kept and drawn."""
    book, a = roi.chapter, roi.assumptions
    today, tuned = _a_request(roi)
    return {
        "finding": finding(roi),
        "headline": headline(roi),
        "horizon_months": a.horizon_months,
        "lasts_months": a.lasts_months,
        "current_monthly_microusd": round(roi.current_monthly_microusd),
        "fine_tuned_monthly_microusd": round(roi.fine_tuned_monthly_microusd),
        "fine_tuned_serving_microusd": round(
            roi.fine_tuned_monthly_microusd - a.upkeep_microusd + a.fine_tuned_fixed_microusd
        ),
        "maintenance_microusd": round(a.monthly_maintenance_microusd),
        "monthly_labour_microusd": round(a.monthly_labour_microusd),
        "setup_microusd": round(a.setup_cost_microusd),
        "data_labour_microusd": round(a.data_labour_microusd),
        "training_microusd": round(a.training_cost_microusd),
        "once_microusd": round(a.once_microusd),
        "current_total_microusd": round(roi.current_total_microusd),
        "fine_tuned_total_microusd": round(roi.fine_tuned_total_microusd),
        "savings_microusd": round(roi.savings_microusd),
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
        "current_request_microusd": None if today is None else float(round(today, 3)),
        "fine_tuned_request_microusd": None if tuned is None else float(round(tuned, 3)),
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
