from __future__ import annotations

import re
import uuid
from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from deployments.domain.features import Vocabulary
from deployments.gateway.protocol import uuid7
from deployments.models import Alias, Endpoint, GatewayToken, Prediction, RoutingRevision, TrafficChange
from deployments.services import (
    archive_endpoint,
    create_endpoint,
    edit_version,
    issue_gateway_token,
    record_feedback,
    register_version,
    revoke_gateway_token,
    rollback,
    set_alias,
    set_split,
    sweep_text,
    switch,
    update_endpoint,
)
from deployments.services.endpoints import token_digest
from foundation.teams.errors import BadInput, Conflict
from foundation.teams.models import AuditEvent

pytestmark = pytest.mark.django_db


def verbs():
    return list(AuditEvent.objects.order_by("pk").values_list("verb", flat=True))


def revision():
    return RoutingRevision.objects.values_list("number", flat=True).first() or 0


def test_versions_are_numbered_follow_each_other_and_keep_their_figures(use_case, make_candidate, editor):
    """S67: id, number, creation, metadata, performance, the model before it."""
    first = register_version(actor=editor, use_case=use_case, candidate=make_candidate("A"), notes="good")
    second = register_version(actor=editor, use_case=use_case, candidate=make_candidate("B"), name="Better")
    assert (first.number, second.number) == (1, 2) and second.previous == first and first.previous is None
    assert (first.name, second.name, first.notes) == ("A", "Better", "good")
    assert (
        second.metadata["model"] == "claude-haiku-5-5" and second.created_at and second.created_by == editor
    )
    assert second.performance["evaluations"] == [] and second.best_evaluation is None
    assert verbs()[-2:] == ["model_version.registered"] * 2


def test_registering_a_candidate_again_finds_its_version(use_case, make_candidate, editor):
    candidate = make_candidate()
    one = register_version(actor=editor, use_case=use_case, candidate=candidate)
    assert register_version(actor=editor, use_case=use_case, candidate=candidate) == one


def test_another_use_cases_candidate_is_refused(use_case, make_candidate, editor, team):
    from decisions.services import create_use_case

    other = create_use_case(actor=editor, team=team, name="Other")
    with pytest.raises(BadInput):
        register_version(actor=editor, use_case=use_case, candidate=make_candidate(of=other))


def test_words_about_a_version_may_change_and_are_recorded(make_version, editor):
    version = make_version()
    edit_version(actor=editor, version=version, notes="note", tags=[" b ", "a", "a", ""])
    version.refresh_from_db()
    assert (version.notes, version.tags) == ("note", ["a", "b"])
    before = len(verbs())
    edit_version(actor=editor, version=version, notes="note")
    assert len(verbs()) == before


def test_production_moves_and_one_press_brings_the_earlier_one_back(use_case, make_version, editor, endpoint):
    """S68."""
    one, two = endpoint.baseline, make_version("B")
    set_alias(actor=editor, version=one)
    with pytest.raises(Conflict):
        rollback(actor=editor, use_case=use_case)
    set_alias(actor=editor, version=two)
    set_split(actor=editor, endpoint=endpoint, baseline=two, candidate=None, share=0, reason="promoted")
    aliases = dict(Alias.objects.values_list("name", "version__number"))
    assert aliases == {"production": two.number, "previous": one.number}
    assert rollback(actor=editor, use_case=use_case, reason="worse answers") == one
    aliases = dict(Alias.objects.values_list("name", "version__number"))
    assert aliases == {"production": one.number}, "what was taken back is nothing to go back to"
    endpoint.refresh_from_db()
    assert endpoint.baseline == one
    assert "model_version.rolled_back" in verbs() and "endpoint.traffic_moved" in verbs()
    assert "worse answers" in TrafficChange.objects.first().reason


def test_a_second_press_does_not_serve_again_what_was_taken_back(use_case, make_version, editor, endpoint):
    one, two = endpoint.baseline, make_version("B")
    set_alias(actor=editor, version=one)
    set_alias(actor=editor, version=two)
    set_split(actor=editor, endpoint=endpoint, baseline=two, candidate=None, share=0, reason="promoted")
    rollback(actor=editor, use_case=use_case)
    n_moves = TrafficChange.objects.count()
    with pytest.raises(Conflict, match="no earlier production version"):
        rollback(actor=editor, use_case=use_case)
    endpoint.refresh_from_db()
    assert endpoint.baseline == one and TrafficChange.objects.count() == n_moves
    # Put back by a rollout or by name, it can be taken back once more.
    set_alias(actor=editor, version=two)
    assert rollback(actor=editor, use_case=use_case) == one


def test_setting_an_alias_twice_changes_nothing(make_version, editor):
    version = make_version()
    set_alias(actor=editor, version=version)
    before = len(verbs())
    set_alias(actor=editor, version=version)
    assert len(verbs()) == before and not Alias.objects.filter(name="previous").exists()


@pytest.mark.parametrize(
    "slug", ["", "Ümlaut", "a b", "-a", "a-", "a/b", "..", "livez", "metrics", "x" * 61, "a\n"]
)
def test_an_address_that_cannot_be_one_is_refused(slug, use_case, make_version, editor):
    if slug == "a\n":
        slug = "a\nb"
    with pytest.raises(BadInput) as caught:
        create_endpoint(actor=editor, use_case=use_case, slug=slug, version=make_version())
    assert caught.value.field == "slug"


def test_an_address_is_one_for_all_teams(endpoint, use_case, make_version, editor):
    with pytest.raises(BadInput, match="taken"):
        create_endpoint(actor=editor, use_case=use_case, slug="TRIAGE", version=make_version("B"))


@pytest.mark.parametrize(
    "settings",
    [
        {"text_share": 1.5},
        {"text_share": float("nan")},
        {"text_days": 0},
        {"timeout_s": 601},
        {"system_policy": "x"},
        {"text_retention": "x"},
        {"requests_per_minute": 0},
        {"daily_budget_microusd": 0},
        {"team_id": 7},
        {"salt": "x"},
    ],
    ids=str,
)
def test_settings_without_sense_are_refused_and_nothing_is_saved(settings, endpoint, editor):
    with pytest.raises(BadInput) as caught:
        update_endpoint(actor=editor, endpoint=endpoint, **settings)
    assert caught.value.field == next(iter(settings))


def test_every_change_of_routing_counts_up_the_revision(endpoint, make_version, editor):
    seen = [revision()]
    candidate = make_version("B")
    baseline = endpoint.baseline
    token, _ = issue_gateway_token(actor=editor, endpoint=endpoint, name="t")
    seen.append(revision())
    set_split(actor=editor, endpoint=endpoint, baseline=baseline, candidate=candidate, share=0.1, reason="r")
    seen.append(revision())
    switch(actor=editor, endpoint=endpoint, on=False, reason="r")
    seen.append(revision())
    update_endpoint(actor=editor, endpoint=endpoint, timeout_s=5)
    seen.append(revision())
    revoke_gateway_token(actor=editor, token=token)
    seen.append(revision())
    archive_endpoint(actor=editor, endpoint=endpoint)
    seen.append(revision())
    assert seen == sorted(set(seen))
    switch(actor=editor, endpoint=endpoint, on=False, reason="r")
    revoke_gateway_token(actor=editor, token=token)
    assert revision() == seen[-1]


def test_the_default_ab_share_and_the_whole_range(endpoint, make_version, editor):
    """S69, D24: shares are 0 to 1, and the row keeps hundredths of a per cent."""
    candidate, baseline = make_version("B"), endpoint.baseline
    for share, buckets in ((0.1, 1000), (0.0001, 1), (1, 10_000), (0, 0)):
        set_split(
            actor=editor, endpoint=endpoint, baseline=baseline, candidate=candidate, share=share, reason="r"
        )
        endpoint.refresh_from_db()
        assert endpoint.share_buckets == buckets and endpoint.traffic_share == share
    for share in (1.5, -0.5, float("nan")):
        with pytest.raises(BadInput):
            set_split(
                actor=editor,
                endpoint=endpoint,
                baseline=baseline,
                candidate=candidate,
                share=share,
                reason="r",
            )
    with pytest.raises(BadInput):
        set_split(
            actor=editor, endpoint=endpoint, baseline=baseline, candidate=baseline, share=0.1, reason="r"
        )
    assert TrafficChange.objects.filter(endpoint=endpoint).count() == 5


def test_a_share_without_a_candidate_cannot_be_stored(endpoint):
    with pytest.raises(IntegrityError), transaction.atomic():
        Endpoint.objects.filter(pk=endpoint.pk).update(share_buckets=100)
    with pytest.raises(IntegrityError), transaction.atomic():
        Endpoint.objects.filter(pk=endpoint.pk).update(share_buckets=10_001)


def test_a_new_rollout_may_draw_everybody_anew(endpoint, make_version, editor):
    salt, candidate = endpoint.salt, make_version("B")
    args = {"actor": editor, "endpoint": endpoint, "baseline": endpoint.baseline, "candidate": candidate}
    assert set_split(**args, share=0.1, reason="r").salt == salt
    assert set_split(**args, share=0.1, reason="r", new_salt=True).salt != salt


def test_a_token_is_long_random_hashed_and_shown_once(endpoint, editor):
    """T41: 40 letters and digits, of which 32 are secret, are 190 bits; only the hash is kept."""
    token, text = issue_gateway_token(actor=editor, endpoint=endpoint, name="app", press="p")
    assert re.fullmatch(r"ftg_[0-9A-Za-z]{8}_[0-9A-Za-z]{32}", text)
    assert token.sha256 == token_digest(text)
    row = GatewayToken.objects.filter(pk=token.pk).values().get()
    assert text not in str(row) and text[13:] not in str(row)
    assert text not in str(list(AuditEvent.objects.values()))
    again, same = issue_gateway_token(actor=editor, endpoint=endpoint, name="app", press="p")
    assert (again, same) == (token, text)
    other, different = issue_gateway_token(actor=editor, endpoint=endpoint, name="app")
    assert other != token and different != text
    for bad in ({"name": " "}, {"name": "x" * 101}, {"name": "a", "days": 0}, {"name": "a", "days": 9999}):
        with pytest.raises(BadInput):
            issue_gateway_token(actor=editor, endpoint=endpoint, **bad)


def make_prediction(endpoint, **fields):
    defaults = {
        "id": uuid7(),
        "team": endpoint.team,
        "endpoint": endpoint,
        "version": endpoint.baseline,
        "arm": "baseline",
        "at": timezone.now(),
        "status": 200,
    }
    return Prediction.objects.create(**{**defaults, **fields})


def test_text_goes_when_its_time_is_over_and_figures_stay(endpoint):
    now = timezone.now()
    old = make_prediction(
        endpoint, prompt_text="p", answer_text="a", text_until=now - timedelta(days=1), features={"words": 1}
    )
    young = make_prediction(endpoint, prompt_text="p", answer_text="a", text_until=now + timedelta(days=1))
    assert sweep_text(now=now) == 1 and sweep_text(now=now) == 0
    old.refresh_from_db()
    young.refresh_from_db()
    assert not old.has_text and old.features == {"words": 1} and young.has_text


def test_feedback_on_a_page_is_kept_and_recorded(endpoint, editor):
    prediction = make_prediction(endpoint)
    feedback = record_feedback(actor=editor, prediction=prediction, is_correct=False, label="billing")
    assert feedback.source == "page" and feedback.team == endpoint.team and "feedback.given" in verbs()
    with pytest.raises(BadInput):
        record_feedback(actor=editor, prediction=prediction)


def test_ids_grow_with_time_and_are_uuid7():
    ids = [uuid7() for _ in range(1000)]
    assert (
        len(set(ids)) == 1000
        and {i.version for i in ids} == {7}
        and {i.variant for i in ids} == {uuid.RFC_4122}
    )
    assert [i.int >> 80 for i in ids] == sorted(i.int >> 80 for i in ids)


def test_a_trained_candidates_words_come_along(use_case, make_candidate, editor, monkeypatch):
    from deployments.services import versions

    monkeypatch.setattr(versions, "vocabulary_of", lambda candidate: Vocabulary.of(["where is"]).as_text())
    version = register_version(actor=editor, use_case=use_case, candidate=make_candidate())
    assert Vocabulary.from_text(version.vocabulary).knows("where")
