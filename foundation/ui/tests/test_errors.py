"""Whatever goes wrong: one sentence, an id, a way back, in the form the asker can use. Never a trace."""

from __future__ import annotations

import pytest
from django.db import connection
from django.template.loader import render_to_string

from foundation.ui.errors import DATABASE_GONE, DATABASE_OLD, SENTENCES

pytestmark = [pytest.mark.usefixtures("trial")]
HTMX = {"HX-Request": "true"}
CASES = [
    pytest.param(
        "/trial/plain/", 409, "Somebody froze version 3 before you.", id="a plain error of a service"
    ),
    pytest.param("/trial/database/", 503, DATABASE_GONE, id="the database is locked"),
    pytest.param("/trial/old/", 503, DATABASE_OLD, id="the database is not migrated"),
    pytest.param("/trial/large/", 413, SENTENCES[413], id="too large"),
    pytest.param("/trial/suspicious/", 400, SENTENCES[400], id="a suspicious request"),
    pytest.param("/trial/denied/", 403, SENTENCES[403], id="not allowed"),
    pytest.param("/trial/missing/", 404, SENTENCES[404], id="not there"),
    pytest.param("/trial/method/", 405, SENTENCES[405], id="the wrong method"),
    pytest.param("/trial/fault/", 500, SENTENCES[500], id="a fault"),
    pytest.param("/trial/status/429/", 429, SENTENCES[429], id="too often"),
]


@pytest.fixture
def visitor(client, db):
    client.raise_request_exception = False
    return client


@pytest.mark.parametrize(("path", "status", "sentence"), CASES)
def test_a_person_gets_a_page_with_the_sentence_the_id_and_a_way_back(visitor, path, status, sentence):
    response = visitor.get(path, headers={"Referer": "http://testserver/t/support/datasets/?page=2"})
    text = response.content.decode()
    assert response.status_code == status
    assert sentence in text and response["X-Request-Id"] in text
    assert 'href="/t/support/datasets/?page=2"' in text or status == 503
    assert text.count("btn primary") == 1
    for secret in (
        "Traceback",
        "ZeroDivision",
        "secret words",
        "inner words",
        "etc/",
        "teams_user",
        'is locked"',
    ):
        assert secret not in text


@pytest.mark.parametrize(("path", "status", "sentence"), CASES)
def test_htmx_gets_a_toast_and_changes_nothing_in_the_page(visitor, path, status, sentence):
    response = visitor.get(path, headers=HTMX)
    assert response.status_code == status
    assert response.headers["HX-Reswap"] == "none"
    assert response.content.decode() == sentence
    assert '"toast"' in response.headers["HX-Trigger"]


@pytest.mark.parametrize(("path", "status", "sentence"), CASES)
def test_a_program_gets_json(visitor, path, status, sentence):
    response = visitor.get(path, headers={"Accept": "application/json"})
    assert response.status_code == status
    assert response.json() == {"error": sentence, "status": status, "request_id": response["X-Request-Id"]}


def test_an_address_nobody_declared_is_not_found(visitor):
    assert visitor.get("/nowhere/").status_code == 404


def test_an_old_form_says_that_it_is_old(visitor):
    visitor.handler.enforce_csrf_checks = True
    response = visitor.post("/ui/theme/", {"theme": "dark"})
    assert response.status_code == 403
    assert "This page was open for too long" in response.content.decode()


def test_a_stranger_cannot_make_the_way_back_lead_away(visitor):
    text = visitor.get("/trial/missing/", headers={"Referer": "https://evil.example/"}).content.decode()
    assert "evil.example" not in text


@pytest.mark.parametrize("status", SENTENCES)
def test_an_error_page_stands_without_a_database_and_without_a_request(status):
    with connection.execute_wrapper(_refuse):
        text = render_to_string(f"{status}.html", {})
    assert "<h1>" in text and 'href="/"' in text


def _refuse(execute, sql, params, many, context):
    raise AssertionError(f"an error page asked the database: {sql}")


def test_an_error_page_has_the_policy_and_is_not_kept(visitor):
    response = visitor.get("/trial/fault/")
    assert "default-src 'none'" in response["Content-Security-Policy"]
    assert response["Cache-Control"] == "no-store"
