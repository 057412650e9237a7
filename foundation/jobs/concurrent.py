"""Many calls at once from one worker: an asyncio loop in a helper thread, joined to the main thread by a queue.

The main thread takes the items (which counts their attempts) and receives the answers; only calls run over there.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any, TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")

# How long calls in flight may still bring their answer after somebody cancelled.
CANCEL_PATIENCE_S = 4.0
_NOTHING_MORE = object()


def answers(
    items: Sequence[Item], coroutine_fn: Callable[[Item], Awaitable[Answer]], limit: int = 8
) -> Iterator[tuple[Item, Answer | BaseException]]:
    """Each item with its answer, or with the exception its call raised, as each is ready.

    At most `limit` calls are in flight. `coroutine_fn` must not touch the database. Given a running batch, a
    cancel or pause begins nothing new, waits a few seconds for what is in flight, and cancels the rest.
    """
    if limit < 1:
        raise ValueError("limit must be at least 1")
    work = getattr(items, "work", None)
    ready: queue.SimpleQueue[tuple[Item, Any]] = queue.SimpleQueue()
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="jobs-calls", daemon=True)
    thread.start()
    tasks: set[Any] = set()

    async def ask(item: Item) -> None:
        try:
            answer: Any = await coroutine_fn(item)
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            answer = error
        ready.put((item, answer))

    source = iter(items)
    exhausted = False
    in_flight = 0
    stop_at: float | None = None
    try:
        while True:
            while not exhausted and in_flight < limit:
                item = next(source, _NOTHING_MORE)
                if item is _NOTHING_MORE:
                    exhausted = True
                    break
                tasks.add(asyncio.run_coroutine_threadsafe(ask(item), loop))  # type: ignore[arg-type]
                in_flight += 1
            if not in_flight:
                return
            try:
                item, answer = ready.get(timeout=0.25)
            except queue.Empty:
                if work is not None:
                    # In process without a heartbeat thread this is what keeps the lease.
                    work.heartbeat()
                    if work.cancelled:
                        stop_at = stop_at or time.monotonic() + CANCEL_PATIENCE_S
                        if time.monotonic() >= stop_at:
                            return
                continue
            in_flight -= 1
            yield item, answer
    finally:
        for task in tasks:
            task.cancel()
        _close(loop, thread)


def _close(loop: asyncio.AbstractEventLoop, thread: threading.Thread) -> None:
    async def drain() -> None:
        others = [task for task in asyncio.all_tasks(loop) if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await loop.shutdown_asyncgens()

    try:
        asyncio.run_coroutine_threadsafe(drain(), loop).result(timeout=5)
    except (TimeoutError, RuntimeError):
        pass
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(timeout=5)
        if not thread.is_alive():
            loop.close()
