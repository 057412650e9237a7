"""How many looks a test can bear before a lucky result passes for a better model.

Looks are claims on the test rows and openings of their text. Nothing here knows a table.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import erf, exp, pi, sqrt

from datasets.domain.power import BASELINE, DISCORDANT, IMPROVED

# Half of the improvement that the test is sized to see: a lift this large by luck alone would pass for progress.
BEARABLE = (IMPROVED - BASELINE) / 2
MOST_LOOKS = 200


@lru_cache(maxsize=MOST_LOOKS + 2)
def expected_best(k: int) -> float:
    """Expected maximum of `k` independent standard normal values: 0, 0.564, 0.846, 1.029, … (Simpson's rule).

    Source: David and Nagaraja 2003, table of normal order statistics.
    """
    if k < 2:
        return 0.0
    low, high, n = -8.0, 8.0, 2000
    step = (high - low) / n

    def density(x: float) -> float:
        below = (1 + erf(x / sqrt(2))) / 2
        return x * k * exp(-x * x / 2) / sqrt(2 * pi) * below ** (k - 1)

    inner = sum((4 if i % 2 else 2) * density(low + i * step) for i in range(1, n))
    return float((density(low) + inner + density(high)) * step / 3)


def lift_by_luck(n_test: int, n_looks: int) -> float:
    """Points (0 to 1) by which the best of so many equally good candidates beats the baseline on these rows, on average.

    The standard error of a paired difference is sqrt(d / n), d the share of rows answered differently (0.20, as in
    power.py). Candidates chosen after earlier looks can do no better than the best of as many.
    """
    if n_test <= 0 or n_looks <= 0:
        return 0.0
    return sqrt(DISCORDANT / n_test) * expected_best(min(n_looks, MOST_LOOKS))


def looks_borne(n_test: int) -> int:
    """How many looks may be taken before luck alone would show more than BEARABLE; at least one, at most MOST_LOOKS."""
    if n_test <= 0:
        return 1
    k = 1
    while k < MOST_LOOKS and lift_by_luck(n_test, k + 1) <= BEARABLE:
        k += 1
    return k


@dataclass(frozen=True, slots=True)
class Wear:
    """How worn a test is."""

    n_test: int
    n_looks: int
    n_borne: int
    lift: float

    @property
    def is_worn(self) -> bool:
        """Whether another claim should wait for fresh rows."""
        return self.n_test > 0 and self.n_looks >= self.n_borne

    @property
    def n_left(self) -> int:
        """Looks that may still be taken."""
        return max(0, self.n_borne - self.n_looks)

    @property
    def sentence(self) -> str:
        """What a person should know before the next look."""
        if not self.n_test:
            return "There are no test rows."
        looks = "1 look" if self.n_looks == 1 else f"{self.n_looks} looks"
        if self.is_worn:
            return (
                f"Worn out: {looks} at {self.n_test:,} test rows, which bear {self.n_borne}. The best of so many tries "
                f"shows {100 * self.lift:.0f} points by luck alone. Draw fresh rows for the next claim."
            )
        bear = "1 test row bears" if self.n_test == 1 else f"{self.n_test:,} test rows bear"
        if not self.n_looks:
            borne = "1 look" if self.n_borne == 1 else f"{self.n_borne} looks"
            return f"Nobody has looked yet. {bear} {borne}."
        return f"{looks} of the {self.n_borne} that {bear}."


def wear(n_test: int, n_looks: int) -> Wear:
    """The wear of a test after so many looks."""
    return Wear(n_test, n_looks, looks_borne(n_test), lift_by_luck(n_test, n_looks))
