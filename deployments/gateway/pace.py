"""How much an endpoint answers at once and in a minute, counted in this process."""

from __future__ import annotations

import math
import time
from collections import defaultdict

from deployments.gateway.errors import Answer
from deployments.gateway.routes import Address


class Pace:
    """Requests under way by endpoint, and what is left of each one's minute."""

    def __init__(self) -> None:
        self.in_flight: dict[int, int] = defaultdict(int)
        self.left: dict[int, tuple[float, float]] = {}

    def check(self, address: Address) -> None:
        """Raises Answer 429 when too much is asked at once or within the minute."""
        if self.in_flight[address.id] >= address.max_in_flight:
            raise Answer(
                429,
                f"This endpoint answers {address.max_in_flight} requests at the same time and has as many now.",
                ((b"retry-after", b"1"),),
            )
        if address.requests_per_minute:
            rate = address.requests_per_minute / 60
            now = time.monotonic()
            left, at = self.left.get(address.id, (float(address.requests_per_minute), now))
            left = min(float(address.requests_per_minute), left + (now - at) * rate)
            if left < 1:
                self.left[address.id] = (left, now)
                wait = str(math.ceil((1 - left) / rate)).encode()
                raise Answer(
                    429,
                    f"This endpoint answers {address.requests_per_minute} requests a minute.",
                    ((b"retry-after", wait),),
                )
            self.left[address.id] = (left - 1, now)
