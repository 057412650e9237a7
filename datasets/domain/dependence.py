"""How many independent rows some rows are worth when those of one unit (a customer, near-duplicates) go together.

Knows no table and no model. Why counts are divided, and how well it covers: docs/decisions/0021.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from statistics import NormalDist

from datasets.domain.power import wilson


@dataclass(frozen=True, slots=True)
class Share:
    """A share of right answers with its 95 % interval. `effective` is how many independent rows `n` are worth."""

    n: int
    right: int
    share: float
    low: float
    high: float
    n_units: int
    effective: float


def student_t(df: float, confidence: float = 0.95) -> float:
    """Student's two-sided quantile; the degrees of freedom may be a fraction."""
    from scipy.special import stdtrit  # lazy: heavy, and only a finished cross-validation needs it

    return float(stdtrit(df, (1 + confidence) / 2))


def fully_dependent(sizes: Collection[int]) -> float:
    """The design effect where the rows of a unit all say the same: sum n_u^2 / sum n_u."""
    return sum(size * size for size in sizes) / sum(sizes)


def few_units(sizes: Collection[int], *, confidence: float = 0.95) -> float:
    """What a row is worth because its spread is estimated from few units: (z / t)^2, with
    (sum n_u)^2 / sum n_u^2 - 1 degrees of freedom, so that one large unit among many small ones counts as few.

    Source: Korn and Graubard 1998, Survey Methodology 24:193-201; units of unequal size as Kish 1965 counts them.
    """
    return _worth(sum(sizes) / fully_dependent(sizes) - 1, confidence)


def _worth(df: float, confidence: float) -> float:
    if df <= 0:
        return 0.0
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    return (z / student_t(df, confidence)) ** 2


def design_effect(squares: float, n_units: int, single: float, n: int) -> float:
    """Variance of a mean with units drawn whole over that with rows drawn singly, at least 1.

    `squares` is the sum over units of (total - mean * size)^2, `single` the variance of one row.
    """
    return max(1.0, squares * n_units / (n_units - 1) / (single * n))


def clustered_share(
    rows: Sequence[tuple[int, bool]], *, n_models: int | None = None, confidence: float = 0.95
) -> Share:
    """The share of right answers over (unit, is right), with Wilson's interval for as many rows as they are worth.

    Rows of one unit are not independent: n is divided by the design effect and multiplied by what few units are
    worth. Single rows give plain Wilson. Where every answer is the same, units count as fully dependent. Where units are of
    one size, an end never moves against an answer: the low end is the lowest that further right answers would give.
    `n_models`: rows answered by k models that shared most of what they learnt from err together a little; they are
    worth k / (k + 1) of what they were. Measured and not proven: the record says how well it covers.
    Raises: ValueError without rows.
    Source: Wilson 1927; design effect on counts as Rao and Scott 1992, Biometrics 48:577-585.
    That pooled rows carry a normal interval for the k-fold score: Bayle et al. 2020, arXiv:2007.12671.
    """
    n = len(rows)
    if not n:
        raise ValueError("A share needs at least one row.")
    sizes: Counter[int] = Counter()
    rights: Counter[int] = Counter()
    for unit, is_right in rows:
        sizes[unit] += 1
        rights[unit] += is_right
    m, right = len(sizes), sum(rights.values())
    worth = 1.0 if n_models is None else n_models / (n_models + 1)
    if m in (1, n):
        # One customer says nothing about the next.
        effective = worth * (1 if m == 1 else n)
        low, high = wilson(right * effective / n, effective, confidence=confidence)  # type: ignore[arg-type]
        return Share(n, right, right / n, low, high, m, effective)
    # Where all answers are the same no spread is estimated, and full dependence counts a large unit once already.
    same = worth * _worth(m - 1, confidence)
    worth *= few_units(sizes.values(), confidence=confidence)
    found = Counter((size, rights[unit]) for unit, size in sizes.items())
    lowest, effective = _low_end(found, worth, same, confidence)
    turned, other = _low_end(
        Counter({(size, size - got): count for (size, got), count in found.items()}), worth, same, confidence
    )
    return Share(n, right, right / n, lowest, 1 - turned, m, min(effective, other))


def _low_end(
    units: Counter[tuple[int, int]], worth: float, same: float, confidence: float
) -> tuple[float, float]:
    """The lowest low end when more answers were right, and how many rows would give it. `units`: (size, right).

    Of all ways to make so many more answers right, the one that spreads units most is bounded from above: the squared
    distance of a unit is convex in its right answers, so the chord to the full unit lies above it, and chords are
    filled steepest first. A right answer shortens chords and takes ways out, and adds none: exact for units of equal
    size. Units above the mean size are not filled: what one large unit might say would double the interval.
    """
    n = sum(size * count for (size, _), count in units.items())
    m = sum(units.values())
    right = sum(got * count for (_, got), count in units.items())
    full = sum(size * size * count for (size, _), count in units.items())
    a = sum(got * got * count for (_, got), count in units.items())
    b = sum(got * size * count for (size, got), count in units.items())

    def low_of(share: float, design: float) -> float:
        rows = n / design * worth
        return wilson(share * rows, rows, confidence=confidence)[0]  # type: ignore[arg-type]

    alike = full / n * worth / same if worth else full / n
    # All right: nothing tells how dependent the rows are.
    lowest = low_of(1.0, alike)
    most = max(size for size, _ in units) * m / (m - 1)
    usual = {unit: count for unit, count in units.items() if unit[0] * m <= n}
    here = alike
    for more in range(min(n - right, 1 + sum((size - got) * count for (size, got), count in usual.items()))):
        p = (right + more) / n
        if more and low_of(p, most) >= lowest:
            break
        if p > 0:
            squares, rest = a - 2 * p * b + p * p * full, more
            steep = sorted(
                ((size + got - 2 * p * size, (size - got) * count) for (size, got), count in usual.items()),
                reverse=True,
            )
            for slope, room in steep if rest else ():
                squares += slope * min(room, rest)
                rest -= min(room, rest)
                if not rest:
                    break
            design = design_effect(squares, m, p * (1 - p), n)
        else:
            design = alike
        if not more:
            here = design
        lowest = min(lowest, low_of(p, design))
    share, effective = right / n, n / here * worth
    if lowest < low_of(share, here) - 1e-9:
        inside, outside = here, 1e9 * most
        for _ in range(100):
            half = (inside * outside) ** 0.5
            inside, outside = (half, outside) if low_of(share, half) > lowest else (inside, half)
        effective = n / inside * worth
    return lowest, effective
