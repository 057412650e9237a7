"""A call that is cancelled, at each wait it has in turn: no money stays reserved and no place stays taken."""

from __future__ import annotations

import asyncio

import pytest

from foundation.jobs.concurrent import answers
from foundation.llm import budget, threads
from foundation.llm.door import complete
from foundation.llm.models import ConnectionSlot, Reservation, ReservationState
from foundation.llm.testing.stub_upstream import StubUpstream
from foundation.llm.tests.conftest import make_connection
from foundation.llm.tests.test_in_a_worker import QUICK, question

pytestmark = pytest.mark.django_db


class CutAt:
    """Awaits a coroutine and cancels the running task at its n-th wait.

    `late` cancels when what was waited for is there, but before the coroutine is told of it; `again` cancels
    once more at the wait after that one, where a cancelled call is busy ending well.
    """

    def __init__(self, coroutine, n, *, late=False, again=False):
        self.coroutine, self.late = coroutine, late
        self.cuts = {n, n + 1} if again else {n}
        self.n_waits = 0

    def __await__(self):
        task = asyncio.current_task()
        go_on, value = self.coroutine.send, None
        while True:
            try:
                waited_for = go_on(value)
            except StopIteration as end:
                return end.value
            self.n_waits += 1
            if self.n_waits in self.cuts:
                if self.late and waited_for is not None:
                    waited_for.add_done_callback(lambda _: task.cancel())
                else:
                    task.cancel()
            try:
                go_on, value = self.coroutine.send, (yield waited_for)
            except BaseException as error:
                go_on, value = self.coroutine.throw, error


async def cut(coroutine, n, **how):
    """Whether the coroutine was still under way at its n-th wait, where it was cancelled."""

    async def run():
        await under_way

    under_way = CutAt(coroutine, n, **how)
    await asyncio.wait([asyncio.create_task(run())])
    return under_way.n_waits >= n


def until_whole(is_whole):
    n = 0
    while not is_whole:
        n += 1
        yield n


@pytest.mark.parametrize("again", [False, True], ids=["once", "twice"])
@pytest.mark.parametrize("late", [False, True], ids=["waiting", "answered"])
@pytest.mark.parametrize("fault", [None, "400"])
def test_a_call_cancelled_at_any_wait_leaves_a_settled_ledger_and_a_free_place(team, fault, late, again):
    whole = []
    with StubUpstream(script=[{"fault": fault, "every": 1}] if fault else []) as stub:
        connection = make_connection(team, stub.url)
        ledger = budget.open_budget("cut", 1_000_000, team=team)

        async def ask(n):
            call = complete(connection, question(n), ledger=ledger, policy=QUICK)
            return await cut(call, n, late=late, again=again)

        for n, was_cut in answers(until_whole(whole), ask, limit=1):
            where = f"cut at wait {n}"
            assert isinstance(was_cut, bool), was_cut
            row, made = ledger.budget(), Reservation.objects.order_by("pk")
            assert row.reserved_microusd == 0, where
            assert not ConnectionSlot.objects.exclude(token="").exists(), where
            assert not made.filter(state__in=[ReservationState.HELD, ReservationState.SENT]).exists(), where
            settled = made.filter(state=ReservationState.SETTLED)
            assert row.calls == settled.count() and row.spent_microusd == sum(
                r.actual_microusd for r in settled
            ), where
            # What reached the provider may have been charged: it is in the books, unless it was refused.
            assert fault or row.calls >= stub.calls, where
            if not was_cut:
                whole.append(n)
    # Preparing, reserving, sending, settling: fewer waits than these would mean that nothing was cut.
    assert whole[0] > 5


def test_work_begun_in_the_database_is_finished_and_handed_to_undo_when_its_caller_is_cancelled():
    done, undone = [], []

    async def book(n):
        await threads.in_database_to_the_end(lambda: done.append(n) or n, undo=undone.append)

    async def ask(n):
        return await cut(book(n), 1, late=n == 2, again=n == 3)

    assert all(was_cut is True for _, was_cut in answers([1, 2, 3], ask, limit=1))
    assert done == undone == [1, 2, 3]
