"""Independent readings: hidden from each other until opened, counted once, changed never."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from django.urls import reverse
from hypothesis import given, settings
from hypothesis import strategies as st

from decisions import blind
from decisions.domain.agreement import agreement
from decisions.domain.facts import FACT_NAMES, Level
from decisions.errors import Stale
from decisions.forms_what_if import FACTS
from decisions.models import BlindAnswer, BlindRound, UseCase
from decisions.tests.builders import CUSTOMER_SUPPORT, EMAILS
from decisions.tests.test_domain_framework import facts_of_any_kind
from foundation.teams.models import AuditEvent
from foundation.teams.testing import assert_route_guarded


def test_a_disputed_fact_matters_when_the_answer_hangs_on_it():
    # Low quality closes the gate: RAG instead of hybrid. A budget moves fine-tuning by .10, from 1.40 raw: nothing.
    low = replace(CUSTOMER_SUPPORT, data_quality=Level.LOW, budget_constraint=Level.HIGH)
    found = agreement([CUSTOMER_SUPPORT, CUSTOMER_SUPPORT, low])
    assert {(line.fact, line.matters) for line in found.disputed} == {
        ("data_quality", True),
        ("budget_constraint", False),
    }
    assert [a.value for a in found.leads_to] == ["hybrid", "hybrid", "rag"]
    assert set(found.agreed) == set(FACT_NAMES[1:]) - {"data_quality", "budget_constraint"}


def test_volumes_on_one_side_of_high_volume_are_one_reading():
    found = agreement([replace(EMAILS, volume_per_day=n) for n in (10_000, 25_000)])
    assert found.disputed == ()
    found = agreement([replace(EMAILS, volume_per_day=n) for n in (9_999, 10_000)])
    assert [line.fact for line in found.disputed] == ["volume_per_day"]


@settings(max_examples=30, deadline=None)
@given(st.lists(facts_of_any_kind, min_size=1, max_size=4))
def test_every_fact_is_either_agreed_or_disputed_and_one_reader_disputes_nothing(readings):
    found = agreement(readings)
    assert len(found.facts) == 14
    for line in found.facts:
        values = {getattr(r, line.fact) for r in readings}
        assert line.n_values == len(values)
        if len(values) == 1:
            assert line.is_agreed
            assert not line.matters
    if len(readings) == 1:
        assert found.disputed == ()


pytest_db = pytest.mark.django_db


@pytest.fixture
def page(use_case):
    return reverse("decisions:readings", args=[use_case.pk])


def reading_of(facts, **changes):
    values = {**facts.as_mapping(), **changes}
    sent = {name: ("on" if values[name] is True else values[name]) for name in FACTS}
    return {name: value for name, value in sent.items() if value is not False}


def post(client, use_case, name):
    return client.post(reverse(f"decisions:{name}", args=[use_case.pk]))


@pytest_db
@pytest.mark.parametrize(
    ("name", "methods"),
    [("readings", ("GET", "POST")), ("round-open", ("POST",)), ("round-reveal", ("POST",))],
)
def test_who_may_do_what(client, use_case, outsider, viewer, editor, name, methods):
    BlindRound.objects.create(team=use_case.team, use_case=use_case, number=1)
    where = reverse(f"decisions:{name}", args=[use_case.pk])
    assert_route_guarded(client, where, outsider=outsider, viewer=viewer, editor=editor, methods=methods)


@pytest_db
def test_two_people_read_apart_see_that_they_differ_and_then_how(
    client, use_case, page, editor, approver, team
):
    client.force_login(editor)
    assert "Begin a round" in client.get(page).content.decode()
    post(client, use_case, "round-open")
    form = client.get(page).content.decode()
    # Nothing is filled in: the saved facts must not lead.
    assert form.count("Choose …") == 5
    assert "checked" not in form
    assert not re.search(r'name="volume_per_day"[^>]*value=', form)
    client.post(page, reading_of(CUSTOMER_SUPPORT))
    assert "Yours is the only reading yet." in client.get(page).content.decode()

    client.force_login(approver)
    before = client.get(page).content.decode()
    assert "1 reading so far" in before
    assert "Where you disagree" not in before, "whoever has not answered learns nothing"
    client.post(page, reading_of(CUSTOMER_SUPPORT, data_quality="low"))
    mine = client.get(page).content.decode()
    assert "Data quality: 2 different readings" in mine
    assert "decides" in mine
    assert "Editor" not in mine.split('id="content"')[1], "who said what stays hidden"
    assert post(client, use_case, "round-reveal").status_code == 302

    opened = client.get(page).content.decode()
    assert "You disagree on 1 of 14 facts" in opened
    row = re.search(r'<th scope="row">Data quality.*?</tr>', opened, re.S).group()
    assert re.findall(r"<td>(\w+)</td>", row) == ["high", "low"]
    assert "The readings lead to different answers." in opened
    verbs = list(AuditEvent.objects.of(team).values_list("verb", flat=True))
    assert verbs.count("reading.given") == 2
    assert verbs.count("round.revealed") == 1
    assert UseCase.objects.get().version == 1, "readings change no fact"


@pytest_db
def test_a_reading_counts_once_and_not_after_the_opening(editor, approver, admin_user, use_case):
    opened = blind.open_round(actor=editor, use_case=use_case)
    assert blind.open_round(actor=approver, use_case=use_case) == opened
    blind.give_reading(actor=editor, round=opened, facts=EMAILS)
    with pytest.raises(Stale, match="counts once"):
        blind.give_reading(actor=editor, round=opened, facts=CUSTOMER_SUPPORT)
    with pytest.raises(Stale, match="no comparison"):
        blind.reveal(actor=editor, round=opened)
    blind.give_reading(actor=approver, round=opened, facts=EMAILS)
    first = blind.reveal(actor=editor, round=opened)
    assert blind.reveal(actor=approver, round=opened).revealed_at == first.revealed_at
    with pytest.raises(Stale, match="opened meanwhile"):
        blind.give_reading(actor=admin_user, round=opened, facts=EMAILS)
    assert BlindAnswer.objects.count() == 2
    assert blind.open_round(actor=editor, use_case=use_case).number == 2


@pytest_db
def test_a_reading_with_gaps_comes_back_with_what_was_chosen(client_for, editor, use_case, page):
    client = client_for(editor)
    post(client, use_case, "round-open")
    response = client.post(page, reading_of(CUSTOMER_SUPPORT, data_quality="", volume_per_day="lots"))
    html = response.content.decode()
    assert response.status_code == 422
    assert "This field is required." in html
    assert "Enter a whole number." in html
    assert 'value="complex" selected' in html
    assert not BlindAnswer.objects.exists()


@pytest_db
def test_what_all_agree_on_is_taken_into_the_form_unsaved(client, editor, approver, use_case, page):
    opened = blind.open_round(actor=editor, use_case=use_case)
    for who, quality in ((editor, Level.HIGH), (approver, Level.LOW)):
        facts = replace(CUSTOMER_SUPPORT, requires_citations=True, data_quality=quality)
        blind.give_reading(actor=who, round=opened, facts=facts)
    blind.reveal(actor=editor, round=opened)
    client.force_login(editor)
    html = client.get(page).content.decode()
    link = re.search(r'href="([^"]+)">Take what all agree on', html).group(1)
    assert link.endswith("/edit/?requires_citations=yes")
    assert "Taken over" in client.get(link).content.decode()
