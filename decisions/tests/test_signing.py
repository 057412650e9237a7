"""Who signs what: an approver, once, exactly the answer they read; not their own, unless nobody else is there."""

from __future__ import annotations

import pytest

from decisions import services, signing
from decisions.errors import Archived, NotYours, Stale
from decisions.models import SignOff
from foundation.teams.errors import BadInput
from foundation.teams.models import AuditEvent, Membership

pytestmark = pytest.mark.django_db


@pytest.fixture
def decision(editor, use_case):
    return services.decide(actor=editor, use_case=use_case)


def sign(who, use_case, decision, **changes):
    words = {"number": decision.number, "digest": decision.inputs_sha256, "note": "Read and agreed."}
    return signing.sign_off(actor=who, use_case=use_case, **{**words, **changes})


def test_an_approver_signs_with_a_note_and_the_record_says_so(team, approver, use_case, decision):
    signed = sign(approver, use_case, decision)
    assert (signed.approver, signed.is_own, signed.inputs_sha256) == (approver, False, decision.inputs_sha256)
    event = AuditEvent.objects.of(team).get(verb="decision.signed")
    assert event.digests == {"inputs": decision.inputs_sha256}
    assert "agreed" not in str(event.__dict__)


def test_the_author_signs_their_own_only_when_alone_and_it_is_said(
    team, editor, approver, use_case, decision
):
    with pytest.raises(NotYours, match="Somebody else"):
        sign(editor, use_case, decision)
    Membership.objects.filter(user=approver).delete()
    assert sign(editor, use_case, decision).is_own


def test_a_second_press_is_refused_and_writes_nothing(approver, use_case, decision):
    sign(approver, use_case, decision)
    with pytest.raises(Stale, match="already"):
        sign(approver, use_case, decision)
    assert SignOff.objects.count() == 1


def test_a_page_of_an_older_answer_signs_nothing(editor, approver, use_case, decision):
    services.update_use_case(actor=editor, use_case=use_case, version=1, requires_citations=True)
    services.decide(actor=editor, use_case=use_case)
    with pytest.raises(Stale, match="not the latest"):
        sign(approver, use_case, decision)
    assert not SignOff.objects.exists()


def test_a_decision_the_facts_no_longer_bear_is_not_signed(approver, use_case, decision):
    services.record_evidence(use_case=use_case, kind="examples_in_hand", value=120, source="version 1")
    with pytest.raises(Stale, match="today they say RAG"):
        sign(approver, use_case, decision)


def test_a_digest_that_was_not_on_the_page_signs_nothing(approver, use_case, decision):
    with pytest.raises(Stale, match="not the decision you read"):
        sign(approver, use_case, decision, digest="0" * 64)
    with pytest.raises(Stale, match="not the decision you read"):
        sign(approver, use_case, decision, number=9)


def test_a_signature_needs_a_word_and_an_active_use_case(editor, approver, use_case, decision):
    with pytest.raises(BadInput, match="sentence") as caught:
        sign(approver, use_case, decision, note="  ")
    assert caught.value.field == "note"
    services.archive_use_case(actor=editor, use_case=use_case)
    with pytest.raises(Archived):
        sign(approver, use_case, decision)
