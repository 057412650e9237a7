"""Who may use which part of the API: every operation, with every kind of key."""

import re
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from decisions.services import create_use_case
from foundation.teams import services
from foundation.teams.domain.roles import Role
from foundation.teams.domain.scopes import Scope
from foundation.teams.models import ApiToken, Membership
from ftportal.api import api

pytestmark = pytest.mark.django_db


def operations():
    """[(method, path with placeholders)] of the whole API."""
    paths = api.get_openapi_schema()["paths"]
    return [(method.upper(), path) for path, methods in sorted(paths.items()) for method in sorted(methods)]


def address(path):
    """The path with a number nobody has in every gap."""
    return re.sub(r"{[^}]*}", "999999999", path)


@pytest.fixture
def key(team, editor):
    def make(scope=Scope.WRITE, user=editor, role=Role.EDITOR):
        return services.issue_token(actor=user, team=team, role=role, name="k", scope=scope)

    return make


# One for all calls: each new one would load every middleware again.
CALLER = Client(raise_request_exception=False)


def call(method, path, text=None):
    headers = {"Authorization": f"Bearer {text}"} if text is not None else {}
    return CALLER.generic(method, address(path), "{}", content_type="application/json", headers=headers)


def test_there_are_operations():
    assert len(operations()) >= 20


def test_without_a_good_key_nothing_answers(key, team):
    """T31 for the API: 401 for nobody, for nonsense, for an expired, a revoked and an orphaned token."""
    expired, expired_text = key()
    ApiToken.objects.filter(pk=expired.pk).update(expires_at=timezone.now() - timedelta(seconds=1))
    revoked, revoked_text = key()
    services.revoke_token(actor=None, token=revoked)
    orphan = services._create_user(
        email="gone@example.org", password="correct horse", name="", superuser=False
    )
    member = services.add_member(actor=None, team=team, user=orphan, role=Role.EDITOR)
    _, orphan_text = key(user=orphan)
    Membership.objects.filter(pk=member.pk).delete()
    texts = [
        None,
        "",
        "nonsense",
        "' OR 1=1 --",
        "ftl_aaaaaaaa_" + "b" * 32,
        expired_text,
        revoked_text,
        orphan_text,
    ]
    wrong = [
        f"{method} {path} with {text!r}: {status}"
        for method, path in operations()
        for text in texts
        if (status := call(method, path, text).status_code) != 401
    ]
    assert wrong == []


def test_a_reading_key_reads_and_a_writing_key_writes(key, viewer):
    """A writing token of somebody who is a viewer by now only reads, too."""
    _, reading = key(Scope.READ)
    fallen, falling = key(Scope.WRITE, user=viewer)
    _, writing = key(Scope.WRITE)
    wrong = []
    for method, path in operations():
        for text in (reading, falling):
            status = call(method, path, text).status_code
            if (status == 403) is (method == "GET") or status == 401 or status >= 500:
                wrong.append(f"{method} {path} with a reading key: {status}")
        status = call(method, path, writing).status_code
        if status in (401, 403) or status >= 500:
            wrong.append(f"{method} {path} with a writing key: {status}")
    assert wrong == []


def test_a_key_opens_its_own_team_only(key, editor, team):
    """Its maker is in two teams; the key is of one."""
    other = services.create_team(actor=editor, name="Other")
    _, text = key()
    create_use_case(actor=editor, team=other, name="Secret plans of the other team")
    create_use_case(actor=editor, team=team, name="Ours")
    page = call("GET", "/api/v1/use-cases", text)
    assert page.status_code == 200, page.content
    assert "Ours" in page.content.decode() and "Secret plans" not in page.content.decode()


def test_a_session_needs_its_csrf_token(editor):
    """T48: another site cannot use the browser's session on the API."""
    client = Client(enforce_csrf_checks=True, raise_request_exception=False)
    client.force_login(editor)
    for method, path in operations():
        if method != "GET":
            status = client.generic(method, address(path), "{}", content_type="application/json").status_code
            assert status in (401, 403), f"{method} {path}: {status}"


@pytest.mark.parametrize(
    "escape", ["\\u0000", "\\ud800", "x\\uDC00y"], ids=["NUL", "half a pair", "the other half"]
)
def test_a_body_that_no_database_takes_is_one_sentence(key, escape):
    """PostgreSQL stores no NUL and no half of a surrogate pair: refused before any row is touched, not a 500."""
    _, text = key()
    for method, path in operations():
        if method in ("POST", "PUT", "PATCH"):
            body = f'{{"name": ["{escape}"]}}'
            headers = {"Authorization": f"Bearer {text}"}
            reply = CALLER.generic(
                method, address(path), body, content_type="application/json", headers=headers
            )
            assert reply.status_code == 400 and "cannot be stored" in reply.json()["error"], (method, path)
    # A whole pair is a letter as any other, and a backslash before it makes it text.
    for body in (b'{"name": "\\ud83d\\ude00"}', b'{"name": "\\\\u0000"}'):
        reply = CALLER.generic("POST", "/api/v1/none", body, content_type="application/json")
        assert reply.status_code == 404


def numbers_asked_for():
    """[(path, name)] of every number that a list or a reading takes behind the question mark."""
    paths = api.get_openapi_schema()["paths"]
    return [
        (path, given["name"])
        for path, methods in sorted(paths.items())
        for given in methods.get("get", {}).get("parameters", ())
        if given["in"] == "query" and "integer" in str(given["schema"])
    ]


def test_a_number_that_no_database_holds_is_one_sentence(key):
    """26 digits, as a filter of every list: an answer or a refusal, never an error of ours."""
    _, text = key()
    asked = numbers_asked_for()
    assert ("/api/v1/datasets", "use_case") in asked
    answers = {
        (path, name): call("GET", f"{address(path)}?{name}=12345678901234567890123456", text)
        for path, name in asked
    }
    assert {where: a.status_code for where, a in answers.items() if a.status_code >= 500} == {}
    refused = answers["/api/v1/datasets", "use_case"]
    assert refused.status_code == 422
    assert refused.json()["fields"][0]["field"] == "use_case"
