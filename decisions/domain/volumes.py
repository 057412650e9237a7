"""From how many requests a month it pays, where a growing volume needs another replica or unit. Exact, knows no page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from math import floor

from decisions.domain.costs import DAYS_A_MONTH
from decisions.domain.serving import HOURS_A_DAY, Shape, cost_of

# So many replicas or units are tried. Where even that many do not pay, the answer is that no volume does.
MOST_STEPS = 400


@dataclass(frozen=True, slots=True)
class Side:
    """One side's serving at one value of each figure."""

    shape: Shape
    values: Mapping[str, Fraction]

    def cost(self, volume: Fraction) -> tuple[Fraction, Fraction]:
        """(cost of one more request, fixed cost of the month) at this volume."""
        price, fixed = cost_of(self.shape, volume, self.values)
        return Fraction(price), Fraction(fixed)

    def step(self) -> Fraction:
        """Requests a month that one replica or unit carries; 0 where no limit is stated."""
        if self.shape is Shape.GPU_HOUR:
            busy = HOURS_A_DAY - self.values["idle_hours_a_day"]
            return Fraction(self.values["requests_an_hour"] * busy * DAYS_A_MONTH)
        if self.shape is Shape.PROVISIONED:
            return Fraction(self.values["unit_requests_a_month"])
        return Fraction(0)

    def kept(self) -> Fraction:
        """Replicas or units that are paid for however little is asked. Only for a side with steps."""
        return self.values["replicas" if self.shape is Shape.GPU_HOUR else "units"]

    def ends(self) -> Iterator[Fraction]:
        """The volumes at which the next replica or unit begins, smallest first."""
        step = self.step()
        if step:
            kept = max(1, int(self.kept()))
            for n in range(kept, kept + MOST_STEPS):
                yield step * n

    def one(self) -> Fraction:
        """What one replica or unit costs a month. Only for a side with steps."""
        n = floor(self.kept()) + 1
        return self.cost(self.step() * n)[1] / n

    def just_above(self, volume: Fraction) -> Fraction:
        """What a month costs as soon as more than this volume is asked. Only for a side with steps."""
        needed = Fraction(floor(volume / self.step()) + 1)
        return self.one() * max(self.kept(), needed)


def above(today: Side, tuned: Side, upkeep_microusd: Fraction | int) -> int | None:
    """The requests a month above which a month saves more than `upkeep`; None when no volume does.

    Between two steps both costs are straight lines, so each stretch is solved by itself and the first answer counts.
    """
    if today.step() and tuned.step():
        return _above_in_steps(today, tuned, upkeep_microusd)
    start = Fraction(0)
    has_steps = bool(today.step() or tuned.step())
    for end in chain(today.ends(), tuned.ends(), [None]):
        inside = end if end is not None else start + 1
        now, then = today.cost(inside), tuned.cost(inside)
        saved = now[0] - then[0]
        missing = upkeep_microusd + then[1] - now[1]
        if missing < 0 or (missing == 0 and saved > 0):
            return floor(start)
        if saved > 0:
            # Where it did not pay up to here it pays later than here: a step only makes it dearer.
            found = missing / saved
            if end is None or found < end:
                # The last stretch stands for replicas beyond those tried, so its line is not to be trusted.
                return floor(found) if end is not None or not has_steps else None
        if end is not None:
            start = end
    return None


def _above_in_steps(today: Side, tuned: Side, upkeep_microusd: Fraction | int) -> int | None:
    """The same where both sides are paid by the replica or unit, so that both costs only jump.

    One side may step a thousand times while the other steps once. So it goes by the stretches of the coarser side, and
    within each the finer one is solved and not stepped through.
    """
    coarser = max(today, tuned, key=Side.step)
    start = Fraction(0)
    for end in coarser.ends():
        # Only a step of today's side makes the other pay, so it does from the beginning of the stretch, or ...
        bar = upkeep_microusd + tuned.just_above(start)
        if today.just_above(start) > bar:
            return floor(start)
        # ... from the first of today's steps within it that costs more than the bar.
        if coarser is tuned and (one := today.one()):
            begins = floor(bar / one) * today.step()
            if begins < end:
                return floor(begins)
        start = end
    return None
