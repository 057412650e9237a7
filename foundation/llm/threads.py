"""Where database work of a coroutine runs: on a worker's main thread where there is one, else on the ORM's
own thread."""

from __future__ import annotations

import asyncio
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


async def in_database_to_the_end(
    fn: Callable[..., T], *args: Any, undo: Callable[[T], Any] | None = None
) -> T:
    """As `in_database`, but done to its end even if the caller is cancelled meanwhile, however often.

    The cancel is raised when the work stands. With `undo`, what came of it is handed there first: a caller who is
    cancelled never learns what it was given, so nobody else could give it back.
    """
    work = asyncio.ensure_future(in_database(fn, *args))
    cancelled = await _until_done(work)
    if cancelled is None:
        return work.result()
    if undo is not None and not work.cancelled() and work.exception() is None:
        undone = asyncio.ensure_future(in_database(undo, work.result()))
        await _until_done(undone)
        undone.result()
    raise cancelled


async def _until_done(work: asyncio.Future[Any]) -> asyncio.CancelledError | None:
    """Wait whatever happens; the last cancel that came meanwhile, or None."""
    cancelled = None
    while not work.done():
        try:
            await asyncio.wait([work])
        except asyncio.CancelledError as error:
            # It can also land once the work is done, in the turn before its waiter is told.
            cancelled = error
    return cancelled
