"""Requests at a steady pace, whether answers come or not: a slow server cannot slow its own measurement."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass, field
from typing import Any

import aiohttp


@dataclass
class Seen:
    """What came of the requests: (second it was sent, status, served by, seconds it took)."""

    answers: list[tuple[float, int, str, float]] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def failed(self) -> list[Any]:
        """Everything that was not a whole answer."""
        return [a for a in self.answers if a[1] != 200] + self.errors


async def fire(
    url: str,
    token: str,
    *,
    rate: float,
    stop: asyncio.Event,
    body: dict[str, Any],
    key: str = "u",
    stream: bool = False,
    urls: list[str] | None = None,
    retry_refused_s: float = 0.0,
    passes_on: bool = False,
) -> Seen:
    """Send `rate` requests a second until `stop`. With `retry_refused_s` a refused connection is tried again that long,
    as a client does behind two gateways while one of them starts anew. With `passes_on` a request that a gateway did not
    take is given to the next of `urls`, each on a connection of its own, as a balancer does."""
    seen = Seen()
    tasks: set[asyncio.Task[None]] = set()
    timeout = aiohttp.ClientTimeout(total=30)
    raw = json.dumps({**body, "stream": stream}).encode()
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            limit=0, **({"force_close": True} if passes_on else {"keepalive_timeout": 10})
        ),
        timeout=timeout,
        trust_env=False,
    ) as session:

        async def one(number: int) -> None:
            began = time.perf_counter()
            headers = {
                "authorization": f"Bearer {token}",
                "x-sticky-key": f"{key}{number}",
                "content-type": "application/json",
            }
            end = time.monotonic() + retry_refused_s
            tries = 0
            while True:
                try:
                    target = urls[(number + tries) % len(urls)] if urls else url
                    async with session.post(target, data=raw, headers=headers) as reply:
                        data = await reply.read()
                        ok = not stream or b"message_stop" in data
                        status = reply.status if ok else -1
                        seen.answers.append(
                            (
                                began,
                                status,
                                reply.headers.get("x-model-version", ""),
                                time.perf_counter() - began,
                            )
                        )
                        return
                except (aiohttp.ClientConnectorError, aiohttp.ClientOSError) as error:
                    if passes_on and tries < 20:
                        tries += 1
                        await asyncio.sleep(0.02)
                        continue
                    if time.monotonic() > end:
                        seen.errors.append(repr(error))
                        return
                    await asyncio.sleep(0.05)
                except (aiohttp.ClientError, TimeoutError) as error:
                    seen.errors.append(repr(error))
                    return

        began, number = time.perf_counter(), 0
        while not stop.is_set():
            due = began + number / rate
            if (wait := due - time.perf_counter()) > 0:
                await asyncio.sleep(wait)
            task = asyncio.create_task(one(number))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            number += 1
        await asyncio.gather(*tasks)
    return seen
