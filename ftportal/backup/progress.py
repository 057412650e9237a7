"""What a long command says meanwhile: at most a line a second."""

from __future__ import annotations

import time
from typing import TextIO

EVERY_S = 1.0


class Progress:
    """Call it with what is being done; most calls print nothing."""

    def __init__(self, out: TextIO) -> None:
        self.out, self.said_at = out, 0.0

    def __call__(self, words: str) -> None:
        now = time.monotonic()
        if now - self.said_at >= EVERY_S:
            self.said_at = now
            print(f"  {words}", file=self.out, flush=True)
