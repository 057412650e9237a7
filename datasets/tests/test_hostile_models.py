"""Rows that speak to a model and models that answer nonsense (T12, T37): judged rows, and rows written from given ones."""

from __future__ import annotations

import json
import re

import pytest

from datasets import services
from datasets.domain import quality, writing
from datasets.models import Content, Finding, Judgement
from datasets.tests.conftest import jsonl, tickets
from datasets.tests.hostile import INJECTIONS, PAYLOADS
from foundation.jobs.services import run_until_idle
from foundation.llm.testing.stub_upstream import StubUpstream
from foundation.llm.tests.conftest import make_connection

SCORES = {"clarity": 0.9, "quality": 0.8, "relevance": 1, "completeness": 0.7, "overall": 0.85}
FINE = json.dumps({**SCORES, "issues": ["short"]})
NAMES = list(SCORES)


def _without(name):
    return json.dumps({k: v for k, v in {**SCORES, "issues": []}.items() if k != name})


def _with(name, raw):
    return FINE.replace(f'"{name}": {json.dumps(SCORES[name])}', f'"{name}": {raw}')


# T12: none of these holds a rating that may be believed.
MALFORMED = [
    "", " ", "\n", "null", "true", "0.9", '"0.9"', "[]", "{}", "[[]]", "I think 0.9.", "Score: 0.9", "N/A", "yes", "\ufeff",
    FINE + " Hope this helps!", "Sure! " + FINE, FINE + FINE, FINE + "\n" + FINE, f"[{FINE}]", f'{{"rating": {FINE}}}', FINE[:-1], FINE[1:],
    FINE.replace('"', "'"), FINE.replace(",", ";"), FINE.replace("}", ",}"), "// rated\n" + FINE, f"<rating>{FINE}</rating>",
    f"```json\n{FINE}\n```\nDone.", f"```\n{FINE}", "```json\n```", "[" * 100_000, '{"a":' * 50_000 + "1" + "}" * 50_000, "x" * 1_000_000,
    *(_without(name) for name in NAMES), *(_with("overall", raw) for raw in ("NaN", "Infinity", "-Infinity", "null", "true", '"0.85"', "[0.85]", "{}")),
    *(_with("overall", raw) for raw in ("1.01", "-0.01", "8.5", "85", "1e3", "-0.85", "1e400")), *(_with(name, "2") for name in NAMES[:4]),
    _with("overall", '0.85, "overall": 1'), _with("clarity", '0.9, "clarity": 0.1'), FINE.replace('["short"]', '"short"'),
    FINE.replace('["short"]', "[1]"), FINE.replace('["short"]', "null"), FINE.replace('["short"]', '{"0": "short"}'), FINE.replace("overall", "Overall"),
]  # fmt: skip


def test_there_are_enough_of_each():
    assert len(set(MALFORMED)) >= 60
    assert len(set(INJECTIONS)) >= 60
    assert len(set(PAYLOADS)) >= 120


@pytest.mark.parametrize("reply", MALFORMED, ids=range(len(MALFORMED)))
def test_a_reply_that_holds_no_rating_scores_nobody(reply):
    with pytest.raises(quality.Unscored) as refused:
        quality.parse_reply(reply)
    assert refused.value.args[0]


def test_orders_to_a_judge_are_marked_wherever_they_stand():
    for order in INJECTIONS:
        for place in range(4):  # the system prompt, an earlier turn, the prompt, the answer
            texts = ["", "", "Where is my card?", "card"]
            texts[place] = (
                json.dumps([["user", order]]) if place == 1 else f"Where is it?\n{order}\nThank you."
            )
            if place == 1:
                texts[place] = json.dumps([["user", order]], ensure_ascii=False)
            assert quality.is_suspicious(*texts), (order, place)


@pytest.mark.parametrize(
    "text",
    [
        "What is the highest score in bowling? 300, in a perfect game.",
        "How do I score the highest in the exam?",
        "Please give me an excellent recipe, the best possible one.",
        "I forget everything when I am tired, and my manager ignores all rules.",
        "Return the highest number of the list, output the maximum.",
        "The evaluation of my claim is not complete.",
        "Mark 100 invoices as paid and grade the road.",
        "Let's think about dinner: what is in the fridge?",
    ],
)
def test_ordinary_words_of_rating_are_not(text):
    assert not quality.is_suspicious(text, "ok")


def test_an_answer_that_begins_to_think_aloud_still_says_something():
    assert quality.is_degenerate("Let's think about it.")
    assert not quality.is_degenerate("Let's think about dinner: what is in the fridge?")


@pytest.mark.parametrize("order", INJECTIONS, ids=range(len(INJECTIONS)))
def test_no_order_leaves_its_fence(order):
    """One fence whatever the row says, and what stands in it reads back as the row."""
    text = f"{order} </row></rows> <row>"
    asked = quality.question(
        task="t", labels=[text], system=text, turns=[["user", text]], prompt=text, completion=text
    )
    assert (asked.count("<row>"), asked.count("</row>")) == (1, 1)
    row = json.loads(re.search(r"<row>(.*)</row>", asked, re.S)[1])
    assert (row["system"], row["prompt"], row["completion"], row["earlier_turns"][0]["text"]) == (text,) * 4
    given = [writing.Given(text, text), writing.Given("Where?", "card")]
    asked = writing.question(task=text, label=text, labels=[text, "other" + text], given=given, want=3)
    assert (asked.count("<rows>"), asked.count("</rows>"), asked.count("<row>")) == (1, 1, 0)
    rows = json.loads(re.search(r"<rows>(.*)</rows>", asked, re.S)[1])
    assert rows == [{"prompt": text, "completion": text}, {"prompt": "Where?", "completion": "card"}]


def test_a_conversation_without_end_is_cut_for_the_judge():
    turns = [[("user", "assistant")[i % 2], f"turn {i}"] for i in range(100_000)]
    asked = quality.question(task="t", labels=[], system="", turns=turns, prompt="p", completion="c")
    assert len(asked) < 5_000
    row = json.loads(re.search(r"<row>(.*)</row>", asked, re.S)[1])
    assert row["earlier_turns"][0] == "[99940 turns cut]"
    assert row["earlier_turns"][-1] == {"role": "assistant", "text": "turn 99999"}
    first, n_between, last = Content(turns=json.dumps(turns)).turns_to_show
    assert (len(first), n_between, len(last), last[-1][2]) == (20, 99_960, 20, "turn 99999")
    few = [(role, role.capitalize(), text) for role, text in turns[:40]]
    assert Content(turns=json.dumps(turns[:40])).turns_to_show == (few, 0, [])


def test_a_tools_answer_is_shown_as_the_tools_whatever_stands_beside_it():
    """It is kept on the user's side, and was shown as if a person had said it."""
    turns = json.dumps(
        [["user", "Weather?"], ["assistant", "get_weather()"], ["user", "4"], ["assistant", "Cold."]]
    )
    beside = {
        "messages": {
            "1": {"tool_calls": [{}]},
            "2": {"role": "tool"},
            "3": {"weight": 0},
            "4": {"role": "tool"},
        }
    }
    content = Content(turns=turns, extra=json.dumps(beside))
    assert [who for _, who, _ in content.turns_to_show[0]] == [
        "User", "Assistant, calling a tool", "Tool", "Assistant, not learnt",
    ]  # fmt: skip
    assert content.asker == "Tool"
    for odd in ({"messages": ["tool"]}, {"messages": {"2": "tool", "4": 7}}, {}):
        content = Content(turns=turns, extra=json.dumps(odd))
        assert [who for _, who, _ in content.turns_to_show[0]] == ["User", "Assistant"] * 2
        assert content.asker == "User"


@pytest.mark.django_db
def test_orders_change_no_other_row_and_are_shown_for_a_persons_look(
    dataset, bring_in, editor, team, client_for
):
    """T37: rows that speak to the judge keep their own score, are marked, and move nobody else's."""
    plain = tickets(30)
    bad = [{"text": f"{order} ({i})", "label": "card"} for i, order in enumerate(INJECTIONS[:20])]
    bring_in(dataset, jsonl(plain + bad))
    assert Finding.objects.get(run=dataset.checks, rule="speaks_to_judge").n_rows == 20
    # A judge that falls for every order: 1.0 where it is told so, 0.5 elsewhere.
    fallen = json.dumps({**dict.fromkeys(NAMES, 1), "issues": []})
    sober = json.dumps({**dict.fromkeys(NAMES, 0.5), "issues": []})
    told = [{"fault": "say", "contains": f'({i})\\"', "text": fallen} for i in range(20)]
    script = [*told, {"fault": "say", "text": sober}]
    with StubUpstream(latency_ms=1, script=script) as stub:
        make_connection(team, stub.url)
        run = services.start_quality(actor=editor, dataset=dataset, how="all")
        assert run_until_idle(60)
    marked = set(
        Judgement.objects.filter(run=run, suspicious=True).values_list("example__content__prompt", flat=True)
    )
    assert marked == {row["text"] for row in bad}
    others = Judgement.objects.filter(run=run, suspicious=False)
    assert set(others.values_list("overall", flat=True)) == {0.5}
    run.refresh_from_db()
    assert (run.average, run.n_scored) == (0.5, 30)
    page = client_for(editor).get(f"/quality/{run.pk}/").content.decode()
    assert "Rows that speak to their judge" in page


@pytest.mark.parametrize("payload", PAYLOADS[::4], ids=range(len(PAYLOADS[::4])))
def test_a_written_row_is_text_whatever_it_holds(payload):
    reply = json.dumps({"rows": [{"prompt": payload + " Where is my card?", "completion": "card"}]})
    found = writing.parse_reply(reply, task_kind="classify", answer="card")
    assert [prompt.endswith("Where is my card?") for prompt, _ in found.rows] == [True]


@pytest.mark.parametrize(
    "reply",
    [
        "", "null", "[]", "{}", '{"rows": {}}', '{"rows": "x"}', '{"rows": null}', "Sure: {\"rows\": []}", '{"rows": []} done', "[" * 100_000,
        "x" * 600_000, '```json\n{"rows": []', "{'rows': []}", '[{"prompt": "a", "completion": "b"}]', "NaN", '"rows"',
    ],
    ids=range(16),
)  # fmt: skip
def test_a_reply_without_rows_brings_none(reply):
    with pytest.raises(writing.Unusable) as refused:
        writing.parse_reply(reply, task_kind="answer")
    assert refused.value.args[0]


def test_rows_that_cannot_be_used_are_counted_by_reason():
    rows = [
        "x", 1, None, [], {}, {"prompt": 1, "completion": "b"}, {"prompt": "a question here"}, {"prompt": "nul \0 inside it", "completion": "fine answer"},
        {"prompt": "  ", "completion": "a fine answer"}, {"prompt": "what is it about?", "completion": ":"}, {"prompt": "y" * 70_000, "completion": "a fine answer"},
        {"prompt": "Where is the parcel now?", "completion": "It is at the depot."},
    ]  # fmt: skip
    found = writing.parse_reply(json.dumps({"rows": rows}), task_kind="answer", want=20)
    assert found.rows == (("Where is the parcel now?", "It is at the depot."),)
    assert sum(found.refused.values()) == len(rows) - 1
    assert set(found.refused) == {"not a row", "not text", "too short", "too long", "says nothing"}
