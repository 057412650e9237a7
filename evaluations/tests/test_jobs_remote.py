"""A connected model answers and judges over a real socket: faults, caps, cache, and rows nobody could score."""

from __future__ import annotations

import pytest

from evaluations import services
from evaluations.jobs import request_for
from evaluations.models import Result
from foundation.llm import catalogue
from foundation.llm.circuits import CIRCUITS
from foundation.llm.testing.stub_upstream import checked_script
from foundation.llm.tests.conftest import make_connection, stub  # noqa: F401 - a fixture
from foundation.teams.errors import BadInput

MODEL = "claude-haiku-5-5"


@pytest.fixture(autouse=True)
def _catalogue(db):
    catalogue.load()
    CIRCUITS.clear()
    yield
    CIRCUITS.clear()


@pytest.fixture
def connection(team, stub):
    return make_connection(team, stub.url)


@pytest.fixture
def prompt(editor, use_case, connection, version):
    return services.create_candidate(
        actor=editor,
        use_case=use_case,
        name="First prompt",
        model=MODEL,
        connection=connection,
        system=services.default_system(use_case),
        few_shot_version=version,
        n_few_shot=3,
    )


def test_examples_come_from_training_rows_one_a_label(prompt, version):
    assert len(prompt.few_shot) == 3
    assert len({row["completion"] for row in prompt.few_shot}) == 3
    ids = {row["content_id"] for row in prompt.few_shot}
    assert version.rows.filter(content_id__in=ids, split="train").count() == 3


def test_the_same_prompt_is_the_same_candidate(editor, use_case, connection, prompt, version):
    again = services.create_candidate(
        actor=editor, use_case=use_case, name="Another name", model=MODEL, connection=connection,
        system=services.default_system(use_case), few_shot_version=version, n_few_shot=3,
    )  # fmt: skip
    assert again.pk == prompt.pk


@pytest.mark.parametrize(
    ("change", "words"),
    [
        pytest.param({"name": " "}, "name", id="no name"),
        pytest.param({"system": ""}, "system prompt", id="nothing to go by"),
        pytest.param({"model": "claude-9"}, "no price", id="a model nobody can price"),
        pytest.param({"n_few_shot": 99}, "examples", id="too many examples"),
        pytest.param({"max_tokens": 0}, "longest answer", id="no room for an answer"),
    ],
)
def test_a_wrong_prompt_is_refused_with_a_sentence(editor, use_case, connection, change, words):
    from foundation.teams.errors import PortalError

    given = {"name": "x", "model": MODEL, "connection": connection, "system": "Answer.", **change}
    with pytest.raises(PortalError, match="(?i)" + words):
        services.create_candidate(actor=editor, use_case=use_case, **given)


def test_a_prompt_is_quoted_capped_answered_and_told_apart(editor, version, prompt, use_case, idle, stub):
    floors = services.ensure_baselines(actor=editor, use_case=use_case, version=version)
    offer = services.quote(version=version, candidates=[prompt, *floors])
    assert offer.n_calls == 60
    assert offer.cost_microusd > 0
    comparison = services.start_evaluations(actor=editor, version=version, candidates=[prompt, *floors])
    idle(120)
    comparison.refresh_from_db()
    evaluation = comparison.evaluations.get(candidate=prompt)
    assert evaluation.n_scored == 60
    assert comparison.baseline_id == evaluation.pk  # the prompt is the strongest alternative
    paid = evaluation.aggregates["cost_microusd"]
    assert 0 < paid <= evaluation.cap_microusd
    assert evaluation.job.__class__.objects.get(pk=evaluation.job_id).spent_microusd == paid
    result = Result.objects.filter(evaluation=evaluation).first()
    assert result.input_tokens and result.output_tokens and result.price_microusd and result.request_id
    calls = stub.stats()["calls"]
    # S59: the same questions again are answered from the cache, and nothing is paid
    again = services.start_evaluation(actor=editor, version=version, candidate=prompt, fresh=True)
    idle(120)
    again.refresh_from_db()
    assert stub.stats()["calls"] == calls
    assert again.aggregates["n_cached"] == 60
    assert again.aggregates["cost_microusd"] == 0
    assert again.aggregates["price_mean"] == evaluation.aggregates["price_mean"]
    assert again.score == evaluation.score


def test_a_cap_is_never_crossed_and_what_it_left_out_is_unscored(editor, version, prompt, idle):
    # room for the longest call there can be, and for a few short ones
    content = version.rows.filter(split="validation").first().content
    cap = catalogue.bound_microusd(request_for(prompt, content)) + 400
    evaluation = services.start_evaluation(actor=editor, version=version, candidate=prompt, cap_microusd=cap)
    idle(120)
    evaluation.refresh_from_db()
    assert evaluation.state == "done"
    assert evaluation.aggregates["cost_microusd"] <= cap
    assert evaluation.n_unscored > 0
    assert evaluation.n_scored + evaluation.n_unscored == 60
    assert "cap" in evaluation.aggregates["unscored_reasons"][0][0]
    # a higher cap and the rest is asked, and only the rest
    done = evaluation.n_scored
    services.retry_unscored(actor=editor, evaluation=evaluation, cap_microusd=5_000_000)
    idle(120)
    evaluation.refresh_from_db()
    assert evaluation.n_unscored == 0
    assert evaluation.n_scored == 60 > done


def test_a_paid_run_without_room_is_refused(editor, version, prompt):
    with pytest.raises(BadInput, match="cap above"):
        services.start_evaluation(actor=editor, version=version, candidate=prompt, cap_microusd=0)


def test_faults_leave_rows_unscored_never_wrong(editor, version, prompt, idle, stub):
    stub.stub.script = checked_script([{"every": 7, "fault": "400"}])
    evaluation = services.start_evaluation(actor=editor, version=version, candidate=prompt)
    idle(120)
    evaluation.refresh_from_db()
    assert evaluation.n_unscored > 0
    unscored = Result.objects.filter(evaluation=evaluation, score=None)
    assert unscored.count() == evaluation.n_unscored
    assert all(r.unscored for r in unscored)
    assert evaluation.score == evaluation.aggregates["classification"]["accuracy"]
    assert evaluation.aggregates["classification"]["n"] == evaluation.n_scored


def test_a_judge_scores_written_answers_and_keeps_its_evidence(
    editor, use_case, connection, make_version, idle, stub
):
    version = make_version(
        train=20,
        validation=12,
        test=0,
        task_kind="answer",
        answer=lambda label, i: f"Please see the {label} page.",
    )
    (nearest,) = services.ensure_baselines(actor=editor, use_case=use_case, version=version)
    judge = services.default_judge(version.team)
    assert judge is not None
    evaluation = services.start_evaluation(actor=editor, version=version, candidate=nearest, judge=judge)
    idle(120)
    evaluation.refresh_from_db()
    assert evaluation.scorers[-3:] == ["judge:accuracy", "judge:relevance", "judge:quality"]
    figures = evaluation.aggregates["scorers"]["judge:accuracy"]
    assert figures["n"] + figures["n_unscored"] == 12
    assert figures["n"] > 0
    result = Result.objects.filter(evaluation=evaluation).exclude(judge={}).first()
    assert result.judge["model"] == judge.model
    assert result.judge["prompt_version"] == "judge-1"
    assert result.judge["reply"]
    # S52: overall is the mean of the means
    means = [f["mean"] for f in evaluation.aggregates["scorers"].values() if f["mean"] is not None]
    assert evaluation.aggregates["overall"] == pytest.approx(sum(means) / len(means))


def test_a_judge_that_talks_nonsense_leaves_rows_unscored(
    editor, use_case, connection, make_version, idle, stub
):
    version = make_version(
        train=20,
        validation=6,
        test=0,
        task_kind="answer",
        answer=lambda label, i: f"Please see the {label} page.",
    )
    stub.stub.script = checked_script([{"every": 1, "fault": "bad-answer"}])
    (nearest,) = services.ensure_baselines(actor=editor, use_case=use_case, version=version)
    evaluation = services.start_evaluation(
        actor=editor, version=version, candidate=nearest, judge=services.default_judge(version.team)
    )
    idle(120)
    evaluation.refresh_from_db()
    figures = evaluation.aggregates["scorers"]["judge:accuracy"]
    assert (figures["n"], figures["n_unscored"], figures["mean"]) == (0, 6, None)
    assert evaluation.aggregates["scorers"]["token_f1"]["n"] == 6
    seen = [
        (r.unscored, r.judge.get("unscored"), r.judge.get("repaired"), r.error, r.attempts)
        for r in Result.objects.all()
    ]
    assert stub.stats()["calls"] == 12, (seen, stub.stats())
