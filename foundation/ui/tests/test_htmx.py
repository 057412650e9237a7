"""Page or fragment, and what is said along with it."""

from __future__ import annotations

import json

import pytest
from django.contrib.messages import get_messages
from django.http import HttpResponse
from django.test import RequestFactory

from foundation.ui import htmx

pytestmark = [pytest.mark.usefixtures("trial")]
HTMX = {"HX-Request": "true"}


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        pytest.param({}, False, id="a browser"),
        pytest.param(HTMX, True, id="htmx"),
        pytest.param({**HTMX, "HX-Boosted": "true"}, False, id="a boosted link wants the page"),
        pytest.param({**HTMX, "HX-History-Restore-Request": "true"}, False, id="going back wants the page"),
    ],
)
def test_only_htmx_asking_for_a_part_gets_a_part(headers, expected):
    assert htmx.wants_fragment(RequestFactory().get("/", headers=headers)) is expected


def test_one_address_serves_page_and_part_and_says_what_it_depends_on(client_for, editor):
    client = client_for(editor)
    page, part = client.get("/trial/form/"), client.get("/trial/form/", headers=HTMX)
    assert b"<html" in page.content and b"<html" not in part.content
    for response in (page, part):
        assert {"HX-Request", "HX-History-Restore-Request"} <= set(response["Vary"].split(", "))
        assert response["Cache-Control"] == "no-store"


def test_a_form_that_failed_comes_back_as_the_same_part(client_for, editor):
    response = client_for(editor).post("/trial/form/", {}, headers=HTMX)
    assert response.status_code == 422
    assert b'role="alert"' in response.content and b"<html" not in response.content


@pytest.mark.parametrize("headers", [{}, HTMX])
def test_a_finished_action_redirects_in_the_askers_language(headers):
    response = htmx.redirect(RequestFactory().post("/", headers=headers), "/x/")
    if headers:
        assert (response.status_code, response["HX-Redirect"]) == (204, "/x/")
    else:
        assert (response.status_code, response["Location"]) == (302, "/x/")


def test_a_toast_travels_with_the_part_and_keeps_other_events():
    request = RequestFactory().get("/", headers=HTMX)
    response = htmx.trigger(HttpResponse(), "job-finished")
    htmx.toast(request, "Gespeichert: ä 😀\nzweite Zeile", "warn", response=response)
    header = response["HX-Trigger"]
    assert header.isascii() and "\n" not in header
    said = {"text": "Gespeichert: ä 😀\nzweite Zeile", "level": "warn", "undo": ""}
    assert json.loads(header) == {"job-finished": True, "toast": said}


def test_a_toast_before_a_redirect_waits_for_the_next_page(client_for, editor):
    client = client_for(editor)
    good = {"name": "a", "volume": 3, "complexity": "simple", "timing": "normal"}
    response = client.post("/trial/form/", good, headers=HTMX)
    assert response["HX-Redirect"] == "/trial/form/" and "HX-Trigger" not in response
    assert [str(m) for m in get_messages(response.wsgi_request)] == ["Saved <b>once</b>."]
    text = client.get("/trial/form/").content.decode()
    assert "Saved &lt;b&gt;once&lt;/b&gt;." in text
