"""Whether and when a failed call is tried again. Reads only its arguments: chance and clock come from the
caller."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

RETRYABLE_STATUSES = frozenset({408, 409, 500, 502, 503, 504, 529})
NEVER_STATUSES = frozenset({400, 401, 402, 403, 404, 412, 413, 422})
SPEND_LIMIT_CODES = frozenset(
    {"enforced_spend_limit_reached", "insufficient_quota", "credit_balance_too_low"}
)


class Failure(Protocol):
    """What the rules need to know of a failed call."""

    retryable: bool
    retry_after_s: float | None


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """At most `max_tries` calls within `max_elapsed_s` seconds, waits included."""

    max_tries: int = 5
    max_elapsed_s: float = 600.0
    first_wait_s: float = 0.5
    longest_wait_s: float = 30.0
    # A broken upstream may ask for weeks (the SDK would obey); beyond this the call fails instead.
    longest_retry_after_s: float = 120.0


def is_retryable_status(status: int, error_code: str = "") -> bool:
    """Whether an answer with this status may succeed later. A spend limit never does by itself."""
    if error_code in SPEND_LIMIT_CODES:
        return False
    if status == 429:
        return True
    return status in RETRYABLE_STATUSES or (status >= 500 and status not in NEVER_STATUSES)


def wait_before_retry_s(
    policy: RetryPolicy, failure: Failure, *, tries: int, elapsed_s: float, chance: float
) -> float | None:
    """Seconds to wait before the next try, or None to give up.

    `tries` calls were made, `elapsed_s` seconds have passed since the first began, `chance` is 0 to 1 (full
    jitter). A provider's retry-after is honoured, plus up to 5 % so that callers do not come back together.
    """
    if not failure.retryable or tries >= policy.max_tries:
        return None
    if failure.retry_after_s is not None:
        if failure.retry_after_s > policy.longest_retry_after_s:
            return None
        wait = max(0.0, failure.retry_after_s) * (1 + 0.05 * chance)
    else:
        wait = min(policy.longest_wait_s, policy.first_wait_s * 2 ** (tries - 1)) * chance
    if elapsed_s + wait > policy.max_elapsed_s:
        return None
    return wait
