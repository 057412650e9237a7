"""Planned against actual, month by month: what was measured stands beside the plan, what was not says so.

A month has 30 days, as in the plan; a calendar month counts with the days it was served. Knows no table and no clock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from fractions import Fraction
from math import sqrt

from decisions.domain.costs import DAYS_A_MONTH
from decisions.domain.plans import Plan
from decisions.domain.serving import Shape

# Fewer judged answers on either side say nothing about a gain; the plan's stands, and the page says which.
MIN_JUDGED = 50
# Fewer priced requests of the prompt are no price.
MIN_PRICED = 30
# A GPU or a unit is paid by the month: its bill is not in the requests.
BY_REQUEST = (Shape.PER_REQUEST, Shape.PER_TOKEN)
Z = 1.959964


@dataclass(frozen=True, slots=True)
class MonthFigures:
    """What one calendar month brought so far, as it was counted. Money in micro-dollars."""

    n_days: int = 0
    n_requests: int = 0
    n_unpriced: int = 0
    serving_microusd: int = 0
    n_requests_prompt: int = 0
    n_unpriced_prompt: int = 0
    serving_prompt_microusd: int = 0
    n_judged: int = 0
    n_right: int = 0
    n_judged_prompt: int = 0
    n_right_prompt: int = 0
    training_microusd: int = 0
    ledger_microusd: int = 0
    source: str = ""

    def as_columns(self) -> dict[str, int | str]:
        """By the names of the table."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Gain:
    """How many more answers were right than with the prompt: a share with its interval."""

    value: float
    low: float
    high: float
    n: int
    n_prompt: int


@dataclass(frozen=True, slots=True)
class Line:
    """One month: planned for the days it was served, and what came. Micro-dollars; None where nothing is known."""

    month: date
    n_days: int
    planned_requests: float
    requests: int
    planned_serving: float
    serving: float
    serving_is_measured: bool
    price_today_is_measured: bool
    planned_gain: float
    gain: Gain | None
    planned_net: float
    net: float
    net_low: float
    net_high: float
    training: int
    ledger: int


@dataclass(frozen=True, slots=True)
class Running:
    """The running totals after so many months of 30 days, everything paid once counted at 0."""

    months: float
    actual: float
    low: float
    high: float
    planned: float


@dataclass(frozen=True, slots=True)
class Beside:
    """Plan and reality side by side. Without a served month there are no lines."""

    lines: tuple[Line, ...]
    running: tuple[Running, ...]
    planned_training: float
    training: int
    ledger: int

    @property
    def is_empty(self) -> bool:
        """Whether the fine-tuned model has answered nothing yet."""
        return not self.lines


def beside(plan: Plan, months: Mapping[date, MonthFigures]) -> Beside:
    """The plan beside what was counted; months before the first answered request count only with what was spent."""
    likely = plan.values()
    flow = plan.flow(likely)
    ordered = sorted(months.items())
    served = [(month, found) for month, found in ordered if found.n_requests and found.n_days]
    spent = sum(found.training_microusd for _, found in ordered)
    planned_once = float(flow.once)
    training_planned = float(likely["training_cost_microusd"])
    # What no ledger knows (set-up, work on the data) counts as planned; training as it was paid once any was recorded.
    once = planned_once - training_planned + spent if spent else planned_once
    lines: list[Line] = []
    running = [Running(0.0, -once, -once, -once, -planned_once)] if served else []
    for month, found in served:
        line = _line(plan, month, found)
        lines.append(line)
        last = running[-1]
        running.append(
            Running(
                last.months + found.n_days / DAYS_A_MONTH,
                last.actual + line.net,
                last.low + line.net_low,
                last.high + line.net_high,
                last.planned + line.planned_net,
            )
        )
    return Beside(
        tuple(lines),
        tuple(running),
        training_planned,
        spent,
        sum(found.ledger_microusd for _, found in ordered),
    )


def _line(plan: Plan, month: date, found: MonthFigures) -> Line:
    likely = plan.values()
    flow, exact = plan.flow(likely), plan.assumptions()
    share = Fraction(found.n_days, DAYS_A_MONTH)
    volume = likely["monthly_volume"]
    planned_price = float(flow.current_monthly / volume) if volume else 0.0
    priced = found.n_requests_prompt - found.n_unpriced_prompt
    today_by_request = plan.current.shape in BY_REQUEST
    is_priced = today_by_request and priced >= MIN_PRICED
    price_today = found.serving_prompt_microusd / priced if is_priced else planned_price
    today = (
        found.n_requests * price_today if today_by_request else float(exact.current_fixed_microusd * share)
    )
    planned_tuned = exact.fine_tuned_cost_per_request_microusd * volume + exact.fine_tuned_fixed_microusd
    by_request = plan.fine_tuned.shape in BY_REQUEST
    serving = (
        found.serving_microusd + found.n_unpriced * float(exact.fine_tuned_cost_per_request_microusd)
        if by_request
        else float(exact.fine_tuned_fixed_microusd * share)
    )
    upkeep = float((exact.monthly_maintenance_microusd + exact.monthly_labour_microusd) * share)
    gain = gain_of(found)
    planned_gain = float(likely["quality_improvement"])
    worth = float(likely["value_per_improved_microusd"]) * found.n_requests
    saved = today - serving - upkeep

    def net(value: float) -> float:
        return saved + worth * value

    value, low, high = (gain.value, gain.low, gain.high) if gain else (planned_gain,) * 3
    return Line(
        month=month,
        n_days=found.n_days,
        planned_requests=float(volume * share),
        requests=found.n_requests,
        planned_serving=float(planned_tuned * share),
        serving=serving,
        serving_is_measured=by_request and found.n_unpriced < found.n_requests,
        price_today_is_measured=is_priced,
        planned_gain=planned_gain,
        gain=gain,
        planned_net=float((flow.saved_monthly + flow.quality_monthly) * share),
        net=net(value),
        net_low=net(low),
        net_high=net(high),
        training=found.training_microusd,
        ledger=found.ledger_microusd,
    )


def gain_of(found: MonthFigures) -> Gain | None:
    """The gain of one month from judged answers of both sides; None where either has too few.

    Source: Newcombe 1998, the difference of two independent shares from their Wilson intervals (method 10).
    """
    if found.n_judged < MIN_JUDGED or found.n_judged_prompt < MIN_JUDGED:
        return None
    tuned, prompt = found.n_right / found.n_judged, found.n_right_prompt / found.n_judged_prompt
    low_t, high_t = wilson(found.n_right, found.n_judged)
    low_p, high_p = wilson(found.n_right_prompt, found.n_judged_prompt)
    value = tuned - prompt
    return Gain(
        value,
        value - sqrt((tuned - low_t) ** 2 + (high_p - prompt) ** 2),
        value + sqrt((high_t - tuned) ** 2 + (prompt - low_p) ** 2),
        found.n_judged,
        found.n_judged_prompt,
    )


def wilson(hits: int, n: int) -> tuple[float, float]:
    """The Wilson score interval of a share at 95 %. n >= 1."""
    share, z2 = hits / n, Z * Z
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = Z * sqrt(share * (1 - share) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    return middle - half, middle + half


def finding(found: Beside) -> str:
    """Plan and reality in one sentence."""
    if found.is_empty:
        return "Nothing has been measured yet: the fine-tuned model has answered no request."
    last = found.running[-1]
    gap = last.actual - last.planned
    days = sum(line.n_days for line in found.lines)
    how = (
        "as planned"
        if abs(gap) < 0.005 * max(abs(last.planned), 1.0)
        else "ahead of plan"
        if gap > 0
        else "behind plan"
    )
    amount = "" if how == "as planned" else f" by {_dollars(abs(gap))}"
    gained = [line for line in found.lines if line.gain]
    rests = (
        "The gain is measured in every month."
        if len(gained) == len(found.lines)
        else "The gain is still the plan's: too few answers were judged."
        if not gained
        else f"The gain is measured in {len(gained)} of {len(found.lines)} months."
    )
    return f"After {days} days of service it is {how}{amount}. {rests}"


def _dollars(microusd: float) -> str:
    return f"${microusd / 1_000_000:,.2f}"


def planned_line(plan: Plan) -> Sequence[float]:
    """The plan's running total at the likely figures, month 0 first. Micro-dollars."""
    flow = plan.flow(plan.values())
    gain = flow.saved_monthly + flow.quality_monthly
    return [float(gain * month - flow.once) for month in range(plan.months + 1)]
