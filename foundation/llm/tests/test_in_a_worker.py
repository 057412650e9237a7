"""The door as a worker uses it: calls in a helper thread, every write on the main thread."""

from __future__ import annotations

import threading

import pytest

from foundation.jobs.concurrent import answers
from foundation.llm import budget, slots, threads
from foundation.llm.domain.messages import Completion, Message, Request
from foundation.llm.domain.retries import RetryPolicy
from foundation.llm.door import complete
from foundation.llm.errors import BudgetReached, LLMError
from foundation.llm.models import CachedAnswer, ConnectionSlot
from foundation.llm.testing.stub_upstream import StubUpstream
from foundation.llm.tests.conftest import make_connection

# The rows of these tests stand in an open transaction: a write from another thread would not see them.
pytestmark = pytest.mark.django_db
QUICK = RetryPolicy(first_wait_s=0.001, longest_wait_s=0.002)


def question(n):
    return Request("claude-haiku-5-5", "", (Message("user", f"question {n}"),), 20)


def test_a_whole_batch_with_a_bad_afternoon(team):
    script = [{"every": 7, "fault": "529"}, {"every": 11, "fault": "cut"}, {"every": 13, "fault": "refusal"}]
    with StubUpstream(latency_ms=2, script=script) as stub:
        connection = make_connection(team, stub.url)
        ledger = budget.open_budget("batch", 1_000_000, team=team)
        found = dict(
            answers(
                range(60), lambda n: complete(connection, question(n), ledger=ledger, policy=QUICK), limit=8
            )
        )
        calls = stub.calls
    assert sorted(found) == list(range(60))
    assert all(isinstance(answer, Completion) for answer in found.values())
    row = ledger.budget()
    assert row.spent_microusd == sum(answer.cost_microusd for answer in found.values())
    assert row.unconfirmed_microusd > 0 and row.reserved_microusd == 0
    assert calls == sum(answer.tries for answer in found.values()) > 60
    assert not ConnectionSlot.objects.exclude(token="").exists()
    refused = [a for a in found.values() if a.stop_reason == "refusal"]
    assert refused and CachedAnswer.objects.count() == 60 - len(refused)


def test_the_cap_ends_a_batch_and_every_row_knows_why(team):
    with StubUpstream() as stub:
        connection = make_connection(team, stub.url)
        ledger = budget.open_budget("tight", 60, team=team)
        found = dict(answers(range(20), lambda n: complete(connection, question(n), ledger=ledger), limit=4))
        calls = stub.calls
    stopped = [a for a in found.values() if isinstance(a, BudgetReached)]
    assert len(found) == 20 and 0 < len(stopped) < 20 and calls == 20 - len(stopped)
    assert ledger.budget().spent_microusd <= 60
    assert all(error.pauses_job and isinstance(error, LLMError) for error in stopped)


def test_calls_cut_off_in_the_middle_are_booked(team):
    with StubUpstream(script=[{"fault": "timeout"}]) as stub:
        connection = make_connection(team, stub.url)
        ledger = budget.open_budget("cut", 1_000_000, team=team)
        first = {"fault": "usage"}
        stub.stub.script = [{**first, "nth": 1}, {"fault": "timeout"}]
        batch = answers(range(4), lambda n: complete(connection, question(n), ledger=ledger), limit=4)
        next(batch)
        batch.close()  # what a worker does when its job is cancelled
        calls = stub.calls
    row = ledger.budget()
    assert row.reserved_microusd == 0
    # One that was cut off on its way to the provider counts as well: nobody knows whether it arrived.
    assert calls <= row.calls <= 4
    assert not ConnectionSlot.objects.exclude(token="").exists()


def test_database_work_of_a_call_runs_on_the_main_thread():
    async def where(_):
        return await threads.in_database(threading.current_thread)

    assert [t for _, t in answers([1, 2], where)] == [threading.main_thread()] * 2


def test_places_are_counted_over_processes(team, stub):
    connection = make_connection(team, stub.url, max_concurrency=2)
    first, second = (slots.take(connection.pk, limit=2, hold_s=60) for _ in range(2))
    assert first and second and first[0] != second[0]
    assert slots.take(connection.pk, limit=2, hold_s=60) is None
    assert slots.in_use(connection.pk) == 2
    assert slots.give_back(first) and not slots.give_back(first)
    ended = slots.take(connection.pk, limit=2, hold_s=-1)
    taken_over = slots.take(connection.pk, limit=2, hold_s=60)
    assert taken_over[0] == ended[0]
    assert not slots.give_back(ended), "whose lease ended frees nobody else's place"
    assert slots.take(connection.pk, limit=3, hold_s=60), "a higher limit adds places"
