"""What is masked in a row is masked everywhere in it, and what was an object is one afterwards."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets.active import Loaded
from datasets.domain.conversations import all_messages
from datasets.domain.mapping import ColumnMapping
from datasets.domain.pii import find_pii, mask_pii
from datasets.domain.records import converter
from datasets.domain.rewriting import rewrite, texts_beside
from datasets.looking import look

USER, ANSWER = {"role": "user", "content": "Where is it?"}, {"role": "assistant", "content": "At the depot."}


def call(arguments, name="send", **more):
    function = {"name": name, "arguments": arguments}
    return {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "c1", "type": "function", "function": function}],
        **more,
    }


def tool(**function):
    return {"type": "function", "function": {"name": "send", **function}}


def parts_of(messages, tools=None):
    mapping = ColumnMapping(messages="messages", tools="tools")
    return converter(mapping)({"messages": messages, "tools": tools})


def masked(parts):
    """(messages, tools) as they are written out once personal data is masked."""
    new = rewrite(parts.system, parts.turns, parts.prompt, parts.completion, parts.extra, mask_pii)
    return all_messages(new.system, json.loads(new.turns or "[]"), new.prompt, new.completion, new.extra)


def noted(parts):
    """The note of the finding of personal data, empty without one."""
    row = Loaded(1, "", "", None, "", 1, b"12345678" * 4, parts.system, parts.turns, parts.prompt, parts.completion, parts.extra)  # fmt: skip
    rows = look([row], task_kind="answer", labels=frozenset()).flagged.get("pii", [])
    return rows[0].note if rows else ""


@pytest.mark.parametrize(
    ("function", "note"),
    [
        pytest.param({"description": "Ask ada@example.org"}, "1 × e-mail address in a tool", id="description"),
        pytest.param(
            {"parameters": {"properties": {"to": {"default": "ada@example.org", "description": "who"}}}},
            "1 × e-mail address in a tool",
            id="default of a parameter",
        ),
        pytest.param(
            {"description": "ada@example.org", "parameters": {"enum": ["ada@example.org", "+49 170 1234567"]}},
            "1 × e-mail address in a tool, 1 × phone number in a tool",
            id="each value once",
        ),
        pytest.param({"parameters": {"properties": {"ada@example.org": {"type": "string"}}}}, "", id="a key of a schema"),
        pytest.param({"description": "Nothing personal."}, "", id="nothing"),
    ],
)  # fmt: skip
def test_personal_data_in_the_definition_of_a_tool_is_found_and_said_where(function, note):
    assert noted(parts_of([USER, ANSWER], [tool(**function)])) == note


def test_a_call_that_is_read_as_text_counts_once_and_its_tool_beside_it():
    parts = parts_of([USER, call('{"to": "ada@example.org"}')], [tool(description="as bob@example.org does")])
    assert noted(parts) == "1 × e-mail address, 1 × e-mail address in a tool"


def test_a_name_beside_a_message_is_found():
    parts = parts_of([USER, {**ANSWER, "name": "ada@example.org"}])
    assert noted(parts) == "1 × e-mail address beside a message"
    assert masked(parts)[0][1] == {**ANSWER, "name": "[EMAIL]"}


def test_a_row_whose_only_personal_data_is_in_its_tools_is_rewritten():
    messages, tools = masked(parts_of([USER, ANSWER], [tool(description="Ask ada@example.org")]))
    assert messages == [USER, ANSWER]
    assert tools == [tool(description="Ask [EMAIL]")]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('{"to": "ada@example.org"}', '{"to": "[EMAIL]"}'),
        # a line end is written \n in JSON, and its n is no part of the address
        ('{"body":"Hello\\nada@example.org"}', '{"body":"Hello\\n[EMAIL]"}'),
        ('{"ada@example.org": 1, "bob@example.org": 2}', '{"[EMAIL]": 1, "[EMAIL]\'": 2}'),
        ('{"card": 4111111111111111}', '{"card": "[CARD]"}'),
        ('{"deep": "{\\"to\\": \\"ada@example.org\\"}"}', '{"deep": "{\\"to\\": \\"[EMAIL]\\"}"}'),
        ("ada@example.org", "[EMAIL]"),
    ],
)
def test_masked_arguments_stay_json_and_the_call_stays_a_call(before, after):
    parts = parts_of([USER, call(before)])
    assert "e-mail" in noted(parts) or "card" in noted(parts)
    messages, _ = masked(parts)
    assert messages == [USER, call(after)]


def test_turns_stay_json_when_a_line_begins_with_what_is_masked():
    told = [
        {"role": "user", "content": "Hello,\nada@example.org here"},
        {"role": "assistant", "content": "Hi"},
    ]
    messages, _ = masked(parts_of([*told, USER, ANSWER]))
    assert messages[0]["content"] == "Hello,\n[EMAIL] here"


def test_results_of_tools_are_masked_where_they_stand_in_blocks():
    used = {"type": "tool_use", "id": "t", "name": "who", "input": {"of": "ada@example.org", "id": "call me at 0171 2345678"}}  # fmt: skip
    result = {
        "type": "tool_result",
        "tool_use_id": "t",
        "content": [{"type": "text", "text": "bob@example.org"}],
    }
    messages, _ = masked(
        parts_of(
            [USER, {"role": "assistant", "content": [used]}, {"role": "user", "content": [result]}, ANSWER]
        )
    )
    assert messages[1]["content"][0]["input"] == {"of": "[EMAIL]", "id": "call me at [PHONE]"}
    assert messages[2]["content"] == [{**result, "content": [{"type": "text", "text": "[EMAIL]"}]}]


def test_what_pairs_a_call_with_its_result_is_left_alone():
    same = "12345678901234"
    messages = [USER, call("{}", tool_calls=[{"id": same, "type": "function", "function": {"name": "f", "arguments": "{}"}}]),
                {"role": "tool", "tool_call_id": same, "content": "x"}, ANSWER]  # fmt: skip
    parts = parts_of(messages)
    new = rewrite(
        "", parts.turns, parts.prompt, parts.completion, parts.extra, lambda text: text.replace("1", "9")
    )
    back, _ = all_messages("", json.loads(new.turns), new.prompt, new.completion, new.extra)
    assert back[1]["tool_calls"][0]["id"] == back[2]["tool_call_id"] == same


def test_what_a_person_wrote_over_a_call_is_masked_too():
    parts = parts_of([USER, call('{"to": "ada@example.org"}')])
    new = rewrite("", "", parts.prompt, "I write to bob@example.org.", parts.extra, mask_pii)
    assert new.completion == "I write to [EMAIL]."
    assert "ada@" not in new.extra


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=12) | st.just("ada@example.org"),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(min_size=1, max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.text(min_size=1, max_size=8), _JSON, max_size=3), _JSON, st.booleans())
def test_nothing_personal_is_left_and_what_has_none_keeps_its_bytes(arguments, schema, spaced):
    text = json.dumps(arguments, separators=None if spaced else (",", ":"))
    try:
        parts = parts_of([USER, call(text)], [tool(parameters=schema)])
    except ValueError:  # NUL, or a number that no row can hold: named on import
        return
    new = rewrite(parts.system, parts.turns, parts.prompt, parts.completion, parts.extra, str)
    assert new == (parts.system, parts.turns, parts.prompt, parts.completion, parts.extra)
    after = rewrite(*new, mask_pii)
    assert not [m for _, text in texts_beside(after.extra) for m in find_pii(text)]
    messages, tools = all_messages("", [], after.prompt, after.completion, after.extra)
    kept = messages[1]["tool_calls"][0]["function"]["arguments"]
    assert json.loads(kept) == json.loads(text) or "ada@" in text
    assert tools
