"""One JSON list of rows: recognised, cut while it streams, the same rows as one object a line, never a crash."""

from __future__ import annotations

import io
import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets.domain.json_lists import Element, elements, list_start
from datasets.domain.layouts import Unreadable, recognise
from datasets.domain.limits import MAX_LINE_BYTES
from datasets.domain.mapping import ColumnMapping
from datasets.domain.parsing import parse_elements, parse_jsonl
from datasets.domain.records import converter
from datasets.importing import utf8_blocks

PAIR = ColumnMapping(prompt="prompt", completion="completion")
GOOD = '{"prompt": "a", "completion": "b"}'


def cut(text, size=7, key="", **more):
    data = text if isinstance(text, bytes) else text.encode()
    return list(elements([data[i : i + size] for i in range(0, len(data), size)], key, **more))


def read(text, **more):
    return parse_elements(cut(text, **more), "utf-8", converter(PAIR))


def layout_of(text, name="rows.json", *, is_whole=True):
    return recognise(text if isinstance(text, bytes) else text.encode(), name, is_whole=is_whole)


# --- recognising -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "is_whole", "columns", "key"),
    [
        pytest.param('[{"instruction": "a", "output": "b"}]', True, ("instruction", "output"), "", id="on one line"),
        pytest.param('[\n  {\n    "conversations": []\n  }\n]\n', True, ("conversations",), "", id="over many lines"),
        pytest.param('[\n  {"instruction": "a"},\n  {"instr', False, ("instruction",), "", id="longer than what is seen"),
        pytest.param('[{"a": 1}, {"b": 2}, {"c"', False, ("a", "b"), "", id="no line end in it"),
        pytest.param('\ufeff[{"a": 1}]', True, ("a",), "", id="byte order mark"),
        pytest.param('{"data": [{"a": 1}]}', True, ("a",), "data", id="under a key"),
        pytest.param('{\n "version": "1.1",\n "data": [\n  {"a": 1}\n ]\n}', True, ("a",), "data", id="SQuAD"),
        pytest.param('{"n": 2, "tags": ["x", "]"], "train": [{"a": 1}, {"b', False, ("a",), "train", id="behind others"),
        pytest.param('{"dialogues": [{"prompt": "a", "completion": "b"}]}', True, ("prompt", "completion"), "dialogues", id="any key"),
        pytest.param('[{"a": NaN}, {"b": 1}]', True, ("b",), "", id="a broken element"),
        pytest.param('[{"a": 1}, ]', True, ("a",), "", id="trailing comma"),
    ],
)  # fmt: skip
def test_a_list_of_rows_is_recognised_wherever_it_stands(text, is_whole, columns, key):
    layout = layout_of(text, is_whole=is_whole)
    assert (layout.format, layout.columns, layout.inside) == ("json", columns, key)
    assert (layout.name, layout.place) == ("JSON list", "Row")


@pytest.mark.parametrize(
    "text",
    [
        pytest.param('{"messages": [{"role": "user", "content": "a"}], "tools": [{"type": "function"}]}', id="a chat row"),
        pytest.param('{"conversations": [{"from": "human", "value": "a"}]}\n', id="a ShareGPT row"),
        pytest.param('{"prompt": "a", "completion": "b", "sources": [{"url": "x"}]}', id="a row with a list"),
        pytest.param('{"data": [{"a": 1}]}\n{"data": [{"a": 2}]}\n', id="two lines"),
        pytest.param('{"docs": [{"a": 1}, \n{"prompt": "a", "completion": "b"}\n', id="a broken first line"),
        pytest.param('{"data": []}', id="an empty list"),
    ],
)  # fmt: skip
def test_a_row_that_holds_lists_stays_a_row(text):
    assert layout_of(text, "x.jsonl").format == "jsonl"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param("[]", "list is empty", id="nothing in it"),
        pytest.param(
            '[{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]', "is one conversation", id="messages"
        ),
        pytest.param("[1, 2]", "begins with something that is no object", id="numbers"),
        pytest.param('[["a", "b"]]', "begins with something that is no object", id="lists"),
        pytest.param('[{"role": "user"}]\n[{"role": "user"}]\n', "Each line is a list", id="a list a line"),
        pytest.param(
            '{"train": [{"a": 1}], "test": [{"a": 2}]}', "holds 2 lists .“train”, “test”., and only one", id="two lists"
        ),
        pytest.param(
            '{\n "messages": [\n  {"role": "user", "content": "a"}\n ]\n}', "one JSON object over many lines", id="one chat row"
        ),
    ],
)  # fmt: skip
def test_what_holds_no_one_list_of_rows_is_refused_with_a_sentence(text, words):
    with pytest.raises(Unreadable, match=words):
        layout_of(text)


# --- cutting -----------------------------------------------------------------------------------------------------

_VALUE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=12,
)
_ROWS = st.lists(st.dictionaries(st.text(max_size=4), _VALUE, max_size=4), min_size=1, max_size=6)
_AWKWARD = st.text(alphabet='\\"[]{},: \n\u00e9\ud83d\ude00', max_size=12).map(
    lambda text: text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
)


@given(
    rows=_ROWS | st.lists(st.fixed_dictionaries({"t": _AWKWARD}), min_size=1, max_size=5),
    indent=st.sampled_from([None, 0, 2]),
    ascii=st.booleans(),
    key=st.sampled_from(["", "data"]),
    size=st.integers(1, 40),
)
def test_any_rows_come_out_as_they_went_in_wherever_the_blocks_end(rows, indent, ascii, key, size):
    whole = {"version": '[{"no": "list"}]', key: rows, "licence": "]"} if key else rows
    text = json.dumps(whole, indent=indent, ensure_ascii=ascii).encode("utf-8", "surrogatepass")
    found = cut(text, size, key)
    assert [json.loads(e.raw) for e in found] == rows
    assert [e.number for e in found] == [*range(1, len(rows) + 1)]
    # A row begins on the line that has its bracket: counted once more, by looking for the bytes.
    at = 0
    for element in found:
        at = text.index(element.raw, at)
        assert element.line == text.count(b"\n", 0, at) + 1
        at += len(element.raw)


@given(
    data=st.binary(max_size=60) | st.text(alphabet='[]{}",:\\ \na1', max_size=60).map(str.encode),
    size=st.integers(1, 30),
    key=st.sampled_from(["", "a"]),
    is_cut=st.booleans(),
)
def test_any_bytes_at_all_are_cut_the_same_wherever_the_blocks_end_and_never_crash(data, size, key, is_cut):
    for begun in (data, b"[" + data, b'[{"a": 1}, ' + data, b'{"a": [{"b": "' + data):
        whole = cut(begun, max(1, len(begun)), key, is_cut=is_cut)
        assert cut(begun, size, key, is_cut=is_cut) == whole
        batch = parse_elements(whole, "utf-8", converter(PAIR))
        assert len(batch.good) + len(batch.bad) == len(whole)
        assert sorted([n for n, _ in batch.good] + [b.line for b in batch.bad]) == [e.number for e in whole]


def test_a_list_gives_the_rows_of_the_same_objects_one_a_line():
    rows = [
        {"prompt": f'Frage {i}: „wo"?\n', "completion": f"dort\\{i} 🦊", "more": [{"x": [i]}]}
        for i in range(50)
    ]
    lines = parse_jsonl(b"".join(orjson.dumps(row) + b"\n" for row in rows), 1, converter(PAIR))
    for indent in (None, 2):
        assert read(json.dumps(rows, indent=indent)).good == lines.good


def test_numbers_count_rows_and_errors_say_the_line():
    found = read('[\n{"prompt": "a", "completion": "b"},\n\n{"prompt": 1,\n"completion": "b"}, 7,\n null]')
    assert [number for number, _ in found.good] == [1]
    assert [(bad.line, bad.reason) for bad in found.bad] == [
        (2, "'prompt' is a number, text was expected (begins on line 4)"),
        (3, "the row is not an object (begins on line 5)"),
        (4, "the row is not an object (begins on line 6)"),
    ]


@pytest.mark.parametrize(
    ("text", "good", "bad"),
    [
        pytest.param(f"[{GOOD}, {GOOD},]", [1, 2], {3: "after the last one"}, id="trailing comma"),
        pytest.param(f"[{GOOD},, {GOOD}]", [1, 3], {2: "between two commas"}, id="two commas"),
        pytest.param(f"[{GOOD} {GOOD}, {GOOD}]", [2], {1: "not JSON"}, id="no comma"),
        pytest.param(f'[{GOOD}, {{"prompt": "cut in the mid', [1], {2: "middle of this row"}, id="cut in a string"),
        pytest.param(f'[{GOOD}, {{"prompt": "a", ', [1], {2: "middle of this row"}, id="cut in an object"),
        pytest.param(f"[{GOOD}", [1], {2: "a ] is missing"}, id="not closed"),
        pytest.param(f"[{GOOD},", [1], {2: "a ] is missing"}, id="cut between rows"),
        pytest.param(f"[{GOOD}] {GOOD}", [1], {2: "more text follows"}, id="text after the end"),
        pytest.param(f"[{GOOD}][{GOOD}]", [1], {2: "more text follows"}, id="a second list"),
        pytest.param(f'[{GOOD}, {{"prompt": "a", "completion": 1]}}, {GOOD}]', [1, 3], {2: "not JSON"}, id="a wrong bracket"),
        pytest.param(f'[{GOOD}, {{"prompt": NaN}}, {GOOD}]', [1, 3], {2: "NaN"}, id="NaN"),
        pytest.param(f'[{GOOD}, {{"prompt": "\\ud800"}}, {GOOD}]', [1, 3], {2: "half of a character"}, id="lone surrogate"),
        pytest.param(f'[{GOOD}, {{"prompt": "a", "prompt": "b"}}, {GOOD}]', [1, 3], {2: "appears twice"}, id="repeated key"),
        pytest.param(f'[{GOOD}, {{"prompt": {"9" * 10**6}}}, {GOOD}]', [1, 3], {2: "number"}, id="a million digits"),
        pytest.param(f"[{GOOD}, {'[' * 10**5}{']' * 10**5}, {GOOD}]", [1, 3], {2: "JSON|nested"}, id="100,000 deep"),
        pytest.param(f"[{GOOD}, " + '{"a":' * 10**5 + "1" + "}" * 10**5 + f", {GOOD}]", [1, 3], {2: "JSON|nested"}, id="objects 100,000 deep"),
        pytest.param(f'[{GOOD}, {{"prompt": "{"a" * MAX_LINE_BYTES}"}}, {GOOD}]', [1, 3], {2: "longer than 4 MB"}, id="a giant"),
        pytest.param(f"[{GOOD}, {'{' * (MAX_LINE_BYTES + 9)}", [1], {2: "middle of this row"}, id="a giant that never ends"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_list_is_named_with_its_row_and_costs_no_other(text, good, bad):
    import re

    for size in (100_000, 5_000_000):
        found = read(text, size=size)
        assert [number for number, _ in found.good] == good
        assert [b.line for b in found.bad] == list(bad)
        for named in found.bad:
            assert re.search(bad[named.line], named.reason), named
            assert "begins on line 1" in named.reason
            assert named.fix and len(named.reason) <= 300


@pytest.mark.parametrize(
    ("text", "bad"),
    [
        pytest.param(f'{{"data": [{GOOD}], "n": 1}}', [], id="a number follows"),
        pytest.param(f'{{"data": [{GOOD}], "labels": ["a"]}}\n', [], id="a list of words follows"),
        pytest.param(f'{{"data": [{GOOD}], "test": [{GOOD}]}}', ["another list follows"], id="another list of rows follows"),
        pytest.param(f'{{"data": [{GOOD}]', ["not closed"], id="the object is not closed"),
        pytest.param(f'{{"data": [{GOOD}]}} {{}}', ["not closed, or what follows"], id="text after the object"),
        pytest.param(f'{{"data": [{GOOD}]}}' + " " * 50_000, [], id="blanks after it"),
    ],
)  # fmt: skip
def test_what_follows_a_list_under_a_key_is_judged_when_it_ends(text, bad):
    found = read(text, key="data")
    assert len(found.good) == 1
    assert [words in b.reason for words, b in zip(bad, found.bad, strict=True)] == [True] * len(bad)


def test_an_end_that_was_cut_for_a_preview_says_nothing():
    assert cut(f'[{GOOD}, {{"prompt', is_cut=True) == [Element(1, 1, GOOD.encode())]


def test_a_text_without_the_list_that_was_recognised_ends_in_one_sentence_however_long_it_is():
    blocks = iter([b"x" * 1_000_000] * 100)
    (found,) = elements(blocks)
    assert "no list of rows" in found.problem[0]
    assert len(list(blocks)) > 90  # the rest was never read


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252"])
def test_other_encodings_give_the_same_rows(encoding):
    text = json.dumps([{"prompt": "Grüße aus Köln", "completion": "ça va"}] * 3, ensure_ascii=False)
    data = text.encode(encoding)
    layout = layout_of(data)
    assert (layout.format, layout.columns) == ("json", ("prompt", "completion"))
    found = parse_elements(list(elements(utf8_blocks(io.BytesIO(data), encoding))), encoding, converter(PAIR))
    assert [parts.prompt for _, parts in found.good] == ["Grüße aus Köln"] * 3


def test_bytes_that_the_encoding_does_not_know_are_named():
    data = b'[{"prompt": "a\x81", "completion": "b"}, ' + GOOD.encode() + b"]"
    found = parse_elements(list(elements(utf8_blocks(io.BytesIO(data), "cp1252"))), "cp1252", converter(PAIR))
    assert [(b.line, b.reason) for b in found.bad] == [
        (1, "holds bytes that are not cp1252 (begins on line 1)")
    ]
    assert len(found.good) == 1


def test_a_list_start_is_found_from_its_beginning_or_not_at_all():
    text = b'{"a": "x", "b": [], "c": [1], "d": {"e": [{"f": 1}]}, "g": [{"h": 1}]}'
    starts = [list_start(text[:n]) for n in range(len(text) + 1)]
    assert {start for start in starts if start} == {(text.index(b'{"h"'), "g")}
