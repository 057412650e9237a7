"""Daily budgets as prepaid blocks: money is taken out of the day in the database first, then out of a file, then spent.

Each step writes before the next one may spend, so whatever dies loses the rest of a block and never spends it twice.
While the database is away, what was fetched before goes on being spent.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO

import orjson

# A block is what a quarter of an hour takes at the even pace of a day.
BLOCKS_A_DAY = 96
# One withdrawal from the file: what a crash can lose.
PARTS_OF_A_BLOCK = 10

Lease = Callable[[int, int, str], int]
"""lease(endpoint id, wanted micro-dollars, day) -> micro-dollars granted; 0 when the day's budget is used up."""


def purse(folder: Path) -> tuple[Path, IO[str]]:
    """A file for this process alone, the first one no living gateway holds, and its lock: keep that open.

    Two gateways with one file would each spend what stands in it.
    """
    for number in range(1000):
        lock = open(folder / f"budgets-{number}.lock", "w")  # noqa: SIM115 - held until the process ends
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            continue
        return folder / f"budgets-{number}.json", lock
    raise OSError(f"too many gateways share {folder}")


class Budgets:
    """Money of this process by endpoint. `take` and `settle` may be called from any thread."""

    def __init__(self, lease: Lease, file: Path, today: Callable[[], str]) -> None:
        self.lease, self.file, self.today = lease, file, today
        self.lock = threading.RLock()
        self.day = today()
        self.hand: dict[int, int] = {}
        self.block: dict[int, int] = {}
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            kept = orjson.loads(file.read_bytes())
            if kept["day"] == self.day:
                self.block = {int(k): max(0, int(v)) for k, v in kept["blocks"].items()}

    def take(self, endpoint: int, bound_microusd: int) -> bool:
        """Whether the money is there; then it is set aside."""
        with self.lock:
            self._turn_the_day()
            missing = bound_microusd - self.hand.get(endpoint, 0)
            if missing > 0 and not self._withdraw(endpoint, missing):
                return False
            self.hand[endpoint] = self.hand.get(endpoint, 0) - bound_microusd
            return True

    async def fetch(self, endpoint: int, bound_microusd: int) -> bool:
        """Ask the database for a block, for two seconds at most; whether `bound_microusd` could be taken then."""
        task = asyncio.get_running_loop().run_in_executor(None, self.top_up, endpoint, bound_microusd)
        with contextlib.suppress(Exception):
            await asyncio.wait_for(asyncio.shield(task), timeout=2)
        return self.take(endpoint, bound_microusd)

    def settle(self, endpoint: int, reserved_microusd: int, actual_microusd: int) -> None:
        """Give back what was set aside and not used. More than was set aside is owed by the next requests."""
        with self.lock:
            self.hand[endpoint] = self.hand.get(endpoint, 0) + reserved_microusd - actual_microusd

    def top_up(self, endpoint: int, wanted_microusd: int) -> None:
        """Fetch a block from the database. Blocks; raises what the database raises."""
        day = self.today()
        granted = self.lease(endpoint, wanted_microusd, day)
        with self.lock:
            self._turn_the_day()
            if granted and day == self.day:
                self.block[endpoint] = self.block.get(endpoint, 0) + granted
                self._write()

    def is_low(self, endpoint: int) -> bool:
        """Whether the block runs out, so that a new one should be fetched before a request has to wait."""
        with self.lock:
            return self.block.get(endpoint, 0) <= 0

    def put_away(self) -> None:
        """At the end: what was not spent goes back into the file, for the next process."""
        with self.lock:
            for endpoint, left in self.hand.items():
                if left > 0:
                    self.block[endpoint] = self.block.get(endpoint, 0) + left
            self.hand.clear()
            with contextlib.suppress(OSError):
                self._write()

    def _withdraw(self, endpoint: int, missing: int) -> bool:
        block = self.block.get(endpoint, 0)
        if block < missing:
            return False
        part = min(block, max(missing, block // PARTS_OF_A_BLOCK))
        self.block[endpoint] = block - part
        try:
            self._write()
        except OSError:
            self.block[endpoint] = block
            return False
        self.hand[endpoint] = self.hand.get(endpoint, 0) + part
        return True

    def _write(self) -> None:
        temporary = self.file.with_suffix(".new")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as out:
            out.write(orjson.dumps({"day": self.day, "blocks": {str(k): v for k, v in self.block.items()}}))
        temporary.replace(self.file)

    def _turn_the_day(self) -> None:
        if (today := self.today()) != self.day:
            self.day = today
            self.hand.clear()
            self.block.clear()
