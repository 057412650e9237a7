"""Chat completions: the same endpoint asked in the other protocol, answered in it, recorded the same."""

from __future__ import annotations

import json
from types import SimpleNamespace

import orjson
import pytest

from deployments.gateway import chat, protocol
from deployments.gateway.local import LocalModels
from deployments.gateway.shaping import Refused
from deployments.tests.gateway_help import TOKEN, run, version

PATH = "/triage/v1/chat/completions"
ASKED = {"model": "mine", "messages": [{"role": "user", "content": "Where is my parcel?"}]}


def chunks_in(body: bytes) -> list:
    """The data of every chunk; the last one is the text [DONE] of a whole stream."""
    lines = [line[6:] for line in body.decode().split("\n") if line.startswith("data: ")]
    return [line if line == "[DONE]" else json.loads(line) for line in lines]


# --- the request -------------------------------------------------------------------------------------------------------


def test_a_whole_request_is_worded_as_messages():
    asked = {
        "model": "mine",
        "messages": [
            {"role": "system", "content": "Be kind."},
            {"role": "developer", "content": [{"type": "text", "text": "Be brief."}]},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "What is this?", "cache_control": {"type": "ephemeral"}},
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
                    {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}},
                ],
            },
            {
                "role": "assistant",
                "content": "Looking.",
                "tool_calls": [
                    {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"n": 1}'}},
                    {"id": "c2", "type": "function", "function": {"name": "look", "arguments": ""}},
                ],
            },
            {"role": "tool", "tool_call_id": "c1", "content": "a cat"},
            {"role": "tool", "tool_call_id": "c2", "content": "a dog"},
            {"role": "user", "content": "And?"},
        ],
        "max_completion_tokens": 99,
        "stop": "END",
        "temperature": 1.7,
        "top_p": 0.5,
        "user": "u1",
        "seed": 7,
        "stream": True,
        "tools": [
            {"type": "function", "function": {"name": "look", "description": "d", "parameters": {"a": 1}}}
        ],
        "tool_choice": "required",
        "parallel_tool_calls": False,
        "reasoning_effort": "high",
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "n", "schema": {"type": "object"}},
        },
        "x_unknown": {"deep": [1]},
    }
    assert chat.as_messages(asked) == {
        "model": "mine",
        "system": "Be kind.\n\nBe brief.",
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "What is this?", "cache_control": {"type": "ephemeral"}},
                    {
                        "type": "image",
                        "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"},
                    },
                    {"type": "image", "source": {"type": "url", "url": "https://example.org/a.png"}},
                ],
            },
            {
                "role": "assistant",
                "content": [
                    {"type": "text", "text": "Looking."},
                    {"type": "tool_use", "id": "c1", "name": "look", "input": {"n": 1}},
                    {"type": "tool_use", "id": "c2", "name": "look", "input": {}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "c1", "content": "a cat"},
                    {"type": "tool_result", "tool_use_id": "c2", "content": "a dog"},
                ],
            },
            {"role": "user", "content": "And?"},
        ],
        "max_tokens": 99,
        "stop_sequences": ["END"],
        "temperature": 1,
        "top_p": 0.5,
        "metadata": {"user_id": "u1"},
        "stream": True,
        "tools": [{"name": "look", "description": "d", "input_schema": {"a": 1}}],
        "tool_choice": {"type": "any", "disable_parallel_tool_use": True},
        "output_config": {"effort": "high", "format": {"type": "json_schema", "schema": {"type": "object"}}},
        "x_unknown": {"deep": [1]},
    }


@pytest.mark.parametrize(
    ("asked", "word"),
    [
        pytest.param([], "JSON object", id="a list"),
        pytest.param({}, "messages", id="nothing"),
        pytest.param({"messages": [1]}, "messages.0", id="a turn that is a number"),
        pytest.param({"messages": [{"role": "system", "content": "x"}]}, "of the user", id="only a system"),
        pytest.param({"messages": [{"role": "robot", "content": "x"}]}, "role", id="an unknown role"),
        pytest.param({**ASKED, "n": 2}, "one answer", id="two answers"),
        pytest.param({**ASKED, "functions": [{}]}, "tools", id="the old word for tools"),
        pytest.param({**ASKED, "tools": [{"type": "web"}]}, "tools.0", id="a tool that is no function"),
        pytest.param({**ASKED, "tools": {"a": 1}}, "tools.0", id="tools that are no list"),
        pytest.param({**ASKED, "response_format": {"type": "json_object"}}, "json_schema", id="any JSON"),
        pytest.param({**ASKED, "reasoning_effort": ["x"]}, "reasoning_effort", id="an effort that is a list"),
        pytest.param(
            {**ASKED, "tools": [{"type": "function", "function": {"name": "f"}}], "tool_choice": {"a": 1}},
            "tool_choice",
            id="a choice without a name",
        ),
        pytest.param(
            {"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]}, "input_audio", id="sound"
        ),
        pytest.param(
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [{"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}],
                    }
                ]
            },
            "https address",
            id="an image that is a file",
        ),
        pytest.param(
            {
                "messages": [
                    {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "{"}}]}
                ]
            },
            "arguments as JSON",
            id="a call with half JSON",
        ),
        pytest.param(
            {"messages": [{"role": "user", "content": 5}]}, "must be text", id="content that is a number"
        ),
    ],
)
def test_what_has_no_counterpart_is_refused_in_a_sentence_that_names_it(asked, word):
    with pytest.raises(Refused, match=word):
        chat.as_messages(asked)


# --- the answer --------------------------------------------------------------------------------------------------------


def test_a_whole_answer_with_a_call_and_its_counts():
    whole = {
        "model": "m",
        "content": [
            {"type": "thinking", "thinking": "hm"},
            {"type": "text", "text": "Yes."},
            {"type": "tool_use", "id": "c1", "name": "look", "input": {"n": 1}},
        ],
        "stop_reason": "tool_use",
        # 10 + 5 + 3 = 18 of the prompt, 5 of them from the cache; 18 + 7 = 25
        "usage": {
            "input_tokens": 10,
            "cache_read_input_tokens": 5,
            "cache_creation_input_tokens": 3,
            "output_tokens": 7,
        },
    }
    made = chat.completion(whole, identity="i", created=5)
    assert made["id"] == "chatcmpl-i" and made["object"] == "chat.completion" and made["created"] == 5
    choice = made["choices"][0]
    assert choice["finish_reason"] == "tool_calls" and choice["message"]["content"] == "Yes."
    assert choice["message"]["tool_calls"][0]["function"] == {"name": "look", "arguments": '{"n":1}'}
    assert made["usage"] == {
        "prompt_tokens": 18,
        "completion_tokens": 7,
        "total_tokens": 25,
        "prompt_tokens_details": {"cached_tokens": 5},
    }


EVENTS = b"".join(
    (
        protocol.event(
            "message_start", {"message": {"model": "m", "usage": {"input_tokens": 4, "output_tokens": 1}}}
        ),
        protocol.event("ping", {}),
        protocol.event("content_block_start", {"index": 0, "content_block": {"type": "text", "text": ""}}),
        protocol.event("content_block_delta", {"index": 0, "delta": {"type": "text_delta", "text": "Grüße"}}),
        protocol.event(
            "content_block_start", {"index": 1, "content_block": {"type": "tool_use", "id": "c", "name": "f"}}
        ),
        protocol.event(
            "content_block_delta", {"index": 1, "delta": {"type": "input_json_delta", "partial_json": '{"a"'}}
        ),
        protocol.event(
            "content_block_delta", {"index": 1, "delta": {"type": "input_json_delta", "partial_json": ":1}"}}
        ),
        protocol.event(
            "message_delta", {"delta": {"stop_reason": "max_tokens"}, "usage": {"output_tokens": 6}}
        ),
        protocol.event("message_stop", {}),
    )
)


@pytest.mark.parametrize("size", [1, 7, 64, 10_000])
def test_events_become_the_same_chunks_wherever_they_are_cut(size):
    turned = chat.Chunks(identity="i", created=5, wants_usage=True)
    body = b"".join(turned.feed(EVENTS[i : i + size]) for i in range(0, len(EVENTS), size))
    *found, done = chunks_in(body)
    assert done == "[DONE]" and {c["id"] for c in found} == {"chatcmpl-i"} and found[0]["model"] == "m"
    deltas = [c["choices"][0]["delta"] for c in found if c["choices"]]
    assert deltas[0] == {"role": "assistant", "content": ""} and deltas[1] == {"content": "Grüße"}
    assert deltas[2]["tool_calls"][0] == {
        "index": 0,
        "id": "c",
        "type": "function",
        "function": {"name": "f", "arguments": ""},
    }
    assert "".join(d["tool_calls"][0]["function"]["arguments"] for d in deltas[2:5]) == '{"a":1}'
    assert [c["choices"][0]["finish_reason"] for c in found if c["choices"]][-1] == "length"
    assert found[-1]["choices"] == [] and found[-1]["usage"]["total_tokens"] == 4 + 6


# --- through the gateway -----------------------------------------------------------------------------------------------


def test_a_chat_completion_is_asked_answered_and_recorded_as_any_other():
    async def test(h):
        h.routes([version(1, url=h.url, system="Ours", max_tokens=9)], text_retention="all")
        body = {
            **ASKED,
            "messages": [{"role": "system", "content": "Theirs"}, *ASKED["messages"]],
            "user": "ana",
        }
        reply = await h.ask(body, path=PATH)
        assert reply.status == 200 and reply.json["object"] == "chat.completion"
        sent = h.provider.seen[0]["body"]
        assert sent["model"] == "fine" and sent["system"] == "Ours" and sent["max_tokens"] == 9
        assert sent["messages"] == ASKED["messages"] and sent["metadata"] == {"user_id": "ana"}
        row = h.rows()[0]
        said = reply.json["choices"][0]["message"]["content"]
        assert (row["id"], row["status"], row["answer_text"]) == (reply.headers["x-prediction-id"], 200, said)
        assert row["prompt_text"] == "Where is my parcel?" and row["is_sticky"]
        assert row["input_tokens"] == reply.json["usage"]["prompt_tokens"]
        assert reply.json["id"] == f"chatcmpl-{row['id']}"

    run(test)


def test_the_same_person_meets_the_same_version_in_both_protocols():
    async def test(h):
        h.routes([version(1, url=h.url), version(2, url=h.url)], candidate=2, share=5000)
        seen = set()
        for n in range(40):
            one = await h.ask({**ASKED, "user": f"u{n}"}, path=PATH)
            other = await h.ask({**ASKED, "max_tokens": 5, "metadata": {"user_id": f"u{n}"}})
            assert one.headers["x-model-version"] == other.headers["x-model-version"]
            seen.add(one.headers["x-model-version"])
        assert seen == {"v1", "v2"}

    run(test)


def test_a_system_prompt_in_the_messages_may_be_refused():
    async def test(h):
        h.routes([version(1, url=h.url)], system_policy="refuse")
        body = {"messages": [{"role": "developer", "content": "Theirs"}, *ASKED["messages"]]}
        reply = await h.ask(body, path=PATH)
        assert (reply.status, reply.error) == (400, "invalid_request_error") and h.entries == []

    run(test)


def test_a_stream_comes_as_chunks_and_ends_with_its_counts():
    async def test(h):
        asked = {**ASKED, "stream": True, "stream_options": {"include_usage": True}}
        reply = await h.ask(asked, path=PATH)
        assert reply.headers["content-type"].startswith("text/event-stream")
        *found, done = chunks_in(reply.body)
        assert done == "[DONE]"
        row = h.rows()[0]
        text = "".join(c["choices"][0]["delta"].get("content", "") for c in found if c["choices"])
        assert len(text.split()) == row["output_tokens"] and row["is_stream"] and not row["error"]
        assert found[-1]["usage"]["completion_tokens"] == row["output_tokens"]
        assert "stream_options" not in h.provider.seen[0]["body"]

    run(test)


@pytest.mark.parametrize("parts", [[], [""]], ids=["no part", "an empty part"])
def test_a_streamed_call_without_arguments_ends_as_json(parts):
    block = {"type": "tool_use", "id": "t1", "name": "now", "input": {}}
    events = [
        {"type": "content_block_start", "index": 1, "content_block": block},
        *(
            {
                "type": "content_block_delta",
                "index": 1,
                "delta": {"type": "input_json_delta", "partial_json": p},
            }
            for p in parts
        ),
        {"type": "content_block_stop", "index": 1},
        {"type": "content_block_start", "index": 2, "content_block": {**block, "id": "t2"}},
        {"type": "content_block_delta", "index": 2, "delta": {"partial_json": '{"a":1}'}},
        {"type": "content_block_stop", "index": 2},
    ]
    raw = b"".join(b"data: %s\n\n" % orjson.dumps(event) for event in events)
    said = ["", ""]
    for chunk in chunks_in(chat.Chunks(identity="i", created=0, wants_usage=False).feed(raw)):
        [call] = chunk["choices"][0]["delta"]["tool_calls"]
        said[call["index"]] += call["function"]["arguments"]
    assert said == ["{}", '{"a":1}']


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({"max_completion_tokens": None, "max_tokens": 7}, 7),
        ({"max_completion_tokens": 9, "max_tokens": 7}, 9),
    ],
)
def test_a_limit_that_is_null_is_no_limit(limits, expected):
    assert chat.as_messages({**ASKED, **limits})["max_tokens"] == expected


@pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
def test_a_model_trained_here_answers_chat_completions_too(stream):
    async def test(h):
        h.routes([version(1, provider="local", artefact="m")])
        reply = await h.ask({**ASKED, "stream": stream}, path=PATH)
        if stream:
            first, second, last, done = chunks_in(reply.body)
            assert second["choices"][0]["delta"]["content"] == "Where is my parcel? -> delivery"
            assert last["choices"][0]["finish_reason"] == "stop" and done == "[DONE]"
        else:
            assert reply.json["choices"][0]["message"]["content"] == "Where is my parcel? -> delivery"
        assert h.rows()[0]["confidence"] == 0.9

    def load(path):
        return SimpleNamespace(
            answer=lambda texts: [SimpleNamespace(text=f"{t} -> delivery", confidence=0.9) for t in texts]
        )

    run(test, local=LocalModels(load))


@pytest.mark.parametrize(
    ("model", "status", "kind"),
    [
        ("http-500", 500, "server_error"),
        ("http-529", 529, "server_error"),
        ("http-429", 429, "rate_limit_error"),
        ("http-400", 400, "invalid_request_error"),
        ("http-401", 502, "server_error"),
        ("nonsense", 502, "server_error"),
        ("reset", 502, "server_error"),
        ("hang", 504, "server_error"),
    ],
)
@pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
def test_a_provider_that_fails_is_an_error_in_this_protocols_shape(model, status, kind, stream):
    async def test(h):
        h.routes([version(1, model, h.url)], timeout_s=0.3)
        reply = await h.ask({**ASKED, "stream": stream}, path=PATH)
        assert (reply.status, reply.error) == (status, kind) and reply.json["error"]["message"]
        assert set(reply.json["error"]) == {"message", "type", "param", "code"} and set(reply.json) == {
            "error"
        }
        assert h.rows()[0]["status"] == status

    run(test)


@pytest.mark.parametrize(
    ("model", "error"),
    [("cut", "cut"), ("unfinished", "cut"), ("silent", "timeout"), ("error-event", "upstream")],
)
def test_half_a_stream_ends_with_an_error_and_never_with_done(model, error):
    async def test(h):
        h.routes([version(1, model, h.url)], timeout_s=0.3)
        reply = await h.ask({**ASKED, "stream": True}, path=PATH)
        found = chunks_in(reply.body)
        assert reply.status == 200 and "[DONE]" not in found and found[-1]["error"]["type"] == "server_error"
        assert [c for c in found if "error" in c] == found[-1:]
        assert h.rows()[0]["error"] == error

    run(test)


@pytest.mark.parametrize(
    ("body", "token", "path", "status", "kind"),
    [
        pytest.param(ASKED, "ftg_wrong", PATH, 401, "authentication_error", id="a wrong token"),
        pytest.param(ASKED, TOKEN, "/other" + PATH[7:], 404, "invalid_request_error", id="another endpoint"),
        pytest.param(b"{", TOKEN, PATH, 400, "invalid_request_error", id="half JSON"),
        pytest.param({}, TOKEN, PATH, 400, "invalid_request_error", id="no messages"),
        pytest.param(
            {"messages": [{"role": "user", "content": "a\0b"}]},
            TOKEN,
            PATH,
            400,
            "invalid_request_error",
            id="NUL",
        ),
    ],
)
def test_refusals_of_the_gateway_are_in_this_protocols_shape(body, token, path, status, kind):
    async def test(h):
        reply = await h.ask(body, path=path, token=token)
        assert (reply.status, reply.error) == (status, kind) and "type" not in reply.json

    run(test)


def test_a_candidate_that_fails_falls_back_and_a_shadow_stays_silent_in_chat_too():
    async def test(h):
        h.routes([version(1, url=h.url), version(2, "http-500", h.url)], candidate=2, share=10_000)
        reply = await h.ask(ASKED, path=PATH)
        assert reply.status == 200 and reply.headers["x-model-version"] == "v1"
        assert h.rows()[0]["is_fallback"] and h.rows()[0]["fallback_reason"] == "upstream"
        h.routes(
            [version(1, url=h.url), version(2, "other", h.url)], candidate=2, share=10_000, is_shadow=True
        )
        reply = await h.ask({**ASKED, "stream": True}, path=PATH)
        while h.gateway.shadows:
            import asyncio

            await asyncio.gather(*h.gateway.shadows)
        arms = [row["arm"] for row in h.rows()]
        assert arms == ["candidate", "baseline", "shadow"] and orjson.dumps("other") not in reply.body

    run(test)
