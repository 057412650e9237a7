"""Everything a return is worked out from, each figure one value or low, likely and high, and until when it holds.

One formula serves the likely figures exactly and the draws of them as arrays. Knows no clock: the day is given.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from fractions import Fraction
from typing import Any

from decisions.domain import volumes
from decisions.domain.payback import FAIR_PAYBACK_MONTHS
from decisions.domain.ranges import Range
from decisions.domain.roi import (
    STANDARD_HORIZON_MONTHS,
    STANDARD_VALUE_PER_IMPROVED_MICROUSD,
    Assumptions,
    Roi,
    analyse,
)
from decisions.domain.serving import FIGURES, MONEY, Figure, Serving, Shape, cost_of

MOST_MONTHS = 120
SIDES = {"current": "today", "fine_tuned": "fine-tuned"}
# The figures that are not about serving, in the order of the form.
PLAN_FIGURES: dict[str, Figure] = {
    "monthly_volume": Figure("requests a month", "number", Fraction(31 * 10**10)),
    "setup_cost_microusd": Figure("set-up", "usd", MONEY),
    "training_cost_microusd": Figure("training", "usd", MONEY),
    "monthly_maintenance_microusd": Figure("upkeep a month", "usd", MONEY),
    "hour_of_work_microusd": Figure("an hour of work", "usd", MONEY),
    "data_hours": Figure("hours of work on the data", "number", Fraction(10**6)),
    "review_hours": Figure("hours of review a month", "number", Fraction(10**6)),
    "upkeep_hours": Figure("hours of upkeep a month", "number", Fraction(10**6)),
    "quality_improvement": Figure("better answers", "share", Fraction(1), Fraction(-1)),
    "value_per_improved_microusd": Figure(
        "worth of an improved answer", "usd", MONEY, standard=STANDARD_VALUE_PER_IMPROVED_MICROUSD
    ),
}
NEEDED = ("monthly_volume", "setup_cost_microusd", "monthly_maintenance_microusd", "quality_improvement")
OTHERS = ("current_serving", "fine_tuned_serving", "horizon_months", "starts_on", "retires_on")
NAMES = frozenset((*PLAN_FIGURES, *OTHERS, *(f"{side}_cost_per_request_microusd" for side in SIDES)))


class BadFigure(ValueError):
    """One figure of a plan cannot be. `name` is the plan's word for it, the text one sentence."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(text)
        self.name = name


@dataclass(frozen=True, slots=True)
class Flow:
    """What a plan comes to, at one set of values or at an array of them. Micro-dollars."""

    current_monthly: Any
    fine_tuned_monthly: Any
    once: Any
    improved_monthly: Any
    quality_monthly: Any

    @property
    def saved_monthly(self) -> Any:
        """What a month saves on cost alone."""
        return self.current_monthly - self.fine_tuned_monthly


@dataclass(frozen=True, slots=True)
class Plan:
    """A return's figures. `figures` are those of `PLAN_FIGURES`; `starts_on` is known where `retires_on` is."""

    figures: Mapping[str, Range]
    current: Serving
    fine_tuned: Serving
    horizon_months: int = STANDARD_HORIZON_MONTHS
    starts_on: date | None = None
    retires_on: date | None = None
    _ranges: dict[str, Range] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        found = dict(self.figures)
        for side in SIDES:
            found |= {f"{side}.{name}": value for name, value in self.serving(side).figures.items()}
        object.__setattr__(self, "_ranges", found)
        for name, value in found.items():
            try:
                figure_of(name).check(value)
            except ValueError as error:
                raise BadFigure(name, f"{_begin(label_of(name))} {error}.") from None
        if not 1 <= self.horizon_months <= MOST_MONTHS:
            raise BadFigure("horizon_months", f"Months to look at: give 1 to {MOST_MONTHS}.")
        if self.lasts_months is not None and self.lasts_months < 1:
            raise BadFigure(
                "retires_on",
                f"The base model retires on {self.retires_on}: that is past, or less than a month away. "
                "Choose a base model that stays, or correct the date.",
            )

    def serving(self, side: str) -> Serving:
        """How one of the two sides is billed."""
        return self.current if side == "current" else self.fine_tuned

    @property
    def ranges(self) -> Mapping[str, Range]:
        """Every figure by name; those of serving as "current.replicas"."""
        return self._ranges

    @property
    def uncertain(self) -> tuple[str, ...]:
        """The names of the figures in doubt."""
        return tuple(name for name, value in self._ranges.items() if not value.is_point)

    @property
    def lasts_months(self) -> int | None:
        """Whole months until the base model retires; None when no date is known."""
        if self.retires_on is None or self.starts_on is None:
            return None
        return whole_months(self.starts_on, self.retires_on)

    @property
    def months(self) -> int:
        """The months looked at: those chosen, or fewer when the base model retires first."""
        lasts = self.lasts_months
        return self.horizon_months if lasts is None else min(self.horizon_months, lasts)

    @property
    def is_cut_short(self) -> bool:
        """Whether the retirement ends the months before those chosen are over."""
        return self.months < self.horizon_months

    def values(self, pick: Callable[[Range], Any] = lambda value: value.likely) -> dict[str, Any]:
        """One value of each figure, by default the likely one."""
        return {name: pick(value) for name, value in self._ranges.items()}

    def flow(self, values: Mapping[str, Any]) -> Flow:
        """What the plan comes to at these values: fractions, or floats and arrays of draws."""
        volume = values["monthly_volume"]
        monthly = {}
        for side in SIDES:
            price, fixed = cost_of(self.serving(side).shape, volume, side_values(values, side))
            monthly[side] = volume * price + fixed
        hour = values["hour_of_work_microusd"]
        work = hour * (values["review_hours"] + values["upkeep_hours"])
        improved = volume * values["quality_improvement"]
        return Flow(
            current_monthly=monthly["current"],
            fine_tuned_monthly=monthly["fine_tuned"] + values["monthly_maintenance_microusd"] + work,
            once=values["setup_cost_microusd"]
            + values["training_cost_microusd"]
            + hour * values["data_hours"],
            improved_monthly=improved,
            quality_monthly=improved * values["value_per_improved_microusd"],
        )

    def assumptions(self, values: Mapping[str, Fraction] | None = None) -> Assumptions:
        """The exact figures at `values`, by default the likely ones."""
        v = values or self.values()
        volume, hour = v["monthly_volume"], v["hour_of_work_microusd"]
        today = cost_of(self.current.shape, volume, side_values(v, "current"))
        tuned = cost_of(self.fine_tuned.shape, volume, side_values(v, "fine_tuned"))
        return Assumptions(
            monthly_volume=volume,
            current_cost_per_request_microusd=today[0],
            fine_tuned_cost_per_request_microusd=tuned[0],
            current_fixed_microusd=today[1],
            fine_tuned_fixed_microusd=tuned[1],
            setup_cost_microusd=v["setup_cost_microusd"],
            training_cost_microusd=v["training_cost_microusd"],
            data_labour_microusd=hour * v["data_hours"],
            monthly_maintenance_microusd=v["monthly_maintenance_microusd"],
            monthly_labour_microusd=hour * (v["review_hours"] + v["upkeep_hours"]),
            quality_improvement=v["quality_improvement"],
            value_per_improved_microusd=v["value_per_improved_microusd"],
            horizon_months=self.months,
            lasts_months=self.lasts_months,
        )

    def analyse(self) -> Roi:
        """The return at the likely figures, exactly."""
        given = self.assumptions()
        if not (self.current.has_steps or self.fine_tuned.has_steps):
            return analyse(given)
        upkeep = given.monthly_maintenance_microusd + given.monthly_labour_microusd
        v = self.values()
        sides = (
            volumes.Side(self.current.shape, side_values(v, "current")),
            volumes.Side(self.fine_tuned.shape, side_values(v, "fine_tuned")),
        )
        carried = volumes.above(*sides, upkeep)
        repaid = volumes.above(*sides, upkeep + Fraction(given.once_microusd) / FAIR_PAYBACK_MONTHS)
        return analyse(given, (carried, repaid))

    def with_figure(self, name: str, value: Range) -> Plan:
        """The same plan with one figure changed. Raises BadFigure."""
        side, dot, figure = name.partition(".")
        if not dot:
            return replace(self, figures={**self.figures, name: value})
        serving = self.serving(side)
        changed = replace(serving, figures={**serving.figures, figure: value})
        return replace(self, current=changed) if side == "current" else replace(self, fine_tuned=changed)

    @classmethod
    def from_mapping(cls, given: Mapping[str, Any]) -> Plan:
        """A plan from plain values, such as a saved snapshot. Raises BadFigure naming the figure."""
        for name in given:
            if name not in NAMES:
                raise BadFigure(str(name), f"There is no assumption named {str(name)!r}.")
        for name in NEEDED:
            if given.get(name) is None:
                raise BadFigure(name, f"{_begin(PLAN_FIGURES[name].label)}: a figure is missing.")
        figures = {
            name: _range(name, figure.standard if given.get(name) is None else given[name])
            for name, figure in PLAN_FIGURES.items()
        }
        try:
            horizon = int(given.get("horizon_months") or 0)
        except (TypeError, ValueError, OverflowError):
            horizon = 0
        return cls(
            figures,
            _serving(given, "current"),
            _serving(given, "fine_tuned"),
            horizon if "horizon_months" in given else STANDARD_HORIZON_MONTHS,
            _day(given, "starts_on"),
            _day(given, "retires_on"),
        )

    def as_mapping(self) -> dict[str, Any]:
        """The plan as plain JSON values; what stands at its standard and is about work or time is left out."""
        plain: dict[str, Any] = {}
        for name, value in self.figures.items():
            if name in _QUIET and value == Range.of(PLAN_FIGURES[name].standard):
                continue
            plain[name] = value.as_plain()
        for side in SIDES:
            serving = self.serving(side)
            if serving.shape is Shape.PER_REQUEST:
                plain[f"{side}_cost_per_request_microusd"] = serving.figures[
                    "cost_per_request_microusd"
                ].as_plain()
            else:
                plain[f"{side}_serving"] = {
                    "shape": serving.shape.value,
                    **{name: value.as_plain() for name, value in serving.figures.items()},
                }
        plain["horizon_months"] = self.horizon_months
        if self.retires_on and self.starts_on:
            plain |= {"starts_on": self.starts_on.isoformat(), "retires_on": self.retires_on.isoformat()}
        return plain


_QUIET = ("hour_of_work_microusd", "data_hours", "review_hours", "upkeep_hours")


def side_values(values: Mapping[str, Any], side: str) -> dict[str, Any]:
    """The values of one side's serving, by the names its shape knows."""
    start = f"{side}."
    return {name.removeprefix(start): value for name, value in values.items() if name.startswith(start)}


def figure_of(name: str) -> Figure:
    """The figure behind a plan's name, "monthly_volume" or "current.replicas"."""
    _, dot, figure = name.partition(".")
    if not dot:
        return PLAN_FIGURES[name]
    return next(group[figure] for group in FIGURES.values() if figure in group)


def label_of(name: str) -> str:
    """A figure in words: "requests a month", "price of a GPU hour, fine-tuned"."""
    side, dot, _ = name.partition(".")
    return f"{figure_of(name).label}, {SIDES[side]}" if dot else figure_of(name).label


def range_text(name: str, value: Range) -> str:
    """A range in words: "$3,000.00", or "$2,000.00 to $5,000.00, likely $3,000.00"."""
    figure = figure_of(name)
    if value.is_point:
        return figure.text(value.likely)
    return f"{figure.text(value.low)} to {figure.text(value.high)}, likely {figure.text(value.likely)}"


def whole_months(start: date, end: date) -> int:
    """Whole calendar months from one day to another; negative when it lies before."""
    months = (end.year - start.year) * 12 + end.month - start.month
    return months - (1 if end.day < start.day else 0)


def _range(name: str, value: Any) -> Range:
    try:
        return Range.of(value)
    except ValueError as error:
        raise BadFigure(name, f"{_begin(label_of(name))}: {error}.") from None


def _serving(given: Mapping[str, Any], side: str) -> Serving:
    own = given.get(f"{side}_serving")
    if own is None:
        name = f"{side}_cost_per_request_microusd"
        if given.get(name) is None:
            raise BadFigure(name, f"Cost of a request, {SIDES[side]}: a figure is missing.")
        try:
            return Serving.per_request(given[name])
        except ValueError as error:
            raise BadFigure(name, f"Cost of a request, {SIDES[side]}: {error}.") from None
    try:
        values = dict(own)
        shape = Shape(values.pop("shape"))
    except (KeyError, TypeError, ValueError):
        shapes = ", ".join(shape.value for shape in Shape)
        raise BadFigure(
            f"{side}_serving", f"How serving is billed, {SIDES[side]}: one of {shapes}."
        ) from None
    for name in values:
        if name not in FIGURES[shape]:
            raise BadFigure(f"{side}_serving", f"Serving by {shape.label} has no figure {str(name)!r}.")
    return Serving(
        shape,
        {
            name: _range(f"{side}.{name}", figure.standard if values.get(name) is None else values[name])
            for name, figure in FIGURES[shape].items()
        },
    )


def _day(given: Mapping[str, Any], name: str) -> date | None:
    value = given.get(name)
    if value is None or value == "" or isinstance(value, date):
        return value or None
    try:
        return date.fromisoformat(str(value))
    except ValueError:
        raise BadFigure(name, f"“{str(value)[:40]}” is not a day. Write it as 2027-06-30.") from None


def _begin(label: str) -> str:
    return f"{label[0].upper()}{label[1:]}"
