"""Conversations in every shape of the field: recognised, read whole, written back as they came."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from datasets.domain.conversations import RowError, all_messages
from datasets.domain.formats import EXPORTS, chat_line, openai_line
from datasets.domain.linting import lint_row
from datasets.domain.mapping import ColumnMapping, guess_mapping, shape_of
from datasets.domain.pii import mask_pii
from datasets.domain.records import FURTHER, converter
from datasets.domain.rewriting import rewrite, texts_beside

USER, ANSWER = {"role": "user", "content": "Where is it?"}, {"role": "assistant", "content": "At the depot."}
CALL = {
    "role": "assistant",
    "content": None,
    "tool_calls": [
        {"id": "c1", "type": "function", "function": {"name": "track", "arguments": '{"parcel": 7}'}}
    ],
}
RESULT = {"role": "tool", "tool_call_id": "c1", "content": '{"place": "depot"}'}
TOOLS = [{"type": "function", "function": {"name": "track", "parameters": {"type": "object"}}}]

SHAPES = [
    pytest.param(
        {"messages": [{"role": "system", "content": "Be brief."}, USER, ANSWER]},
        "chat messages (OpenAI, TRL)",
        ("Be brief.", [], "Where is it?", "At the depot."),
        id="OpenAI",
    ),
    pytest.param(
        {
            "system": "Be brief.",
            "messages": [USER, {"role": "assistant", "content": [{"type": "text", "text": "At the depot."}]}],
        },
        "Anthropic or Bedrock messages",
        ("Be brief.", [], "Where is it?", "At the depot."),
        id="Anthropic",
    ),
    pytest.param(
        {
            "schemaVersion": "bedrock-conversation-2024",
            "system": [{"text": "Be brief."}],
            "messages": [
                {"role": "user", "content": [{"text": "Where is it?"}]},
                {"role": "assistant", "content": [{"text": "At the depot."}]},
            ],
        },
        "Bedrock Converse conversations",
        ("Be brief.", [], "Where is it?", "At the depot."),
        id="Bedrock Converse",
    ),
    pytest.param(
        {
            "conversations": [
                {"from": "system", "value": "Be brief."},
                {"from": "human", "value": "Hello"},
                {"from": "gpt", "value": "Hi"},
                {"from": "human", "value": "Where is it?"},
                {"from": "gpt", "value": "At the depot."},
            ]
        },
        "ShareGPT conversations",
        ("Be brief.", [["user", "Hello"], ["assistant", "Hi"]], "Where is it?", "At the depot."),
        id="ShareGPT",
    ),
    pytest.param(
        {"instruction": "Translate.", "input": "Hund", "output": "dog"},
        "Alpaca instructions",
        ("", [], "Translate.\n\nHund", "dog"),
        id="Alpaca",
    ),
    pytest.param(
        {
            "instruction": "And a cat?",
            "input": "",
            "output": "Katze",
            "system": "Be brief.",
            "history": [["A dog?", "Hund"]],
        },
        "Alpaca instructions",
        ("Be brief.", [["user", "A dog?"], ["assistant", "Hund"]], "And a cat?", "Katze"),
        id="Alpaca with history",
    ),
    pytest.param(
        {"prompt": "Where is it?", "completion": "At the depot."},
        "prompt and completion",
        ("", [], "Where is it?", "At the depot."),
        id="prompt and completion",
    ),
    pytest.param(
        {"prompt": [{"role": "system", "content": "Be brief."}, USER], "completion": [ANSWER]},
        "TRL prompt and completion, as messages",
        ("Be brief.", [], "Where is it?", "At the depot."),
        id="TRL",
    ),
]


@pytest.mark.parametrize(("record", "shape", "expected"), SHAPES)
def test_every_shape_of_the_field_is_recognised_and_read(record, shape, expected):
    mapping = guess_mapping([record], list(record))
    assert mapping.problem(list(record)) == ("", "")
    assert shape_of([record], mapping) == shape
    parts = converter(mapping)(record)
    assert (parts.system, json.loads(parts.turns or "[]"), parts.prompt, parts.completion) == expected
    assert parts.meta == ""


@pytest.mark.parametrize(
    "messages",
    [
        pytest.param([USER, CALL, RESULT, ANSWER], id="a tool is called and answers"),
        pytest.param([USER, CALL], id="the answer is a call"),
        pytest.param([USER, {**CALL, "content": "Let me look."}], id="words and a call"),
        pytest.param([USER, {**ANSWER, "weight": 0}, USER, {**ANSWER, "weight": 1}], id="weights"),
        pytest.param([{**USER, "name": "Ana"}, ANSWER], id="a name"),
        pytest.param(
            [
                USER,
                {
                    "role": "assistant",
                    "content": [{"type": "tool_use", "id": "t", "name": "track", "input": {"parcel": 7}}],
                },
                {
                    "role": "user",
                    "content": [{"type": "tool_result", "tool_use_id": "t", "content": "depot"}],
                },
                ANSWER,
            ],
            id="Anthropic's blocks",
        ),
    ],
)
def test_tools_calls_weights_and_names_come_back_as_they_came(messages):
    parts = converter(ColumnMapping(messages="messages", tools="tools"))(
        {"messages": messages, "tools": TOOLS}
    )
    back, tools = all_messages(
        "", json.loads(parts.turns or "[]"), parts.prompt, parts.completion, parts.extra
    )
    assert (back, tools) == (messages, TOOLS)
    assert all(role in ("user", "assistant") for role, _ in json.loads(parts.turns or "[]"))


def test_an_edited_answer_stands_against_the_call_it_replaced():
    parts = converter(ColumnMapping(messages="messages"))({"messages": [USER, CALL]})
    assert parts.completion == 'track({"parcel": 7})'
    back, _ = all_messages("", [], parts.prompt, "I cannot track it.", parts.extra)
    assert back[1] == {"role": "assistant", "content": "I cannot track it."}


@pytest.mark.parametrize(
    ("messages", "words"),
    [
        (
            [USER, {"role": "assistant", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}],
            "image_url",
        ),
        ([USER, {"role": "assistant", "tool_calls": [{"id": "c"}]}], "has no name"),
        ([{"role": "narrator", "content": "x"}, ANSWER], "role 'narrator'"),
        ([USER, {"role": "assistant", "tool_calls": [{"function": {"name": "f\0"}}]}], "NUL"),
        ([USER, {**ANSWER, "name": "a\0"}], "NUL"),
    ],
)
def test_what_no_row_can_hold_is_named(messages, words):
    with pytest.raises(RowError, match=words):
        converter(ColumnMapping(messages="messages"))({"messages": messages})


def test_columns_without_a_part_are_kept_or_left_out_and_never_lost_in_silence():
    record = {"text": "a", "label": "b", "id": 7, "tags": ["x"], "note": "", "gone": None}
    kept = converter(ColumnMapping(prompt="text", label="label"))(record)
    assert json.loads(kept.meta) == {"id": 7, "tags": ["x"]}
    assert converter(ColumnMapping(prompt="text", label="label", others="drop"))(record).meta == ""
    with pytest.raises(RowError, match="at most 65,536") as error:
        converter(ColumnMapping(prompt="text", label="label"))({**record, "page": "x" * 70_000})
    assert error.value.column == "page"


def test_whole_numbers_of_any_size_and_deep_objects_are_kept_or_named():
    convert = converter(ColumnMapping(prompt="text", label="label"))
    assert convert({"text": "a", "label": "b", "n": 2**80}).meta == f'{{"n":{2**80}}}'
    deep: list = []
    for _ in range(600):
        deep = [deep]
    with pytest.raises(RowError, match="nested too deeply"):
        convert({"text": "a", "label": "b", "n": deep})


def test_tools_written_as_a_text_of_json_are_tools():
    talk = [{"from": "human", "value": "p"}, {"from": "gpt", "value": "c"}]
    tools = [{"type": "function", "function": {"name": "track"}}]
    record = {"conversations": talk, "tools": json.dumps(tools)}
    mapping = guess_mapping([record], list(record))
    assert mapping.tools == "tools"
    assert json.loads(converter(mapping)(record).extra)["tools"] == tools


@pytest.mark.parametrize("text", ["hammer, saw", "[hammer]", '["hammer"]', '{"name": "track"}', ""])
def test_a_column_called_tools_that_holds_words_stays_a_column(text):
    record = {"prompt": "p", "completion": "c", "tools": text}
    assert guess_mapping([record], list(record)).tools == ""


def row_with(**fields):
    """The parts of a chat row that has these fields beside its messages."""
    record = {"messages": [USER, ANSWER], "tools": TOOLS, "id": 7, **fields}
    return converter(guess_mapping([record], list(record)))(record)


@pytest.mark.parametrize(
    "fields",
    [
        {"parallel_tool_calls": False},
        {"parallel_tool_calls": True, "tool_choice": {"type": "function", "function": {"name": "track"}}},
        {"functions": [{"name": "track", "parameters": {}}], "response_format": {"type": "json_object"}},
        {
            "toolConfig": {"tools": [{"toolSpec": {"name": "track"}}]},
            "chat_template_kwargs": {"think": False},
        },
    ],
)
def test_fields_of_a_whole_row_come_back_as_they_came(fields):
    parts = row_with(**fields)
    line = json.loads(chat_line(parts.system, [], parts.prompt, parts.completion, parts.extra))
    assert line == {"messages": [USER, ANSWER], "tools": TOOLS, **fields}
    assert json.loads(parts.meta) == {"id": 7}
    again = converter(guess_mapping([line], list(line)))(line)
    assert again.extra == parts.extra


def test_openai_gets_its_fields_and_the_others_are_counted_as_left_out():
    parts = row_with(parallel_tool_calls=False, tool_choice="auto")
    line = json.loads(openai_line("", [], parts.prompt, parts.completion, parts.extra))
    assert line == {"messages": [USER, ANSWER], "tools": TOOLS, "parallel_tool_calls": False}
    found = lint_row("", [], parts.prompt, parts.completion, parts.extra)
    assert {key for key, rules in found.items() if "fields" in rules} == set(EXPORTS) - {"chat"}
    # What the provider holds is not left out.
    parts = row_with(parallel_tool_calls=False)
    found = lint_row("", [], parts.prompt, parts.completion, parts.extra)
    assert "openai" not in found and "fields" in found["bedrock"] and "fields" in found["trl"]


@pytest.mark.parametrize("value", ["false", 0, {"a": 1}])
def test_parallel_tool_calls_that_is_no_truth_is_refused_by_openai(value):
    parts = row_with(parallel_tool_calls=value)
    found = lint_row("", [], parts.prompt, parts.completion, parts.extra)
    assert "parallel" in found["openai"]
    assert "parallel" not in found.get("chat", [])


def test_fields_without_a_value_make_no_other_row():
    plain = {"messages": [USER, ANSWER]}
    convert = converter(ColumnMapping(messages="messages"))
    empty = {"parallel_tool_calls": None, "functions": [], "tool_choice": "", "toolConfig": {}}
    assert convert({**plain, **empty}).extra == convert(plain).extra == ""


def test_columns_that_are_left_out_are_counted_row_by_row():
    left_out: Counter[str] = Counter()
    convert = converter(ColumnMapping(messages="messages", others="drop"), left_out=left_out)
    chat = {"messages": [USER, ANSWER]}
    for more in (
        {"metadata": {"a": 1}, "id": 1},
        {"id": 2, "note": ""},
        {"parallel_tool_calls": True},
        {"id": None},
    ):
        assert convert({**chat, **more}).meta == ""
    with pytest.raises(RowError):
        convert({"messages": [], "id": 3})  # a row that did not come in
    assert left_out == {"id": 2, "metadata": 1}
    pairs: Counter[str] = Counter()
    convert = converter(ColumnMapping(prompt="text", label="label", others="drop"), left_out=pairs)
    for i in range(1200):
        convert({"text": "a", "label": "b", f"k{i}": 1})
    assert len(pairs) == 1001 and pairs[FURTHER] == 200


def test_personal_data_in_the_fields_of_a_row_is_found_and_masked():
    parts = row_with(functions=[{"name": "ask", "description": "Ask ada@example.org"}])
    assert [where for where, text in texts_beside(parts.extra) if "ada@" in text] == ["in a tool"]
    new = rewrite("", "", parts.prompt, parts.completion, parts.extra, mask_pii)
    assert json.loads(new.extra)["row"]["functions"][0]["description"] == "Ask [EMAIL]"
