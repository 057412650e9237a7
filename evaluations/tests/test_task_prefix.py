"""What a candidate that learnt several tasks is asked: its rows name the task, or the portal does (S45, D29)."""

from __future__ import annotations

import pytest

from datasets.jobs import KINDS as DATASET_KINDS
from datasets.models import Dataset, DatasetVersion
from datasets.services import mixing
from evaluations import services
from evaluations.jobs import _texts
from evaluations.models import Result
from foundation.jobs.kinds import register_kinds

pytestmark = pytest.mark.django_db


@pytest.fixture
def mixed(editor, use_case, make_version, idle):
    """Two versions, the one mixed from them, and the nearest-example candidate that learnt from the mix."""
    register_kinds(DATASET_KINDS)
    members = [make_version(), make_version(text=lambda label, i: f"{label} number {i} of the other set")]
    version = mixing.mix_versions(
        actor=editor, use_case=use_case, name="Both", members=list(zip(members, ("One", "Two"), strict=True))
    )
    idle()
    version.refresh_from_db()
    assert version.is_frozen, version.error
    nearest = services.ensure_baselines(actor=editor, use_case=use_case, version=version)[1]
    return members, version, nearest


def asked(evaluation):
    """The prompts of an evaluation as its job puts them before the candidate."""
    rows = list(Result.objects.filter(evaluation=evaluation))
    return [content.prompt for content in _texts(rows, evaluation).values()]


def test_rows_of_a_mixed_version_name_their_task_once(editor, mixed, idle):
    _, version, nearest = mixed
    evaluation = services.start_evaluation(actor=editor, version=version, candidate=nearest)
    idle()
    evaluation.refresh_from_db()
    prompts = asked(evaluation)
    assert len(prompts) == version.n_validation
    assert all(prompt.count("[TASK: ") == 1 for prompt in prompts)
    assert [t["task"] for t in evaluation.aggregates["tasks"]] == ["One", "Two"]


def test_rows_of_one_task_are_named_for_a_candidate_that_learnt_several_and_for_no_other(
    editor, use_case, mixed, idle
):
    members, _, nearest = mixed
    evaluation = services.start_evaluation(actor=editor, version=members[1], candidate=nearest)
    alone = services.ensure_baselines(actor=editor, use_case=use_case, version=members[1])[1]
    other = services.start_evaluation(actor=editor, version=members[1], candidate=alone)
    idle()
    evaluation.refresh_from_db()
    assert evaluation.n_scored == members[1].n_validation
    assert all(prompt.startswith("[TASK: Two]\n\n") for prompt in asked(evaluation))
    assert not any("[TASK: " in prompt for prompt in asked(other))


def test_a_later_version_of_a_members_dataset_is_the_same_task_and_a_stranger_is_none(team, use_case, mixed):
    members, version, _ = mixed
    later = DatasetVersion(team=team, dataset=members[0].dataset, number=9)
    assert mixing.task_for(version, later) == ""  # both members are versions of this dataset: nobody can tell
    stays = Dataset.objects.create(team=team, use_case=use_case, name="Another")
    DatasetVersion.objects.filter(pk=members[1].pk).update(dataset=stays)
    assert mixing.task_for(version, later) == "One"
    assert mixing.task_for(version, members[1]) == "Two"
    stranger = Dataset.objects.create(team=team, use_case=use_case, name="Stranger")
    assert mixing.task_for(version, DatasetVersion(team=team, dataset=stranger, number=1)) == ""
    assert mixing.task_for(members[0], later) == ""
