"""Health, theme, shortcuts, palette, gallery, navigation."""

from __future__ import annotations

import pytest
from django.db import OperationalError
from django.urls import reverse

from foundation.ui import navigation, search, views
from foundation.ui.navigation import Badge, NavItem, register_nav
from foundation.ui.search import Found, Source, register_search


@pytest.fixture
def empty_registries(monkeypatch):
    monkeypatch.setattr(navigation, "_items", [])
    monkeypatch.setattr(search, "_sources", [])


def test_livez_answers_without_a_database(client):
    assert client.get("/livez").content == b"ok\n"


def test_readyz_says_that_the_database_is_gone(client, db, monkeypatch):
    def gone():
        raise OperationalError("unable to open database file")

    monkeypatch.setattr(views, "_migrations_waiting", gone)
    response = client.get("/readyz")
    assert response.status_code == 503
    assert response.json()["reason"] == "The database does not answer."


def test_readyz_says_how_many_migrations_wait(client, db, monkeypatch):
    monkeypatch.setattr(views, "_migrations_waiting", lambda: 2)
    assert client.get("/readyz").json()["reason"] == "2 migrations are waiting: run manage.py migrate."


def test_readyz_is_ready_when_nothing_waits(client, db, monkeypatch):
    monkeypatch.setattr(views, "_migrations_waiting", lambda: 0)
    assert client.get("/readyz").status_code == 200


def test_the_theme_is_in_the_first_byte_of_the_next_page(client, db):
    response = client.post("/ui/theme/", {"theme": "dark", "next": "/accounts/login/"})
    assert (response.status_code, response["Location"]) == (302, "/accounts/login/")
    assert '<html lang="en" data-theme="dark">' in client.get("/accounts/login/").content.decode()


@pytest.mark.parametrize("theme", ["", "neon", '"><script>'])
def test_a_theme_that_is_none_is_not_remembered(client, db, theme):
    assert "theme" not in client.post("/ui/theme/", {"theme": theme}).cookies


def test_a_cookie_from_elsewhere_cannot_write_into_the_page(client, db):
    client.cookies["theme"] = "x onload=alert(1)"
    assert 'data-theme="system"' in client.get("/accounts/login/").content.decode()


@pytest.mark.parametrize("to", ["https://evil.example/", "//evil.example/", "javascript:alert(1)"])
def test_the_way_back_stays_here(client, db, to):
    assert client.post("/ui/theme/", {"theme": "dark", "next": to})["Location"] == "/"


def test_shortcuts_can_be_switched_off(client_for, editor):
    client = client_for(editor)
    client.post("/ui/shortcuts/", {"shortcuts": "off", "next": "/ui/gallery/"})
    assert 'data-shortcuts="off"' in client.get("/ui/gallery/").content.decode()


def test_the_palette_lists_what_its_sources_allow(client_for, editor, empty_registries):
    rows = ["Support triage", "Support tickets", "Refunds"]
    register_search([
        Source("use case", lambda request, words, limit: [Found(r, f"/u/{r}", hint="<i>") for r in rows
                                                          if words in r.lower() and request.user == editor])
    ])  # fmt: skip
    text = client_for(editor).get("/ui/palette/?q=support").content.decode()
    assert text.count('role="option"') == 2 and "&lt;i&gt;" in text
    assert "Nothing called “zebra”." in client_for(editor).get("/ui/palette/?q=zebra").content.decode()


def test_the_palette_shows_at_most_its_limit_of_each_kind(rf, empty_registries):
    register_search([Source("row", lambda request, words, limit: (Found(str(i), "/") for i in range(1000)))])
    assert len(search.find(rf.get("/"), "a", limit=6)) == 6


def test_the_palette_is_for_signed_in_people(client, db):
    assert client.get("/ui/palette/?q=a").status_code == 302


def test_the_gallery_shows_every_part_to_a_signed_in_person(client_for, editor):
    response = client_for(editor).get("/ui/gallery/")
    assert response.status_code == 200 and b"The parts every page is built from" in response.content


def test_the_gallery_asks_a_stranger_to_sign_in(client, db):
    assert client.get("/ui/gallery/").status_code == 302


def test_the_navigation_marks_one_place_and_gives_each_a_key(client_for, editor, empty_registries):
    register_nav([
        NavItem("Datasets", "teams:settings", "data", order=2, badge=lambda request: 1234),
        NavItem("Deployments", "teams:member-list", "ship", order=3, badge=lambda request: Badge("1 live", "live")),
        NavItem("Parts", "ui:gallery", "spark", order=1, needs_team=False, badge=lambda request: 0),
        NavItem("Nowhere", "no:such-view", order=9),
    ])  # fmt: skip
    text = client_for(editor).get("/ui/gallery/").content.decode()
    side = text[text.index('aria-label="Main"') : text.index("</nav>", text.index('aria-label="Main"'))]
    assert side.count('aria-current="page"') == 1 and "Nowhere" not in side
    assert [side.index(word) for word in ("Parts", "Datasets", "Deployments")] == sorted(
        side.index(word) for word in ("Parts", "Datasets", "Deployments")
    )
    assert 'data-go="p"' in side and 'data-go="d"' in side and 'data-go="e"' in side
    assert "1,234" in side and "1 live" in side
    assert reverse("teams:settings", kwargs={"team": "support"}) in side


def test_a_longer_match_wins(rf, empty_registries):
    broad = NavItem("All", "a:list", matches=("datasets:",))
    narrow = NavItem("Review", "a:list", matches=("datasets:review",))
    assert narrow.match_length("datasets:review-row") > broad.match_length("datasets:review-row") > 0
    assert narrow.match_length("datasets:list") == 0
    assert NavItem("x", "datasets:list").match_length("datasets:detail") > 0


def test_a_tenth_place_is_refused(empty_registries):
    with pytest.raises(ValueError, match="at most 9"):
        register_nav([NavItem(str(i), "ui:gallery") for i in range(10)])


def test_every_answer_carries_the_policy(client_for, editor):
    for path in ("/livez", "/ui/gallery/", "/accounts/login/"):
        policy = client_for(editor).get(path)["Content-Security-Policy"]
        assert "unsafe" not in policy and "script-src 'self';" in policy and "http" not in policy
