"""What answering costs: by the request, the token, the hour of a GPU or the provisioned unit.

One formula a shape, over plain fractions and over arrays of draws alike. Money in micro-dollars, a month has 30 days.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from typing import Any

import numpy as np

from decisions.domain.costs import DAYS_A_MONTH
from decisions.domain.ranges import Range

HOURS_A_DAY = 24
TOKENS_A_PRICE = 1_000_000


class Shape(StrEnum):
    PER_REQUEST = "per_request"
    PER_TOKEN = "per_token"  # noqa: S105 - a way of billing, no secret
    GPU_HOUR = "gpu_hour"
    PROVISIONED = "provisioned"

    @property
    def label(self) -> str:
        """The words people read."""
        return {
            "per_request": "a price a request",
            "per_token": "a price a token",
            "gpu_hour": "GPUs by the hour",
            "provisioned": "provisioned units by the month",
        }[self.value]


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of a plan: its words, its unit (number, usd or share), and what it may be."""

    label: str
    unit: str
    most: Fraction
    least: Fraction = Fraction(0)
    standard: Any = 0

    def check(self, value: Range) -> None:
        """Raises ValueError with one sentence, without its subject, when the range leaves what is allowed."""
        for end in (value.low, value.high):
            if end < self.least:
                raise ValueError(
                    "must not be negative" if self.least == 0 else f"is at least {self.text(self.least)}"
                )
            if end > self.most:
                raise ValueError(f"is at most {self.text(self.most)}")

    def text(self, value: Fraction | float) -> str:
        """A value of this figure as people read it."""
        number = float(value)
        if self.unit == "usd":
            number /= 1_000_000
            digits = 2 if abs(number) >= 1 or number == 0 else 6
            shown = f"{abs(number):,.{digits}f}"
            whole, part = shown.split(".")
            return f"{'−' if number < 0 else ''}${whole}.{part.rstrip('0').ljust(2, '0')}"
        shown = f"{abs(number) * (100 if self.unit == 'share' else 1):,.4f}".rstrip("0").rstrip(".")
        return f"{'−' if number < 0 else ''}{shown}{'%' if self.unit == 'share' else ''}"


MONEY = Fraction(10**15)
WHOLE = Fraction(1)
# The figures of each shape, in the order of the form.
FIGURES: dict[Shape, dict[str, Figure]] = {
    Shape.PER_REQUEST: {"cost_per_request_microusd": Figure("cost of a request", "usd", MONEY)},
    Shape.PER_TOKEN: {
        "input_tokens": Figure("input tokens a request", "number", Fraction(10**7)),
        "output_tokens": Figure("output tokens a request", "number", Fraction(10**7)),
        "input_price_microusd": Figure("price of a million input tokens", "usd", MONEY),
        "output_price_microusd": Figure("price of a million output tokens", "usd", MONEY),
        "cached_share": Figure("input read from the cache", "share", WHOLE),
        "cached_price_share": Figure(
            "what a cached token costs of the price", "share", WHOLE, standard="0.1"
        ),
        "batch_share": Figure("requests sent as batches", "share", WHOLE),
        "batch_price_share": Figure("what a batch costs of the price", "share", WHOLE, standard="0.5"),
    },
    Shape.GPU_HOUR: {
        "hour_microusd": Figure("price of a GPU hour", "usd", MONEY),
        "replicas": Figure("replicas kept ready", "number", Fraction(10**5), standard=1),
        "idle_hours_a_day": Figure("idle hours a day", "number", Fraction(23)),
        "idle_share": Figure("replicas kept on while idle", "share", WHOLE, standard=1),
        "requests_an_hour": Figure("requests a replica can answer in an hour", "number", Fraction(10**9)),
    },
    Shape.PROVISIONED: {
        "unit_monthly_microusd": Figure("price of a unit a month", "usd", MONEY),
        "units": Figure("units bought", "number", Fraction(10**5), standard=1),
        "unit_requests_a_month": Figure("requests a unit carries a month", "number", Fraction(10**12)),
    },
}


@dataclass(frozen=True, slots=True)
class Serving:
    """How answering is billed, with every figure of that shape as a range."""

    shape: Shape
    figures: Mapping[str, Range]

    @classmethod
    def per_request(cls, cost_microusd: Any) -> Serving:
        """So much a request."""
        return cls(Shape.PER_REQUEST, {"cost_per_request_microusd": Range.of(cost_microusd)})

    @property
    def has_steps(self) -> bool:
        """Whether a growing volume brings another replica or unit."""
        name = {Shape.GPU_HOUR: "requests_an_hour", Shape.PROVISIONED: "unit_requests_a_month"}.get(
            self.shape
        )
        return name is not None and self.figures[name].high > 0


def cost_of(shape: Shape, volume: Any, v: Mapping[str, Any]) -> tuple[Any, Any]:
    """(cost of one more request, cost of a month whatever is asked within it), both in micro-dollars.

    Shapes: `volume` and the values are fractions, or arrays of draws and floats; what comes back is the same.
    """
    match shape:
        case Shape.PER_REQUEST:
            return v["cost_per_request_microusd"], 0
        case Shape.PER_TOKEN:
            read = v["input_tokens"] * (1 - v["cached_share"] * (1 - v["cached_price_share"]))
            tokens = read * v["input_price_microusd"] + v["output_tokens"] * v["output_price_microusd"]
            whole = tokens * (1 - v["batch_share"] * (1 - v["batch_price_share"]))
            return whole / TOKENS_A_PRICE, 0
        case Shape.GPU_HOUR:
            busy = HOURS_A_DAY - v["idle_hours_a_day"]
            capacity = v["requests_an_hour"] * busy * DAYS_A_MONTH
            replicas = units_for(volume, v["replicas"], capacity)
            hours = (busy + v["idle_hours_a_day"] * v["idle_share"]) * DAYS_A_MONTH
            return 0, v["hour_microusd"] * replicas * hours
        case _:
            units = units_for(volume, v["units"], v["unit_requests_a_month"])
            return 0, v["unit_monthly_microusd"] * units


def units_for(volume: Any, kept: Any, capacity: Any) -> Any:
    """Replicas or units: those kept ready, or as many as the volume needs. A capacity of 0 was not stated."""
    if any(isinstance(part, np.ndarray) for part in (volume, kept, capacity)):
        stated = np.asarray(capacity, dtype=float)
        needed = np.ceil(
            np.divide(volume, stated, out=np.zeros(np.broadcast(volume, stated).shape), where=stated > 0)
        )
        return np.maximum(kept, needed)
    return max(kept, math.ceil(Fraction(volume) / Fraction(capacity))) if capacity else kept
