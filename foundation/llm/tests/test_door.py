"""complete() through the real stub on loopback and through a scripted transport."""

from __future__ import annotations

import asyncio
import json
import pickle
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx2
import pytest
from asgiref.sync import async_to_sync

from foundation.llm import budget, catalogue, connections, errors
from foundation.llm.domain.messages import Message, Request
from foundation.llm.domain.retries import RetryPolicy
from foundation.llm.door import complete
from foundation.llm.models import CachedAnswer, ConnectionSlot, Reservation
from foundation.llm.testing.stub_upstream import StubUpstream
from foundation.llm.tests.conftest import PLANTED_KEY, make_connection

ask = async_to_sync(complete)
REQUEST = Request("claude-haiku-5-5", "Be brief.", (Message("user", "Where is my card?"),), 64)
QUICK = RetryPolicy(first_wait_s=0.001, longest_wait_s=0.002)


async def _no_wait(seconds):
    return None


@pytest.fixture
def ledger(team):
    return budget.open_budget("test", 1_000_000, team=team)


def reply(**changes):
    body = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-haiku-5-5",
        "content": [
            {"type": "thinking", "thinking": "hm", "signature": "s"},
            {"type": "text", "text": "Lost."},
        ],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 20, "output_tokens": 4},
    }
    return {**body, **changes}


def transport(*answers):
    """Answers in turn, the last one for ever; keeps what was asked in `.asked`."""
    left = list(answers)
    asked = []

    def handle(request):
        asked.append(request)
        answer = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(answer, Exception):
            raise answer
        return answer() if callable(answer) else httpx2.Response(200, json=answer)

    found = httpx2.MockTransport(handle)
    found.asked = asked
    return found


def failing(status, **headers):
    return lambda: httpx2.Response(
        status, json={"type": "error", "error": {"type": "x", "message": "m"}}, headers=headers
    )


def test_an_answer_is_booked_and_kept(connection, ledger, stub):
    first = ask(connection, REQUEST, ledger=ledger)
    assert first.stop_reason == "end_turn"
    assert first.text and not first.from_cache
    assert first.request_id == "req_stub_000001"
    assert first.latency_ms > 0
    again = ask(connection, REQUEST, ledger=ledger)
    assert (again.text, again.cost_microusd, again.from_cache) == (first.text, 0, True)
    assert ask(connection, REQUEST, ledger=ledger, sample=1).from_cache is False
    assert stub.calls == 2
    row = ledger.budget()
    price = catalogue.price("claude-haiku-5-5")
    assert row.spent_microusd == 2 * price.cost_microusd(first.usage) == 2 * first.cost_microusd
    assert row.reserved_microusd == 0
    assert not ConnectionSlot.objects.exclude(token="").exists()


def test_the_cache_belongs_to_the_team(connection, ledger, outsider):
    ask(connection, REQUEST, ledger=ledger)
    other = outsider.memberships.get().team
    theirs = make_connection(other, connection.base_url)
    assert ask(theirs, REQUEST, ledger=budget.open_budget("o", 10_000, team=other)).from_cache is False
    assert CachedAnswer.objects.of(connection.team).count() == 1


def test_thinking_is_skipped_and_what_was_sent_is_recorded(connection, ledger):
    wire = transport(reply())
    request = Request(
        "claude-haiku-5-5",
        "s",
        (Message("user", "q"),),
        50,
        output_schema={"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]},
        stop=("END",),
        effort="low",
        sampling={"temperature": 0.0},
    )
    done = ask(connection, request, ledger=ledger, transport=wire)
    assert done.text == "Lost."
    sent = json.loads(wire.asked[0].content)
    assert "temperature" not in sent and "temperature" not in done.sent_parameters
    assert sent["output_config"]["format"]["schema"]["additionalProperties"] is False
    assert sent["output_config"]["effort"] == "low"
    assert sent["stop_sequences"] == ["END"]
    assert done.sent_parameters["output_config"] == sent["output_config"]
    assert wire.asked[0].headers["authorization"] == f"Bearer {PLANTED_KEY}"
    assert "messages" not in done.sent_parameters and "system" not in done.sent_parameters


def test_a_model_that_takes_sampling_gets_it(connection, ledger):
    entry = catalogue.entry("claude-haiku-4-5")
    entry.takes_sampling = True
    entry.save()
    wire = transport(reply())
    request = Request("claude-haiku-4-5", "", (Message("user", "q"),), 50, sampling={"temperature": 0.0})
    done = ask(connection, request, ledger=ledger, transport=wire)
    assert json.loads(wire.asked[0].content)["temperature"] == 0.0
    assert wire.asked[0].headers["anthropic-version"] == "2023-06-01"
    assert done.sent_parameters["temperature"] == 0.0


CLASSES = [
    pytest.param("429", errors.RateLimited, 5, id="429 without retry-after"),
    pytest.param("529", errors.Overloaded, 5, id="529"),
    pytest.param("500", errors.UpstreamFailed, 5, id="500"),
    pytest.param("503", errors.UpstreamFailed, 5, id="503"),
    pytest.param("408", errors.UpstreamFailed, 5, id="408"),
    pytest.param("409", errors.UpstreamFailed, 5, id="409"),
    pytest.param("reset", errors.BrokenAnswer, 5, id="reset before headers"),
    pytest.param("cut", errors.BrokenAnswer, 5, id="cut in the body"),
    pytest.param("malformed", errors.BrokenAnswer, 5, id="no JSON"),
    pytest.param("no-stop-reason", errors.BrokenAnswer, 5, id="an answer that never ended"),
    pytest.param("timeout", errors.TimedOut, 5, id="timeout"),
    pytest.param("drip", errors.TimedOut, 5, id="one byte a second"),
    pytest.param("400", errors.BadRequest, 1, id="400"),
    pytest.param("401", errors.WrongKey, 1, id="401"),
    pytest.param("403", errors.NotPermitted, 1, id="403"),
    pytest.param("404", errors.UnknownModel, 1, id="404"),
    pytest.param("413", errors.RequestTooLarge, 1, id="413"),
    pytest.param("spend-limit", errors.SpendLimitReached, 1, id="T13 spend limit"),
]


@pytest.mark.parametrize(("fault", "expected", "calls"), CLASSES)
def test_t11_every_fault_has_its_class_and_its_tries(team, ledger, fault, expected, calls):
    with StubUpstream(script=[{"fault": fault}]) as stub:
        connection = make_connection(team, stub.url)
        silent = fault in ("timeout", "drip")
        with pytest.raises(expected) as caught:
            ask(connection, REQUEST, ledger=ledger, policy=QUICK, timeout_s=0.3 if silent else 30)
        # On a busy machine a call may run out of its 0.3 s before the stub has read it.
        assert stub.calls <= calls if silent else stub.calls == calls
    error = caught.value
    assert str(error).endswith(".")
    assert error.tries == calls
    row = ledger.budget()
    assert row.reserved_microusd == 0
    # A call that may have been charged counts as spent; a refusal costs nothing.
    bound = catalogue.bound_microusd(REQUEST)
    assert row.spent_microusd == row.unconfirmed_microusd == (calls * bound if expected.maybe_charged else 0)
    assert not ConnectionSlot.objects.exclude(token="").exists()


def test_t11_faults_that_pass_are_survived(team, ledger):
    script = [{"nth": n, "fault": f} for n, f in enumerate(["429", "529", "500", "reset"], start=1)]
    with StubUpstream(script=script) as stub:
        done = ask(make_connection(team, stub.url), REQUEST, ledger=ledger, policy=QUICK)
        assert stub.calls == 5
    assert done.tries == 5
    assert done.text


def test_t11_retry_after_is_honoured(team, ledger):
    waits = []

    async def note(seconds):
        waits.append(seconds)

    with StubUpstream(script=[{"nth": 1, "fault": "429-retry-after", "seconds": 3}]) as stub:
        ask(make_connection(team, stub.url), REQUEST, ledger=ledger, sleep=note)
    assert len(waits) == 1 and 3.0 <= waits[0] <= 3.3


def test_t11_a_retry_after_of_a_day_is_not_obeyed(team, ledger):
    with StubUpstream(script=[{"fault": "429-retry-after", "seconds": 86_400}]) as stub:
        began = time.monotonic()
        with pytest.raises(errors.RateLimited):
            ask(make_connection(team, stub.url), REQUEST, ledger=ledger)
        assert stub.calls == 1 and time.monotonic() - began < 5


@pytest.mark.parametrize(
    ("headers", "low", "high"),
    [
        ({"retry-after": "2"}, 2, 2.1),
        ({"retry-after-ms": "1500"}, 1.5, 1.6),
        ({"retry-after": "a date in 100 s"}, 90, 106),
        ({"retry-after": "soon"}, 0, 0.5),
        ({"retry-after": "nan"}, 0, 0.5),
        ({"retry-after": "-5"}, 0, 0.5),
        ({}, 0, 0.5),
    ],
)
def test_t11_every_spelling_of_retry_after(connection, ledger, headers, low, high):
    waits = []

    async def note(seconds):
        waits.append(seconds)

    if "date" in headers.get("retry-after", ""):
        headers = {"retry-after": format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)}
    ask(connection, REQUEST, ledger=ledger, transport=transport(failing(429, **headers), reply()), sleep=note)
    assert len(waits) == 1 and low <= waits[0] <= high


def test_a_provider_that_says_not_to_retry_is_believed(connection, ledger):
    wire = transport(failing(500, **{"x-should-retry": "false"}), reply())
    with pytest.raises(errors.UpstreamFailed):
        ask(connection, REQUEST, ledger=ledger, transport=wire)
    assert len(wire.asked) == 1


def test_what_no_table_could_keep_is_taken_out_of_an_answer(connection, ledger):
    body = json.dumps(reply(content=[{"type": "text", "text": "a\x00b"}])).encode()
    wire = transport(lambda: httpx2.Response(200, content=body, headers={"content-type": "application/json"}))
    assert ask(connection, REQUEST, ledger=ledger, transport=wire).text == "ab"


def test_nobody_at_the_address_is_unreachable_and_free(team, ledger):
    with StubUpstream() as gone:
        url = gone.url
    with pytest.raises(errors.Unreachable):
        ask(make_connection(team, url), REQUEST, ledger=ledger, policy=QUICK)
    assert ledger.budget().spent_microusd == 0


def test_a_redirect_is_not_followed(connection, ledger):
    wire = transport(
        lambda: httpx2.Response(307, headers={"location": "https://elsewhere.example/v1/messages"})
    )
    with pytest.raises(errors.LLMError):
        ask(connection, REQUEST, ledger=ledger, transport=wire, policy=QUICK)
    assert {r.url.host for r in wire.asked} == {"127.0.0.1"}


def test_a_refusal_is_an_answer_and_is_not_kept(team, ledger):
    with StubUpstream(script=[{"fault": "refusal"}]) as stub:
        done = ask(make_connection(team, stub.url), REQUEST, ledger=ledger)
    assert (done.stop_reason, done.text) == ("refusal", "")
    assert done.cost_microusd > 0
    assert not CachedAnswer.objects.exists()


def test_t13_a_refused_key_is_not_tried_again_and_again(team, ledger):
    with StubUpstream(script=[{"fault": "spend-limit"}]) as stub:
        connection = make_connection(team, stub.url)
        for _ in range(10):
            with pytest.raises(errors.SpendLimitReached) as caught:
                ask(connection, REQUEST, ledger=ledger)
            assert caught.value.pauses_job
        assert stub.calls == 1


@pytest.mark.parametrize(
    ("model", "cap", "expected"),
    [
        pytest.param("claude-unheard-of", 1_000_000, errors.NoPrice, id="T15 unknown model"),
        pytest.param("claude-fable-5", 1_000_000, errors.NoPrice, id="T15 listed without a price"),
        pytest.param("claude-haiku-5-5", 0, errors.BudgetReached, id="T15 cap of nothing"),
        pytest.param("claude-haiku-5-5", None, errors.NoBudget, id="T15 no cap"),
    ],
)
def test_t15_without_price_or_cap_nothing_is_called(connection, team, stub, model, cap, expected):
    ledger = None if cap is None else budget.open_budget("t15", cap, team=team)
    request = Request(model, "", (Message("user", "x"),), 10)
    with pytest.raises(expected):
        ask(connection, request, ledger=ledger)
    assert stub.calls == 0


def test_a_switched_off_connection_is_not_used(connection, ledger, stub):
    connection.enabled = False
    with pytest.raises(errors.NoConnection):
        ask(connection, REQUEST, ledger=ledger)
    assert stub.calls == 0


def test_the_cap_sentence_tells_what_to_do(connection, team):
    tight = budget.open_budget("tight", 10, team=team)
    with pytest.raises(errors.BudgetReached, match=r"cap of \$0.00 .* Raise the cap"):
        ask(connection, REQUEST, ledger=tight)
    assert not Reservation.objects.exists()
    assert not ConnectionSlot.objects.exclude(token="").exists()


def test_a_cancelled_call_is_booked_at_its_bound(team, ledger):
    async def cancelled():
        task = asyncio.create_task(complete(connection, REQUEST, ledger=ledger))
        while not stub.calls:
            await asyncio.sleep(0.005)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with StubUpstream(script=[{"fault": "timeout"}]) as stub:
        connection = make_connection(team, stub.url)
        async_to_sync(cancelled)()
    row = ledger.budget()
    assert row.reserved_microusd == 0
    assert row.unconfirmed_microusd == catalogue.bound_microusd(REQUEST)


def test_concurrency_stays_within_the_connections_limit(team, ledger):
    async def many():
        requests = [Request("claude-haiku-5-5", "", (Message("user", f"q{n}"),), 16) for n in range(30)]
        await asyncio.gather(*[complete(connection, r, ledger=ledger) for r in requests])

    with StubUpstream(latency_ms=10) as stub:
        connection = make_connection(team, stub.url, max_concurrency=3)
        async_to_sync(many)()
        assert stub.calls == 30
        assert 1 < stub.stats()["most_open"] <= 3


def test_half_a_surrogate_in_a_prompt_is_no_crash(connection, ledger):
    request = Request("claude-haiku-5-5", "", (Message("user", "bad \ud800 text"),), 16)
    assert ask(connection, request, ledger=ledger).text


def test_t42_the_key_and_the_prompt_are_in_no_error_log_or_row(team, ledger, caplog, django_db_blocker):
    caplog.set_level("DEBUG")
    prompt = Request("claude-haiku-5-5", "", (Message("user", "planted-prompt-text"),), 16)
    for fault in ("401", "500", "cut", "malformed", "timeout", "spend-limit", "400"):
        with StubUpstream(script=[{"fault": fault}]) as stub:
            key = f"{PLANTED_KEY}-{fault}"
            connection = make_connection(team, stub.url, key=key, name=fault)
            with pytest.raises(errors.LLMError) as caught:
                ask(connection, prompt, ledger=ledger, policy=RetryPolicy(max_tries=1), timeout_s=0.1)
        error = caught.value
        everything = pickle.dumps(error) + repr(error).encode() + repr(error.__dict__).encode()
        copy = pickle.loads(pickle.dumps(error))
        assert (type(copy), str(copy), copy.__dict__) == (type(error), str(error), error.__dict__)
        chain, seen = error, []
        while chain is not None:
            seen.append(repr(chain))
            chain = chain.__cause__ or chain.__context__
        for secret in (PLANTED_KEY, "planted-prompt-text"):
            assert secret.encode() not in everything
            assert secret not in "".join(seen)
            assert secret not in caplog.text
        connection.refresh_from_db()
        assert PLANTED_KEY not in repr(connection.__dict__)
        assert connections.key_of(connection) == key
