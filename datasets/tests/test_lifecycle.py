"""The Prepare stage tells the stages behind it which version is the newest, so that they need not ask."""

from __future__ import annotations

import pytest
from django.utils import timezone

from datasets import lifecycle
from datasets.models import Dataset, DatasetVersion
from datasets.reading import latest_frozen
from decisions.models import UseCase
from decisions.services import create_use_case

pytestmark = pytest.mark.django_db


def version(dataset, number: int, state: str = "frozen") -> DatasetVersion:
    frozen_at = timezone.now() if state == "frozen" else None
    return DatasetVersion.objects.create(
        team=dataset.team,
        dataset=dataset,
        number=number,
        state=state,
        checksum="c" * 64,
        frozen_at=frozen_at,
    )


def told(use_case, most_queries) -> int | None:
    """What stands on the row after the stage was worked out, without another question; checked against asking."""
    row = UseCase.objects.select_related("team").get(pk=use_case.pk)
    lifecycle.states([row])
    with most_queries(0):
        found = latest_frozen([row]).get(row.pk)
    assert found == latest_frozen([UseCase.objects.get(pk=use_case.pk)]).get(use_case.pk)
    return found


def test_the_newest_frozen_version_is_told_whatever_else_there_is(
    dataset, use_case, django_assert_max_num_queries
):
    assert told(use_case, django_assert_max_num_queries) is None
    one = version(dataset, 1)
    assert told(use_case, django_assert_max_num_queries) == one.pk
    version(dataset, 2, "building")  # the one before it still stands
    version(dataset, 3, "failed")
    assert told(use_case, django_assert_max_num_queries) == one.pk
    Dataset.objects.update(archived_at=timezone.now())  # put away: what was trained on it is still known
    assert told(use_case, django_assert_max_num_queries) == one.pk


def test_many_use_cases_cost_three_questions(dataset, team, editor, use_case, django_assert_max_num_queries):
    many = [use_case, *(create_use_case(actor=editor, team=team, name=f"u{i}") for i in range(9))]
    version(dataset, 1)
    rows = list(UseCase.objects.select_related("team").filter(pk__in=[u.pk for u in many]))
    with django_assert_max_num_queries(3):
        lifecycle.states(rows)
        assert len(latest_frozen(rows)) == 1
