"""What the linter lets pass, a reader of the format takes; what it blocks, the reader refuses. Formulas in every CSV (T49)."""

from __future__ import annotations

import csv
import io
import itertools
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets import services
from datasets.domain.cleaning import normalise
from datasets.domain.conversations import RowError, read_conversation
from datasets.domain.formats import EXPORTS
from datasets.domain.linting import RULES, lint_row
from datasets.models import Import
from datasets.tests.conftest import jsonl, tickets
from datasets.tests.hostile import FORMULAS
from foundation.jobs.services import run_until_idle
from foundation.teams.domain.csv_cells import safe_cell

# --- readers written from the providers' words alone (facts as of November 2026) --------------------------------------


def _alternates(roles):
    return (
        roles[0] == "user" and roles[-1] == "assistant" and all(a != b for a, b in itertools.pairwise(roles))
    )


def bedrock(record):
    """Optional system, at least two messages of text, first the user, last the assistant, in turns; no other keys."""
    assert record.keys() <= {"system", "messages"}
    assert isinstance(record.get("system", ""), str)
    assert all(
        m.keys() == {"role", "content"} and isinstance(m["content"], str) and m["content"]
        for m in record["messages"]
    )
    assert len(record["messages"]) >= 2 and {m["role"] for m in record["messages"]} == {"user", "assistant"}
    assert _alternates([m["role"] for m in record["messages"]])


def converse(record):
    """schemaVersion, system and content as lists of parts with a text."""
    assert record["schemaVersion"] == "bedrock-conversation-2024" and record.keys() <= {
        "schemaVersion",
        "system",
        "messages",
    }
    for part in record.get("system", []) + [p for m in record["messages"] for p in m["content"]]:
        assert part.keys() == {"text"} and isinstance(part["text"], str) and part["text"]
    assert _alternates([m["role"] for m in record["messages"]])


def openai(record):
    """Messages with known roles and keys; weights of 0 or 1 on answers, one above 0; tools as a list."""
    assert record.keys() <= {"messages", "tools"}
    assert isinstance(record.get("tools", []), list)
    learnt = False
    for m in record["messages"]:
        assert m["role"] in ("system", "user", "assistant", "tool", "function")
        assert m.keys() <= {
            "role",
            "content",
            "name",
            "weight",
            "tool_calls",
            "tool_call_id",
            "function_call",
        }
        assert isinstance(m.get("content"), (str, list)) or m.get("tool_calls") or m.get("function_call")
        assert m.get("weight", 1) in (0, 1)
        learnt |= m["role"] == "assistant" and m.get("weight", 1) == 1
    assert learnt and record["messages"][-1]["role"] == "assistant"


def together(record):
    """Exactly messages; a system prompt or the user first, then in turns."""
    assert record.keys() == {"messages"}
    roles = [m["role"] for m in record["messages"]]
    assert _alternates(roles[1:] if roles[0] == "system" else roles)
    assert all(m.keys() == {"role", "content"} and isinstance(m["content"], str) for m in record["messages"])


def trl(record):
    """Prompt and completion as lists of messages; the completion is the answer."""
    assert record.keys() <= {"prompt", "completion", "tools"}
    assert [m["role"] for m in record["completion"]] == ["assistant"] and record["prompt"]
    assert all("role" in m and "content" in m for m in record["prompt"] + record["completion"])


def pairs(record):
    """Two texts."""
    assert record.keys() == {"prompt", "completion"} and all(
        isinstance(v, str) and v for v in record.values()
    )


READERS = {
    "bedrock": bedrock,
    "converse": converse,
    "openai": openai,
    "together": together,
    "trl": trl,
    "pairs": pairs,
}

word = st.text(
    st.characters(blacklist_categories=("Cs",), blacklist_characters="\0"), min_size=1, max_size=20
).filter(normalise)
call = st.fixed_dictionaries(
    {
        "id": st.just("c"),
        "type": st.just("function"),
        "function": st.fixed_dictionaries({"name": st.just("track"), "arguments": st.just("{}")}),
    }
)
message = st.one_of(
    st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant"]), "content": word}),
    st.fixed_dictionaries({"role": st.just("assistant"), "content": word, "weight": st.sampled_from([0, 1, 1, 0.5, 2])}),
    st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant"]), "content": word, "name": st.just("Ana"), "time": st.just(3)}),
    st.fixed_dictionaries({"role": st.just("assistant"), "content": st.none(), "tool_calls": st.lists(call, min_size=1, max_size=2)}),
    st.fixed_dictionaries({"role": st.just("tool"), "content": word, "tool_call_id": st.just("c")}),
    st.fixed_dictionaries({"role": st.just("user"), "content": st.lists(st.fixed_dictionaries({"type": st.just("text"), "text": word}), min_size=1, max_size=2)}),
)  # fmt: skip
conversation = st.builds(
    lambda system, middle, last: [*system, *middle, *last],
    st.lists(st.fixed_dictionaries({"role": st.just("system"), "content": word}), max_size=1),
    st.lists(message, max_size=4),
    st.tuples(
        st.fixed_dictionaries({"role": st.just("user"), "content": word}),
        message.filter(lambda m: m["role"] == "assistant"),
    ),
)


@given(
    messages=conversation,
    tools=st.sampled_from([None, [{"type": "function", "function": {"name": "track"}}]]),
)
@settings(max_examples=300, deadline=None)
def test_what_passes_the_linter_is_taken_by_the_reader_and_what_it_blocks_is_not(messages, tools):
    try:
        talk = read_conversation(messages, column="messages", tools=tools)
    except RowError:
        return
    turns = json.loads(talk.turns or "[]")
    row = (talk.system, turns, talk.prompt, talk.completion, talk.extra)
    found = lint_row(*row)
    for key, reader in READERS.items():
        record = json.loads(EXPORTS[key].line(*row))
        blocked = [rule for rule in found.get(key, []) if RULES[rule].blocks]
        try:
            reader(record)
            taken = True
        except (AssertionError, KeyError):
            taken = False
        assert taken is not bool(blocked), (key, blocked, record)


# --- T49 ---------------------------------------------------------------------------------------------------------


def _runs(cell: str) -> bool:
    """Whether a spreadsheet would take the cell for a formula: what it skips first, then the sign; a plain number is none."""
    seen = cell.lstrip(" \t\r\n\u00a0\u200b\ufeff\u3000")
    if seen[:1] not in tuple("=+-@\uff1d\uff0b\uff0d\uff20"):
        return False
    try:
        float(cell)
    except ValueError:
        return True
    return False


@pytest.mark.parametrize("cell", FORMULAS, ids=range(len(FORMULAS)))
def test_a_cell_that_would_run_is_text(cell):
    for neutral in (safe_cell(cell),):
        assert not _runs(neutral)
        assert neutral.lstrip("'") == cell.lstrip("'") and neutral in (cell, "'" + cell)


@pytest.mark.parametrize("cell", ["", "a=1", "5", "-3.5", "+4", "1e5", "é", "a\n=1", "e-mail", "x@y.de"])
def test_a_cell_that_would_not_stays(cell):
    assert safe_cell(cell) == cell


@pytest.mark.django_db
def test_every_csv_that_is_handed_out_is_harmless_and_jsonl_is_exact(
    dataset, bring_in, stage, editor, client_for
):
    """The report, the bad rows and the export, with formulas as texts, labels, columns and in lines that cannot be read."""
    assert len(FORMULAS) >= 30
    rows = [
        {"text": f"{cell} is what I see in row {i}", "label": cell[:20] or "x", "=column()": cell}
        for i, cell in enumerate(FORMULAS)
    ]
    rows += [{"text": f"{cell}", "label": "short"} for cell in FORMULAS]
    data = (
        jsonl(rows + tickets(20))
        + "".join(f"{cell}\n" for cell in FORMULAS if "\n" not in cell)
        + json.dumps({"=cmd|x": 1})
        + "\n"
    )
    done = bring_in(dataset, data, skip=True)
    assert done.state == "done" and done.n_bad > 20
    version = services.start_freeze(
        actor=editor, dataset=dataset, override_reason="only a test of cells", size_test_by_power=False
    )
    assert run_until_idle(60)
    version.refresh_from_db()
    client = client_for(editor)
    n = 0
    for path in (
        f"/datasets/{dataset.pk}/report.csv",
        f"/imports/{done.pk}/bad-rows.csv",
        f"/dataset-versions/{version.pk}/export/train/csv/",
    ):
        text = b"".join(client.get(path).streaming_content).decode()
        for record in csv.reader(io.StringIO(text, newline=""), strict=True):
            assert not any(_runs(cell) for cell in record), (path, record)
            n += sum(cell.startswith("'") for cell in record)
    assert n > 60
    lines = b"".join(client.get(f"/dataset-versions/{version.pk}/export/train/chat/").streaming_content)
    wanted = {normalise(row["text"]) for row in rows}
    got = {json.loads(line)["messages"][0]["content"] for line in lines.splitlines()}
    assert got & wanted and got <= wanted | {row["text"] for row in tickets(20)}
    assert Import.objects.count() == 1
