"""When Python looks for garbage: not while a lock is held, and never through what a process has loaded for good.

A full collection goes through every object there is: 100 ms after start-up, more with rows in memory, in whatever
moment it comes. One inside a transaction of 10 ms of work held SQLite's lock for 160 ms.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_lock = threading.Lock()
_n_held = 0
_was_on = False


@contextmanager
def put_off() -> Iterator[None]:
    """No collection in this process until the block, and every other one under way, ends. For milliseconds only."""
    global _n_held, _was_on
    with _lock:
        if _n_held == 0:
            _was_on = gc.isenabled()
            gc.disable()
        _n_held += 1
    try:
        yield
    finally:
        with _lock:
            _n_held -= 1
            if _n_held == 0 and _was_on:
                gc.enable()


def settle() -> None:
    """Take what is loaded by now for permanent: no later collection looks at it. Called once a process has started."""
    gc.collect()
    gc.freeze()
