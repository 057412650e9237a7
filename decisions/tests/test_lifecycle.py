"""The rail and its one next step."""

from __future__ import annotations

import pytest

from decisions import lifecycle, services
from decisions.lifecycle import DECIDE, NOT_YET, Stage, StageState, next_step
from decisions.models import UseCase

STAGES = [Stage(key, title, lambda rows: {}) for key, title in lifecycle.ORDER]


def rail(*states: StageState):
    return list(zip(STAGES, [*states, *[NOT_YET] * (6 - len(states))], strict=True))


DONE = StageState("done", "done", "/done")


@pytest.mark.parametrize(
    ("states", "wanted"),
    [
        pytest.param(
            (StageState("next", "open", "/d", "Decide"),), ("decide", "Decide"), id="nothing decided"
        ),
        pytest.param(
            (DONE, StageState("next", "no data", "/p", "Import a file")),
            ("prepare", "Import a file"),
            id="no data",
        ),
        pytest.param(
            (DONE, StageState("now", "importing", "/p")),
            ("prepare", "See prepare"),
            id="an import is running",
        ),
        pytest.param(
            (DONE, StageState("warn", "37 findings", "/p", "Look"), StageState("todo", "", "/t", "Train")),
            ("prepare", "Look"),
            id="findings before training",
        ),
        pytest.param(
            (DONE, DONE, StageState("now", "training", "/t"), StageState("next", "ready", "/e", "Evaluate")),
            ("evaluate", "Evaluate"),
            id="evaluating while training",
        ),
        pytest.param(
            (
                DONE,
                DONE,
                StageState("todo", "optional", "/t", "Train"),
                StageState("next", "", "/e", "Compare"),
            ),
            ("evaluate", "Compare"),
            id="what asks goes before what could be begun",
        ),
        pytest.param(
            (DONE, DONE, StageState("todo", "", "/t", "Train")),
            ("train", "Train"),
            id="something could be begun",
        ),
        pytest.param((DONE, DONE, DONE, DONE), None, id="all done"),
        pytest.param(
            (DONE, StageState("todo", "blocked", blocker="needs rows")), None, id="blocked without a way"
        ),
    ],
)
def test_u02_the_next_step_of_nine_states(states, wanted):
    step = next_step(rail(*states))
    assert (step and (step.stage.key, step.action)) == wanted


def test_a_stage_outside_the_six_is_refused():
    with pytest.raises(ValueError, match="six"):
        lifecycle.register_stages([Stage("dream", "Dream", lambda rows: {})])


@pytest.mark.django_db
def test_decide_says_open_then_done_then_that_the_facts_turned(editor, use_case):
    def state():
        row = UseCase.objects.with_answers().get(pk=use_case.pk)
        return DECIDE.states([row])[row.pk]

    assert (state().state, state().action) == ("next", "See the answer")
    services.decide(actor=editor, use_case=use_case)
    assert (state().state, state().headline) == ("done", "Hybrid: RAG and fine-tuning tie at 1.00")
    services.update_use_case(actor=editor, use_case=use_case, version=1, data_quality="low")
    assert state().state == "warn"
    assert state().headline == "Facts changed: now RAG"


@pytest.mark.django_db
def test_decide_asks_no_more_queries_for_more_use_cases(team, editor, django_assert_max_num_queries):
    for n in range(5):
        services.decide(
            actor=editor, use_case=services.create_use_case(actor=editor, team=team, name=f"case {n}")
        )
    with django_assert_max_num_queries(3):
        DECIDE.states(list(UseCase.objects.of(team)))
    rows = list(UseCase.objects.of(team).with_answers())
    with django_assert_max_num_queries(0):
        DECIDE.states(rows)


@pytest.mark.django_db
def test_a_rail_has_six_stages_in_order(use_case):
    stages = lifecycle.stages_for([use_case])[use_case.pk]
    assert [stage.title for stage, _ in stages] == ["Decide", "Prepare", "Train", "Evaluate", "Ship", "Watch"]
