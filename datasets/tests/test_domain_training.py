"""What two scores say about a run, and what a backend's schema lets through."""

from __future__ import annotations

import pytest

from datasets.domain.training import RUN_MOVES, RunState, judge_fit
from datasets.training.backends import CLASSIFIER, HOSTED, NEAREST
from datasets.training.contract import Sizes, backends_for
from foundation.teams.errors import BadInput


@pytest.mark.parametrize(
    ("train", "validation", "level", "said"),
    [
        pytest.param(0.95, 0.93, "good", "No sign of overfitting", id="close"),
        pytest.param(0.95, 0.85, "warn", "Some overfitting", id="ten points"),
        pytest.param(1.0, 0.60, "bad", "Overfitting", id="forty points"),
        pytest.param(0.70, 0.85, "warn", "Check the split for leakage", id="validation is easier"),
        pytest.param(0.9, None, "warn", "No validation rows", id="nothing to judge by"),
    ],
)
def test_the_gap_is_called_by_its_name(train, validation, level, said):
    fit = judge_fit(train=train, validation=validation, n_train=800, n_validation=100)
    assert fit.level == level
    assert said in fit.sentence


def test_perfect_on_a_hundred_rows_is_said_to_be_by_heart():
    # The chapter's pitfall 2: perfect on 100 training rows
    fit = judge_fit(train=1.0, validation=0.7, n_train=100, n_validation=30)
    assert "know them by heart" in fit.sentence
    assert fit.gap == pytest.approx(0.3)


def test_every_state_of_a_run_has_its_followers():
    assert set(RUN_MOVES) == set(RunState)
    assert RUN_MOVES[RunState.SUCCEEDED] == frozenset()


def test_partial_settings_are_laid_over_the_defaults():
    # D29: passing only epochs dropped batch size and learning rate
    assert HOSTED.defaults() == {"epochs": 3, "batch_size": 32, "learning_rate": 0.0001}
    assert HOSTED.validate({"epochs": 5}) == {"epochs": 5, "batch_size": 32, "learning_rate": 0.0001}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        pytest.param({"epochs": 3}, "no setting called", id="another backend's setting"),
        pytest.param({"c_values": ""}, "one to twelve", id="none"),
        pytest.param({"c_values": "0"}, "below", id="too small"),
        pytest.param({"c_values": "nan"}, "not a list of numbers", id="not a number"),
        pytest.param({"c_values": ["1", True, None]}, "not a list of numbers", id="nonsense in a list"),
        pytest.param({"class_weighting": "some"}, "not one of", id="no such choice"),
        pytest.param({"min_rows": 1.5}, "whole number", id="half a row"),
        pytest.param({"min_rows": 10**30}, "above", id="far too many"),
        pytest.param({"learning_curve": "maybe"}, "yes or no", id="neither"),
    ],
)
def test_a_wrong_setting_is_named(given, words):
    with pytest.raises(BadInput, match=words) as caught:
        CLASSIFIER.validate(given)
    assert caught.value.field == next(iter(given))


def test_a_task_is_offered_what_can_learn_it_and_can_start_first():
    assert [b.name for b in backends_for("classify")] == ["local-classifier", "local-nearest", "hosted"]
    assert [b.name for b in backends_for("answer")] == ["local-nearest", "hosted"]


def test_an_estimate_grows_with_rows_and_says_it_is_free():
    small = CLASSIFIER.estimate(Sizes(500, 60, 6), CLASSIFIER.defaults())
    large = CLASSIFIER.estimate(Sizes(9000, 1000, 77), CLASSIFIER.defaults())
    assert large.seconds > small.seconds > 0
    assert small.cost_microusd == 0
    assert "free" in small.sentence
    assert NEAREST.shown(NEAREST.defaults())[0][1] == "words and pairs"
