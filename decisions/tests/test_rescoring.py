"""The answer speaks up by itself: once, to author and approvers, and only when it flips."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from decisions import reading, services
from decisions.domain.approaches import Approach
from decisions.domain.examples import example
from decisions.domain.standing import MarginClass, Standing, margin_class, news
from decisions.models import Decision, UseCase
from decisions.rescoring import rescore
from foundation.teams.models import AuditEvent, Notice

pytestmark = pytest.mark.django_db


def record(use_case, kind, value, source="version 1"):
    return services.record_evidence(use_case=use_case, kind=kind, value=value, source=source)


@pytest.mark.parametrize(
    ("margin", "wanted"),
    [
        pytest.param(0, MarginClass.TIE, id="no lead is a tie"),
        pytest.param(15, MarginClass.NARROW, id="fifteen hundredths are what the rules call close"),
        pytest.param(16, MarginClass.CLEAR, id="more is clear"),
        pytest.param(None, MarginClass.BOTH, id="the hybrid rule has no runner-up"),
    ],
)
def test_a_lead_has_one_of_four_classes(margin, wanted):
    assert margin_class(margin) is wanted


def test_news_is_another_approach_another_class_or_the_way_back():
    rag, tie = Standing(Approach.RAG, MarginClass.CLEAR), Standing(Approach.RAG, MarginClass.TIE)
    prompt = Standing(Approach.PROMPT, MarginClass.CLEAR)
    assert news("X", rag, rag, Approach.RAG) == ""
    assert news("X", rag, prompt, Approach.RAG) == "X: the facts now say prompt engineering, not RAG"
    assert news("X", prompt, rag, Approach.RAG) == "X: the facts say RAG again, as decided"
    assert news("X", rag, tie, Approach.RAG) == "X: RAG is now settled from a tie, before clearly ahead"
    assert Standing.of_word(tie.word) == tie
    assert Standing.of_word("") is None


def test_evidence_that_flips_the_answer_tells_author_and_approvers_exactly_once(
    team, editor, approver, viewer, admin_user, outsider, use_case
):
    services.decide(actor=editor, use_case=use_case)
    record(use_case, "examples_in_hand", 120)
    assert (rescore().n, rescore().n) == (1, 0)
    told = Notice.objects.all()
    assert {n.user for n in told} == {editor, approver, admin_user}
    assert {n.title for n in told} == {"Support: the facts now say RAG, not hybrid"}
    assert "Examples in hand: not known → 120".lower() in told[0].body.lower()
    assert AuditEvent.objects.of(team).filter(verb="decision.flipped").count() == 1
    # Run again, and the same evidence once more: nothing new.
    record(use_case, "examples_in_hand", 120)
    assert rescore().n_flipped == 0
    # Other evidence that leaves the answer where people know it to be: looked at, nobody told.
    record(use_case, "examples_in_hand", 90, "version 2")
    result = rescore()
    assert (result.n, result.n_flipped, told.count()) == (1, 0, 3)
    # And the way back is news again, once.
    record(use_case, "examples_in_hand", 800, "version 3")
    assert (rescore().n_flipped, rescore().n_flipped) == (1, 0)
    assert Notice.objects.order_by("-pk")[0].title == "Support: the facts say hybrid again, as decided"
    assert Decision.objects.count() == 1, "re-scoring decides nothing"


def test_evidence_that_moves_no_score_is_looked_at_and_nobody_is_told(editor, approver, use_case):
    services.decide(actor=editor, use_case=use_case)
    record(use_case, "training_cost_microusd", 4_000_000)
    record(use_case, "base_model_retires_on", "2027-01-06")
    result = rescore()
    assert (result.n, result.n_flipped) == (1, 0)
    assert not Notice.objects.exists()


def test_a_measured_volume_stands_in_the_place_of_the_stated_one_and_flips_the_margin(team, editor, approver):
    values = {**example("email").values, "data_availability": "medium", "domain_specific": False}
    use_case = services.create_use_case(actor=editor, team=team, name="Mail", **values)
    # .30 + .20 + .20 = .70 against .50 and .50: clear. Without the volume .50, a tie of three.
    decision = services.decide(actor=editor, use_case=use_case)
    assert (decision.recommendation, decision.result["verdict"]["margin"]) == ("fine_tuning", 20)
    services.record_evidence(
        use_case=use_case,
        kind="volume_per_day",
        value=900,
        source="gateway, 7 days",
        as_of=datetime(2026, 11, 1, tzinfo=UTC),
    )
    inputs = reading.inputs_of(use_case)
    assert inputs["facts"]["volume_per_day"] == 900
    assert inputs["sources"]["volume_per_day"] == "gateway, 7 days"
    assert use_case.volume_per_day == 10_000, "what the team stated is kept"
    assert rescore().n_flipped == 1
    assert Notice.objects.filter(user=editor).count() == 1


def test_a_measured_price_stands_in_the_costs_of_the_answer(use_case):
    record(use_case, "cost_per_request_microusd", 7_100)
    costs = reading.result_of(reading.inputs_of(use_case))["costs"]
    assert (
        next(c for c in costs if c["approach"] == "prompt_engineering")["rate"]["per_request_microusd"]
        == 7_100
    )


def test_a_new_decision_is_what_people_know_from_then_on(editor, approver, use_case):
    services.decide(actor=editor, use_case=use_case)
    record(use_case, "examples_in_hand", 120)
    services.decide(actor=editor, use_case=use_case)
    result = rescore()
    assert (result.n, Notice.objects.count()) == (0, 0)


def test_a_person_who_changes_a_fact_is_followed_too(editor, approver, use_case):
    services.decide(actor=editor, use_case=use_case)
    services.update_use_case(actor=editor, use_case=use_case, version=1, data_quality="low")
    assert rescore().n_flipped == 1
    assert Notice.objects.filter(user=approver).count() == 1


def test_a_fact_that_moves_while_the_clock_looks_is_looked_at_again(editor, use_case, monkeypatch):
    """The run settles what it read and nothing newer: the row stays due."""
    from decisions import rescoring

    services.decide(actor=editor, use_case=use_case)
    record(use_case, "examples_in_hand", 120)
    work_out = rescoring._standing_now

    def slowly(row):
        standing = work_out(row)
        monkeypatch.setattr(rescoring, "_standing_now", work_out)
        record(use_case, "examples_in_hand", 900, "version 2")
        return standing

    monkeypatch.setattr(rescoring, "_standing_now", slowly)
    assert rescore().n_flipped == 1
    assert rescore().n_flipped == 1
    assert [n.title.rpartition(": ")[2] for n in Notice.objects.filter(user=editor).order_by("pk")] == [
        "the facts now say RAG, not hybrid",
        "the facts say hybrid again, as decided",
    ]


def test_two_runs_at_once_tell_nobody_twice(editor, use_case, monkeypatch):
    from decisions import rescoring

    services.decide(actor=editor, use_case=use_case)
    record(use_case, "examples_in_hand", 120)
    work_out = rescoring._standing_now

    def beside_another(row):
        monkeypatch.setattr(rescoring, "_standing_now", work_out)
        assert rescore().n_flipped == 1  # the other run is quicker
        return work_out(row)

    monkeypatch.setattr(rescoring, "_standing_now", beside_another)
    assert rescore().n_flipped == 0
    assert Notice.objects.filter(user=editor).count() == 1


def test_the_number_of_queries_does_not_grow_with_the_use_cases(team, editor, approver):
    def due(n):
        rows = [
            services.create_use_case(
                actor=editor, team=team, name=f"Case {n}-{i}", **example("support").values
            )
            for i in range(n)
        ]
        for row in rows:
            services.decide(actor=editor, use_case=row)
        UseCase.objects.filter(pk__in=[r.pk for r in rows]).update(facts_revision=5)
        with CaptureQueriesContext(
            connection,
        ) as queries:
            rescore()
        return len(queries)

    assert due(2) == due(12)
