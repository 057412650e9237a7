"""A trial cross-validates what it trained, and goes on where a set is too large for it."""

from __future__ import annotations

import pytest

from datasets.models import CrossValidation, DatasetVersion, TrainingRun
from datasets.tests.folded import folded_version, judged
from datasets.training.jobs import KINDS
from datasets.training.services import keep_result, start_training
from decisions.services import create_use_case
from foundation.files import store
from foundation.jobs.kinds import register_kinds
from foundation.jobs.models import Job
from ftportal import lifecycle
from ftportal.course import Course, Found, Waiting

pytestmark = pytest.mark.django_db


@pytest.fixture
def trained(team, editor, settings, tmp_path):
    """A version with folds, a finished run on it, and the course that stands before its training stage."""
    settings.VAR_DIR = settings.FILES_DIR = tmp_path
    register_kinds(KINDS)
    use_case = create_use_case(actor=editor, team=team, name="Tickets", task_kind="classify")
    version = folded_version(use_case)
    run = start_training(actor=editor, version=version)
    blob = store.put(team=team, stream=b"x", name="m", kind="model")
    keep_result(run_id=run.pk, artefact=blob, metrics={"train": {"accuracy": 1.0, "n": 48}}, seconds=1.0)
    Job.objects.filter(pk=run.job_id).update(state="succeeded")
    course = Course(team=team, actor=editor, recipe={"cross_validate": True}, facts={"version": version.pk})
    return course, version, TrainingRun.objects.get(pk=run.pk)


def test_another_backend_that_was_cross_validated_is_not_taken_for_the_one_that_was_trained(trained, editor):
    course, version, run = trained
    other = judged(editor, version, backend="local-nearest")
    Job.objects.filter(pk=other.job_id).update(state="succeeded")
    assert isinstance(lifecycle.train(course), Waiting)
    begun = CrossValidation.objects.exclude(pk=other.pk).get()
    assert (begun.backend, begun.seed) == (run.backend, run.seed)
    # asked again it is the one that was begun
    assert isinstance(lifecycle.train(course), Waiting)
    assert CrossValidation.objects.count() == 2


def test_a_set_too_large_for_folds_is_trained_all_the_same(trained):
    course, version, _ = trained
    DatasetVersion.objects.filter(pk=version.pk).update(n_train=25_000)
    found = lifecycle.train(course)
    assert isinstance(found, Found)
    assert "Not cross-validated: 25,012 rows" in found.finding
    assert not CrossValidation.objects.exists()
