"""Training in a real child process, up to the candidate that an evaluation takes."""

from __future__ import annotations

import pytest

from datasets.models import TrainingRun
from datasets.training import services as training
from datasets.training.jobs import ChildDied, Train, folder_of
from evaluations import services
from foundation.llm import local
from foundation.teams.errors import BadInput, Conflict


def test_a_run_leaves_a_model_its_scores_and_its_cost(editor, version, use_case, idle):
    run = training.start_training(actor=editor, version=version, settings={"c_values": "1, 10"})
    assert run.settings["c_values"] == [1.0, 10.0]
    assert run.settings["class_weighting"] == "both"  # D29: partial settings are laid over the defaults
    assert training.start_training(actor=editor, version=version, settings={"c_values": "1, 10"}).pk == run.pk
    idle(120)
    run.refresh_from_db()
    assert run.state == "succeeded", run.error
    assert run.metrics["validation"]["n"] == 60
    assert run.metrics["validation"]["accuracy"] > 0.6
    assert run.metrics["sentence"]
    assert run.metrics["curve"][-1]["n"] == 120
    assert len(run.metrics["trials"]) == 4
    assert run.cost_microusd == 0
    assert run.seconds > 0
    assert not folder_of(run.pk).exists()
    assert local.load(run.artefact).kind == "classifier"
    # S49: the cost went down to the use case
    use_case.refresh_from_db()
    assert use_case.measured["training_cost_microusd"]["value"] == 0
    candidates = services.ensure_baselines(actor=editor, use_case=use_case, version=version)
    assert [c.kind for c in candidates] == ["majority", "nearest", "trained"]
    comparison = services.start_evaluations(actor=editor, version=version, candidates=candidates)
    idle(60)
    comparison.refresh_from_db()
    assert comparison.state == "done"
    trained = comparison.evaluations.get(candidate=candidates[2])
    # the evaluation in bulk and the child's own validation score are the same rows and the same model
    assert trained.score == pytest.approx(run.metrics["validation"]["accuracy"])


def test_what_cannot_be_trained_is_said(editor, version, make_version):
    with pytest.raises(BadInput, match="no setting called"):
        training.start_training(actor=editor, version=version, settings={"epochs": 3})
    with pytest.raises(BadInput, match="not a list of numbers"):
        training.start_training(actor=editor, version=version, settings={"c_values": "many"})
    with pytest.raises(Conflict, match="No hosted provider"):
        training.start_training(actor=editor, version=version, backend="hosted")
    with pytest.raises(BadInput, match="no training backend"):
        training.start_training(actor=editor, version=version, backend="magic")
    with pytest.raises(Conflict, match="no training rows"):
        training.start_training(actor=editor, version=make_version(train=0))
    answers = make_version(task_kind="answer", answer=lambda label, i: "Please wait.")
    assert training.default_backend(answers).name == "local-nearest"
    with pytest.raises(BadInput, match="cannot learn"):
        training.start_training(actor=editor, version=answers, backend="local-classifier")


def test_one_label_is_a_sentence_not_a_traceback(editor, make_version, idle):
    version = make_version(train=20, labels=["billing"])
    version.labels = ["billing", "login"]
    version.save()
    run = training.start_training(actor=editor, version=version)
    idle(120)
    run.refresh_from_db()
    assert run.state == "failed"
    assert "fewer than two labels" in run.error
    again = training.retry(actor=editor, run=run)
    assert again.state == "queued"


def test_a_killed_child_is_tried_again(editor, version):
    run = training.start_training(actor=editor, version=version)
    with pytest.raises(ChildDied):
        Train().collect(run.job, object(), {}, -9, "")
    outcome = Train().collect(run.job, object(), {}, 1, "Traceback\nThe file is gone.")
    assert outcome.error == "The file is gone."
    assert TrainingRun.objects.get(pk=run.pk).state == "queued"


def test_nearest_answers_a_written_task(editor, make_version, idle):
    version = make_version(task_kind="answer", answer=lambda label, i: f"See {label}.")
    run = training.start_training(actor=editor, version=version)
    idle(120)
    run.refresh_from_db()
    assert run.state == "succeeded", run.error
    assert run.metrics["train"] is None
    assert run.metrics["validation"]["accuracy"] > 0.5
