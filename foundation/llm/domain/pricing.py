"""What tokens cost, in whole micro-dollars. Rates are micro-dollars per million tokens, so $0.10 is
100,000."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from foundation.llm.domain.messages import Usage

MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Rates:
    """The price list of one model from one day on, for prompts above some length.

    Micro-dollars per million tokens.
    """

    effective_from: date
    above_prompt_tokens: int
    input: int
    output: int
    cache_write_5m: int
    cache_write_1h: int
    cache_read: int
    batch_percent: int = 50


@dataclass(frozen=True, slots=True)
class Price:
    """What one model costs on one day: its tiers by prompt length, shortest first, none empty."""

    tiers: tuple[Rates, ...]

    def tier_for(self, prompt_tokens: int) -> Rates:
        """The rates that hold for a prompt of this many tokens, cached ones counted."""
        return max(
            (t for t in self.tiers if t.above_prompt_tokens == 0 or prompt_tokens > t.above_prompt_tokens),
            key=lambda t: t.above_prompt_tokens,
        )

    def cost_microusd(self, usage: Usage, *, batch: bool = False) -> int:
        """Micro-dollars for these tokens, rounded up once at the end."""
        rates = self.tier_for(usage.prompt_tokens)
        exact = (
            usage.input_tokens * rates.input
            + usage.output_tokens * rates.output
            + usage.cache_write_5m_tokens * rates.cache_write_5m
            + usage.cache_write_1h_tokens * rates.cache_write_1h
            + usage.cache_read_tokens * rates.cache_read
        )
        return _rounded_up(exact, rates, batch)

    def bound_microusd(self, prompt_tokens: int, max_tokens: int, *, batch: bool = False) -> int:
        """The most a call can cost whose prompt has at most `prompt_tokens` and whose answer at most
        `max_tokens`.

        A longer prompt need not fall in a dearer tier, so every tier the prompt could fall in is tried at
        its end.
        """
        worst, tiers = 0, sorted(self.tiers, key=lambda t: t.above_prompt_tokens)
        for position, rates in enumerate(tiers):
            if rates.above_prompt_tokens and prompt_tokens <= rates.above_prompt_tokens:
                break
            last = tiers[position + 1].above_prompt_tokens if position + 1 < len(tiers) else prompt_tokens
            exact = min(prompt_tokens, last) * rates.input + max_tokens * rates.output
            worst = max(worst, _rounded_up(exact, rates, batch))
        return worst


def _rounded_up(exact: int, rates: Rates, batch: bool) -> int:
    if batch:
        return -(-exact * rates.batch_percent // (100 * MILLION))
    return -(-exact // MILLION)


def price_at(rates: Iterable[Rates], at: date) -> Price | None:
    """The price that holds on day `at`: the newest list that has begun, or None when none has."""
    begun = [r for r in rates if r.effective_from <= at]
    if not begun:
        return None
    newest = max(r.effective_from for r in begun)
    tiers = sorted((r for r in begun if r.effective_from == newest), key=lambda r: r.above_prompt_tokens)
    if tiers[0].above_prompt_tokens != 0:
        return None  # a list that says nothing of short prompts is no price
    return Price(tuple(tiers))
