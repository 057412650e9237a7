"""A key that was refused is not tried ten thousand times: after a refusal its calls fail at once for a
while."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable

from foundation.llm.errors import LLMError, SpendLimitReached, WrongKey

# A wrong key and a spend limit are facts about the key, not about the call that met them.
OPENING = (WrongKey, SpendLimitReached)
OPEN_S = 20.0


class Circuits:
    """What this process knows of refused keys. Keys are held as digests only."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._open: dict[str, tuple[float, LLMError]] = {}

    def check(self, key: str) -> None:
        """Raise the refusal again while it is fresh, without any call."""
        found = self._open.get(_digest(key))
        if found is None:
            return
        until, refusal = found
        if self._clock() < until:
            raise type(refusal)(
                refusal.sentence,
                status_code=refusal.status_code,
                error_code=refusal.error_code,
                retryable=False,
            )
        self._open.pop(_digest(key), None)

    def failed(self, key: str, failure: LLMError) -> None:
        """Note a failure; only refusals of the key itself close its way."""
        if isinstance(failure, OPENING):
            self._open[_digest(key)] = (self._clock() + OPEN_S, failure)

    def worked(self, key: str) -> None:
        """Note an answer."""
        self._open.pop(_digest(key), None)

    def clear(self) -> None:
        """Forget everything; for “try this key” and tests."""
        self._open.clear()


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


CIRCUITS = Circuits()
