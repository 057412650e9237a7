"""Every address says whom it serves, and keeps to it."""

import uuid
from pathlib import Path
from types import SimpleNamespace

import pytest
from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.db import transaction
from django.http import Http404, HttpResponse
from django.test import Client, RequestFactory
from django.urls import reverse
from django.urls.converters import UUIDConverter

from foundation.teams import policy, routes, services
from foundation.teams.domain.roles import Role
from foundation.teams.errors import NotAllowed
from foundation.teams.middleware import TeamMiddleware
from foundation.teams.models import AuditEvent, Membership, Notice, Team
from foundation.teams.policy import Policy, Scope, as_markdown, table
from foundation.teams.testing import agrees, expected

pytestmark = pytest.mark.django_db


def view(request, *args, **kwargs):
    return HttpResponse("seen")


# --- the whole URLconf --------------------------------------------------------------------------------------


def test_every_address_has_a_policy():
    """Without it a forgotten guard opens a page to everybody (MLflow CVE-2026-2652); here it closes the page,
    and this test says so before anybody meets it."""
    assert [line.address for line in table() if line.policy is None] == []


def test_the_documented_table_is_the_one_in_force():
    """`manage.py policy --write` after a change of addresses."""
    documented = Path(settings.BASE_DIR) / "docs" / "policy.md"
    assert documented.read_text() == as_markdown(table()), "run: manage.py policy --write"


def _own_lines():
    return [line for line in table() if isinstance(getattr(line.pattern.callback, "policy", None), Policy)]


def _addresses_without_rows(team):
    """Addresses that need nothing but a team: [(name, address, policy)]."""
    found = []
    for line in _own_lines():
        arguments = set(line.pattern.pattern.converters)
        if arguments <= {"team"} and line.policy.scope is not Scope.OBJECT:
            address = reverse(line.name, kwargs={"team": team.slug} if arguments else None)
            found.append((line.name, address, line.policy))
    return found


# Pages whose own policy asks for more than their address can say.
NEEDS_ADMIN_SOMEWHERE = {"teams:team-create"}


class _Undo(Exception):
    pass


def test_every_address_answers_each_person_as_the_table_says(
    team, outsider, viewer, editor, approver, admin_user, superuser
):
    """T31: addresses x people x methods; every cell is undone again, so that no press spoils the next."""
    people = [
        (None, None),
        (outsider, None),
        (viewer, Role.VIEWER),
        (editor, Role.EDITOR),
        (approver, Role.APPROVER),
        (admin_user, Role.ADMIN),
        (superuser, Role.ADMIN),
    ]
    wrong, cells = [], 0
    for user, role in people:
        client = Client(raise_request_exception=False)
        if user is not None:
            client.force_login(user)
        for name, address, promised in _addresses_without_rows(team):
            for method in ("GET", "POST"):
                promise = expected(promised, role, method, signed_in=user is not None)
                if name in NEEDS_ADMIN_SOMEWHERE and role is not None and role < Role.ADMIN:
                    promise = 403
                try:
                    with transaction.atomic():
                        response = client.generic(method, address)
                        raise _Undo
                except _Undo:
                    pass
                cells += 1
                if not agrees(response.status_code, promise):
                    wrong.append(
                        f"{method} {name} as {user or 'nobody'}: {response.status_code}, not {promise}"
                    )
    assert cells >= 7 * 2 * 15
    assert wrong == []


def test_rows_of_another_team_are_not_there(client_for, outsider, team, editor):
    """T32 on this floor: the number of another team's row is answered as if there were none."""
    mine = Membership.objects.get(user=editor)
    invitation, _ = services.invite(actor=editor, team=team, role=Role.VIEWER)
    token, _ = services.issue_token(actor=editor, team=team, role=Role.EDITOR, name="x")
    notice = Notice.objects.create(team=team, user=editor, title="x")
    rows = {
        "teams.membership": mine,
        "teams.invitation": invitation,
        "teams.apitoken": token,
        "teams.notice": notice,
    }
    client, n = client_for(outsider), 0
    for line in _own_lines():
        if line.policy.model in rows:
            address = reverse(line.name, args=[rows[line.policy.model].pk])
            assert client.get(address).status_code == 404, address
            assert client.post(address).status_code == 404, address
            n += 1
    assert n == 5
    assert not AuditEvent.objects.filter(actor=outsider).exists()


def test_a_row_that_is_not_there_is_404_on_every_address(client_for, superuser):
    client = client_for(superuser)
    for line in _own_lines():
        if line.policy.scope is Scope.OBJECT and set(line.pattern.pattern.converters) == {"pk"}:
            is_uuid = isinstance(line.pattern.pattern.converters["pk"], UUIDConverter)
            address = reverse(line.name, args=[uuid.UUID(int=10**9) if is_uuid else 10**9])
            assert client.get(address).status_code == 404, address
            assert client.post(address).status_code == 404, address


@pytest.mark.parametrize("number", [0, 2**63, 10**40])
def test_a_number_no_row_can_have_is_not_there(client_for, admin_user, number):
    assert client_for(admin_user).get(f"/members/{number}/remove/").status_code == 404


def test_the_admin_is_behind_the_one_sign_in(client, client_for, admin_user, superuser):
    """T36: no second door with its own password form, without the second step."""
    for address in ("/admin/", "/admin/login/", "/admin/teams/user/"):
        response = client.get(address)
        assert response.status_code == 302, address
        assert response.headers["Location"].startswith("/accounts/login/"), address
    post = client.post("/admin/login/", {"username": "root@example.org", "password": "correct horse battery"})
    assert post.headers["Location"].startswith("/accounts/login/")
    assert client_for(admin_user).get("/admin/").status_code == 404, "an admin of a team is no staff"
    assert client_for(superuser).get("/admin/").status_code == 200


def test_every_table_of_people_opens_in_the_admin_and_evidence_stays_as_it_is(client_for, superuser, team):
    from foundation.teams.audit import record

    event = record(actor=superuser, team=team, verb="team.created", target=team)
    client = client_for(superuser)
    for model in [
        "user",
        "team",
        "membership",
        "invitation",
        "apitoken",
        "auditevent",
        "auditseal",
        "notice",
        "press",
    ]:
        assert client.get(reverse(f"admin:teams_{model}_changelist")).status_code == 200, model
    change = reverse("admin:teams_auditevent_change", args=[event.pk])
    assert client.get(change).status_code == 200
    assert client.post(change, {"verb": "x"}).status_code == 403
    assert client.post(reverse("admin:teams_auditevent_delete", args=[event.pk])).status_code == 403
    assert client.get(reverse("admin:teams_user_change", args=[superuser.pk])).status_code == 200
    assert client.get(reverse("admin:teams_user_add")).status_code == 200


# --- the guards by themselves -------------------------------------------------------------------------------


def _request(user, method="GET", url="/x/", **headers):
    request = RequestFactory().generic(method, url, **headers)
    request.user, request.session = user, {}
    TeamMiddleware(lambda r: HttpResponse())(request)
    request.resolver_match = SimpleNamespace(route="x/")
    return request


def test_an_address_without_policy_is_refused(editor):
    with pytest.raises(NotAllowed):
        TeamMiddleware(view).process_view(_request(editor), view, (), {})


def test_a_prefix_lets_only_its_own_addresses_through(monkeypatch, editor):
    monkeypatch.setattr(policy, "_prefixes", {})
    policy.declare_prefix("elsewhere/", Scope.PUBLIC)
    with pytest.raises(NotAllowed):
        TeamMiddleware(view).process_view(_request(editor), view, (), {})
    policy.declare_prefix("x/", Scope.PUBLIC)
    assert TeamMiddleware(view).process_view(_request(editor), view, (), {}) is None


@pytest.mark.parametrize(("prefix", "scope"), [("", Scope.PUBLIC), ("/", Scope.PUBLIC), ("x/", Scope.TEAM)])
def test_a_prefix_that_would_open_too_much_is_refused(prefix, scope):
    with pytest.raises(ValueError):
        policy.declare_prefix(prefix, scope)


@pytest.mark.parametrize(
    ("method", "role", "is_let_in"),
    [
        ("GET", Role.VIEWER, True),
        ("HEAD", Role.VIEWER, True),
        ("POST", Role.VIEWER, False),
        ("PUT", Role.VIEWER, False),
        ("DELETE", Role.VIEWER, False),
        ("PATCH", Role.VIEWER, False),
        ("TRACE", Role.VIEWER, False),
        ("POST", Role.EDITOR, True),
        ("POST", Role.ADMIN, True),
    ],
)
def test_reading_and_writing_need_their_roles(team, viewer, editor, admin_user, method, role, is_let_in):
    user = {Role.VIEWER: viewer, Role.EDITOR: editor, Role.ADMIN: admin_user}[role]
    guarded = routes.team_path("t/<slug:team>/", view, name="x").callback
    request = _request(user, method)
    if is_let_in:
        assert guarded(request, team=team.slug).status_code == 200
        assert (request.team, request.role) == (team, role)
    else:
        with pytest.raises(
            NotAllowed, match="Your role in Support platform is viewer; this change needs editor"
        ):
            guarded(request, team=team.slug)


def test_a_stranger_does_not_learn_that_a_team_exists(team, outsider):
    guarded = routes.team_path("t/<slug:team>/", view, name="x").callback
    for slug in (team.slug, "no-such-team"):
        with pytest.raises(Http404, match=r"There is no such team\."):
            guarded(_request(outsider), team=slug)


def test_a_superuser_is_admin_everywhere(team, superuser):
    request = _request(superuser)
    routes.team_path("t/<slug:team>/", view, name="x", read=Role.ADMIN).callback(request, team=team.slug)
    assert request.role is Role.ADMIN


def test_a_row_is_found_only_by_members_of_its_team(
    team, editor, viewer, outsider, django_assert_num_queries
):
    notice = Notice.objects.create(team=team, user=editor, title="x")
    guarded = routes.object_path(
        "n/<int:pk>/", lambda r, row, **kw: HttpResponse(row.team.name), Notice, name="x"
    )
    request = _request(editor)
    with django_assert_num_queries(2):
        assert guarded.callback(request, pk=notice.pk).content == b"Support platform"
    assert request.team == team
    for stranger in (outsider, viewer):
        with pytest.raises(Http404):
            guarded.callback(_request(stranger), pk=notice.pk)


def test_a_queryset_of_ones_own_is_still_narrowed_to_the_person(team, editor, outsider):
    notice = Notice.objects.create(team=team, user=editor, title="x")
    guarded = routes.object_path(
        "n/<int:pk>/", view, Notice, name="x", queryset=lambda: Notice.objects.select_related("team", "user")
    )
    assert guarded.callback(_request(editor), pk=notice.pk).status_code == 200
    with pytest.raises(Http404):
        guarded.callback(_request(outsider), pk=notice.pk)


# --- the way to the sign-in and back ------------------------------------------------------------------------


def test_a_page_leads_to_the_sign_in_and_back():
    response = routes.to_sign_in(_request(AnonymousUser(), url="/t/support/members/?page=2"))
    assert response.headers["Location"] == "/accounts/login/?next=%2Ft%2Fsupport%2Fmembers%2F%3Fpage%3D2"


@pytest.mark.parametrize(
    ("referer", "back"),
    [
        ("http://testserver/t/support/members/?a=1", "%2Ft%2Fsupport%2Fmembers%2F%3Fa%3D1"),
        ("https://evil.example/t/", "%2F"),
        ("//evil.example", "%2F"),
        ("", "%2F"),
        ("javascript:alert(1)", "%2F"),
        ("http://testserver//evil.example/", "%2F"),
    ],
)
def test_a_form_leads_back_to_the_page_it_stood_on(referer, back):
    response = routes.to_sign_in(_request(AnonymousUser(), "POST", headers={"referer": referer}))
    assert response.headers["Location"] == f"/accounts/login/?next={back}"


def test_a_page_part_takes_the_whole_page_to_the_sign_in(client, team):
    """U43: an ended session during a small request does not swap a sign-in form into a corner of the page."""
    response = client.get(
        f"/t/{team.slug}/members/",
        headers={"HX-Request": "true", "HX-Current-URL": "http://testserver/t/support/members/?q=1"},
    )
    assert response.headers["HX-Redirect"] == "/accounts/login/?next=%2Ft%2Fsupport%2Fmembers%2F%3Fq%3D1"
    response = client.get(
        f"/t/{team.slug}/members/", headers={"HX-Request": "true", "HX-Current-URL": "https://evil.example/x"}
    )
    assert response.headers["HX-Redirect"] == "/accounts/login/?next=%2F"


def test_a_team_cannot_be_named_into_anothers_address(client_for, editor, team):
    Team.objects.create(slug="support-2", name="Support platform")
    assert client_for(editor).get("/t/support-2/members/").status_code == 404
