"""What people and the floors above do: create, change, decide, work out a return, hand down evidence."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import transaction

from decisions import reading, services
from decisions.domain.examples import EXAMPLES
from decisions.errors import Archived, EditedMeanwhile, Frozen
from decisions.models import Decision, Evidence, RoiAnalysis, UseCase
from foundation.teams.errors import BadInput
from foundation.teams.models import AuditEvent

pytestmark = pytest.mark.django_db


def verbs(team):
    return list(AuditEvent.objects.of(team).order_by("id").values_list("verb", flat=True))


def test_s1_a_use_case_keeps_fifteen_facts_and_its_task(team, editor):
    use_case = services.create_use_case(
        actor=editor,
        team=team,
        name="  Tickets ",
        labels=["billing", {"name": "refunds", "definition": "money back"}],
        volume_per_day=5_000,
        requires_consistency=True,
    )
    use_case.refresh_from_db()
    assert use_case.name == "Tickets"
    assert len(use_case.facts.as_mapping()) == 15
    assert use_case.facts.volume_per_day == 5_000
    assert use_case.task.label_names == ("billing", "refunds")
    assert use_case.task.labels[1].definition == "money back"
    assert use_case.owner == editor
    assert verbs(team) == ["use_case.created"]


@pytest.mark.parametrize(
    ("values", "field"),
    [
        pytest.param({"name": "  "}, "name", id="empty name"),
        pytest.param({"name": "x" * 201}, "name", id="long name"),
        pytest.param(
            {"name": "x", "task_complexity": "enormous"}, "task_complexity", id="word off the scale"
        ),
        pytest.param({"name": "x", "volume_per_day": -1}, "volume_per_day", id="negative volume"),
        pytest.param({"name": "x", "volume_per_day": 10**11}, "volume_per_day", id="absurd volume"),
        pytest.param({"name": "x", "labels": ["a", "a"]}, "labels", id="label twice"),
        pytest.param({"name": "x", "expected_gain": "much"}, "expected_gain", id="gain that is no number"),
        pytest.param({"name": "x", "rates": {"rag": {"setup_microusd": -1}}}, "rates", id="negative rate"),
        pytest.param({"name": "x", "rates": {"magic": {}}}, "rates", id="unknown approach"),
        pytest.param({"name": "x", "team_id": 3}, "team_id", id="not a fact"),
    ],
)
def test_values_outside_their_scale_are_refused_at_their_field_and_nothing_is_stored(
    team, editor, values, field
):
    with pytest.raises(BadInput) as caught:
        services.create_use_case(actor=editor, team=team, **values)
    assert caught.value.field == field
    assert not UseCase.objects.exists()


def test_a_name_is_taken_once_among_the_active_ones(team, editor, use_case):
    with pytest.raises(BadInput, match="already"):
        services.create_use_case(actor=editor, team=team, name="SUPPORT")
    services.archive_use_case(actor=editor, use_case=use_case)
    services.create_use_case(actor=editor, team=team, name="Support")
    with pytest.raises(BadInput, match="already"):
        services.restore_use_case(actor=editor, use_case=use_case)


def test_an_owner_comes_from_the_team(team, editor, outsider, use_case):
    with pytest.raises(BadInput, match="not in the team"):
        services.update_use_case(actor=editor, use_case=use_case, version=1, owner=outsider)


def test_a_change_made_on_an_older_version_is_a_conflict_and_changes_nothing(editor, use_case):
    services.update_use_case(actor=editor, use_case=use_case, version=1, volume_per_day=7)
    with pytest.raises(EditedMeanwhile):
        services.update_use_case(actor=editor, use_case=use_case, version=1, volume_per_day=9)
    use_case.refresh_from_db()
    assert (use_case.volume_per_day, use_case.version) == (7, 2)


def test_saving_without_a_change_is_no_change(team, editor, use_case):
    services.update_use_case(
        actor=editor, use_case=use_case, version=1, volume_per_day=use_case.volume_per_day
    )
    use_case.refresh_from_db()
    assert use_case.version == 1
    assert verbs(team) == ["use_case.created"]


def test_an_archived_use_case_is_changed_by_nobody(editor, use_case):
    archived = services.archive_use_case(actor=editor, use_case=use_case)
    services.archive_use_case(actor=editor, use_case=use_case)
    for change in (
        lambda: services.update_use_case(actor=editor, use_case=archived, version=2, volume_per_day=1),
        lambda: services.decide(actor=editor, use_case=archived),
        lambda: services.analyse_roi(actor=editor, use_case=archived),
    ):
        with pytest.raises(Archived):
            change()
    assert services.restore_use_case(actor=editor, use_case=archived).archived_at is None


def test_deciding_twice_on_the_same_facts_is_one_decision(team, editor, use_case):
    first = services.decide(actor=editor, use_case=use_case, note="agreed")
    assert services.decide(actor=editor, use_case=use_case) == first
    assert Decision.objects.count() == 1
    assert verbs(team).count("decision.saved") == 1
    assert (first.number, first.recommendation, first.note) == (1, "hybrid", "agreed")


def test_a_changed_fact_makes_the_next_decision_and_the_difference_is_told(editor, use_case):
    first = services.decide(actor=editor, use_case=use_case)
    services.update_use_case(actor=editor, use_case=use_case, version=1, data_quality="low")
    second = services.decide(actor=editor, use_case=use_case)
    assert (second.number, second.recommendation) == (2, "rag")
    changes = reading.changes_between(first.inputs, second.inputs)
    assert [(c.name, c.before, c.after) for c in changes] == [("data quality", "high", "low")]


def test_a_new_name_is_not_a_new_answer(editor, use_case):
    first = services.decide(actor=editor, use_case=use_case)
    services.update_use_case(actor=editor, use_case=use_case, version=1, name="Help desk")
    assert services.decide(actor=editor, use_case=use_case) == first


@pytest.mark.parametrize("model", [Decision, RoiAnalysis, Evidence])
def test_saved_answers_and_evidence_change_by_no_road(editor, use_case, model):
    services.decide(actor=editor, use_case=use_case)
    services.analyse_roi(actor=editor, use_case=use_case)
    services.record_evidence(use_case=use_case, kind="measured_gain", value=0.1, source="comparison 1")
    row = model.objects.get()
    for change in (
        row.save,
        row.delete,
        lambda: model.objects.update(created_at=None),
        lambda: model.objects.all().delete(),
        lambda: model.objects.bulk_update([row], ["created_at"]),
    ):
        with pytest.raises(Frozen), transaction.atomic():
            change()
    assert model.objects.count() == 1


def test_a_decision_outlives_its_author(team, editor, use_case):
    decision = services.decide(actor=editor, use_case=use_case)
    editor.delete()
    decision.refresh_from_db()
    assert decision.author is None
    assert decision.recommendation == "hybrid"


def test_s79_the_sources_examples_are_decided_and_worked_out_as_section_b_says(team, editor):
    wanted = {
        "email": ("fine_tuning", 448_200_000_000),
        "support": ("hybrid", 127_600_000_000),
        "documentation": ("rag", None),
        "quick-start": ("prompt_engineering", None),
    }
    for example in EXAMPLES:
        use_case = services.create_use_case(actor=editor, team=team, name=example.name, **example.values)
        recommendation, total = wanted[example.key]
        assert services.decide(actor=editor, use_case=use_case).recommendation == recommendation
        analysis = services.analyse_roi(actor=editor, use_case=use_case)
        if total is not None:
            assert analysis.result["total_value_microusd"] == total


def test_s22_a_measured_gain_goes_into_the_next_return_with_its_source(editor, use_case):
    assumed = services.analyse_roi(actor=editor, use_case=use_case)
    assert not assumed.is_measured
    services.record_evidence(
        use_case=use_case, kind="measured_gain", value=Decimal("0.096"), source="comparison 12"
    )
    measured = services.analyse_roi(actor=editor, use_case=use_case)
    assert (measured.number, measured.is_measured, measured.source) == (2, True, "comparison 12")
    assert measured.inputs["quality_improvement"] == "0.096"
    # 150,000 x 12 x .096 x $.50
    assert measured.result["quality_value_microusd"] == 86_400_000_000


def test_s49_a_recorded_training_cost_counts(editor, use_case):
    services.record_evidence(
        use_case=use_case, kind="training_cost_microusd", value=11_200_000, source="training run 3"
    )
    analysis = services.analyse_roi(actor=editor, use_case=use_case)
    assert analysis.inputs["training_cost_microusd"] == 11_200_000
    assert analysis.result["cash_flow"][0] == [-5_011_200_000, -5_011_200_000]


def test_a_gain_typed_over_a_measured_one_is_an_assumption_again(editor, use_case):
    services.record_evidence(use_case=use_case, kind="measured_gain", value=0.096, source="comparison 12")
    typed = services.analyse_roi(actor=editor, use_case=use_case, quality_improvement="0.3")
    assert (typed.is_measured, typed.source) == (False, "")


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"monthly_volume": -1}, "monthly_volume"),
        ({"quality_improvement": "5"}, "quality_improvement"),
        ({"quality_improvement": "much"}, "quality_improvement"),
        ({"horizon_months": 0}, "horizon_months"),
        ({"colour": 1}, "colour"),
    ],
)
def test_assumptions_that_cannot_be_are_refused_and_nothing_is_stored(editor, use_case, values, field):
    with pytest.raises(BadInput) as caught:
        services.analyse_roi(actor=editor, use_case=use_case, **values)
    assert caught.value.field == field
    assert not RoiAnalysis.objects.exists()


def test_evidence_is_kept_once_and_the_newest_stands(team, editor, use_case):
    day = datetime(2026, 11, 22, tzinfo=UTC)
    give = {"use_case": use_case, "kind": "examples_in_hand"}
    first = services.record_evidence(**give, value=2_184, source="version 3", as_of=day)
    assert services.record_evidence(**give, value=2_184, source="version 3", as_of=day) == first
    services.record_evidence(**give, value=1_000, source="version 2", as_of=day - timedelta(days=1))
    use_case.refresh_from_db()
    assert use_case.measured["examples_in_hand"]["value"] == 2_184
    assert Evidence.objects.count() == 2
    assert reading.answers_of(use_case).examples_in_hand == 2_184
    assert verbs(team).count("evidence.recorded") == 2


def test_measured_examples_below_the_minimum_turn_a_saved_decision_over(editor, use_case):
    services.decide(actor=editor, use_case=use_case)
    services.record_evidence(use_case=use_case, kind="examples_in_hand", value=120, source="version 1")
    use_case.refresh_from_db()
    now = reading.now_of(use_case)
    assert now.is_changed
    assert now.other.recommendation == "rag"


def test_evidence_does_not_disturb_somebody_editing(editor, use_case):
    services.record_evidence(use_case=use_case, kind="measured_gain", value=0.1, source="comparison 1")
    services.update_use_case(actor=editor, use_case=use_case, version=1, volume_per_day=3)


def test_the_audit_names_fields_and_never_texts(team, editor, use_case):
    services.update_use_case(actor=editor, use_case=use_case, version=1, description="a secret plan")
    event = AuditEvent.objects.of(team).get(verb="use_case.changed")
    assert event.fields == ["description"]
    assert "secret" not in str(event.__dict__)
