from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foundation.llm.domain.bounds import prompt_tokens_bound, prompt_tokens_estimate
from foundation.llm.domain.messages import Message, Request, Usage
from foundation.llm.domain.pricing import Price, Rates, price_at


def rates(above=0, frm=date(2025, 1, 1), i=100_000, o=500_000, batch=50):
    return Rates(frm, above, i, o, i * 5 // 4, i * 2, i // 10, batch)


HAIKU = Price((rates(), rates(above=100_000, i=500_000, o=2_500_000)))


def test_cost_is_rounded_up_once():
    # 10 tokens at $0.10 a million are 1 micro-dollar exactly; 3 at $0.50 are 1.5: together 2.5, so 3
    assert HAIKU.cost_microusd(Usage(10, 3)) == 3
    assert HAIKU.cost_microusd(Usage(0, 0)) == 0
    assert HAIKU.cost_microusd(Usage(1, 0)) == 1


def test_every_kind_of_token_has_its_own_rate():
    # a million of each: 0.10 + 0.50 + 0.125 + 0.20 + 0.01 dollars, but the prompt is long, so five times that
    million = 1_000_000
    usage = Usage(million, million, million, million, million)
    assert HAIKU.cost_microusd(usage) == 5 * 935_000


def test_the_prompt_tier_counts_cached_tokens():
    short = Usage(input_tokens=100_000)
    long = Usage(input_tokens=1, cache_read_tokens=100_000)
    # 100,000 x $0.10 / million = 10,000; above: (1 x 0.50 + 100,000 x 0.05) / million = 5,000.5 -> 5,001
    assert HAIKU.cost_microusd(short) == 10_000
    assert HAIKU.cost_microusd(long) == 5_001


def test_a_batch_costs_half_rounded_up():
    assert HAIKU.cost_microusd(Usage(10, 3), batch=True) == 2  # 1.25
    assert HAIKU.bound_microusd(10, 3, batch=True) == 2


@given(
    prompt=st.integers(0, 300_000),
    used=st.floats(0, 1),
    answer=st.integers(0, 100_000),
    said=st.floats(0, 1),
    first=st.integers(0, 10_000_000),
    second=st.integers(0, 10_000_000),
)
def test_a_bound_is_never_below_a_cost(prompt, used, answer, said, first, second):
    price = Price((rates(i=first), rates(above=100_000, i=second)))
    actual = Usage(int(prompt * used), int(answer * said))
    assert price.cost_microusd(actual) <= price.bound_microusd(prompt, answer)


def test_the_newest_list_that_has_begun_holds():
    old, new = rates(), rates(frm=date(2026, 10, 7), i=90_000)
    assert price_at([old, new], date(2026, 10, 6)) == Price((old,))
    assert price_at([new, old], date(2026, 10, 7)) == Price((new,))
    assert price_at([new], date(2026, 1, 1)) is None
    assert price_at([], date(2026, 1, 1)) is None


def test_a_list_without_short_prompts_is_no_price():
    assert price_at([rates(above=100_000)], date(2026, 1, 1)) is None


@pytest.mark.parametrize("text", ["", "a", "日本語テスト", "😀" * 50, "\ud800 lone", "ab " * 4000])
def test_the_bound_counts_bytes(text):
    request = Request("m", text, (Message("user", text),), 10)
    assert prompt_tokens_bound(request) >= 2 * len(text.encode("utf-8", "surrogatepass"))


def test_a_schema_counts_too():
    plain = Request("m", "", (Message("user", "x"),), 10)
    shaped = Request("m", "", (Message("user", "x"),), 10, output_schema={"type": "object"})
    assert prompt_tokens_bound(shaped) > prompt_tokens_bound(plain) + 500


def test_an_estimate_rounds_up():
    assert prompt_tokens_estimate("a" * 28) == 10
    assert prompt_tokens_estimate("a" * 29) == 11
    assert prompt_tokens_estimate("") == 0
