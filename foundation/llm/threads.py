"""Where database work of a coroutine runs: on a worker's main thread where there is one, else on the ORM's own thread."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, TypeVar

from asgiref.sync import sync_to_async

try:
    from foundation.jobs.concurrent import MAIN_THREAD
except ImportError:
    MAIN_THREAD: ContextVar[Any] = ContextVar("MAIN_THREAD", default=None)  # type: ignore[no-redef]

T = TypeVar("T")


async def in_database(fn: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    """The answer of a database function, awaited without blocking the event loop."""
    runner = MAIN_THREAD.get(None)
    if runner is not None:
        return await runner(lambda: fn(*args, **kwargs))
    return await sync_to_async(fn, thread_sensitive=True)(*args, **kwargs)
