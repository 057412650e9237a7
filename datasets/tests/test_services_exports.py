"""Exports: the same bytes each time, read back as they went out, held against the readers' rules first."""

from __future__ import annotations

import asyncio
import csv
import hashlib
import io
import json
import zipfile

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets import services
from datasets.domain.cards import dataset_card
from datasets.domain.cleaning import normalise
from datasets.domain.conversations import all_messages, read_conversation
from datasets.domain.formats import EXPORTS
from datasets.domain.linting import RULES, lint_file, lint_row
from datasets.domain.mapping import guess_mapping
from datasets.domain.parsing import json_record
from datasets.domain.records import RowError, converter
from datasets.models import ExportCheck
from datasets.services.exports import in_pieces
from datasets.tests.conftest import jsonl, tickets
from foundation.jobs.services import run_until_idle
from foundation.teams.domain.csv_cells import safe_cell
from foundation.ui.downloads import Download

CALL = {
    "role": "assistant",
    "content": None,
    "tool_calls": [{"function": {"name": "track", "arguments": "{}"}}],
}
WHOLE_CALL = {
    "role": "assistant",
    "tool_calls": [{"id": "c", "type": "function", "function": {"name": "track", "arguments": "{}"}}],
}
TALK = [
    {"role": "user", "content": "Where?"},
    CALL,
    {"role": "tool", "tool_call_id": "c", "content": "depot"},
    {"role": "assistant", "content": "At the depot.", "weight": 1},
]


def parts_of(messages, tools=None):
    talk = read_conversation(messages, column="messages", tools=tools)
    return talk.system, json.loads(talk.turns or "[]"), talk.prompt, talk.completion, talk.extra


@pytest.fixture
def version(dataset, bring_in, editor):
    bring_in(dataset, jsonl(tickets(60)))
    made = services.start_freeze(
        actor=editor,
        dataset=dataset,
        seed="s",
        size_test_by_power=False,
        override_reason="Sixty rows for a test.",
    )
    assert run_until_idle(120)
    made.refresh_from_db()
    assert made.is_frozen, made.error
    return made


# --- lines -------------------------------------------------------------------------------------------------------

# sha256 over the lines of three fixed rows: a change of these bytes changes what providers were given before.
PINNED = {
    "chat": "e24a5530fd440cea",
    "pairs": "3c316e0098c376e9",
    "openai": "e24a5530fd440cea",
    "bedrock": "055faa99deb9e91c",
    "converse": "76189216dcc4b6c7",
    "together": "6934b47597c69de0",
    "trl": "4103a995c4f49ab9",
    "csv": "de5b38283b051cb1",
}


def three_rows():
    return [
        ("", [], "Wo ist es?", "Im Lager.", ""),
        ("Be brief.", [["user", "Hi"], ["assistant", "Hello"]], "=1+1", "Zwei, \u201cgenau\u201d\n", ""),
        parts_of(TALK, [{"type": "function", "function": {"name": "track"}}]),
    ]


@pytest.mark.parametrize("key", EXPORTS)
def test_the_bytes_of_every_format_are_pinned(key):
    lines = b"".join(EXPORTS[key].line(*row) for row in three_rows())
    assert hashlib.sha256(lines).hexdigest()[:16] == PINNED[key]


text = st.text(
    st.characters(blacklist_categories=("Cs",), blacklist_characters="\0"), min_size=1, max_size=40
).map(normalise)
said = text.filter(bool)


@given(system=text, turns=st.lists(st.tuples(said, said), max_size=2), prompt=said, completion=said)
@settings(max_examples=60, deadline=None)
@pytest.mark.parametrize("key", ["chat", "openai", "bedrock", "converse", "together", "trl", "pairs"])
def test_what_goes_out_comes_in_as_it_was(key, system, turns, prompt, completion):
    earlier = [[role, said] for pair in turns for role, said in zip(("user", "assistant"), pair, strict=True)]
    if key == "pairs":
        system, earlier = "", []  # a pair writes them as words
    record = json_record(EXPORTS[key].line(system, earlier, prompt, completion, "").rstrip(b"\n"))
    parts = converter(guess_mapping([record], list(record)))(record)
    back = (parts.system, json.loads(parts.turns or "[]"), parts.prompt, parts.completion)
    assert back == (system, earlier, prompt, completion)
    assert (parts.extra, parts.meta) == ("", "")


@given(prompt=said, completion=said, system=text)
@settings(max_examples=60, deadline=None)
def test_csv_comes_in_as_it_was_but_for_the_apostrophe_before_formulas(prompt, completion, system):
    known = EXPORTS["csv"]
    (head, row) = csv.reader(
        io.StringIO((known.head + known.line(system, [], prompt, completion, "")).decode(), newline=""),
        strict=True,
    )
    assert head == ["system", "prompt", "completion"]
    for cell, was in zip(row, (system, prompt, completion), strict=True):
        assert cell == safe_cell(was)


def test_tools_calls_and_weights_go_where_they_can():
    row = parts_of(TALK, [{"type": "function", "function": {"name": "track"}}])
    chat = orjson.loads(EXPORTS["chat"].line(*row))
    assert (chat["messages"], chat["tools"][0]["function"]["name"]) == (TALK, "track")
    assert orjson.loads(EXPORTS["openai"].line(*row)) == chat
    trl = orjson.loads(EXPORTS["trl"].line(*row))
    assert trl["prompt"] + trl["completion"] == TALK
    claude = orjson.loads(EXPORTS["bedrock"].line(*row))
    assert claude.keys() == {"messages"}
    assert [set(m) for m in claude["messages"]] == [{"role", "content"}] * 4
    assert claude["messages"][1]["content"] == "track({})"
    assert all_messages(*row)[0] == TALK


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        pytest.param(("", [], "p", "c", ""), {}, id="a plain row"),
        pytest.param(
            ("", [["user", "a"], ["user", "b"], ["assistant", "c"]], "p", "c", ""),
            {
                "bedrock": ["roles"],
                "converse": ["roles"],
                "together": ["roles"],
                "pairs": ["flat"],
                "csv": ["flat"],
            },
            id="two questions in a row",
        ),
        pytest.param(
            ("", [["assistant", "Hello, how can I help?"]], "p", "c", ""),
            {
                "bedrock": ["first"],
                "converse": ["first"],
                "together": ["first"],
                "pairs": ["flat"],
                "csv": ["flat"],
            },
            id="the assistant begins",
        ),
        # 50,000 bytes / 2.8 = 17,857 tokens by estimate, and 2 turns of 16: over 16,000 and under 32,000.
        pytest.param(("", [], "x" * 49_999, "y", ""), {"converse": ["long"]}, id="over 16,000 tokens"),
        # 100,000 bytes / 2.8 = 35,714.
        pytest.param(
            ("", [], "x" * 99_999, "y", ""), {"bedrock": ["long"], "converse": ["long"]}, id="over 32,000"
        ),
        pytest.param(("", [], "=SUM(A1)", "c", ""), {"csv": ["formula"]}, id="a formula"),
        pytest.param(
            parts_of([{"role": "user", "content": "p"}, {"role": "assistant", "content": "c", "weight": 0}]),
            {key: ["weights"] for key in ("pairs", "csv", "bedrock", "converse", "together")}
            | {"openai": ["unweighted"]},
            id="nothing to learn",
        ),
        pytest.param(
            parts_of(
                [{"role": "user", "content": "p"}, {"role": "assistant", "content": "c", "weight": 0.5}]
            ),
            {key: ["weights"] for key in ("pairs", "csv", "bedrock", "converse", "together")}
            | {"openai": ["weight"]},
            id="half a weight",
        ),
        pytest.param(
            parts_of(
                [{"role": "user", "content": "p"}, WHOLE_CALL],
                [{"type": "function", "function": {"name": "t"}}],
            ),
            {key: ["calls", "tools"] for key in ("pairs", "csv", "bedrock", "converse", "together")},
            id="tools",
        ),
    ],
)
def test_a_row_is_held_against_every_readers_rules(row, expected):
    assert lint_row(*row) == expected


ASK, ANSWER = {"role": "user", "content": "p"}, {"role": "assistant", "content": "c"}
ANTHROPIC = [
    ASK,
    {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "f", "input": {}}]},
    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "sunny"}]},
    ANSWER,
]
CONVERSE = [
    ASK,
    {"role": "assistant", "content": [{"toolUse": {"toolUseId": "t", "name": "f", "input": {}}}]},
    {"role": "user", "content": [{"toolResult": {"toolUseId": "t", "content": [{"json": {"w": 1}}]}}]},
    ANSWER,
]
SHAREGPT = [
    {"from": "human", "value": "p"},
    {"from": "function_call", "value": "{}"},
    {"from": "observation", "value": "sunny"},
    {"from": "gpt", "value": "c"},
]
CALLED = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
UNNAMED = {**CALLED, "id": None}
AS_OBJECT = {**CALLED, "function": {"name": "f", "arguments": {}}}


@pytest.mark.parametrize(
    ("messages", "tools", "openai", "trl"),
    [
        pytest.param(ANTHROPIC, None, ["shape"], ["shape"], id="Anthropic's calls"),
        pytest.param(CONVERSE, None, ["shape"], ["shape"], id="Converse's calls"),
        pytest.param(
            [ASK, ANSWER], [{"name": "f", "input_schema": {}}], ["shape"], ["shape"], id="Anthropic's tools"
        ),
        pytest.param(SHAREGPT, None, ["call_id"], [], id="ShareGPT's observation names no call"),
        pytest.param([ASK, {"role": "assistant", "tool_calls": [CALLED]}], None, [], [], id="a call as it should be"),
        pytest.param([ASK, {"role": "assistant", "tool_calls": [UNNAMED]}], None, ["shape"], [], id="no id"),
        pytest.param([ASK, {"role": "assistant", "tool_calls": [AS_OBJECT]}], None, ["shape"], [], id="no text"),
        pytest.param([{**ASK, "weight": 1}, ANSWER], None, ["weight_place"], [], id="a question's weight"),
        pytest.param([ASK, {**ANSWER, "weight": True}], None, ["weight"], [], id="true is no number"),
        pytest.param([ASK, {**ANSWER, "weight": 1.0}], None, ["weight"], [], id="a fraction is none"),
    ],
)  # fmt: skip
def test_what_another_provider_writes_is_blocked_where_it_would_be_refused(messages, tools, openai, trl):
    row = parts_of(messages, tools)
    found = lint_row(*row)
    assert (found.get("openai", []), found.get("trl", [])) == (openai, trl)
    assert all(RULES[rule].blocks for rule in openai + trl)


def test_a_foreign_call_that_was_written_over_as_text_blocks_no_more():
    system, turns, prompt, completion, extra = parts_of(ANTHROPIC)
    edited = [[role, "Edited by a person."] for role, _ in turns]
    found = lint_row(system, edited, "Edited as well.", completion, extra)
    assert "openai" not in found and "trl" not in found


def test_a_file_is_held_against_the_sizes_a_provider_takes():
    assert lint_file("chat", {"train": 1}, {}) == []
    assert lint_file("openai", {"train": 9}, {}) == [
        "The training file has 9 rows, at least 10 are asked for."
    ]
    assert lint_file("bedrock", {"train": 9_500, "validation": 1_001}, {"train": 11 * 1024**3}) == [
        "The validation file has 1,001 rows, at most 1,000 are taken.",
        "Training and validation have 10,501 rows together, at most 10,000 are taken.",
        "The train file has 11 GB, at most 10 are taken.",
    ]


# --- versions ----------------------------------------------------------------------------------------------------


def test_a_frozen_version_is_checked_by_itself_and_the_page_says_what_was_found(version, client_for, editor):
    check = ExportCheck.objects.get(version=version)
    assert check.finished_at
    lines = b"".join(services.export_lines(version=version, split="train", format="openai"))
    assert check.report["openai"]["files"]["train"] == {
        "bytes": len(lines),
        "sha256": hashlib.sha256(lines).hexdigest(),
    }
    page = client_for(editor).get(f"/dataset-versions/{version.pk}/export/").content.decode()
    assert "nothing against it" in page
    assert "The training file has 48 rows, at least 100 are asked for." in page
    assert "Test rows are sealed" in page


def test_an_offending_row_is_counted_and_named(dataset, bring_in, editor, client_for):
    talk = [{"role": "assistant", "content": "Hello"}, {"role": "user", "content": "Where is my card?"}]
    odd = [{"messages": [*talk, {"role": "assistant", "content": f"label{i}"}]} for i in range(2)]
    plain = [
        {
            "messages": [
                {"role": "user", "content": row["text"]},
                {"role": "assistant", "content": row["label"]},
            ]
        }
        for row in tickets(40)
    ]
    bring_in(dataset, jsonl(plain + odd))
    made = services.start_freeze(
        actor=editor,
        dataset=dataset,
        seed="s",
        size_test_by_power=False,
        override_reason="Forty rows for a test.",
    )
    assert run_until_idle(120)
    report = ExportCheck.objects.get(version=made).report
    entry = report["bedrock"]["rules"]["first"]
    assert (report["bedrock"]["n_blocked"], entry["n"]) == (2, 2)
    example = entry["rows"][0][2]
    assert dataset.examples.get(pk=example).content.earlier == [["assistant", "Hello"]]
    assert (
        f"/examples/{example}/"
        in client_for(editor).get(f"/dataset-versions/{made.pk}/export/").content.decode()
    )


def test_checking_twice_is_checking_once(version, editor, client_for):
    before = ExportCheck.objects.get(version=version)
    client_for(editor).post(f"/dataset-versions/{version.pk}/export/check/")
    assert run_until_idle(60)
    after = ExportCheck.objects.get(version=version)
    assert (after.finished_at, after.report, after.job_id) == (
        before.finished_at,
        before.report,
        before.job_id,
    )


def test_downloads_are_the_same_bytes_each_time_and_safe(version, client_for, editor):
    client = client_for(editor)
    for key, known in EXPORTS.items():
        bodies = set()
        for _ in range(2):
            answer = client.get(f"/dataset-versions/{version.pk}/export/train/{key}/")
            bodies.add(b"".join(answer.streaming_content))
            assert (
                answer["Content-Disposition"]
                == f'attachment; filename="support-tickets-v1-train-{key}.{known.suffix}"'
            )
            assert answer["X-Content-Type-Options"] == "nosniff"
        assert len(bodies) == 1
        assert bodies.pop().count(b"\n") == version.n_train + bool(known.head)


def test_the_folder_is_the_same_bytes_and_leaves_sealed_rows_out(version, client_for, editor):
    client = client_for(editor)

    def folder():
        return b"".join(client.get(f"/dataset-versions/{version.pk}/export/folder/").streaming_content)

    first = folder()
    assert folder() == first
    with zipfile.ZipFile(io.BytesIO(first)) as found:
        assert found.namelist() == ["README.md", "data/train.jsonl", "data/validation.jsonl"]
        card = found.read("README.md").decode()
        assert found.read("data/train.jsonl") == b"".join(
            services.export_lines(version=version, split="train")
        )
    assert f"The {version.n_test} test rows are sealed" in card
    assert version.checksum in card
    services.open_test_rows(actor=editor, version=version, reason="The final claim of this test.")
    with zipfile.ZipFile(io.BytesIO(folder())) as found:
        assert found.read("data/test.jsonl").count(b"\n") == version.n_test


def test_a_strangers_and_sealed_rows_stay_where_they_are(version, client_for, outsider, editor):
    for path in ("", "folder/", "train/chat/"):
        assert client_for(outsider).get(f"/dataset-versions/{version.pk}/export/{path}").status_code == 404
    assert client_for(editor).get(f"/dataset-versions/{version.pk}/export/test/csv/").status_code == 403


def test_a_card_holds_names_as_text():
    card = dataset_card(
        name='A "set": <b>#1</b>\nlicense: mit',
        number=1,
        checksum="c" * 64,
        task_kind="classify",
        labels=["a|b", "[x](javascript:1)"],
        recipe={"seed": "s", "strategy": "stratified"},
        sizes={"train": 1500},
        n_test=0,
        leaks=[],
    )
    head = card.split("---")[1]
    assert "\nlicense" not in head
    assert 'pretty_name: "A \\"set\\": <b>#1</b>\\nlicense: mit, version 1"' in head
    assert "1K<n<10K" in head
    assert "\\[x\\](javascript:1)" in card
    assert "<b>" not in card.split("---")[2]


def test_pieces_are_fetched_as_they_are_sent(settings):
    """Under ASGI a streaming answer over an ordinary iterator would be made a list first."""
    fetched = []

    def pieces():
        for number in range(1000):
            fetched.append(number)
            yield b"x" * 1000

    async def first_three():
        taken = []
        async for piece in Download(in_pieces(pieces()), name="x.jsonl"):
            taken.append(len(piece))
            if len(taken) == 3:
                return taken

    assert asyncio.run(first_three()) == [66_000] * 3
    assert len(fetched) == 198


@given(
    st.dictionaries(
        st.text(max_size=6),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=6),
            lambda v: (
                st.lists(v, max_size=3)
                | st.dictionaries(
                    st.sampled_from(
                        [
                            "role",
                            "content",
                            "from",
                            "value",
                            "type",
                            "text",
                            "tool_calls",
                            "function",
                            "name",
                            "weight",
                        ]
                    ),
                    v,
                    max_size=4,
                )
            ),
            max_leaves=15,
        ),
        max_size=4,
    )
)
@settings(max_examples=150, deadline=None)
def test_any_record_becomes_a_row_every_format_can_write_or_a_named_error(record):
    record = {
        **record,
        "messages": [
            {"role": "user", "content": "q"},
            {"role": "assistant", **{k: v for k, v in record.items() if k}, "content": "a"},
        ],
    }
    try:
        parts = converter(guess_mapping([record], list(record)))(record)
    except RowError as error:
        assert error.reason
        return
    turns = json.loads(parts.turns or "[]")
    for known in EXPORTS.values():
        assert known.line(parts.system, turns, parts.prompt, parts.completion, parts.extra).endswith(b"\n")
    lint_row(parts.system, turns, parts.prompt, parts.completion, parts.extra)
