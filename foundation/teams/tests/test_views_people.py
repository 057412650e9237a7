"""Pages about people, as the people see them."""

import re
from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from foundation.teams import services, tokens
from foundation.teams.audit import record
from foundation.teams.domain.roles import Role
from foundation.teams.models import ApiToken, AuditEvent, Invitation, Membership, Notice, Team, User
from foundation.teams.notices import notify
from foundation.teams.testing import assert_route_guarded

pytestmark = pytest.mark.django_db
PASSWORD = "correct horse battery"


def text_of(response):
    return response.content.decode()


# --- home and teams -----------------------------------------------------------------------------------------


def test_home_leads_to_the_team_last_visited(client_for, editor, team):
    other = services.create_team(actor=editor, name="Another")
    client = client_for(editor)
    first = client.get("/").headers["Location"]
    assert "another" in first, "the first by name"
    client.get(reverse("teams:settings", args=[team.slug]))
    assert team.slug in client.get("/").headers["Location"]
    Membership.objects.filter(user=editor, team=team).delete()
    assert other.slug in client.get("/").headers["Location"]


def test_somebody_in_no_team_is_told_what_to_do(client_for, db):
    page = text_of(client_for(User.objects.create_user("lone@example.org", PASSWORD)).get("/"))
    assert "Ask for an invitation" in page
    assert "Make the team" not in page


def test_the_first_person_makes_the_first_team(client_for, superuser):
    client = client_for(superuser)
    page = text_of(client.get("/"))
    press = re.search(r'name="press" value="(\w+)"', page).group(1)
    for _ in range(2):
        response = client.post(reverse("teams:team-create"), {"name": "First team", "press": press})
        assert response.status_code == 302
    assert Team.objects.get().name == "First team"


def test_only_admins_make_teams(client_for, editor, admin_user):
    assert client_for(editor).post(reverse("teams:team-create"), {"name": "X"}).status_code == 403
    assert client_for(admin_user).get(reverse("teams:team-create")).status_code == 200
    response = client_for(admin_user).post(reverse("teams:team-create"), {"name": "  "})
    assert "This field is required" in text_of(response)


def test_settings_show_what_the_role_may_follow(client_for, viewer, admin_user, team):
    url = reverse("teams:settings", args=[team.slug])
    page = text_of(client_for(viewer).get(url))
    assert reverse("teams:member-list", args=[team.slug]) in page
    assert reverse("teams:audit-list", args=[team.slug]) not in page
    client = client_for(admin_user)
    assert reverse("teams:audit-list", args=[team.slug]) in text_of(client.get(url))
    client.post(url, {"name": "New name"})
    assert Team.objects.get(pk=team.pk).name == "New name"


# --- members ------------------------------------------------------------------------------------------------


def test_an_admin_changes_roles_and_removes(client_for, admin_user, editor, team):
    client, membership = client_for(admin_user), Membership.objects.get(user=editor)
    client.post(reverse("teams:member-role", args=[membership.pk]), {"role": "30"})
    membership.refresh_from_db()
    assert membership.role == Role.APPROVER
    url = reverse("teams:member-remove", args=[membership.pk])
    assert "Remove Editor" in text_of(client.get(url))
    client.post(url)
    assert not Membership.objects.filter(pk=membership.pk).exists()
    assert client.post(url).status_code == 404, "the second press finds nobody to remove"


@pytest.mark.parametrize("role", ["", "15", "x", "99", "40; DROP"])
def test_a_role_that_does_not_exist_is_refused(client_for, admin_user, editor, role):
    membership = Membership.objects.get(user=editor)
    response = client_for(admin_user).post(reverse("teams:member-role", args=[membership.pk]), {"role": role})
    assert response.status_code == 400
    membership.refresh_from_db()
    assert membership.role == Role.EDITOR


def test_the_last_admin_is_told_why_not(client_for, admin_user, team):
    membership = Membership.objects.get(user=admin_user)
    response = client_for(admin_user).post(
        reverse("teams:member-role", args=[membership.pk]), {"role": "10"}, follow=True
    )
    assert "last admin" in text_of(response)
    assert client_for(admin_user).post(reverse("teams:leave", args=[team.slug])).status_code == 409


def test_a_member_leaves(client_for, viewer, team):
    client = client_for(viewer)
    url = reverse("teams:leave", args=[team.slug])
    assert "Leave Support platform?" in text_of(client.get(url))
    client.post(url)
    assert client.get(url).status_code == 404


def test_member_pages_are_guarded(client, team, outsider, viewer, editor, approver, admin_user):
    membership = Membership.objects.get(user=editor)
    for url in [
        reverse("teams:member-role", args=[membership.pk]),
        reverse("teams:member-remove", args=[membership.pk]),
        reverse("teams:member-list", args=[team.slug]),
    ]:
        assert_route_guarded(
            client, url, outsider=outsider, viewer=viewer, editor=editor, approver=approver, admin=admin_user
        )


# --- invitations --------------------------------------------------------------------------------------------


def make_link(client, team, **given):
    response = client.post(reverse("teams:invitation-list", args=[team.slug]), {"role": "20", **given})
    found = re.search(r"http://testserver(/join/\w{40}/)", text_of(response))
    assert found, text_of(response)[:2000]
    return found.group(1)


def test_a_new_person_comes_in_by_a_link(client_for, admin_user, team):
    link = make_link(client_for(admin_user), team, email="new@example.org")
    visitor = Client()
    page = text_of(visitor.get(link))
    assert "Join Support platform" in page and "editor" in page
    signup = reverse("account_signup")
    assert visitor.get(signup).status_code == 200
    wrong = visitor.post(signup, {"email": "x@example.org", "password1": PASSWORD, "password2": PASSWORD})
    assert "Your invitation is for new@example.org" in text_of(wrong)
    done = visitor.post(signup, {"email": "New@Example.org", "password1": PASSWORD, "password2": PASSWORD})
    assert done.status_code == 302, text_of(done)
    user = User.objects.get(email="new@example.org")
    assert Membership.objects.get(user=user).team == team
    assert visitor.get("/", follow=True).status_code == 200
    assert Client().get(link).status_code == 410


def test_without_an_invitation_nobody_signs_up(client, db):
    for response in (
        client.get(reverse("account_signup")),
        client.post(
            reverse("account_signup"),
            {"email": "a@example.org", "password1": PASSWORD, "password2": PASSWORD},
        ),
    ):
        assert "Accounts are by invitation" in text_of(response)
    assert not User.objects.exists()


def test_an_invitation_used_meanwhile_makes_no_account(client_for, admin_user, outsider, team):
    link = make_link(client_for(admin_user), team)
    visitor = Client()
    visitor.get(link)
    services.accept_invitation(user=outsider, secret=link.split("/")[2])
    visitor.post(
        reverse("account_signup"), {"email": "late@example.org", "password1": PASSWORD, "password2": PASSWORD}
    )
    assert not User.objects.filter(email="late@example.org").exists()


def test_somebody_with_an_account_joins(client_for, admin_user, outsider, team):
    link = make_link(client_for(admin_user), team)
    client = client_for(outsider)
    assert "You are signed in as" in text_of(client.get(link))
    assert not Membership.objects.filter(user=outsider, team=team).exists(), "opening a link is not joining"
    client.post(link)
    assert Membership.objects.get(user=outsider, team=team).role == Role.EDITOR


def test_joining_signed_out_changes_nothing(client_for, client, admin_user, team):
    link = make_link(client_for(admin_user), team)
    assert Client().post(link).status_code == 200
    assert Invitation.objects.get().accepted_at is None


def test_a_second_press_shows_the_same_link(client_for, admin_user, team):
    client = client_for(admin_user)
    assert make_link(client, team, press="abc") == make_link(client, team, press="abc")
    assert Invitation.objects.count() == 1
    page = text_of(client.get(reverse("teams:invitation-list", args=[team.slug])))
    assert "/join/" not in page, "the link is shown once"


def test_an_old_form_sent_again_no_longer_shows_its_link(client_for, admin_user, team, time_machine):
    client = client_for(admin_user)
    make_link(client, team, press="abc")
    time_machine.move_to(timezone.now() + timedelta(minutes=11))
    client.force_login(admin_user)
    response = client.post(reverse("teams:invitation-list", args=[team.slug]), {"role": "20", "press": "abc"})
    assert "/join/" not in text_of(response)
    assert "was made before" in text_of(response)


def test_an_invitation_is_taken_back(client_for, admin_user, team):
    client = client_for(admin_user)
    link = make_link(client, team)
    client.post(reverse("teams:invitation-revoke", args=[Invitation.objects.get().pk]))
    assert "taken back" in text_of(Client().get(link))


# --- tokens -------------------------------------------------------------------------------------------------


def test_a_token_is_shown_once_and_works(client_for, viewer, team):
    client, url = client_for(viewer), reverse("teams:token-list", args=[team.slug])
    page = text_of(client.post(url, {"name": "notebook", "scope": "read", "days": "30"}))
    token = re.search(r"ftl_\w{8}_\w{32}", page).group()
    assert tokens.authenticate(token).user == viewer
    assert token not in text_of(client.get(url))
    client.post(reverse("teams:token-revoke", args=[ApiToken.objects.get().pk]))
    assert tokens.authenticate(token) is None


def test_a_viewer_is_not_offered_writing(client_for, viewer, team):
    client, url = client_for(viewer), reverse("teams:token-list", args=[team.slug])
    response = client.post(url, {"name": "x", "scope": "write", "days": "30"})
    assert "Select a valid choice" in text_of(response)
    assert not ApiToken.objects.exists()


def test_tokens_of_others_are_seen_and_revoked_by_admins_only(client_for, viewer, editor, admin_user, team):
    token, _ = services.issue_token(actor=editor, team=team, role=Role.EDITOR, name="secret project")
    list_url, revoke = (
        reverse("teams:token-list", args=[team.slug]),
        reverse("teams:token-revoke", args=[token.pk]),
    )
    assert "secret project" not in text_of(client_for(viewer).get(list_url))
    assert client_for(viewer).post(revoke).status_code == 403
    assert "secret project" in text_of(client_for(admin_user).get(list_url))
    assert client_for(admin_user).post(revoke).status_code == 302
    assert ApiToken.objects.get().revoked_at


# --- the record ---------------------------------------------------------------------------------------------


def test_the_record_filters_pages_and_checks(client_for, admin_user, editor, team):
    for number in range(60):
        record(actor=editor, team=team, verb="dataset.created", target=None, note=f"n{number}")
    record(actor=admin_user, team=team, verb="member.added", target=None)
    client, url = client_for(admin_user), reverse("teams:audit-list", args=[team.slug])
    first = text_of(client.get(url))
    assert "n59" in first and "n10<" not in first
    older = re.search(r"\?before=\d+", first).group()
    assert "n5<" in text_of(client.get(url + older))
    assert "dataset.created" not in text_of(client.get(url, {"verb": "member"})).split("<tbody>")[1]
    assert "member.added" not in text_of(client.get(url, {"actor": editor.pk})).split("<tbody>")[1]
    response = client.post(reverse("teams:audit-check", args=[team.slug]), follow=True)
    assert "whole and in order" in text_of(response)


@pytest.mark.parametrize(
    "query", ["before=x", "actor=-1", "actor=99999999999999999999", "verb=%00", "before="]
)
def test_a_nonsense_filter_is_no_error(client_for, admin_user, team, query):
    response = client_for(admin_user).get(f"{reverse('teams:audit-list', args=[team.slug])}?{query}")
    assert response.status_code == 200


def test_the_record_as_csv_runs_no_formula(client_for, admin_user, team):
    admin_user.name = "=HYPERLINK(1)"
    admin_user.save()
    record(
        actor=admin_user, team=team, verb="dataset.created", target=None, note="@SUM(A1)", fields=["a", "b"]
    )
    response = client_for(admin_user).get(reverse("teams:audit-export", args=[team.slug]))
    assert response["Content-Disposition"] == 'attachment; filename="audit-support.csv"'
    head, line = b"".join(response.streaming_content).decode().splitlines()
    assert head.startswith("id,at,actor_id,actor,verb")
    assert "'=HYPERLINK(1)" in line and "'@SUM(A1)" in line


def test_every_change_on_these_pages_is_on_record(client_for, admin_user, editor, team):
    """T38 for this floor: each writing page leaves an event of the right person and team."""
    client, membership = client_for(admin_user), Membership.objects.get(user=editor)
    presses = {
        "team.renamed": (reverse("teams:settings", args=[team.slug]), {"name": "Z"}),
        "member.role_changed": (reverse("teams:member-role", args=[membership.pk]), {"role": "30"}),
        "invitation.created": (reverse("teams:invitation-list", args=[team.slug]), {"role": "10"}),
        "token.issued": (
            reverse("teams:token-list", args=[team.slug]), {"name": "x", "scope": "read", "days": "7"},
        ),
        "member.removed": (reverse("teams:member-remove", args=[membership.pk]), {}),
    }  # fmt: skip
    for verb, (url, data) in presses.items():
        client.post(url, data)
        event = AuditEvent.objects.order_by("pk").last()
        assert (event.verb, event.actor, event.team) == (verb, admin_user, team)


# --- inbox and profile --------------------------------------------------------------------------------------


def test_the_inbox_counts_opens_and_marks(client_for, editor, team):
    first, second, _ = (notify(team=team, users=[editor], title=f"N{n}", url="/teams/")[0] for n in range(3))
    client, url = client_for(editor), reverse("teams:inbox")
    assert "3 not read" in text_of(client.get(url))
    assert client.get(reverse("teams:notice-open", args=[first.pk])).headers["Location"] == "/teams/"
    assert "2 not read" in text_of(client.get(url))
    client.post(reverse("teams:inbox-read"), {"notice": second.pk})
    assert "1 not read" in text_of(client.get(url))
    client.post(reverse("teams:inbox-read"))
    assert "All read" in text_of(client.get(url))


def test_a_strangers_notice_is_not_there(client_for, editor, viewer, team):
    notice = notify(team=team, users=[editor], title="Private")[0]
    client = client_for(viewer)
    assert client.get(reverse("teams:notice-open", args=[notice.pk])).status_code == 404
    client.post(reverse("teams:inbox-read"), {"notice": notice.pk})
    assert Notice.objects.get().read_at is None


def test_the_profile_keeps_name_and_looks(client_for, editor):
    client = client_for(editor)
    client.post(
        reverse("teams:profile"), {"name": "Edith", "theme": "dark", "wants_email": "on", "email": "x@y.z"}
    )
    editor.refresh_from_db()
    assert (editor.name, editor.theme, editor.email) == ("Edith", "dark", "editor@example.org")
    assert client.cookies["theme"].value == "dark"
    assert 'data-theme="dark"' in text_of(client.get(reverse("teams:profile")))


def test_nobody_becomes_more_than_they_are_by_a_form(client_for, editor, team):
    """T33 for this floor: fields a form does not show are not set by sending them."""
    data = {"name": "E", "theme": "light", "is_staff": "on", "is_superuser": "on", "role": "40", "id": "1"}
    client_for(editor).post(reverse("teams:profile"), data)
    editor.refresh_from_db()
    assert not (editor.is_staff or editor.is_superuser)
    assert Membership.objects.get(user=editor).role == Role.EDITOR


@pytest.mark.parametrize("name", ["settings", "member-list", "invitation-list", "token-list", "audit-list"])
def test_a_page_costs_few_queries_however_much_there_is(
    client_for, admin_user, team, name, django_assert_max_num_queries
):
    for number in range(30):
        person = User.objects.create_user(f"p{number}@example.org", PASSWORD)
        services.add_member(actor=admin_user, team=team, user=person, role=Role.VIEWER)
        services.invite(actor=admin_user, team=team, role=Role.VIEWER)
        services.issue_token(actor=person, team=team, role=Role.VIEWER, name="t")
    client, url = client_for(admin_user), reverse(f"teams:{name}", args=[team.slug])
    client.get(url)
    with django_assert_max_num_queries(15):
        client.get(url)


def test_knowing_who_is_there_costs_three_queries(client_for, editor, team, django_assert_num_queries):
    """One for the session, one for the person, one for all their teams with roles."""
    client = client_for(editor)
    client.get("/")
    with django_assert_num_queries(3):
        assert client.get("/").status_code == 302


def test_text_of_people_is_text(client_for, admin_user, team):
    nasty = '<img src=x onerror="alert(1)"> <script>alert(1)</script>'
    admin_user.name = nasty
    admin_user.save()
    Team.objects.filter(pk=team.pk).update(name=nasty)
    notify(team=team, users=None, title=nasty, body=nasty)
    record(actor=admin_user, team=team, verb="dataset.created", target=None, note=nasty)
    services.issue_token(actor=admin_user, team=team, role=Role.ADMIN, name=nasty[:90])
    client = client_for(admin_user)
    for name in ["settings", "member-list", "invitation-list", "token-list", "audit-list", "leave"]:
        page = text_of(client.get(reverse(f"teams:{name}", args=[team.slug])))
        assert "<img src=x" not in page and "<script>alert" not in page
    for name in ["inbox", "profile", "team-list"]:
        page = text_of(client.get(reverse(f"teams:{name}")))
        assert "<img src=x" not in page and "<script>alert" not in page
