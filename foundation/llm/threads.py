"""Where database work of a coroutine runs: on a worker's main thread where there is one, else on the ORM's
own thread."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from asgiref.sync import sync_to_async

from foundation.jobs.concurrent import MAIN_THREAD

T = TypeVar("T")


async def in_database(fn: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    """The answer of a database function, awaited without blocking the event loop."""
    runner = MAIN_THREAD.get(None)
    if runner is not None:
        return await runner(lambda: fn(*args, **kwargs))
    return await sync_to_async(fn, thread_sensitive=True)(*args, **kwargs)
