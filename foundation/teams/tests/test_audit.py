"""The record: append-only, sealed, and able to say when somebody was at it."""

import pytest
from django.db import DatabaseError, connection, transaction

from foundation.teams import audit_triggers, services
from foundation.teams.audit import record
from foundation.teams.models import AuditEvent, AuditSeal, Team, User

pytestmark = pytest.mark.django_db


@pytest.fixture
def events(team, editor):
    return [
        record(
            actor=editor,
            team=team,
            verb="dataset.created",
            target=team,
            fields=["name"],
            digests={"rows": "ab" * 32},
        )
        for _ in range(5)
    ]


@pytest.fixture
def triggers(db):
    audit_triggers.remove(connection)
    audit_triggers.install(connection)


def test_an_event_says_who_what_and_on_what(team, editor):
    event = record(
        actor=editor, team=team, verb="team.renamed", target=team, fields={"slug", "name"}, note="x" * 900
    )
    event.refresh_from_db()
    assert (event.actor, event.verb, event.target_type, event.target_id) == (
        editor, "team.renamed", "teams.team", str(team.pk),
    )  # fmt: skip
    assert (event.fields, len(event.note)) == (["name", "slug"], 300)


def test_an_event_goes_when_its_change_goes(team, editor):
    with pytest.raises(RuntimeError), transaction.atomic():
        record(actor=editor, team=team, verb="dataset.created", target=None)
        raise RuntimeError
    assert not AuditEvent.objects.exists()


def test_sealing_chains_every_event_once(team, events):
    assert services.seal_audit() == 5
    assert services.seal_audit() == 0
    verdict = services.verify_chain(team)
    assert (verdict.broken_at, verdict.n_sealed) == (None, 5)
    record(actor=None, team=team, verb="dataset.deleted", target=None)
    assert services.seal_audit() == 1
    assert services.verify_chain(team).n_sealed == 6
    assert list(AuditSeal.objects.values_list("last_number", flat=True)) == [5, 6]


def test_more_events_than_a_batch_are_sealed_in_several(team, monkeypatch, events):
    monkeypatch.setattr(services, "SEAL_BATCH", 2)
    assert services.seal_audit() == 5
    assert services.verify_chain(team).broken_at is None
    assert AuditSeal.objects.count() == 3


def test_each_team_has_its_own_chain(team, events):
    other = Team.objects.create(slug="other", name="Other")
    record(actor=None, team=other, verb="team.created", target=other)
    services.seal_audit()
    assert services.verify_chain(team).n_sealed == 5
    assert services.verify_chain(other).n_sealed == 1


def _change(events):
    AuditEvent.objects.filter(pk=events[1].pk).update(verb="dataset.kept")


def _delete(events):
    AuditEvent.objects.filter(pk=events[1].pk).delete()


def _blame_another(events):
    AuditEvent.objects.filter(pk=events[1].pk).update(actor_id=999)


@pytest.mark.parametrize("harm", [_change, _delete, _blame_another])
def test_without_the_triggers_the_chain_still_tells(team, events, harm):
    services.seal_audit()
    harm(events)
    verdict = services.verify_chain(team)
    assert verdict.broken_at == 2


def test_a_cut_end_is_told(team, events):
    services.seal_audit()
    AuditEvent.objects.filter(pk=events[-1].pk).delete()
    assert services.verify_chain(team).broken_at == 5


def _unseal(event):
    AuditEvent.objects.filter(pk=event.pk).update(seal_number=None, sha256=None)


def _reseal(event):
    AuditEvent.objects.filter(pk=event.pk).update(sha256="0" * 64)


def _remove(event):
    AuditEvent.objects.filter(pk=event.pk).delete()


def _rewrite(event):
    AuditEvent.objects.filter(pk=event.pk).update(note="nothing happened")


def _cut_seals(event):
    AuditSeal.objects.all().delete()


@pytest.mark.parametrize("harm", [_unseal, _reseal, _remove, _rewrite, _cut_seals])
def test_the_database_refuses_to_change_what_is_sealed(team, events, triggers, harm):
    services.seal_audit()
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        harm(events[2])
    assert services.verify_chain(team).broken_at is None


@pytest.mark.parametrize("harm", [_remove, _rewrite])
def test_the_database_refuses_to_change_what_waits_for_its_seal(events, triggers, harm):
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        harm(events[2])


def test_the_triggers_let_new_events_and_seals_through(team, events, triggers):
    assert services.seal_audit() == 5


def test_erasing_a_person_leaves_their_number(team, editor, events, triggers):
    pk = editor.pk
    editor.delete()
    event = AuditEvent.objects.select_related("actor").get(pk=events[0].pk)
    assert (event.actor, event.actor_id) == (None, pk)
    assert not User.objects.filter(pk=pk).exists()
    services.seal_audit()
    assert services.verify_chain(team).broken_at is None
