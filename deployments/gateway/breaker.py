"""A version that fails again and again is left alone for a moment: decided in this process, without a database."""

from __future__ import annotations

import time

# A candidate that fails this often in a row is left alone for a moment; the baseline answers, and the record says so.
BREAKER_FAILURES = 5
BREAKER_REST_S = 10.0


class Breaker:
    """Failures in a row by version, and until when each rests."""

    def __init__(self) -> None:
        self.failures: dict[int, tuple[int, float]] = {}

    def rests(self, version: int) -> bool:
        """Whether a version failed so often in a row that it is left alone; after the rest one request tries it again."""
        count, until = self.failures.get(version, (0, 0.0))
        if count < BREAKER_FAILURES:
            return False
        now = time.monotonic()
        if now < until:
            return True
        self.failures[version] = (count, now + BREAKER_REST_S)
        return False

    def worked(self, version: int) -> None:
        """A version answered: its failures in a row are over."""
        self.failures.pop(version, None)

    def did_not_work(self, version: int) -> None:
        """A version failed once more."""
        count = self.failures.get(version, (0, 0.0))[0] + 1
        self.failures[version] = (count, time.monotonic() + BREAKER_REST_S)
