"""A saved answer is changed by nobody: not by code around the models, not by SQL, not by the admin."""

from __future__ import annotations

import pytest
from django.db import DatabaseError, connection, models, transaction
from django.urls import reverse

from decisions import frozen_triggers, services, signing
from decisions.models import BlindAnswer, BlindRound, Decision, Evidence, FrozenRow, RoiAnalysis, SignOff

pytestmark = pytest.mark.django_db


@pytest.fixture
def guarded():
    """The triggers, which the tests' database has lost so that it can be emptied."""
    frozen_triggers.install(connection)
    yield
    frozen_triggers.remove(connection)


@pytest.fixture
def saved(editor, approver, use_case):
    """One row of each table that is written once."""
    decision = services.decide(actor=editor, use_case=use_case)
    services.analyse_roi(actor=editor, use_case=use_case)
    services.record_evidence(
        use_case=use_case, kind="measured_gain", value=0.1, source="comparison 1", actor=editor
    )
    signing.sign_off(
        actor=approver, use_case=use_case, number=1, digest=decision.inputs_sha256, note="Read, agreed."
    )
    blind = BlindRound.objects.create(team=use_case.team, use_case=use_case, number=1, opened_by=editor)
    BlindAnswer.objects.create(team=use_case.team, round=blind, author=editor, facts={})
    return use_case


def frozen_models() -> list[type[FrozenRow]]:
    return [Decision, RoiAnalysis, Evidence, SignOff, BlindAnswer]


def test_every_frozen_table_has_its_triggers_after_migrating():
    """A migration that remakes a table on SQLite loses its triggers; it must install them again."""
    assert frozen_triggers.missing_after_migrating == []
    assert {model._meta.db_table for model in frozen_models()} == {t for t, _ in frozen_triggers.TABLES}


@pytest.mark.parametrize("model", frozen_models())
def test_the_database_refuses_to_change_or_delete_a_saved_row(guarded, saved, model):
    around = models.Manager.from_queryset(models.QuerySet)()
    around.model = model  # a plain manager: what code around the models' own guards would use
    for change in (
        lambda: around.update(created_at="2020-01-01T00:00:00Z"),
        lambda: around.update(team=None),
        lambda: around.all()._raw_delete(using="default"),
    ):
        with pytest.raises(DatabaseError, match="never changed"), transaction.atomic():
            change()
    with connection.cursor() as cursor, pytest.raises(DatabaseError, match="never"), transaction.atomic():
        cursor.execute(f"DELETE FROM {model._meta.db_table}")
    assert model.objects.count() == 1


def test_the_result_of_a_decision_cannot_be_rewritten_by_sql(guarded, saved):
    with connection.cursor() as cursor, pytest.raises(DatabaseError, match="never"), transaction.atomic():
        cursor.execute("UPDATE decisions_decision SET recommendation = 'fine_tuning'")
    assert Decision.objects.get().recommendation == "hybrid"


def test_a_person_who_leaves_is_forgotten_and_nobody_is_put_in_their_place(guarded, saved, editor, approver):
    with pytest.raises(DatabaseError, match="never"), transaction.atomic():
        models.QuerySet(Decision).update(author=approver)
    editor.delete()
    approver.delete()
    decision = Decision.objects.get()
    assert decision.author is None
    assert SignOff.objects.get().approver is None


def test_the_admin_reads_saved_answers_and_neither_changes_nor_deletes_them(
    guarded, client, superuser, saved
):
    client.force_login(superuser)
    for model in frozen_models():
        row, name = model.objects.get(), model._meta.model_name
        where = reverse(f"admin:decisions_{name}_change", args=[row.pk])
        assert client.get(where).status_code == 200
        assert client.post(where, {"note": "mine now"}).status_code == 403
        assert (
            client.post(reverse(f"admin:decisions_{name}_delete", args=[row.pk]), {"post": "yes"}).status_code
            == 403
        )
        assert model.objects.count() == 1
    gone = reverse("admin:decisions_usecase_delete", args=[saved.pk])
    assert client.post(gone, {"post": "yes"}).status_code == 403
