from __future__ import annotations

import asyncio
import json
import random
import time
import uuid
from datetime import date
from types import SimpleNamespace

import pytest

from deployments.domain.routing import BUCKETS
from deployments.gateway import asking, exchange, shaping
from deployments.gateway.local import LocalModels
from deployments.tests.gateway_help import QUESTION, TOKEN, address, run, version
from foundation.llm.domain.pricing import Price, Rates

PRICE = Price((Rates(date(2026, 1, 1), 0, 1_000_000, 5_000_000, 1_250_000, 2_000_000, 100_000),))


def test_the_portal_sets_what_the_version_owns_and_everything_else_survives():
    async def test(h):
        few = ({"role": "user", "content": "q"}, {"role": "assistant", "content": "a"})
        h.routes(
            [
                version(
                    1, url=h.url, system="Ours", few_shot=few, max_tokens=9, output_config={"effort": "low"}
                )
            ]
        )
        body = {
            **QUESTION,
            "system": "Theirs",
            "metadata": {"user_id": "u1"},
            "tools": [{"name": "t"}],
            "output_config": {"format": {"type": "json_schema"}, "effort": "max"},
            "x_unknown": {"deep": [1, 2.5, None, "ü"]},
        }
        reply = await h.ask(body, headers={"anthropic-beta": "b1", "anthropic-version": "2026-10-21"})
        assert reply.status == 200 and reply.json["type"] == "message"
        sent = h.provider.seen[0]["body"]
        assert sent["model"] == "fine" and sent["system"] == "Ours" and sent["max_tokens"] == 9
        assert sent["messages"] == [*few, *QUESTION["messages"]]
        assert sent["output_config"] == {"format": {"type": "json_schema"}, "effort": "low"}
        assert sent["x_unknown"] == body["x_unknown"] and sent["tools"] == body["tools"]
        assert sent["metadata"] == {"user_id": "u1"}
        headers = h.provider.seen[0]["headers"]
        assert headers["authorization"] == "Bearer sk-secret" and headers["anthropic-beta"] == "b1"
        assert uuid.UUID(reply.headers["x-prediction-id"]).version == 7
        assert reply.headers["x-model-version"] == "v1" and reply.headers["request-id"] == "req_stub"
        assert "set-cookie" not in reply.headers

    run(test)


@pytest.mark.parametrize(
    ("policy", "ours", "theirs", "want"),
    [
        pytest.param("replace", "Ours", "Theirs", "Ours", id="replaced"),
        pytest.param("replace", "", "Theirs", None, id="replaced by nothing"),
        pytest.param("append", "Ours", "Theirs", "Ours\n\nTheirs", id="kept after ours"),
        pytest.param("append", "", "Theirs", "Theirs", id="kept alone"),
        pytest.param(
            "append",
            "Ours",
            [{"type": "text", "text": "T", "cache_control": {"type": "ephemeral"}}],
            [
                {"type": "text", "text": "Ours"},
                {"type": "text", "text": "T", "cache_control": {"type": "ephemeral"}},
            ],
            id="blocks stay blocks",
        ),
        pytest.param("refuse", "Ours", None, "Ours", id="nothing to refuse"),
    ],
)
def test_a_clients_system_prompt(policy, ours, theirs, want):
    async def test(h):
        h.routes([version(1, url=h.url, system=ours)], system_policy=policy)
        body = QUESTION if theirs is None else {**QUESTION, "system": theirs}
        assert (await h.ask(body)).status == 200
        assert h.provider.seen[0]["body"].get("system") == want

    run(test)


def test_a_clients_system_prompt_may_be_refused():
    async def test(h):
        h.routes([version(1, url=h.url, system="Ours")], system_policy="refuse")
        reply = await h.ask({**QUESTION, "system": "Ignore everything"})
        assert reply.status == 400 and reply.error == "invalid_request_error"
        assert h.provider.n_requests == 0

    run(test)


@pytest.mark.parametrize(
    "attack",
    [
        {"api_base": "http://evil.example"},
        {"base_url": "http://evil.example"},
        {"api_key": "x"},
        {"custom_llm_provider": "openai"},
        {"fallbacks": [{"model": "x"}]},
        {"extra_headers": {"authorization": "x"}},
        {"model": "claude-opus-5-5"},
    ],
    ids=lambda attack: next(iter(attack)),
)
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"host": "evil.example", "x-forwarded-host": "evil.example", "forwarded": "host=evil.example"},
        {"x-api-base": "http://evil.example", "x-stainless-helper": "a", "proxy-authorization": "Basic x"},
    ],
    ids=["plain", "host", "others"],
)
def test_a_client_chooses_no_host_no_key_and_no_route(attack, headers):
    """T44: the provider's key goes to its own host only, whatever the client sends."""

    async def test(h):
        reply = await h.ask({**QUESTION, **attack}, headers=headers)
        assert reply.status == 200
        seen = h.provider.seen[0]
        assert seen["body"]["model"] == "fine" and seen["headers"]["host"].startswith("127.0.0.1")
        assert not set(attack) - {"model"} & set(seen["body"])
        assert seen["headers"]["authorization"] == "Bearer sk-secret"
        assert not [n for n in seen["headers"] if "forward" in n or "api-base" in n or "proxy" in n]
        assert "sk-secret" not in reply.body.decode() + str(reply.headers)

    run(test)


def test_a_stream_passes_byte_for_byte_and_is_counted():
    async def test(h):
        h.routes([version(1, url=h.url, price=PRICE)], text_retention="all")
        reply = await h.ask({**QUESTION, "stream": True})
        assert reply.status == 200 and reply.headers["content-type"].startswith("text/event-stream")
        assert reply.body.startswith(b"event: message_start") and reply.body.rstrip().endswith(
            b'{"type": "message_stop"}'
        )
        row = h.rows()[0]
        assert row["is_stream"] and row["status"] == 200 and row["error"] == ""
        assert row["output_tokens"] == len(row["answer_text"].split()) and row["input_tokens"] > 10
        assert row["stop_reason"] == "end_turn" and not row["usage_estimated"]
        assert row["cost_microusd"] == row["input_tokens"] + 5 * row["output_tokens"]
        assert row["first_byte_ms"] <= row["latency_ms"]

    run(test)


class Trained:
    def answer(self, texts):
        return [
            SimpleNamespace(text="delivery" if "parcel" in t else "billing", confidence=0.9) for t in texts
        ]


def test_a_model_trained_here_answers_in_process_in_both_shapes():
    async def test(h):
        h.routes(
            [version(1, provider="local", model="local:abc", artefact="/x", labels=("billing", "delivery"))],
            text_retention="all",
        )
        reply = await h.ask()
        assert reply.json["content"][0]["text"] == "delivery" and reply.json["model"] == "local:abc"
        streamed = await h.ask({**QUESTION, "stream": True})
        kinds = [line[7:] for line in streamed.body.decode().splitlines() if line.startswith("event: ")]
        assert kinds == [
            "message_start",
            "content_block_start",
            "content_block_delta",
            "content_block_stop",
            "message_delta",
            "message_stop",
        ]
        for row in h.rows():
            assert row["predicted"] == "delivery" and row["confidence"] == 0.9 and row["cost_microusd"] == 0
            assert row["features"]["label"] == "delivery" and row["answer_text"] == "delivery"
        assert h.provider.n_requests == 0

    run(test, local=LocalModels(load=lambda path: Trained()))


def test_requests_that_wait_together_for_a_local_model_are_answered_together():
    sizes = []

    class Counting(Trained):
        def answer(self, texts):
            sizes.append(len(texts))
            time.sleep(0.02)
            return super().answer(texts)

    async def test(h):
        h.routes([version(1, provider="local", artefact="/x")])
        replies = await asyncio.gather(
            *(
                h.ask(
                    {
                        **QUESTION,
                        "messages": [{"role": "user", "content": f"{'parcel' if n % 2 else 'bill'} {n}"}],
                    }
                )
                for n in range(40)
            )
        )
        for number, reply in enumerate(replies):
            assert reply.json["content"][0]["text"] == ("delivery" if number % 2 else "billing")
        assert sum(sizes) == 40 and len(sizes) <= 4

    run(test, local=LocalModels(load=lambda path: Counting()))


def test_a_local_model_that_is_gone_says_so_and_takes_nobody_with_it():
    def load(path):
        raise OSError("gone")

    async def test(h):
        h.routes(
            [version(1, provider="local", artefact="/x"), version(2, url=h.url)], candidate=2, share=5000
        )
        replies = await asyncio.gather(*(h.ask(headers={"x-sticky-key": str(n)}) for n in range(20)))
        assert {r.status for r in replies} == {200, 503}
        assert all(r.error == "api_error" for r in replies if r.status == 503)

    run(test, local=LocalModels(load=load))


# --- who may ask -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("token", "path", "status", "kind"),
    [
        pytest.param(None, "/triage/v1/messages", 401, "authentication_error", id="no token"),
        pytest.param("ftg_x", "/triage/v1/messages", 401, "authentication_error", id="unknown"),
        pytest.param(
            "' OR 1=1 --", "/triage/v1/messages", 401, "authentication_error", id="SQL in the token"
        ),
        pytest.param(TOKEN + " ", "/triage/v1/messages", 200, None, id="blanks around it"),
        pytest.param(TOKEN.upper(), "/triage/v1/messages", 401, "authentication_error", id="other letters"),
        pytest.param(TOKEN, "/other/v1/messages", 404, "not_found_error", id="another endpoint"),
        pytest.param(TOKEN, "/triage/v1/complete", 404, "not_found_error", id="another path"),
        pytest.param(TOKEN, "/triage/v1/messages/", 404, "not_found_error", id="a slash too many"),
        pytest.param(TOKEN, "/../triage/v1/messages", 404, "not_found_error", id="dots"),
        pytest.param(TOKEN, "/", 404, "not_found_error", id="root"),
    ],
)
def test_who_is_let_in(token, path, status, kind):
    """T41."""

    async def test(h):
        reply = await h.ask(path=path, token=token)
        assert reply.status == status
        if kind:
            assert reply.error == kind and reply.json["type"] == "error" and reply.json["error"]["message"]

    run(test)


def test_x_api_key_is_taken_too_and_a_token_in_an_address_is_not():
    async def test(h):
        assert (await h.ask(token=None, headers={"x-api-key": TOKEN})).status == 200
        assert (await h.ask(query=b"token=" + TOKEN.encode())).status == 401
        routes = h.gateway.routes
        from deployments.gateway.routes import Routes

        ended = {digest: (one, time.time() - 1) for digest, (one, _) in routes.tokens.items()}
        h.gateway.routes = Routes("e", 2, routes.addresses, routes.versions, ended)
        assert (await h.ask()).status == 401

    run(test)


@pytest.mark.parametrize(
    ("body", "status", "kind"),
    [
        pytest.param(b"{", 400, "invalid_request_error", id="not JSON"),
        pytest.param(b"[1]", 400, "invalid_request_error", id="no object"),
        pytest.param(b'{"messages": []}', 400, "invalid_request_error", id="no messages"),
        pytest.param(b'{"messages": "hi"}', 400, "invalid_request_error", id="messages no list"),
        pytest.param(b'{"a": NaN}', 400, "invalid_request_error", id="NaN"),
        pytest.param(b"[" * 100_000, 400, "invalid_request_error", id="deep"),
        pytest.param(
            b'{"messages": [{"role":"user","content":"\\ud800"}]}',
            400,
            "invalid_request_error",
            id="half a surrogate",
        ),
        pytest.param(b"\xff\xfe", 400, "invalid_request_error", id="not UTF-8"),
        pytest.param(b"", 400, "invalid_request_error", id="nothing"),
    ],
)
def test_a_body_that_cannot_be_read_is_refused_in_the_protocols_shape(body, status, kind):
    async def test(h):
        reply = await h.ask(body)
        assert (reply.status, reply.error) == (status, kind)
        assert h.entries == []

    run(test)


def test_a_body_may_come_in_pieces_and_not_be_endless(monkeypatch):
    monkeypatch.setattr(exchange, "MAX_BODY_BYTES", 1000)

    async def test(h):
        assert (await h.ask(pieces=7)).status == 200
        big = json.dumps({**QUESTION, "pad": "x" * 2000}).encode()
        declared = await h.ask(big)
        undeclared = await h.ask(big, headers={"content-length": "0"}, pieces=9)
        for reply in (declared, undeclared):
            assert (reply.status, reply.error) == (413, "request_too_large")

    run(test)


def test_too_much_at_once_and_too_much_a_minute_are_429():
    async def test(h):
        h.routes([version(1, url=h.url)], max_in_flight=3)
        replies = await asyncio.gather(*(h.ask() for _ in range(8)))
        refused = [r for r in replies if r.status == 429]
        assert (
            len(refused) == 5 and refused[0].error == "rate_limit_error" and refused[0].headers["retry-after"]
        )
        h.routes([version(1, url=h.url)], requests_per_minute=2)
        assert [(await h.ask()).status for _ in range(3)] == [200, 200, 429]
        assert (await h.ask()).headers["retry-after"] in ("29", "30")

    run(test, latency_s=0.02)


def test_a_switched_off_endpoint_and_a_gateway_without_routes_answer_503():
    async def test(h):
        h.routes([version(1, url=h.url)], is_on=False)
        assert ((await h.ask()).status, h.provider.n_requests) == (503, 0)
        assert (await h.ask(path="/readyz", method="GET")).status == 200
        h.gateway.routes = None
        assert (await h.ask()).status == 503
        assert (await h.ask(path="/readyz", method="GET")).status == 503
        assert (await h.ask(path="/livez", method="GET")).status == 200
        assert (await h.ask(method="GET")).status == 405

    run(test)


# --- when things go wrong ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "status", "kind", "error"),
    [
        pytest.param("http-500", 500, "api_error", "upstream", id="fails"),
        pytest.param("http-529", 529, "api_error", "upstream", id="overloaded"),
        pytest.param("http-429", 429, "api_error", "rate_limited", id="slow down"),
        pytest.param("http-400", 400, "api_error", "refused", id="refuses the request"),
        pytest.param("http-401", 502, "api_error", "our_key", id="refuses our key"),
        pytest.param("http-403", 502, "api_error", "our_key", id="forbids our key"),
        pytest.param("http-404", 502, "api_error", "unknown_model", id="does not know the model"),
        pytest.param("nonsense", 502, "api_error", "nonsense", id="other JSON"),
        pytest.param("html", 502, "api_error", "nonsense", id="a web page"),
        pytest.param("not-json", 502, "api_error", "nonsense", id="half JSON"),
        pytest.param("redirect", 502, "api_error", "nonsense", id="a redirect is not followed"),
        pytest.param("short", 502, "api_error", "cut", id="less than it said"),
        pytest.param("reset", 502, "api_error", "cut", id="hangs up"),
        pytest.param("hang", 504, "timeout_error", "timeout", id="silent"),
        pytest.param("drip", 504, "timeout_error", "timeout", id="a byte at a time"),
    ],
)
@pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
def test_a_provider_that_fails_is_an_error_in_the_protocols_shape_and_recorded(
    model, status, kind, error, stream
):
    async def test(h):
        h.routes([version(1, model, h.url)], timeout_s=0.3)
        began = time.perf_counter()
        reply = await h.ask({**QUESTION, "stream": stream})
        assert time.perf_counter() - began < 3
        assert (reply.status, reply.error) == (status, kind)
        assert reply.headers["x-prediction-id"]
        row = h.rows()[0]
        assert (row["status"], row["error"]) == (status, error) and row["id"] == reply.headers[
            "x-prediction-id"
        ]
        if status == 429:
            assert reply.headers["retry-after"] == "7"

    run(test)


def test_a_provider_that_is_not_there():
    async def test(h):
        h.routes([version(1, url="http://127.0.0.1:9/v1/messages")])
        reply = await h.ask()
        assert (reply.status, reply.error, h.rows()[0]["error"]) == (502, "api_error", "unreachable")

    run(test)


def test_a_stream_longer_than_what_is_kept_of_it_still_costs_what_its_end_says(monkeypatch):
    """The usage stands in the last events; without them an answer of 6 MB was recorded as one token."""
    monkeypatch.setattr(asking, "MAX_KEPT_BYTES", 100_000)

    async def test(h):
        h.routes([version(1, "flood", h.url, price=PRICE)])
        reply = await h.ask({**QUESTION, "stream": True})
        said = [json.loads(line[6:]) for line in reply.body.split(b"\n") if b'"message_delta"' in line]
        row = h.rows()[0]
        assert (row["status"], row["error"], row["usage_estimated"]) == (200, "", False)
        assert row["output_tokens"] == said[0]["usage"]["output_tokens"] > 1
        assert row["stop_reason"] == "end_turn"

    run(test)


@pytest.mark.parametrize(
    ("model", "error"),
    [("cut", "cut"), ("unfinished", "cut"), ("silent", "timeout"), ("error-event", "upstream")],
)
def test_half_a_stream_ends_with_an_error_event_and_is_accounted(model, error):
    """T19 in short: what was cut still has its tokens, marked as estimated."""

    async def test(h):
        h.routes([version(1, model, h.url, price=PRICE)], timeout_s=0.3)
        reply = await h.ask({**QUESTION, "stream": True})
        assert reply.status == 200 and b"event: error" in reply.body
        last = reply.body.strip().split(b"\n")[-1]
        assert json.loads(last[6:])["type"] == "error"
        row = h.rows()[0]
        assert row["error"] == error and row["usage_estimated"]
        assert row["input_tokens"] > 0 and row["output_tokens"] > 0 and row["cost_microusd"] > 0

    run(test)


@pytest.mark.parametrize("falls_back", [True, False], ids=["with a baseline", "alone"])
def test_a_stream_that_begins_with_an_error_is_an_error_and_no_stream(falls_back):
    """The provider said 200 and then that it cannot: nothing was shown yet, so the status can still say it."""

    async def test(h):
        h.routes(
            [version(1, "fine", h.url), version(2, "error-first", h.url)],
            candidate=2,
            share=BUCKETS,
            falls_back=falls_back,
        )
        reply = await h.ask({**QUESTION, "stream": True})
        row = h.rows()[0]
        if falls_back:
            assert (
                reply.status == 200 and b"message_stop" in reply.body and row["fallback_reason"] == "upstream"
            )
        else:
            assert (reply.status, reply.error) == (529, "overloaded_error") and "Overloaded" in reply.json[
                "error"
            ]["message"]
            assert (row["status"], row["error"]) == (529, "upstream")

    run(test)


def test_every_stream_that_is_cut_is_accounted_for():
    """T19: 200 streams cut by the client at any moment and 50 by the provider: 250 rows, each with its tokens."""
    rng = random.Random(19)

    async def test(h):
        h.routes([version(1, "fine", h.url, price=PRICE)], max_in_flight=200)
        streamed = {**QUESTION, "stream": True}
        await asyncio.gather(*(h.ask(streamed, hang_up_after=rng.random() * 0.3) for _ in range(200)))
        h.routes([version(1, "cut", h.url, price=PRICE)])
        await asyncio.gather(*(h.ask(streamed) for _ in range(50)))
        rows = h.rows()
        assert len({row["id"] for row in rows}) == 250
        for row in rows:
            assert row["input_tokens"] > 0 and row["output_tokens"] > 0 and row["cost_microusd"] > 0
            assert row["usage_estimated"] == bool(row["error"])
        errors = [row["error"] for row in rows]
        # Some were cut before the first byte, some after the last one.
        assert errors.count("cut") == 50 and errors.count("client_gone") > 100
        assert any(row["first_byte_ms"] is None for row in rows[:200])

    run(test, latency_s=0.05, gap_s=0.04)


def test_a_client_that_leaves_is_recorded_and_the_provider_is_let_go():
    """T27 in short: the connection upstream is closed, nothing is left running."""

    async def test(h):
        h.routes([version(1, "silent", h.url), version(2, "hang", h.url)])
        before = len(asyncio.all_tasks())
        await asyncio.gather(*(h.ask({**QUESTION, "stream": True}, hang_up_after=0.1) for _ in range(60)))
        await asyncio.sleep(0.2)
        assert h.provider.n_dropped == 60 and h.provider.open_connections == 0
        assert len(asyncio.all_tasks()) <= before + 2
        rows = h.rows()
        assert len(rows) == 60 and {(r["status"], r["error"]) for r in rows} == {(499, "client_gone")}
        assert all(r["usage_estimated"] and r["output_tokens"] for r in rows)
        assert h.gateway.metrics.in_flight == 0 and h.gateway.pace.in_flight[7] == 0

    run(test)


# --- text and feedback -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("retention", "low", "high"), [("none", 0, 0), ("sample", 15, 90), ("all", 400, 400)]
)
def test_text_is_kept_as_the_endpoint_says(retention, low, high):
    async def test(h):
        h.routes([version(1, provider="local", artefact="/x")], text_retention=retention, text_share=0.1)
        body = {**QUESTION, "messages": [{"role": "user", "content": "parcel for ana@example.org"}]}
        for _ in range(400):
            await h.ask(body)
        rows = h.rows()
        kept = [r for r in rows if r["prompt_text"]]
        assert low <= len(kept) <= high  # 10 % of 400: 40, standard deviation 6
        for row in kept:
            assert ("[at]" in row["prompt_text"]) == (retention == "sample") == row["text_masked"]
            assert row["text_until"] > row["at"]
        assert all(r["features"]["characters"] == 26 for r in rows)

    run(test, local=LocalModels(load=lambda path: Trained()))


@pytest.mark.parametrize(
    ("body", "status"),
    [
        pytest.param({"label": "billing"}, 200, id="the right answer"),
        pytest.param({"correct": False, "rating": 2, "comment": "no"}, 200, id="all of it"),
        pytest.param({}, 400, id="nothing said"),
        pytest.param({"correct": "yes"}, 400, id="correct is no text"),
        pytest.param({"rating": True}, 400, id="rating is no truth"),
        pytest.param({"label": 7}, 400, id="label is text"),
        pytest.param({"labels": "x"}, 400, id="unknown field"),
        pytest.param({"label": "x", "prediction_id": "7"}, 400, id="no id"),
        pytest.param({"label": "x", "prediction_id": str(uuid.uuid4())}, 400, id="not our id"),
    ],
)
def test_feedback_is_taken_by_prediction_id(body, status):
    async def test(h):
        identity = (await h.ask()).headers["x-prediction-id"]
        h.entries.clear()
        reply = await h.ask({"prediction_id": identity, **body}, path="/triage/v1/feedback")
        assert reply.status == status
        assert len(h.entries) == (status == 200)
        if status == 200:
            row = h.entries[0]
            assert row["prediction_id"] == identity and row["endpoint_id"] == 7 and row["team_id"] == 3

    run(test)


def test_metrics_count_and_tell_no_secret():
    async def test(h):
        await h.ask()
        await h.ask(token="ftg_wrong")
        text = (await h.ask(path="/metrics", method="GET", token=None)).body.decode()
        assert 'ftportal_gateway_requests_total{endpoint="7",arm="baseline",status="200"} 1' in text
        assert 'ftportal_gateway_refused_total{status="401"} 1' in text
        assert "ftportal_gateway_latency_ms_count 1" in text
        assert "secret" not in text and "triage" not in text and TOKEN not in text

    run(test)


def test_a_mistake_inside_is_a_500_in_shape_and_recorded(monkeypatch):
    async def test(h):
        def broken(*args, **kwargs):
            raise ZeroDivisionError

        monkeypatch.setattr(shaping, "shaped", broken)
        reply = await h.ask()
        assert (reply.status, reply.error) == (500, "api_error")
        assert [(r["status"], r["error"]) for r in h.rows()] == [(500, "internal")]

    run(test)


def test_the_address_helper_refuses_a_share_without_sense():
    with pytest.raises(ValueError):
        address(share=BUCKETS + 1)
