"""What a frozen version says about the pitfalls: from its own report, nothing assumed."""

from __future__ import annotations

import pytest
from django.utils import timezone

from datasets import pitfalls
from datasets.models import Dataset, DatasetVersion
from decisions.domain.pitfalls import State, checklist
from decisions.services import create_use_case

pytestmark = pytest.mark.django_db


@pytest.fixture
def frozen(team, editor):
    use_case = create_use_case(actor=editor, team=team, name="Tickets")
    dataset = Dataset.objects.create(team=team, use_case=use_case, name="Tickets")

    def make(**changes):
        report = {
            "leakage": {"is_clean": True, "has_times": False, "n_from_the_future": 0},
            "review": {"n_done": 210, "n_total": 210},
            "quality": {"average": 0.82},
            "left_out": {"exact_duplicates": 3},
        }
        for key in ("leakage", "review", "quality"):
            report[key] = {**report[key], **changes.get(key, {})}
        DatasetVersion.objects.create(
            team=team,
            dataset=dataset,
            number=DatasetVersion.objects.count() + 1,
            state="frozen",
            checksum="c",
            frozen_at=timezone.now(),
            n_rows=changes.get("n_rows", 2_100),
            recipe={"strategy": "stratified", "seed": "s"},
            report=report,
        )
        return {line.number: line.state for line in checklist(pitfalls.signs(use_case))}

    make.use_case = use_case
    return make


def test_without_a_frozen_version_nothing_is_said(frozen):
    assert pitfalls.signs(frozen.use_case) == []


def test_a_careful_version_avoids_four(frozen):
    states = frozen()
    assert [states[n] for n in (1, 2, 4, 5)] == [State.GOOD] * 4
    assert states[3] is states[7] is State.OPEN


@pytest.mark.parametrize(
    ("changes", "number", "state"),
    [
        ({"leakage": {"is_clean": False}}, 1, State.BAD),
        ({"n_rows": 499}, 2, State.BAD),
        ({"n_rows": 1_999}, 2, State.WARN),
        ({"review": {"n_done": 209}}, 4, State.WARN),
        ({"review": {"n_done": 209, "n_total": 209}}, 4, State.WARN),
        ({"quality": {"average": 0.69}}, 4, State.BAD),
        ({"leakage": {"has_times": True, "n_from_the_future": 12}}, 5, State.WARN),
    ],
)
def test_what_went_wrong_shows_at_its_pitfall(frozen, changes, number, state):
    assert frozen(**changes)[number] is state
