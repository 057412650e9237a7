"""Many calls at once from one worker: an asyncio loop in a helper thread, joined to the main one by a queue.

The main thread takes the items (which counts their attempts), receives the answers and does what the
calls ask of the database; only calls run over there.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import queue
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from contextvars import ContextVar
from typing import Any, TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")

# How long calls in flight may still bring their answer after somebody cancelled.
CANCEL_PATIENCE_S = 4.0
# How long cancelled calls may go on without asking anything of the database before they are left behind.
DRAIN_PATIENCE_S = 5.0
_NOTHING_MORE = object()
_DATABASE = object()

# Inside a call: a coroutine function that runs `fn()` on the main thread and answers what it returns.
MAIN_THREAD: ContextVar[Callable[[Callable[[], Any]], Awaitable[Any]] | None] = ContextVar(
    "MAIN_THREAD", default=None
)


def answers(
    items: Sequence[Item], coroutine_fn: Callable[[Item], Awaitable[Answer]], limit: int = 8
) -> Iterator[tuple[Item, Answer | BaseException]]:
    """Each item with its answer, or with the exception its call raised, as each is ready.

    At most `limit` calls are in flight. `coroutine_fn` reaches the database through `MAIN_THREAD` alone. Given
    a running batch, a cancel or pause begins nothing new, waits a few seconds for what is in flight, and
    cancels the rest.
    """
    if limit < 1:
        raise ValueError("limit must be at least 1")
    work = getattr(items, "work", None)
    ready: queue.SimpleQueue[tuple[Any, Any]] = queue.SimpleQueue()
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="jobs-calls", daemon=True)
    thread.start()
    asked: set[asyncio.Task[None]] = set()

    async def on_main(fn: Callable[[], Any]) -> Any:
        reply: concurrent.futures.Future[Any] = concurrent.futures.Future()
        ready.put((_DATABASE, (fn, reply)))
        return await asyncio.wrap_future(reply)

    async def ask(item: Item) -> None:
        MAIN_THREAD.set(on_main)
        try:
            answer: Any = await coroutine_fn(item)
        except asyncio.CancelledError as error:
            this = asyncio.current_task()
            if this is None or this.cancelling():
                raise
            answer = error  # the call's own doing, not ours: its item waits for an answer
        except BaseException as error:
            answer = error
        ready.put((item, answer))

    def begin(item: Item) -> None:
        task = loop.create_task(ask(item))
        asked.add(task)
        task.add_done_callback(asked.discard)

    source = iter(items)
    exhausted = False
    in_flight = 0
    stop_at: float | None = None
    ask_again_at = 0.0
    try:
        while True:
            while not exhausted and in_flight < limit:
                item = next(source, _NOTHING_MORE)
                if item is _NOTHING_MORE:
                    exhausted = True
                    break
                loop.call_soon_threadsafe(begin, item)  # type: ignore[arg-type]
                in_flight += 1
            if not in_flight:
                return
            if work is not None and time.monotonic() >= ask_again_at:
                # In process without a heartbeat thread this is what keeps the lease.
                ask_again_at = time.monotonic() + 0.25
                work.heartbeat()
                if work.cancelled:
                    stop_at = stop_at or time.monotonic() + CANCEL_PATIENCE_S
                    if time.monotonic() >= stop_at:
                        return
            try:
                item, answer = ready.get(timeout=0.25)
            except queue.Empty:
                continue
            if item is _DATABASE:
                _run(*answer)
                continue
            in_flight -= 1
            yield item, answer
    finally:
        _close(loop, thread, ready, asked)


def run_apart(coroutine: Coroutine[Any, Any, Answer]) -> Answer:
    """The coroutine's answer, from an event loop in a thread of its own, whatever loop this thread already has."""
    with concurrent.futures.ThreadPoolExecutor(max_workers=1) as pool:
        return pool.submit(asyncio.run, coroutine).result()


def _run(fn: Callable[[], Any], reply: concurrent.futures.Future[Any]) -> None:
    """Do on the main thread what a call asked for. What it raises is the call's, not ours."""
    if not reply.set_running_or_notify_cancel():
        return
    try:
        reply.set_result(fn())
    except BaseException as error:
        reply.set_exception(error)


def _close(
    loop: asyncio.AbstractEventLoop,
    thread: threading.Thread,
    ready: queue.SimpleQueue[tuple[Any, Any]],
    asked: set[asyncio.Task[None]],
) -> None:
    async def drain() -> None:
        # Each call is cancelled once and then waited for: a second cancel would land in what it does to end well.
        calls = list(asked)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        left = [task for task in asyncio.all_tasks(loop) if task is not asyncio.current_task()]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        await loop.shutdown_asyncgens()

    try:
        drained = asyncio.run_coroutine_threadsafe(drain(), loop)
        give_up_at = time.monotonic() + DRAIN_PATIENCE_S
        # A cancelled call still books what it may have cost: this thread serves until the last one is out.
        while not drained.done() and time.monotonic() < give_up_at:
            try:
                kind, wanted = ready.get(timeout=0.02)
            except queue.Empty:
                continue
            if kind is _DATABASE:
                _run(*wanted)
                # A slow database is no sign that the calls hang.
                give_up_at = time.monotonic() + DRAIN_PATIENCE_S
        drained.result(timeout=0.1)
    except (TimeoutError, RuntimeError):
        pass
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(timeout=5)
        if not thread.is_alive():
            loop.close()
