"""From a frozen version to a verdict, in process."""

from __future__ import annotations

import pytest

from evaluations import services
from evaluations.domain.comparison import Margins
from evaluations.errors import NotComparable, TestSplitNeedsReason
from evaluations.models import Comparison, Evaluation, Result, TestLook
from foundation.jobs.services import cancel_job
from foundation.teams.errors import BadInput, Conflict
from foundation.teams.models import AuditEvent


@pytest.fixture
def floors(editor, use_case, version):
    return services.ensure_baselines(actor=editor, use_case=use_case, version=version)


def test_floors_are_made_once(editor, use_case, version, floors):
    assert [c.kind for c in floors] == ["majority", "nearest"]
    again = services.ensure_baselines(actor=editor, use_case=use_case, version=version)
    assert [c.pk for c in again] == [c.pk for c in floors]


def test_two_candidates_end_in_a_verdict(editor, version, floors, idle):
    comparison = services.start_evaluations(actor=editor, version=version, candidates=floors)
    assert isinstance(comparison, Comparison)
    assert comparison.state == "waiting"
    idle()
    comparison.refresh_from_db()
    assert comparison.state == "done"
    assert comparison.finding
    assert comparison.verdict in ("better", "worse", "equivalent", "undecided")
    nearest = comparison.baseline
    assert nearest.candidate.kind == "nearest"
    assert nearest.state == "done"
    assert nearest.n_scored == 60
    assert nearest.n_unscored == 0
    assert nearest.score == nearest.aggregates["classification"]["accuracy"]
    assert nearest.low < nearest.score < nearest.high
    # S50: prompt and expected by reference, answer, scores and latency are kept for every row
    result = Result.objects.filter(evaluation=nearest).first()
    assert result.output
    assert result.content.prompt
    assert result.scores["label"] in (0.0, 1.0)
    assert result.latency_ms > 0


def test_the_same_request_is_the_same_evaluation(editor, version, floors, idle):
    first = services.start_evaluation(actor=editor, version=version, candidate=floors[0])
    assert services.start_evaluation(actor=editor, version=version, candidate=floors[0]).pk == first.pk
    idle()
    # S59: unchanged rows are not asked again
    assert services.start_evaluation(actor=editor, version=version, candidate=floors[0]).pk == first.pk
    fresh = services.start_evaluation(actor=editor, version=version, candidate=floors[0], fresh=True)
    assert fresh.pk != first.pk


def test_two_presses_plan_one_comparison(editor, version, floors):
    first = services.start_evaluations(actor=editor, version=version, candidates=floors)
    assert services.start_evaluations(actor=editor, version=version, candidates=floors).pk == first.pk
    assert Evaluation.objects.count() == 2


def test_a_sample_is_frozen_and_stratified(editor, version, floors, idle):
    evaluation = services.start_evaluation(actor=editor, version=version, candidate=floors[1], sample=20)
    assert len(evaluation.row_ids) == evaluation.n_rows == 20
    idle()
    evaluation.refresh_from_db()
    assert evaluation.results.count() == 20
    other = services.start_evaluation(
        actor=editor, version=version, candidate=floors[0], sample=20, seed=evaluation.seed
    )
    assert other.row_ids == evaluation.row_ids


def test_training_rows_cannot_be_evaluated(editor, version, floors):
    with pytest.raises(BadInput, match="knows the training rows by heart"):
        services.start_evaluation(actor=editor, version=version, candidate=floors[0], split="train")


def test_test_rows_need_a_reason_and_every_claim_is_counted(editor, version, floors, idle):
    with pytest.raises(TestSplitNeedsReason):
        services.start_evaluations(actor=editor, version=version, candidates=floors, split="test")
    with pytest.raises(TestSplitNeedsReason):
        services.start_claim(actor=editor, version=version, candidates=floors, reason="short")
    with pytest.raises(BadInput, match="at least two"):
        services.start_claim(actor=editor, version=version, candidates=floors[:1], reason="Ready to ship it.")
    first = services.start_claim(actor=editor, version=version, candidates=floors, reason="Ready to ship it.")
    second = services.start_claim(
        actor=editor, version=version, candidates=floors, reason="Ready to ship it."
    )
    assert (first.look_number, second.look_number) == (1, 2)
    assert TestLook.objects.filter(version=version, kind="claim").count() == 2
    assert services.claims_of(version) == 2
    idle()
    first.refresh_from_db()
    assert first.state == "done"
    assert first.is_claim


def test_margins_are_frozen_before_the_results(editor, version, floors, idle):
    comparison = services.start_evaluations(
        actor=editor, version=version, candidates=floors, margins=Margins(points=0.05)
    )
    assert comparison.margins == {"points": 0.05, "relative": 0.1, "alpha": 0.05}
    with pytest.raises(BadInput, match="margin in points"):
        services.start_evaluations(
            actor=editor, version=version, candidates=floors, margins=Margins(points=0.9)
        )


def test_finished_evaluations_are_compared_at_once(editor, version, floors, idle):
    evaluations = [services.start_evaluation(actor=editor, version=version, candidate=c) for c in floors]
    with pytest.raises(NotComparable, match="no figures yet"):
        services.compare(actor=editor, evaluations=evaluations)
    idle()
    evaluations = list(Evaluation.objects.filter(pk__in=[e.pk for e in evaluations]))
    comparison = services.compare(actor=editor, evaluations=evaluations, seed=7)
    assert comparison.state == "done"
    again = services.compare(actor=editor, evaluations=evaluations, seed=7)
    assert again.result["lines"] == comparison.result["lines"]
    with pytest.raises(NotComparable, match="two evaluations"):
        services.compare(actor=editor, evaluations=evaluations[:1])


def test_other_rows_are_not_compared(editor, make_version, use_case, idle):
    one, two = make_version(), make_version(validation=30)
    found = []
    for version in (one, two):
        candidate = services.ensure_baselines(actor=editor, use_case=use_case, version=version)[0]
        found.append(services.start_evaluation(actor=editor, version=version, candidate=candidate))
    idle()
    found = list(Evaluation.objects.all())
    with pytest.raises(NotComparable, match="different rows"):
        services.compare(actor=editor, evaluations=found)


def test_a_cancelled_evaluation_says_so_and_its_comparison_too(editor, version, floors, idle):
    comparison = services.start_evaluations(actor=editor, version=version, candidates=floors)
    evaluation = comparison.evaluations.first()
    cancel_job(actor=editor, job=evaluation.job)
    idle()
    evaluation.refresh_from_db()
    comparison.refresh_from_db()
    assert evaluation.state == "cancelled"
    assert comparison.state == "failed"
    assert "cancelled" in comparison.error


def test_foreign_candidates_are_refused(editor, version, floors, team):
    from decisions.services import create_use_case

    other = create_use_case(actor=editor, team=team, name="Something else")
    floors[0].use_case = other
    floors[0].save()
    with pytest.raises(BadInput, match="another use case"):
        services.start_evaluation(actor=editor, version=version, candidate=floors[0])


def test_a_version_without_validation_rows_is_refused(editor, make_version, use_case):
    version = make_version(validation=0)
    floors = services.ensure_baselines(actor=editor, use_case=use_case, version=version)
    with pytest.raises(Conflict, match="no validation rows"):
        services.start_evaluation(actor=editor, version=version, candidate=floors[0])


def test_every_step_is_on_the_record(editor, version, floors, idle):
    services.start_claim(actor=editor, version=version, candidates=floors, reason="Ready to ship it.")
    idle()
    verbs = set(AuditEvent.objects.values_list("verb", flat=True))
    assert {
        "candidate.created", "evaluation.started", "evaluation.finished", "comparison.planned", "comparison.decided",
    } <= verbs  # fmt: skip


def test_an_answer_task_is_scored_by_words(editor, use_case, make_version, idle):
    version = make_version(task_kind="answer", answer=lambda label, i: f"Please see the {label} page.")
    (nearest,) = services.ensure_baselines(actor=editor, use_case=use_case, version=version)
    evaluation = services.start_evaluation(actor=editor, version=version, candidate=nearest)
    idle()
    evaluation.refresh_from_db()
    assert evaluation.scorers == ["token_f1", "normalised_exact"]
    assert evaluation.score > 0.5
    assert "classification" not in evaluation.aggregates


def test_tasks_of_a_multi_task_set_are_told_apart(editor, use_case, make_version, idle):
    # S62: the prefix of a multi-task row names its task
    from evaluations.tests.conftest import text_of

    version = make_version(
        text=lambda label, i: f"[TASK: {'even' if i % 2 else 'odd'}]\n\n{text_of(label, i)}"
    )
    nearest = services.ensure_baselines(actor=editor, use_case=use_case, version=version)[1]
    evaluation = services.start_evaluation(actor=editor, version=version, candidate=nearest)
    idle()
    evaluation.refresh_from_db()
    tasks = evaluation.aggregates["tasks"]
    assert [t["task"] for t in tasks] == ["even", "odd"]
    assert sum(t["n"] for t in tasks) == 60
