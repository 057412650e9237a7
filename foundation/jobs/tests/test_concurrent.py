"""Many calls at once, and what becomes of those under way when the one who asked goes away."""

from __future__ import annotations

import asyncio
import threading

import pytest

from foundation.jobs.concurrent import MAIN_THREAD, answers


@pytest.mark.parametrize("n_turns", range(5))
def test_each_call_is_cancelled_once_and_served_until_it_has_ended_well(n_turns):
    """However many turns of the loop its ending takes, and whatever it still writes on the main thread."""
    all_wait = threading.Barrier(4)
    written = []

    async def call(n):
        if n == 0:
            await asyncio.to_thread(all_wait.wait, 30)
            return "first"
        try:
            await asyncio.to_thread(all_wait.wait, 30)
            await asyncio.Event().wait()
        finally:
            for _ in range(n_turns):
                await asyncio.sleep(0)
            # Shielded work is a task of its own, which is not ours to cancel before its call has ended.
            await asyncio.shield(asyncio.ensure_future(MAIN_THREAD.get()(lambda: written.append(n))))

    batch = answers(range(4), call, limit=4)
    assert next(batch) == (0, "first")
    batch.close()
    assert sorted(written) == [1, 2, 3]


def test_a_call_that_cancels_itself_is_an_answer_like_another():
    async def call(n):
        if n == 1:
            raise asyncio.CancelledError
        return n

    found = dict(answers(range(3), call, limit=1))
    assert found[0] == 0 and found[2] == 2 and isinstance(found[1], asyncio.CancelledError)
