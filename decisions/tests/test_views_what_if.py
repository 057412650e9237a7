"""What if: answers while typing, keeps nothing, and a wrong figure leaves the last good answer standing."""

from __future__ import annotations

import re
import time

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from decisions import reading, services
from decisions.forms_what_if import ANSWERS, FACTS, WhatIfForm
from decisions.models import Decision, UseCase
from foundation.teams.models import AuditEvent
from foundation.teams.testing import assert_route_guarded

pytestmark = pytest.mark.django_db
PART = {"HTTP_HX_REQUEST": "true"}


@pytest.fixture
def page(use_case):
    return reverse("decisions:what-if", args=[use_case.pk])


def sent(use_case, **changes):
    """What the form sends as it stands, with `changes`; None takes a field away."""
    data = WhatIfForm.of({}, reading.inputs_of(use_case)).data
    return {k: v for k, v in {**data, **changes}.items() if v is not None}


def test_who_may_play(client, page, outsider, viewer, editor):
    assert_route_guarded(client, page, outsider=outsider, viewer=viewer, editor=editor, methods=("GET",))


def test_the_page_begins_with_the_saved_facts_and_says_them_beside_each_field(
    client_for, viewer, use_case, page
):
    html = client_for(viewer).get(page).content.decode()
    assert "the saved facts" in html
    assert "Saved: high" in html
    assert "Saved: 5,000" in html
    assert html.count("Saved: ") == len(FACTS) + len(ANSWERS)
    ids = re.findall(r'\bid="([^"]+)"', html)
    assert len(ids) == len(set(ids)), "a part swapped out of band needs its id to itself"


def test_a_change_answers_as_a_fragment_with_the_saved_score_beside(client_for, viewer, use_case, page):
    response = client_for(viewer).get(page, sent(use_case, data_quality="low"), **PART)
    html = response.content.decode()
    assert "<html" not in html
    # Support with low quality: fine-tuning and hybrid are not eligible; RAG 1.00 against prompt .50.
    assert '<h2 id="what-if-title">RAG</h2>' in html
    assert "another answer" in html
    assert re.search(r"Data quality: <del>high</del> → <ins>low</ins>", html)
    assert response["HX-Replace-Url"] == f"{page}?data_quality=low"


def test_nothing_is_stored(client_for, editor, use_case, page):
    before = (UseCase.objects.values().get(), AuditEvent.objects.count())
    client_for(editor).get(page, sent(use_case, data_quality="low", volume_per_day="7"), **PART)
    assert (UseCase.objects.values().get(), AuditEvent.objects.count()) == before
    assert not Decision.objects.exists()


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("volume_per_day", "many", "Enter a whole number"),
        ("volume_per_day", "-3", "greater than or equal to 0"),
        ("volume_per_day", "9" * 30, "less than or equal to"),
        ("expected_gain", "a lot", "Enter a number"),
        ("expected_gain", "250", "less than or equal to 100"),
        ("examples_in_hand", "½", "Enter a whole number"),
    ],
)
def test_a_wrong_figure_is_a_sentence_at_its_field_and_the_last_good_answer_stays(
    client_for, viewer, use_case, page, field, value, words
):
    response = client_for(viewer).get(page, sent(use_case, **{field: value}), **PART)
    html = response.content.decode()
    assert response.status_code == 422
    assert response["HX-Reswap"] == "none"
    assert "what-if-answer" not in html
    at_field = re.search(
        rf'<div class="field" id="what-if-error-{field}"[^>]*hx-swap-oob="true">(.*?)</div>', html, re.S
    ).group(1)
    assert words in at_field
    whole = client_for(viewer).get(page, sent(use_case, **{field: value}))
    assert whole.status_code == 422
    assert 'id="what-if-answer"' in whole.content.decode()


def test_a_right_figure_takes_the_sentence_away_again(client_for, viewer, use_case, page):
    html = client_for(viewer).get(page, sent(use_case), **PART).content.decode()
    assert re.search(r'<div class="field" id="what-if-error-volume_per_day"[^>]*></div>', html)


def test_a_link_names_only_what_it_changes(client_for, editor, use_case, page):
    client = client_for(editor)
    html = client.get(page, {"requires_factual_accuracy": "no", "has_knowledge_base": "no"}).content.decode()
    # RAG .50 + .10 (domain) = .60, no longer above .60: fine-tuning 1.00 alone.
    assert '<h2 id="what-if-title">Fine-tuning</h2>' in html
    take_over = re.search(r'href="([^"]+)">Take these into the answers', html).group(1).replace("&amp;", "&")
    edit = client.get(take_over).content.decode()
    assert "Taken over from the what-if; nothing is saved yet." in edit
    assert "Facts must be right, A knowledge base exists" in edit
    box = re.search(r'<input type="checkbox" name="has_knowledge_base"[^>]*>', edit).group()
    assert "checked" not in box
    # Nonsense in a link is nobody's fault: the page says it at the field.
    odd = client.get(page, {"task_complexity": "purple", "volume_per_day": "x", "unknown": "1"})
    assert odd.status_code == 422


def test_a_measured_gain_is_a_fact_like_any_other_and_untouched_it_is_no_change(
    client_for, viewer, use_case, page
):
    services.record_evidence(use_case=use_case, kind="measured_gain", value=0.096123, source="comparison 2")
    response = client_for(viewer).get(page, sent(UseCase.objects.get()), **PART)
    assert "Other than saved" not in response.content.decode()


def test_the_fragment_takes_few_queries_and_little_time(client_for, viewer, editor, use_case, page):
    services.decide(actor=editor, use_case=use_case)
    client = client_for(viewer)
    data = sent(use_case, data_availability="medium")
    client.get(page, data, **PART)
    with CaptureQueriesContext(connection) as queries:
        started = time.process_time()
        client.get(page, data, **PART)
        seconds = time.process_time() - started
    assert len(queries) <= 8
    assert seconds < 0.4  # the promise of 80 ms is measured by the bench, on a quiet machine
