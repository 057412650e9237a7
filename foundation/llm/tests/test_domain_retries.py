from dataclasses import dataclass, replace

import pytest

from foundation.llm.domain.identity import request_digest
from foundation.llm.domain.messages import Message, Request
from foundation.llm.domain.retries import RetryPolicy, is_retryable_status, wait_before_retry_s


@dataclass
class Failed:
    retryable: bool = True
    retry_after_s: float | None = None


POLICY = RetryPolicy()


@pytest.mark.parametrize(
    ("status", "code", "again"),
    [
        *[(s, "", True) for s in (408, 409, 429, 500, 502, 503, 504, 529)],
        *[(s, "", False) for s in (400, 401, 402, 403, 404, 412, 413, 422)],
        (429, "enforced_spend_limit_reached", False),
        (429, "insufficient_quota", False),
    ],
)
def test_each_status_has_its_class(status, code, again):
    assert is_retryable_status(status, code) is again


@pytest.mark.parametrize(
    ("failure", "tries", "elapsed", "expected"),
    [
        pytest.param(Failed(retryable=False), 1, 0, None, id="never what no retry can help"),
        pytest.param(Failed(), 5, 0, None, id="five calls at most"),
        pytest.param(Failed(), 1, 0, 0.5, id="the first wait is at most half a second"),
        pytest.param(Failed(), 4, 0, 4.0, id="the wait doubles"),
        pytest.param(Failed(retry_after_s=2), 1, 0, 2.1, id="retry-after is honoured, at most 5 % late"),
        pytest.param(Failed(retry_after_s=100_000), 1, 0, None, id="nobody is parked for a day"),
        pytest.param(Failed(retry_after_s=121), 1, 0, None, id="nor for more than two minutes"),
        pytest.param(Failed(retry_after_s=120), 1, 0, 126, id="two minutes are waited"),
        pytest.param(Failed(retry_after_s=60), 1, 590, None, id="ten minutes at most"),
    ],
)
def test_how_long_to_wait(failure, tries, elapsed, expected):
    waited = wait_before_retry_s(POLICY, failure, tries=tries, elapsed_s=elapsed, chance=1.0)
    assert waited == (expected if expected is None else pytest.approx(expected))


def test_full_jitter_reaches_down_to_nothing():
    assert wait_before_retry_s(POLICY, Failed(), tries=3, elapsed_s=0, chance=0.0) == 0.0


def test_a_long_wait_is_capped():
    patient = replace(POLICY, max_tries=50)
    assert wait_before_retry_s(patient, Failed(), tries=30, elapsed_s=0, chance=1.0) == 30.0


BASE = Request("m", "s", (Message("user", "hi"),), 10)


@pytest.mark.parametrize(
    "other",
    [
        replace(BASE, model="n"),
        replace(BASE, system="t"),
        replace(BASE, messages=(Message("assistant", "hi"),)),
        replace(BASE, messages=(Message("user", "h"), Message("user", "i"))),
        replace(BASE, max_tokens=11),
        replace(BASE, output_schema={"type": "object"}),
        replace(BASE, stop=("x",)),
        replace(BASE, effort="low"),
        replace(BASE, sampling={"temperature": 0.0}),
    ],
)
def test_whatever_can_change_the_answer_changes_the_digest(other):
    same = request_digest(BASE, provider="p", host="h")
    assert request_digest(other, provider="p", host="h") != same
    assert request_digest(replace(BASE), provider="p", host="h") == same
    assert request_digest(BASE, provider="q", host="h") != same
    assert request_digest(BASE, provider="p", host="i") != same


def test_half_a_surrogate_has_a_digest():
    assert len(request_digest(replace(BASE, system="\ud800"), provider="p", host="h")) == 64
