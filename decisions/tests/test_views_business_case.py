"""The business case: one page that says what was decided, what it returns, what could go wrong, who signed."""

from __future__ import annotations

import re

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from decisions import services, signing
from decisions.domain.examples import EXAMPLES
from foundation.teams.testing import assert_route_guarded

pytestmark = pytest.mark.django_db


def page_of(use_case, number=1):
    return reverse("decisions:business-case", args=[use_case.pk, number])


@pytest.fixture
def decided(editor, approver, use_case):
    services.analyse_roi(actor=editor, use_case=use_case)
    decision = services.decide(actor=editor, use_case=use_case, note="Agreed with <the leads>.")
    signing.sign_off(
        actor=approver, use_case=use_case, number=1, digest=decision.inputs_sha256, note="Read <b>it</b>."
    )
    return use_case


def test_who_may_read_it(client, decided, outsider, viewer, editor):
    assert_route_guarded(
        client, page_of(decided), outsider=outsider, viewer=viewer, editor=editor, methods=("GET",)
    )


def test_it_says_decision_return_risks_pitfalls_facts_and_signatures(client_for, viewer, decided):
    html = client_for(viewer).get(page_of(decided)).content.decode()
    assert "Support: Hybrid" in html
    assert "$127,600" in html
    assert "Never" in html
    assert "The gain of +15.0% is an assumption." in html
    assert len(re.findall(r'<th scope="row">\d\. ', html)) == 7
    assert "Read &lt;b&gt;it&lt;/b&gt;." in html
    assert "Agreed with &lt;the leads&gt;." in html
    assert html.count("btn primary") == 1


def test_the_total_names_the_months_it_counts_where_the_base_model_retires_first(
    client_for, editor, use_case, time_machine
):
    time_machine.move_to("2026-11-26")
    services.analyse_roi(actor=editor, use_case=use_case, horizon_months=36, retires_on="2027-10-01")
    services.decide(actor=editor, use_case=use_case)
    html = client_for(editor).get(page_of(use_case)).content.decode()
    # From 26 November 2026 to 1 October 2027 are ten whole months.
    assert "total over 10 months" in html


def test_an_older_answer_and_moved_facts_are_said_under_the_title(client_for, viewer, editor, decided):
    services.record_evidence(use_case=decided, kind="examples_in_hand", value=120, source="version 1")
    client = client_for(viewer)
    assert (
        "The facts have changed since: today they say RAG." in client.get(page_of(decided)).content.decode()
    )
    services.decide(actor=editor, use_case=decided)
    old = client.get(page_of(decided)).content.decode()
    assert "An earlier answer: decision 2 is the latest." in old
    assert client.get(page_of(decided, 9)).status_code == 404


def test_it_takes_few_queries(client_for, viewer, decided):
    client = client_for(viewer)
    client.get(page_of(decided))
    with CaptureQueriesContext(connection) as queries:
        client.get(page_of(decided))
    assert len(queries) <= 15


@pytest.mark.browser
@pytest.mark.django_db(transaction=True)
def test_it_prints_on_one_page_without_the_navigation(page_as, team, editor, approver, tmp_path):
    """Every example of the book, with a long note and description: one sheet of A4."""
    rows = [
        services.create_use_case(
            actor=editor, team=team, name=e.name, **{**e.values, "description": "Long. " * 60}
        )
        for e in EXAMPLES
    ]
    for row in rows:
        services.analyse_roi(actor=editor, use_case=row)
        services.decide(actor=editor, use_case=row, note="Weighed with everybody concerned. " * 6)
    page = page_as(editor)
    for row in rows:
        page.goto(page_of(row))
        page.emulate_media(media="print", color_scheme="dark")
        assert not page.locator(".side").first.is_visible()
        assert not page.locator("[data-print]").is_visible()
        pdf = page.pdf(prefer_css_page_size=True)
        assert len(re.findall(rb"/Type\s*/Page\b", pdf)) == 1, row.name
