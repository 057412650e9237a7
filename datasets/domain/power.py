"""How many test rows a claim needs: exact power of the paired McNemar test, and Wilson intervals."""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache
from math import comb, exp, lgamma, log, sqrt
from statistics import NormalDist

# The source's own bar: from 75 % to 85 % right, with 20 % of the rows answered differently by the two.
BASELINE, IMPROVED, DISCORDANT = 0.75, 0.85, 0.20
WANTED_POWER = 0.80
LARGEST_TEST = 2000
EXACT_UP_TO = 500


def _binomial(n: int, k: int, p: float) -> float:
    if p <= 0:
        return float(k == 0)
    if p >= 1:
        return float(k == n)
    return exp(lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1) + k * log(p) + (n - k) * log(1 - p))


@lru_cache(maxsize=4096)
def _significant(n_discordant: int, wins: float, alpha: float) -> float:
    """Chance that the exact test is significant when so many rows are answered differently."""
    k = _critical(n_discordant, alpha)
    return sum(
        _binomial(n_discordant, x, wins) + _binomial(n_discordant, n_discordant - x, wins)
        for x in range(k + 1)
    )


@lru_cache(maxsize=4096)
def _critical(n_discordant: int, alpha: float) -> int:
    """Largest k for which k or fewer wins (of either side) is significant in the exact two-sided test; -1 if none."""
    tail, k = 0, -1
    limit = Fraction(str(alpha)) / 2 * 2**n_discordant
    for candidate in range((n_discordant + 1) // 2):
        tail += comb(n_discordant, candidate)
        # two-sided: twice the tail must be below alpha
        if tail >= limit:
            break
        k = candidate
    return k


@lru_cache(maxsize=4096)
def mcnemar_power(
    n: int,
    *,
    baseline: float = BASELINE,
    improved: float = IMPROVED,
    discordant: float = DISCORDANT,
    alpha: float = 0.05,
) -> float:
    """Chance, 0 to 1, that n paired test rows show the improvement at p < alpha (exact two-sided McNemar test).

    `discordant` is the share of rows that exactly one of the two answers right; at least the difference itself.
    Raises: ValueError when the shares do not fit together.
    Source: sum over discordant counts of binomial probabilities; D17's 24 % at 50 and 88 % at 200 are its values.
    """
    difference = abs(improved - baseline)
    if not (0 <= baseline <= 1 and 0 <= improved <= 1 and difference - 1e-12 <= discordant <= 1):
        raise ValueError("the share of rows that differ must lie between the improvement and 1")
    if n <= 0 or discordant == 0:
        return 0.0
    if n > EXACT_UP_TO:
        # Large sums say nothing new: the normal approximation of the same test (Connor 1987).
        normal = NormalDist()
        spread = sqrt(max(discordant - difference**2, 1e-12))
        reach = (difference * sqrt(n) - normal.inv_cdf(1 - alpha / 2) * sqrt(discordant)) / spread
        return normal.cdf(reach)
    wins = (discordant + difference) / 2 / discordant
    power = 0.0
    for m in range(n + 1):
        weight = _binomial(n, m, discordant)
        if weight >= 1e-12:
            power += weight * _significant(m, wins, alpha)
    return min(1.0, power)


@lru_cache(maxsize=64)
def rows_needed(
    *,
    power: float = WANTED_POWER,
    baseline: float = BASELINE,
    improved: float = IMPROVED,
    discordant: float = DISCORDANT,
) -> int:
    """Fewest test rows that reach the power, and keep it for the next ten counts (exact power has teeth)."""
    low = 1
    step = 64
    values = {"baseline": baseline, "improved": improved, "discordant": discordant}
    while low + step < LARGEST_TEST and mcnemar_power(low + step, **values) < power:
        low += step
    n = low
    while n < LARGEST_TEST:
        if all(mcnemar_power(n + ahead, **values) >= power for ahead in range(11)):
            return n
        n += 1
    return LARGEST_TEST


def power_in_words(power: float) -> str:
    """Power, 0 to 1, as a per cent that never claims certainty."""
    return "over 99%" if power > 0.99 else f"{100 * power:.0f}%"


def power_sentence(n_test: int) -> str:
    """What a test split can show, in one sentence."""
    if n_test <= 0:
        return "There are no test rows, so nothing can be claimed."
    value = mcnemar_power(n_test)
    needed = rows_needed()
    rows = "1 test row sees" if n_test == 1 else f"{n_test:,} test rows see"
    sentence = f"{rows} an improvement from 75% to 85% with {power_in_words(value)} power"
    if value < WANTED_POWER:
        return f"{sentence}; {needed} rows would see it with 80%."
    return f"{sentence}."


def wilson(successes: int, n: int, *, confidence: float = 0.95) -> tuple[float, float]:
    """Interval for a share, 0 to 1; (0, 1) when there is nothing to go by.

    Source: Wilson 1927.
    """
    if n <= 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    p = successes / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return max(0.0, centre - half), min(1.0, centre + half)
