"""Recognising files and reading their lines: every line an example, a named error or a blank; never a crash."""

from __future__ import annotations

import gzip
import io
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets.domain.formats import bedrock_line, chat_line, pair_line
from datasets.domain.layouts import Layout, Unreadable, recognise
from datasets.domain.limits import MAX_LINE_BYTES
from datasets.domain.mapping import ColumnMapping, guess_mapping
from datasets.domain.parsing import Bad, json_record, parse_json_lines, parse_jsonl, parse_table
from datasets.domain.records import RowError, converter, parse_time
from datasets.errors import UnusableFile
from datasets.unpacking import MAX_EMPTY_MEMBERS, Unzipped

PAIR = ColumnMapping(prompt="prompt", completion="completion")


def layout_of(text, name="file"):
    data = text.encode() if isinstance(text, str) else text
    return recognise(data, name, is_whole=True)


def numbered(text):
    return list(enumerate(text.splitlines(keepends=True), 1))


# --- recognising -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "name", "format", "columns"),
    [
        pytest.param(
            '{"prompt": "a", "completion": "b"}\n', "x.jsonl", "jsonl", ("prompt", "completion"), id="jsonl"
        ),
        pytest.param('{"messages": []}\n', "x", "jsonl", ("messages",), id="jsonl without a name"),
        pytest.param("text,label\na,b\n", "x.csv", "csv", ("text", "label"), id="csv"),
        pytest.param("text\tlabel\na\tb\n", "x.tsv", "tsv", ("text", "label"), id="tsv"),
        pytest.param("text;label\na, c;b\n", "x.csv", "csv", ("text", "label"), id="semicolons"),
        pytest.param("\ufefftext,label\na,b\n", "x.csv", "csv", ("text", "label"), id="byte order mark"),
        pytest.param(
            "Where is my card today please,card\nI cannot log in since this morning,login\n",
            "x.csv",
            "csv",
            ("column 1", "column 2"),
            id="no header",
        ),
        pytest.param(
            "id,text,text,\n1,a,b,c\n", "x.csv", "csv", ("id", "text", "text (2)", "column 4"), id="names"
        ),
    ],
)
def test_formats_are_recognised_by_what_the_file_holds(text, name, format, columns):
    layout = layout_of(text, name)
    assert (layout.format, layout.columns) == (format, columns)
    assert Layout.from_json(layout.as_json()) == layout


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (b"\n \n", "blank lines"),
        (b"PK\x03\x04rest", "zip archive"),
        (b"\x1f\x8brest", "gzip file inside another"),
        (b"PAR1rest", "Parquet"),
        (b"\x80\x04\x95rest", "pickle"),
        (b"%PDF-1.7", "PDF"),
        (b"<!DOCTYPE html><p>", "web page"),
        (b'{\n  "prompt": "a"\n}', "over many lines"),
        (b"just some words\nand more of them\n", "not recognised"),
        (bytes(range(256)) * 20, "not a text file"),
    ],
)
def test_what_cannot_be_read_is_refused_with_a_sentence(data, words):
    with pytest.raises(Unreadable, match=words):
        layout_of(data)


@pytest.mark.parametrize(
    ("encoding", "expected"),
    [
        ("utf-8", "utf-8"),
        ("utf-8-sig", "utf-8-sig"),
        ("utf-16", "utf-16"),
        ("utf-16-le", "utf-16-le"),
        ("cp1252", "cp1252"),
    ],
)
def test_encodings_are_recognised(encoding, expected):
    text = "text,label\nGrüße aus Köln,hello\nÇa marche très bien,ok\n"
    layout = layout_of(text.encode(encoding), "x.csv")
    assert layout.encoding == expected
    assert layout.columns == ("text", "label")


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        pytest.param(
            [{"prompt": "a", "completion": "b"}], {"prompt": "prompt", "completion": "completion"}, id="pair"
        ),
        pytest.param(
            [{"text": "a", "category": "b"}], {"prompt": "text", "label": "category"}, id="banking77"
        ),
        pytest.param(
            [{"instruction": "a", "input": "", "output": "b"}],
            {"prompt": "instruction", "context": "input", "completion": "output"},
            id="alpaca",
        ),
        pytest.param(
            [{"system": "s", "messages": [{"role": "user"}]}],
            {"messages": "messages", "system": "system"},
            id="bedrock",
        ),
        pytest.param(
            [{"xx": "a long text about something", "yy": t} for t in "abab"],
            {"prompt": "xx", "label": "yy"},
            id="content",
        ),
        pytest.param(
            [{"q1": f"a long question number {i} of many", "a1": f"the answer {i}"} for i in range(9)],
            {"prompt": "q1", "completion": "a1"},
            id="two texts",
        ),
    ],
)
def test_columns_are_guessed_by_name_and_by_what_they_hold(records, expected):
    found = guess_mapping(records, list(records[0]))
    assert {k: v for k, v in found.as_json().items() if v} == expected


@pytest.mark.parametrize(
    ("mapping", "field"),
    [
        (ColumnMapping(prompt="nowhere", completion="b"), "prompt"),
        (ColumnMapping(completion="b"), "prompt"),
        (ColumnMapping(prompt="a"), "completion"),
        (ColumnMapping(prompt="a", completion="a"), "prompt"),
    ],
)
def test_a_mapping_that_cannot_work_says_which_column(mapping, field):
    assert mapping.problem(["a", "b"])[0] == field
    assert ColumnMapping(prompt="a", label="b").problem(["a", "b"]) == ("", "")


# --- lines -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        pytest.param(b'{"prompt": NaN}', "NaN", id="NaN"),
        pytest.param(b'{"prompt": -Infinity}', "NaN or Infinity", id="infinity"),
        pytest.param(b'{"prompt": ' + b"9" * 5000 + b"}", "number", id="5,000 digits"),
        pytest.param(b'{"prompt": "\\ud800"}', "half of a character", id="lone surrogate"),
        pytest.param(b'{"prompt": "a\x00b"}', "NUL", id="NUL byte"),
        pytest.param(b'{"prompt": "a\\u0000b", "completion": "c"}', "NUL", id="escaped NUL"),
        pytest.param(b'{"prompt": "caf\xe9"}', "not UTF-8: byte 0xe9 at position 16", id="latin-1"),
        pytest.param(
            b'{"prompt": "a", "prompt": "b", "completion": "c"}', "appears twice", id="repeated key"
        ),
        pytest.param(b'{"prompt": "cut in the mid', "cut off", id="cut line"),
        pytest.param(b"[" * 200_000, "JSON|nested", id="depth 200,000"),
        pytest.param(b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "JSON|nested", id="objects 100,000 deep"),
        pytest.param(b"[1, 2]", "not an object", id="a list"),
        pytest.param(b"42", "not an object", id="a number"),
        pytest.param(b"hello", "not JSON", id="words"),
        pytest.param(b'{"prompt": 5, "completion": "x"}', "is a number", id="a number as prompt"),
        pytest.param(b'{"prompt": ["a"], "completion": "x"}', "is a list", id="a list as prompt"),
        pytest.param(b'{"completion": "x"}', "missing", id="no prompt"),
        pytest.param(
            b'{"prompt": " \xc2\xa0\xe2\x80\x8b ", "completion": "x"}', "empty", id="blank and invisible"
        ),
        pytest.param(b'{"prompt": "a", "completion": null}', "empty", id="null"),
        pytest.param(json.dumps({f"k{i}": 1 for i in range(5000)}).encode(), "keys", id="5,000 keys"),
        pytest.param(b'{"prompt": "' + b"a" * MAX_LINE_BYTES + b'"}', "longer than 4 MB", id="a giant line"),
    ],
)
def test_a_bad_line_is_named_with_its_number_and_what_to_do(raw, words):
    good = b'{"prompt": "fine", "completion": "yes"}'
    batch = parse_jsonl(good + b"\n" + raw + b"\r\n" + good + b"\n", 10, converter(PAIR))
    assert [line for line, _ in batch.good] == [10, 12]
    (bad,) = batch.bad
    assert bad.line == 11
    import re

    assert re.search(words, bad.reason), bad.reason
    assert bad.fix
    assert len(bad.excerpt) <= 120
    bad.excerpt.encode()


def test_blank_lines_are_counted_and_numbers_stay_right():
    batch = parse_jsonl(b'\n  \n{"prompt": "a", "completion": "b"}\n', 1, converter(PAIR))
    assert (batch.n_blank, batch.good[0][0], batch.bad) == (2, 3, [])


def test_digits_and_truth_become_labels_and_long_labels_are_refused():
    convert = converter(ColumnMapping(prompt="text", label="label"), task_kind="classify")
    assert [convert({"text": "a", "label": v}).label for v in (3, True, 2.0, "0")] == ["3", "true", "2", "0"]
    with pytest.raises(RowError, match="at most 200"):
        convert({"text": "a", "label": "x" * 201})


def test_chat_keeps_system_and_earlier_turns():
    convert = converter(ColumnMapping(messages="messages", system="system"))
    parts = convert(
        {
            "system": "Be brief.",
            "messages": [
                {"role": "user", "content": "Hello"},
                {"role": "assistant", "content": "Hi"},
                {
                    "role": "user",
                    "content": [{"type": "text", "text": "Where is "}, {"type": "text", "text": "it?"}],
                },
                {"role": "assistant", "content": "There."},
            ],
        }
    )
    assert (parts.system, parts.prompt, parts.completion) == ("Be brief.", "Where is \nit?", "There.")
    assert json.loads(parts.turns) == [["user", "Hello"], ["assistant", "Hi"]]


@pytest.mark.parametrize(
    ("messages", "words"),
    [
        ([], "list of messages"),
        ("hello", "list of messages"),
        ([{"role": "user", "content": "a"}], "last two"),
        ([{"role": "user", "content": "a"}, {"role": "tool", "content": "b"}], "last two"),
        ([{"role": "user", "content": "a"}, {"role": "assistant", "content": None}], "no text"),
        ([{"role": "user", "content": "a"}, {"role": "assistant", "content": " "}], "empty"),
        (["x", "y"], "not an object"),
        (
            [{"role": "user", "content": [{"type": "image"}]}, {"role": "assistant", "content": "b"}],
            "other than text",
        ),
        ([{"role": ["user"], "content": "a"}, {"role": "assistant", "content": "b"}], "role"),
    ],
)
def test_a_broken_conversation_says_which_message(messages, words):
    with pytest.raises(RowError, match=words):
        converter(ColumnMapping(messages="messages"))({"messages": messages})


@pytest.mark.parametrize(
    ("value", "iso"),
    [
        ("2026-03-01T09:30:00Z", "2026-03-01T09:30:00+00:00"),
        ("2026-03-01 09:30", "2026-03-01T09:30:00+00:00"),
        ("2026-03-01T09:30:00+02:00", "2026-03-01T07:30:00+00:00"),
        (1772357400, "2026-03-01T09:30:00+00:00"),
        (1772357400000, "2026-03-01T09:30:00+00:00"),
    ],
)
def test_times_are_read_as_utc(value, iso):
    assert parse_time(value, "at").isoformat() == iso


@pytest.mark.parametrize("value", ["yesterday", "2026-13-01", 1e300, True, {"a": 1}])
def test_what_is_no_time_is_named(value):
    with pytest.raises(RowError, match="is not a time"):
        parse_time(value, "at")


# --- tables ------------------------------------------------------------------------------------------------------


def table(text, mapping=None, **more):
    layout = layout_of(text, "x.csv")
    mapping = mapping or ColumnMapping(prompt="text", label="label")
    return list(parse_table(numbered(text), layout, converter(mapping, **more)))


def test_quotes_commas_and_line_ends_in_cells_are_read_and_lines_counted():
    rows = table('text,label\r\n"a, ""b""\r\nc",x\r\n\r\nd,y\r\n')
    assert [row if row is None else (row[0], row[1].prompt) for row in rows] == [
        (2, 'a, "b"\nc'),
        None,
        (5, "d"),
    ]


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        pytest.param('text,label\nfine,x\n"never closed,y\nmore,z\n', 3, "never closes", id="unclosed quote"),
        pytest.param('text,label\n"a"b,x\nfine,y\n', 2, "middle of a cell", id="quote in the middle"),
        pytest.param("text,label\na,b,c\n", 2, "has 3 columns, the header has 2", id="too many columns"),
        pytest.param("text,label\na\n", 2, "has 1 column,", id="too few columns"),
        pytest.param("text,label\n,b\n", 2, "prompt is empty", id="empty prompt"),
        pytest.param("text,label\na\x00b,c\n", 2, "NUL", id="NUL"),
    ],
)
def test_a_bad_record_is_named_and_the_rest_is_read(text, line, words):
    rows = table(text)
    bad = [row for row in rows if isinstance(row, Bad)]
    assert bad[0].line == line
    assert words in bad[0].reason
    good = [row for row in rows if row is not None and not isinstance(row, Bad)]
    assert len(good) == text.count("fine") + ("more" in text)


def test_ten_thousand_stray_quotes_end_with_a_sentence_and_not_with_the_day():
    rows = table("text,label\n" + '"a"b,x\n' * 10_000)
    assert len(rows) == 1001
    assert "stopped after 1000" in rows[-1].reason


def test_bytes_that_are_no_text_are_named_in_decoded_lines():
    line = b"caf\xe9,x\n".decode("utf-8", "surrogateescape")
    layout = Layout("csv", "utf-8", ",", True, ("text", "label"))
    lines = [(1, "text,label\n"), (2, line)]
    (bad,) = parse_table(lines, layout, converter(ColumnMapping(prompt="text", label="label")))
    assert "byte 0xe9 at position 4" in bad.reason


@given(st.binary(max_size=400))
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_read_or_named_as_json_lines(data):
    batch = parse_jsonl(data, 1, converter(PAIR))
    lines = data.split(b"\n")
    n = len(lines) - (not lines[-1])
    assert len(batch.good) + len(batch.bad) + batch.n_blank == n


@given(st.text(max_size=300))
@settings(max_examples=200, deadline=None)
def test_any_text_is_read_or_named_as_a_table(text):
    layout = Layout("csv", "utf-8", ",", True, ("text", "label"))
    convert = converter(ColumnMapping(prompt="text", label="label"))
    for row in parse_table(numbered("text,label\n" + text), layout, convert):
        assert row is None or isinstance(row, Bad) or row[1].prompt
    list(parse_json_lines(numbered(text), "utf-8", convert))


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
        max_leaves=12,
    )
)
@settings(max_examples=200, deadline=None)
def test_any_json_value_is_read_or_named(value):
    raw = json.dumps(value).encode()
    try:
        assert isinstance(json_record(raw), dict)
    except RowError as error:
        assert error.reason
    for mapping in (
        PAIR,
        ColumnMapping(messages="messages"),
        ColumnMapping(prompt="a", label="b", at="c", group="d"),
    ):
        if isinstance(value, dict):
            try:
                converter(mapping)(value)
            except RowError as error:
                assert error.reason


texts = st.text(
    st.characters(blacklist_categories=("Cs",), blacklist_characters="\0"), min_size=1, max_size=60
)


@given(texts.filter(lambda t: t.strip()), texts.filter(lambda t: t.strip()))
@settings(max_examples=150, deadline=None)
def test_a_row_goes_out_and_comes_in_as_it_was(prompt, completion):
    from datasets.domain.cleaning import normalise

    prompt, completion = normalise(prompt), normalise(completion)
    if not prompt or not completion:
        return
    turns = [["user", "before"], ["assistant", "yes"]]
    chat = converter(ColumnMapping(messages="messages", system="system"))
    for line in (chat_line("sys", turns, prompt, completion), bedrock_line("sys", turns, prompt, completion)):
        parts = chat(json_record(line.rstrip(b"\n")))
        assert (parts.system, json.loads(parts.turns), parts.prompt, parts.completion) == (
            "sys",
            turns,
            prompt,
            completion,
        )
    parts = converter(PAIR)(json_record(pair_line("", [], prompt, completion).rstrip(b"\n")))
    assert (parts.prompt, parts.completion) == (prompt, completion)


def test_exported_lines_are_exactly_these_bytes():
    assert chat_line("s", [], "p", "c") == (
        b'{"messages":[{"role":"system","content":"s"},{"role":"user","content":"p"},{"role":"assistant","content":"c"}]}\n'
    )
    assert bedrock_line("s", [], "p", "c") == (
        b'{"system":"s","messages":[{"role":"user","content":"p"},{"role":"assistant","content":"c"}]}\n'
    )
    assert pair_line("", [], "=1+1", "c") == b'{"prompt":"=1+1","completion":"c"}\n'


def test_a_gzip_of_empty_members_is_refused_and_a_few_are_not():
    empty, text = gzip.compress(b""), gzip.compress(b"hello")
    few = empty * 3 + text + empty + text
    assert Unzipped(io.BytesIO(few), len(few)).read() == b"hellohello"
    for many in (empty * (MAX_EMPTY_MEMBERS + 2), (empty + text) * (MAX_EMPTY_MEMBERS + 2)):
        with pytest.raises(UnusableFile, match="empty parts"):
            Unzipped(io.BytesIO(many), len(many)).read()
