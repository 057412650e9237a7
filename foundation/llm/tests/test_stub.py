"""The stub provider: the SDK talks to it, it is steady, it fails when told to, and it shapes its answers."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys

import anthropic
import pytest
from django.conf import settings

from foundation.llm.testing import stub_answers
from foundation.llm.testing.stub_upstream import FAULTS, StubUpstream, checked_script, script_named, stats_of

ASKED = {
    "model": "claude-haiku-5-5",
    "max_tokens": 60,
    "messages": [{"role": "user", "content": "Where is my card?"}],
}


def run(url, work, key="sk-any-key"):
    async def main():
        async with anthropic.AsyncAnthropic(api_key=key, base_url=url, max_retries=0, timeout=5) as client:
            return await work(client)

    return asyncio.run(main())


def test_the_sdk_talks_to_it(stub):
    async def work(client):
        message = await client.messages.create(**ASKED)
        async with client.messages.stream(**ASKED) as stream:
            streamed = await stream.get_final_message()
        counted = await client.messages.count_tokens(model=ASKED["model"], messages=ASKED["messages"])
        return message, streamed, counted, [m.id async for m in client.models.list()]

    message, streamed, counted, models = run(stub.url, work)
    assert message.content[0].text == streamed.content[0].text
    assert message.stop_reason == streamed.stop_reason == "end_turn"
    assert message.usage.output_tokens == streamed.usage.output_tokens > 0
    assert message._request_id == "req_stub_000001"
    assert counted.input_tokens > 0 and "claude-haiku-5-5" in models
    assert stats_of(stub.url)["calls"] == stub.calls == 2


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"model": "gpt-x"}, anthropic.NotFoundError),
        ({"extra_body": {"temperature": 0}}, anthropic.BadRequestError),
    ],
)
def test_it_refuses_what_claude_refuses(stub, change, error):
    with pytest.raises(error):
        run(stub.url, lambda client: client.messages.create(**{**ASKED, **change}))


def test_it_knows_its_key():
    with StubUpstream(key="sk-right-key") as stub:
        assert run(stub.url, lambda c: c.messages.create(**ASKED), key="sk-right-key")
        for wrong in ("sk-other-key", "sk-wrong-key"):
            with pytest.raises(anthropic.AuthenticationError):
                run(stub.url, lambda c: c.messages.create(**ASKED), key=wrong)


def test_the_same_question_gets_the_same_answer():
    body = {**ASKED, "system": "Sort into one of: lost card, top up, fee"}
    assert (
        stub_answers.answer_text(body)
        == stub_answers.answer_text(json.loads(json.dumps(body)))
        == "lost card"
    )


def test_an_example_shown_before_is_repeated():
    shown = [
        {"role": "user", "content": "My card is gone"},
        {"role": "assistant", "content": "lost"},
        {"role": "user", "content": "What does it cost"},
        {"role": "assistant", "content": "fee"},
        {"role": "user", "content": "card gone!"},
    ]
    assert stub_answers.answer_text({"messages": shown}) == "lost"


JUDGE = {
    "type": "object",
    "properties": {
        "score": {"type": "integer", "minimum": 1, "maximum": 5},
        "share": {"type": "number"},
        "correct": {"type": "boolean"},
        "verdict": {"enum": ["pass", "fail"]},
        "reasoning": {"type": "string"},
        "issues": {"type": "array", "items": {"enum": ["tone", "facts"]}},
        "label": {"anyOf": [{"type": "string", "enum": ["refund", "lost card"]}, {"type": "null"}]},
        "nested": {"$ref": "#/$defs/n"},
    },
    "required": ["score"],
    "$defs": {"n": {"type": "object", "properties": {"kind": {"const": "x"}}}},
}


def judge(expected, answer, schema=JUDGE):
    prompt = f"<expected>{expected}</expected>\n<answer>{answer}</answer>"
    return stub_answers.shaped(anthropic.transform_schema(schema), prompt, asked=prompt)


def test_a_judge_finds_equal_answers_equal_and_others_not():
    good, bad = (
        judge("Your card is lost", "your CARD is  lost"),
        judge("Your card is lost", "Nothing of that"),
    )
    assert (good["score"], good["correct"], good["verdict"], good["issues"], good["share"]) == (
        5,
        True,
        "pass",
        [],
        1,
    )
    assert (bad["score"], bad["correct"], bad["verdict"]) == (1, False, "fail")
    assert bad["issues"] == ["tone"] and good["nested"] == {"kind": "x"}
    assert good["label"] in ("refund", "lost card")


def test_rows_judged_together_keep_their_ids():
    schema = {
        "type": "object",
        "properties": {
            "rows": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        "id": {"type": "integer"},
                        "score": {"type": "integer", "minimum": 1, "maximum": 5},
                    },
                },
            }
        },
    }
    prompt = '<row id="7">a good long text of words</row>\n<row id="9">another good long text</row>'
    rows = stub_answers.shaped(schema, prompt, asked=prompt)["rows"]
    assert [r["id"] for r in rows] == [7, 9] and all(1 <= r["score"] <= 5 for r in rows)


def test_a_judge_reads_rows_given_as_json_too():
    row = {"type": "object", "properties": {"row": {"type": "string"}, "accuracy": {"type": "number"}}}
    schema = {"type": "object", "properties": {"verdicts": {"type": "array", "items": row}}}
    rows = [
        {"row": "a1", "question": "Where?", "expected answer": 'In "B"', "answer to judge": 'in "b"'},
        {"row": "b2", "question": "Where?", "expected answer": "In the hall", "answer to judge": "No idea"},
    ]
    prompt = "\n".join(f"<x9>\n{json.dumps(r)}\n</x9>" for r in rows)
    verdicts = stub_answers.shaped(schema, prompt, asked=prompt)["verdicts"]
    assert verdicts == [{"row": "a1", "accuracy": 1.0}, {"row": "b2", "accuracy": 0.0}]


def test_rules_strike_when_they_should(stub):
    stub.stub.script = checked_script(
        [
            {"nth": 2, "fault": "529"},
            {"contains": "BOOM", "fault": "500", "times": 1},
            {"every": 4, "fault": "refusal"},
        ]
    )
    found = [
        stub.stub.fault_for(n, raw) for n, raw in [(1, b""), (2, b""), (3, b"BOOM"), (3, b"BOOM"), (4, b"")]
    ]
    assert [f and f["fault"] for f in found] == [None, "529", "500", None, "refusal"]


def test_a_script_is_checked():
    assert script_named("faults") and script_named("none") == []
    assert script_named('[{"every": 3, "fault": "429"}]') == [{"every": 3, "fault": "429"}]
    for wrong in ("{}", '[{"fault": "nonsense"}]', "[1]"):
        with pytest.raises((ValueError, OSError)):
            script_named(wrong) if wrong.startswith("[") else checked_script(json.loads(wrong))
    assert len(FAULTS) >= 20


@pytest.mark.parametrize("fault", ["sse-error", "sse-truncated", "cut"])
def test_streams_fail_as_told(fault):
    async def work(client):
        async with client.messages.stream(**ASKED) as stream:
            return await stream.get_final_message()

    with StubUpstream(script=[{"fault": fault}]) as stub:
        try:
            message = run(stub.url, work)
        except Exception as error:
            assert fault in ("sse-error", "cut"), error
        else:
            assert fault == "sse-truncated" and message.stop_reason is None


def test_it_runs_from_the_command_line():
    process = subprocess.Popen(
        [sys.executable, "-m", "foundation.llm.testing.stub_upstream", "--port", "0", "--script", "faults"],
        cwd=settings.BASE_DIR, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        url = process.stdout.readline().strip()
        assert url.startswith("http://127.0.0.1:")
        assert stats_of(url)["calls"] == 0
    finally:
        process.terminate()
        process.wait(10)
        process.stdout.close()
    wrong = subprocess.run(
        [sys.executable, "-m", "foundation.llm.testing.stub_upstream", "--script", "/nowhere.json"],
        cwd=settings.BASE_DIR, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert wrong.returncode == 2 and "cannot be used" in wrong.stderr and "Traceback" not in wrong.stderr
