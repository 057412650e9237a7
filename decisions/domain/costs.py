"""What each approach costs to set up and to run, from rates a team may change.

Money is whole micro-dollars. A month has 30 days and a year 12 such months, as in the book; the pages say so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from decisions.domain.approaches import Approach

DAYS_A_MONTH = 30
DOLLAR = 1_000_000


@dataclass(frozen=True, slots=True)
class Rate:
    """Standard costs of one approach, in micro-dollars."""

    setup_microusd: int = 0
    training_microusd: int = 0
    per_request_microusd: int = 0
    monthly_microusd: int = 0


# The book's rough estimates. Every one of them is a default a team can change.
STANDARD: dict[Approach, Rate] = {
    Approach.PROMPT: Rate(per_request_microusd=3_000),
    Approach.RAG: Rate(
        setup_microusd=500 * DOLLAR, per_request_microusd=4_000, monthly_microusd=200 * DOLLAR
    ),
    Approach.FINE_TUNING: Rate(
        setup_microusd=2_000 * DOLLAR,
        training_microusd=500 * DOLLAR,
        per_request_microusd=2_500,
        monthly_microusd=500 * DOLLAR,
    ),
}
RATE_FIELDS: tuple[str, ...] = (
    "setup_microusd",
    "training_microusd",
    "per_request_microusd",
    "monthly_microusd",
)


def rates_with(overrides: Mapping[str, Mapping[str, int]] | None) -> dict[Approach, Rate]:
    """The standard rates with a team's own in their place: {"rag": {"monthly_microusd": 0}}.

    The hybrid has no rate of its own in the book. It is fine-tuning plus what retrieval adds: both set-ups, one
    training, the fine-tuned request plus what RAG costs above a plain prompt, and both monthly costs.
    """
    rates: dict[Approach, Rate] = {}
    for approach, rate in STANDARD.items():
        own = {name: int(value) for name, value in (overrides or {}).get(approach.value, {}).items()}
        rates[approach] = Rate(**{**asdict(rate), **own})
    prompt, rag, tuned = rates[Approach.PROMPT], rates[Approach.RAG], rates[Approach.FINE_TUNING]
    derived = Rate(
        setup_microusd=rag.setup_microusd + tuned.setup_microusd,
        training_microusd=rag.training_microusd + tuned.training_microusd,
        # Retrieval cannot make a request cheaper than the fine-tuned one alone.
        per_request_microusd=tuned.per_request_microusd
        + max(0, rag.per_request_microusd - prompt.per_request_microusd),
        monthly_microusd=rag.monthly_microusd + tuned.monthly_microusd,
    )
    own = {name: int(value) for name, value in (overrides or {}).get(Approach.HYBRID.value, {}).items()}
    rates[Approach.HYBRID] = Rate(**{**asdict(derived), **own})
    return rates


HYBRID_FORMULA = (
    "Fine-tuning plus what retrieval adds: both set-ups and the training, a fine-tuned request plus what RAG costs "
    "above a plain prompt, and both monthly costs."
)


@dataclass(frozen=True, slots=True)
class CostEstimate:
    """What one approach costs at one volume, in micro-dollars."""

    approach: Approach
    rate: Rate
    monthly_api_microusd: int
    first_year_microusd: int
    # Requests a day above which it costs less than prompt engineering; None when it never does.
    cheaper_above_per_day: int | None
    cheaper_first_year_above_per_day: int | None

    @property
    def once_microusd(self) -> int:
        """Set-up and training together."""
        return self.rate.setup_microusd + self.rate.training_microusd


def estimate(approach: Approach, rates: Mapping[Approach, Rate], volume_per_day: int) -> CostEstimate:
    """Costs of `approach` at `volume_per_day` requests, with the volume from which it undercuts a prompt."""
    rate, prompt = rates[approach], rates[Approach.PROMPT]
    monthly_api = volume_per_day * DAYS_A_MONTH * rate.per_request_microusd
    once = rate.setup_microusd + rate.training_microusd
    saved_a_month_per_daily_request = DAYS_A_MONTH * (prompt.per_request_microusd - rate.per_request_microusd)
    more_a_month = rate.monthly_microusd - prompt.monthly_microusd
    more_a_year = once - prompt.setup_microusd - prompt.training_microusd + 12 * more_a_month
    above = above_first_year = None
    if approach is not Approach.PROMPT and saved_a_month_per_daily_request > 0:
        above = max(0, more_a_month // saved_a_month_per_daily_request)
        above_first_year = max(0, more_a_year // (12 * saved_a_month_per_daily_request))
    return CostEstimate(
        approach,
        rate,
        monthly_api,
        once + 12 * (monthly_api + rate.monthly_microusd),
        above,
        above_first_year,
    )
