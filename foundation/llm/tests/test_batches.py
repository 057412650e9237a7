"""Half-price batches over real HTTP against the stub: submitted once, capped, booked once, whatever dies between."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from django.utils import timezone

from foundation.llm import batches, budget
from foundation.llm.domain.messages import Completion, Message, Request
from foundation.llm.errors import BrokenAnswer, BudgetReached, LLMError, UpstreamFailed, WrongKey
from foundation.llm.models import RemoteBatch, Reservation
from foundation.llm.testing.stub_upstream import StubUpstream
from foundation.llm.tests.conftest import make_connection

pytestmark = pytest.mark.django_db

QUESTIONS = {
    f"q{i}": Request("claude-haiku-5-5", "Be brief.", (Message("user", f"Question {i}?"),), 64)
    for i in range(4)
}


@pytest.fixture
def stub():
    with StubUpstream() as running:
        yield running


@pytest.fixture
def connection(team, stub):
    return make_connection(team, stub.url)


def send(team, connection, *, cap=10_000, key="test:1"):
    ledger = budget.open_budget(key, cap, team=team)
    return batches.submit(
        connection=connection, ledger=ledger, key=key, requests=list(QUESTIONS.items())
    ), ledger


def test_a_batch_is_submitted_once_looked_at_and_booked_at_half_the_price(team, connection, stub):
    batch, ledger = send(team, connection)
    again, _ = send(team, connection)
    assert again == batch
    assert stub.stats()["batches"] == 1
    bound = batches.bound_microusd(list(QUESTIONS.values()))
    assert ledger.budget().reserved_microusd == bound
    assert batches.look(batch=batch, requests=QUESTIONS).is_going
    found = batches.look(batch=batch, requests=QUESTIONS)
    assert not found.is_going
    assert set(found.completions) == set(QUESTIONS)
    answers = [a for a in found.completions.values() if isinstance(a, Completion)]
    assert len(answers) == 4
    # $0.10 in and $0.50 out a million tokens, half of both, each answer rounded up to a whole micro-dollar
    expected = sum(
        -(-(a.usage.input_tokens * 100_000 + a.usage.output_tokens * 500_000) // 2_000_000) for a in answers
    )
    assert found.cost_microusd == expected
    row = ledger.budget()
    assert (row.spent_microusd, row.reserved_microusd, row.unconfirmed_microusd) == (expected, 0, 0)
    # looked at once more: the same answers, booked no second time
    assert batches.look(batch=batch, requests=QUESTIONS).cost_microusd == expected
    assert ledger.budget().spent_microusd == expected
    # and the same question asked at once is free now
    assert batches.kept_answer(connection, QUESTIONS["q1"]).from_cache


def test_a_cap_without_room_sends_nothing(team, connection, stub):
    with pytest.raises(BudgetReached, match="could cost"):
        send(team, connection, cap=1)
    assert stub.stats()["batches"] == 0
    assert not RemoteBatch.objects.exists()


def test_a_refusal_gives_the_money_back_and_may_be_tried_again(team, connection, stub):
    stub.stub.script = [{"fault": "401", "contains": "batch:create", "times": 1}]
    with pytest.raises(WrongKey):
        send(team, connection)
    assert not RemoteBatch.objects.exists()
    _, ledger = send(team, connection)
    assert ledger.budget().reserved_microusd == batches.bound_microusd(list(QUESTIONS.values()))


def test_a_submission_whose_answer_was_lost_is_found_and_not_sent_again(team, connection, stub):
    stub.stub.script = [{"fault": "reset", "contains": "batch:create"}]
    with pytest.raises(LLMError) as lost:
        send(team, connection)
    assert lost.value.maybe_charged
    batch = RemoteBatch.objects.get()
    assert batch.remote_id == ""
    send(team, connection)
    assert stub.stats()["batches"] == 1
    assert batches.look(
        batch=batch, requests=QUESTIONS
    ).is_going  # the provider lists one like it, still going
    stub.stub.batches.batches["msgbatch_stub_000001"]["looks"] = 9
    found = batches.look(batch=batch, requests=QUESTIONS)
    assert set(found.completions) == set(QUESTIONS)
    batch.refresh_from_db()
    assert batch.remote_id == "msgbatch_stub_000001"


def test_a_submission_the_provider_never_saw_counts_as_spent_after_a_minute(team, connection, stub):
    ledger = budget.open_budget("test:1", 10_000, team=team)
    batch, _ = send(team, connection)
    # as if the process had died before a byte left: no id here, nothing there
    stub.stub.batches.batches.clear()
    RemoteBatch.objects.update(remote_id="")
    batch.refresh_from_db()
    assert batches.look(batch=batch, requests=QUESTIONS).is_going
    RemoteBatch.objects.update(created_at=timezone.now() - timedelta(minutes=2))
    batch.refresh_from_db()
    with pytest.raises(UpstreamFailed, match="does not know it"):
        batches.look(batch=batch, requests=QUESTIONS)
    row = ledger.budget()
    assert row.spent_microusd == row.unconfirmed_microusd == batches.bound_microusd(list(QUESTIONS.values()))
    assert Reservation.objects.get().unconfirmed


@pytest.mark.parametrize("fault", ["500", "529"])
def test_a_failure_of_the_provider_keeps_the_money_and_is_looked_for(team, connection, stub, fault):
    stub.stub.script = [{"fault": fault, "contains": "batch:create", "times": 1}]
    with pytest.raises(LLMError) as failed:
        send(team, connection)
    assert failed.value.retryable
    batch, ledger = send(team, connection)  # nothing is sent again
    assert (batch.remote_id, stub.stats()["batches"]) == ("", 0)
    assert ledger.budget().reserved_microusd == batches.bound_microusd(list(QUESTIONS.values()))
    # it was made all the same: it is found
    from foundation.llm.adapters import claude_batches

    found = asyncio.run(
        claude_batches.submit(batches._door(connection, batch.model_id), list(QUESTIONS.items()))
    )
    stub.stub.batches.batches[found.id]["looks"] = 9
    assert set(batches.look(batch=batch, requests=QUESTIONS).completions) == set(QUESTIONS)
    assert ledger.budget().reserved_microusd == 0


def test_an_answer_that_was_charged_and_cannot_be_read_is_booked_at_its_bound(
    team, connection, stub, monkeypatch
):
    from foundation.llm.adapters import claude_batches

    real = claude_batches._result
    seen = []

    def broken(result):
        seen.append(result)
        return BrokenAnswer("The answer could not be read.") if len(seen) == 1 else real(result)

    monkeypatch.setattr(claude_batches, "_result", broken)
    batch, ledger = send(team, connection)
    stub.stub.batches.batches[batch.remote_id]["looks"] = 9
    found = batches.look(batch=batch, requests=QUESTIONS)
    read = [a for a in found.completions.values() if isinstance(a, Completion)]
    lost = [key for key, a in found.completions.items() if isinstance(a, BrokenAnswer)]
    assert (len(read), len(lost)) == (3, 1)
    expected = sum(a.cost_microusd for a in read) + batches.bound_microusd([QUESTIONS[lost[0]]])
    assert found.cost_microusd == ledger.budget().spent_microusd == expected


def test_what_the_sweep_booked_is_what_a_late_look_says(team, connection, stub):
    batch, ledger = send(team, connection)
    budget.settle(batch.reservation, None)
    stub.stub.batches.batches[batch.remote_id]["looks"] = 9
    bound = batches.bound_microusd(list(QUESTIONS.values()))
    assert batches.look(batch=batch, requests=QUESTIONS).cost_microusd == bound
    assert ledger.budget().spent_microusd == bound


def test_a_cancelled_batch_costs_nothing_it_did_not_answer(team, connection, stub):
    batch, ledger = send(team, connection)
    batches.cancel(batch=batch)
    assert batches.look(batch=batch, requests=QUESTIONS).is_going  # "canceling" comes first
    found = batches.look(batch=batch, requests=QUESTIONS)
    assert all(isinstance(answer, LLMError) for answer in found.completions.values())
    row = ledger.budget()
    assert (row.spent_microusd, row.reserved_microusd) == (0, 0)


def test_answers_that_were_cancelled_late_are_booked_even_when_nobody_waits(team, connection, stub):
    batch, ledger = send(team, connection)
    stub.stub.batches.batches[batch.remote_id]["looks"] = 9
    assert batches.look(batch=batch, requests={}).cost_microusd > 0
    assert ledger.budget().spent_microusd > 0


def test_some_questions_may_fail_beside_others(team, connection, stub):
    stub.stub.script = [
        {"fault": "expired", "contains": "Question 1?"},
        {"fault": "400", "contains": "Question 2?"},
    ]
    batch, _ = send(team, connection)
    batches.look(batch=batch, requests=QUESTIONS)
    found = batches.look(batch=batch, requests=QUESTIONS).completions
    assert "24 hours" in str(found["q1"])
    assert "refused" in str(found["q2"])
    assert isinstance(found["q0"], Completion)


def test_the_key_follows_no_address_the_answer_names(team, connection, stub, monkeypatch):
    batch, ledger = send(team, connection)
    stub.stub.batches.batches[batch.remote_id]["looks"] = 9
    shown = stub.stub.batches.shown
    monkeypatch.setattr(
        stub.stub.batches,
        "shown",
        lambda name, base: {**shown(name, base), "results_url": "http://127.0.0.1:9/elsewhere"},
    )
    with pytest.raises(BrokenAnswer, match="not for"):
        batches.look(batch=batch, requests=QUESTIONS)
    assert ledger.budget().reserved_microusd > 0  # nothing is booked on a guess
