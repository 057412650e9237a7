"""Teams, members, invitations, tokens, notices: what the services promise."""

from datetime import timedelta

import pytest
from django.utils import timezone

from foundation.teams import services, tokens
from foundation.teams.domain.roles import Role
from foundation.teams.domain.scopes import Scope
from foundation.teams.errors import BadInput, BadInvitation, Conflict, LastAdmin
from foundation.teams.models import ApiToken, AuditEvent, Invitation, Membership, Notice, Press, Team, User
from foundation.teams.notices import notify
from foundation.teams.presses import once

pytestmark = pytest.mark.django_db
PASSWORD = "correct horse battery"


def verbs(team):
    return list(AuditEvent.objects.of(team).order_by("pk").values_list("verb", flat=True))


# --- teams --------------------------------------------------------------------------------------------------


def test_the_first_admin_may_open_everything_and_has_a_team():
    user = services.create_first_admin(
        email="First@Example.org", password=PASSWORD, team_name="Demo workspace"
    )
    assert user.email == "first@example.org"
    assert user.is_superuser and user.check_password(PASSWORD)
    team = Team.objects.get(slug="demo-workspace")
    assert Membership.objects.get(team=team, user=user).role == Role.ADMIN
    assert verbs(team) == ["team.created"]


@pytest.mark.parametrize(
    ("email", "password"), [("nonsense", PASSWORD), ("a@example.org", "short"), ("", PASSWORD)]
)
def test_an_unusable_first_admin_is_refused_with_a_sentence(email, password):
    with pytest.raises(BadInput) as error:
        services.create_first_admin(email=email, password=password)
    assert error.value.field in ("email", "password")
    assert not User.objects.exists()


def test_an_address_signs_in_only_one_person(editor):
    with pytest.raises(Conflict):
        services.create_first_admin(email="EDITOR@example.org", password=PASSWORD)


def test_two_teams_of_one_name_have_two_addresses(editor):
    slugs = [services.create_team(actor=editor, name=" Data  team ").slug for _ in range(2)]
    assert slugs == ["data-team", "data-team-2"]


@pytest.mark.parametrize("name", ["", "   ", "x" * 201])
def test_a_team_needs_a_usable_name(editor, name):
    with pytest.raises(BadInput) as error:
        services.create_team(actor=editor, name=name)
    assert error.value.field == "name"


def test_a_form_pressed_twice_makes_one_team(editor):
    def press():
        return once(
            user=editor,
            press="abc",
            purpose="team",
            model=Team,
            make=lambda: services.create_team(actor=editor, name="Once"),
        )

    (first, is_new), (second, is_new_again) = press(), press()
    assert (is_new, is_new_again, first.pk == second.pk) == (True, False, True)
    assert Team.objects.filter(name="Once").count() == 1


def test_a_press_whose_making_failed_can_be_pressed_again(editor):
    def refuse():
        raise BadInput("no")

    with pytest.raises(BadInput):
        once(user=editor, press="abc", purpose="team", model=Team, make=refuse)
    assert not Press.objects.exists()


def test_a_renamed_team_keeps_its_address(team, admin_user):
    services.rename_team(actor=admin_user, team=team, name="Other name")
    team.refresh_from_db()
    assert (team.name, team.slug) == ("Other name", "support")
    services.rename_team(actor=admin_user, team=team, name="Other name")
    assert verbs(team) == ["team.renamed"]


# --- members ------------------------------------------------------------------------------------------------


def test_a_role_changes_and_the_person_is_told(team, admin_user, editor):
    membership = Membership.objects.get(user=editor)
    services.change_role(actor=admin_user, membership=membership, role=Role.APPROVER)
    membership.refresh_from_db()
    assert membership.role == Role.APPROVER
    assert Notice.objects.get(user=editor).title == f"You are now approver in {team}"
    event = AuditEvent.objects.get(verb="member.role_changed")
    assert (event.actor, event.team, event.fields) == (admin_user, team, ["role"])


def test_the_same_role_again_is_no_change(team, admin_user, editor):
    services.change_role(actor=admin_user, membership=Membership.objects.get(user=editor), role=Role.EDITOR)
    assert verbs(team) == []


def test_the_last_admin_stays(team, admin_user, editor):
    membership = Membership.objects.get(user=admin_user)
    with pytest.raises(LastAdmin):
        services.change_role(actor=admin_user, membership=membership, role=Role.EDITOR)
    with pytest.raises(LastAdmin):
        services.remove_member(actor=admin_user, membership=membership)
    services.change_role(actor=admin_user, membership=Membership.objects.get(user=editor), role=Role.ADMIN)
    services.remove_member(actor=admin_user, membership=membership)
    assert Membership.objects.filter(team=team, role=Role.ADMIN).get().user == editor


def test_an_admin_who_may_not_sign_in_does_not_count(team, admin_user, editor):
    services.change_role(actor=admin_user, membership=Membership.objects.get(user=editor), role=Role.ADMIN)
    User.objects.filter(pk=editor.pk).update(is_active=False)
    with pytest.raises(LastAdmin):
        services.remove_member(actor=admin_user, membership=Membership.objects.get(user=admin_user))


def test_whoever_leaves_takes_no_token_along(team, admin_user, editor):
    _, text = services.issue_token(actor=editor, team=team, role=Role.EDITOR, name="script")
    assert tokens.authenticate(text)
    membership = Membership.objects.get(user=editor)
    services.remove_member(actor=admin_user, membership=membership)
    assert tokens.authenticate(text) is None
    assert ApiToken.objects.get().revoked_at is not None
    with pytest.raises(Conflict):
        services.remove_member(actor=admin_user, membership=membership)
    assert verbs(team).count("member.removed") == 1


# --- invitations --------------------------------------------------------------------------------------------


def invite(team, admin_user, **given):
    return services.invite(actor=admin_user, team=team, role=Role.EDITOR, **given)


def test_an_invitation_lets_one_person_in_once(team, admin_user, outsider):
    invitation, secret = invite(team, admin_user)
    membership = services.accept_invitation(user=outsider, secret=secret)
    assert (membership.team, membership.role) == (team, Role.EDITOR)
    other = User.objects.create_user("other@example.org", PASSWORD)
    with pytest.raises(BadInvitation, match="already used"):
        services.accept_invitation(user=other, secret=secret)
    assert not Membership.objects.filter(user=other).exists()
    invitation.refresh_from_db()
    assert invitation.accepted_by == outsider
    assert verbs(team) == ["invitation.created", "member.added", "invitation.accepted"]
    assert Notice.objects.get(user=admin_user).title == "Outsider joined Support platform"


def test_of_two_who_open_the_link_at_once_one_gets_in(team, admin_user, outsider, monkeypatch):
    """Both have seen the invitation open; the write decides, not what was read before."""
    invitation, secret = invite(team, admin_user)
    monkeypatch.setattr(services, "find_invitation", lambda **_: invitation)
    services.accept_invitation(user=outsider, secret=secret)
    other = User.objects.create_user("other@example.org", PASSWORD)
    with pytest.raises(BadInvitation, match="already used"):
        services.accept_invitation(user=other, secret=secret)
    assert not Membership.objects.filter(user=other).exists()


def test_two_admins_who_read_the_same_cannot_both_step_down(team, admin_user, editor):
    """Each holds the list from before the other's change; the second is stopped by what stands in the table."""
    services.change_role(actor=None, membership=Membership.objects.get(user=editor), role=Role.ADMIN)
    first, second = Membership.objects.get(user=editor), Membership.objects.get(user=admin_user)
    services.change_role(actor=admin_user, membership=first, role=Role.VIEWER)
    with pytest.raises(LastAdmin):
        services.change_role(actor=editor, membership=second, role=Role.VIEWER)


def test_only_the_hash_of_the_link_is_kept(team, admin_user):
    invitation, secret = invite(team, admin_user, email="new@example.org")
    assert len(secret) == 40 and secret.isalnum()
    stored = Invitation.objects.filter(pk=invitation.pk).values().get()
    assert secret not in str(stored)
    assert "new@example.org" not in str(AuditEvent.objects.values())


def test_a_link_lives_seven_days(team, admin_user, outsider):
    now = timezone.now()
    _, secret = invite(team, admin_user, now=now)
    assert services.find_invitation(secret=secret, now=now + timedelta(days=7, seconds=-1))
    with pytest.raises(BadInvitation, match="too old"):
        services.accept_invitation(user=outsider, secret=secret, now=now + timedelta(days=7))


def test_a_link_taken_back_does_not_open(team, admin_user, outsider):
    invitation, secret = invite(team, admin_user)
    services.revoke_invitation(actor=admin_user, invitation=invitation)
    services.revoke_invitation(actor=admin_user, invitation=invitation)
    with pytest.raises(BadInvitation, match="taken back"):
        services.accept_invitation(user=outsider, secret=secret)
    assert verbs(team).count("invitation.revoked") == 1


@pytest.mark.parametrize("secret", ["", "x" * 40, "' OR 1=1 --", "\x00"])
def test_a_made_up_link_does_not_open(team, secret):
    with pytest.raises(BadInvitation, match="does not exist"):
        services.find_invitation(secret=secret)


def test_a_named_invitation_is_for_that_address(team, admin_user, outsider):
    _, secret = invite(team, admin_user, email="Somebody@Example.org")
    with pytest.raises(BadInvitation, match=r"for somebody@example\.org"):
        services.accept_invitation(user=outsider, secret=secret)
    assert Invitation.objects.get().accepted_at is None


def test_a_member_needs_no_invitation(team, admin_user, editor):
    with pytest.raises(Conflict):
        invite(team, admin_user, email=editor.email)
    _, secret = invite(team, admin_user)
    with pytest.raises(Conflict):
        services.accept_invitation(user=editor, secret=secret)
    assert Invitation.objects.get().accepted_at is None, "the link is still there for whom it was meant"


def test_an_invitation_pressed_twice_is_one_with_one_link(team, admin_user):
    first, second = invite(team, admin_user, press="k"), invite(team, admin_user, press="k")
    assert first == second
    assert Invitation.objects.count() == 1
    assert verbs(team) == ["invitation.created"]
    assert invite(team, admin_user, press="k", email="a@example.org") != first


# --- tokens -------------------------------------------------------------------------------------------------


def issue(team, user, role=Role.EDITOR, **given):
    return services.issue_token(actor=user, team=team, role=role, name="script", **given)


def test_a_token_looks_like_one_and_only_its_hash_is_kept(team, editor):
    token, text = issue(team, editor)
    head, prefix, secret = text.split("_")
    assert (head, len(prefix), len(secret)) == ("ftl", 8, 32)
    assert secret not in str(ApiToken.objects.values().get())
    # 62 letters and digits, 32 of them: 190 bits.
    assert 62**32 > 2**160
    assert token.prefix == prefix


def test_a_live_token_says_who_where_and_as_what(team, editor):
    _, text = issue(team, editor, scope=Scope.WRITE)
    for raw in (text, f"Bearer {text}"):
        found = tokens.authenticate(raw)
        assert (found.user, found.team, found.role) == (editor, team, Role.EDITOR)
    Membership.objects.filter(user=editor).update(role=Role.VIEWER)
    assert tokens.authenticate(text).role is Role.VIEWER


def test_a_token_ends_in_every_way_it_can(team, editor):
    token, text = issue(team, editor)
    services.revoke_token(actor=editor, token=token)
    services.revoke_token(actor=editor, token=token)
    assert tokens.authenticate(text) is None
    assert verbs(team) == ["token.issued", "token.revoked"]

    token, text = issue(team, editor)
    ApiToken.objects.filter(pk=token.pk).update(expires_at=timezone.now())
    assert tokens.authenticate(text) is None

    _, text = issue(team, editor)
    User.objects.filter(pk=editor.pk).update(is_active=False)
    assert tokens.authenticate(text) is None


def test_a_token_of_the_same_beginning_but_another_secret_is_refused(team, editor):
    _, text = issue(team, editor)
    assert tokens.authenticate(text[:-1] + ("a" if text[-1] != "a" else "b")) is None


@pytest.mark.parametrize(
    "raw",
    ["", "Bearer", "Bearer ", "ftl_", "ftl_aaaaaaaa_" + "b" * 31, "' OR 1=1 --", "Bearer ftl_%_%",
     "ftl_\x00", "Basic x",
     "ftl_aaaaaaaa_" + "é" * 32, "Bearer ftl_aaaaaaaa_" + "b" * 32 + "\n; DROP TABLE", "x" * 100_000],
)  # fmt: skip
def test_strange_headers_are_refused_without_an_error(raw, django_assert_num_queries):
    with django_assert_num_queries(0):
        assert tokens.authenticate(raw) is None


def test_last_used_is_written_once_a_minute(team, editor, django_assert_num_queries):
    token, text = issue(team, editor)
    tokens.authenticate(text)
    token.refresh_from_db()
    assert token.last_used_at
    with django_assert_num_queries(2):
        tokens.authenticate(text)


def test_a_viewer_cannot_make_a_writing_token(team, viewer):
    with pytest.raises(BadInput, match="can only read") as error:
        issue(team, viewer, role=Role.VIEWER, scope=Scope.WRITE)
    assert error.value.field == "scope"
    assert not ApiToken.objects.exists()


@pytest.mark.parametrize("days", [0, -1, 367])
def test_a_token_lives_a_year_at_most(team, editor, days):
    with pytest.raises(BadInput):
        issue(team, editor, days=days)


def test_a_token_pressed_twice_is_one_token(team, editor):
    assert issue(team, editor, press="k") == issue(team, editor, press="k")
    assert ApiToken.objects.count() == 1
    assert issue(team, editor)[1] != issue(team, editor)[1], "without a key each is new"


# --- notices ------------------------------------------------------------------------------------------------


def test_a_notice_reaches_members_only(team, editor, viewer, outsider):
    notify(team=team, users=[editor, outsider], title="Done")
    assert [n.user for n in Notice.objects.all()] == [editor]
    notify(team=team, users=None, title="For all")
    assert Notice.objects.filter(title="For all").count() == 2


@pytest.mark.parametrize(
    "url", ["https://example.com", "//example.com", "/\\example.com", "javascript:alert(1)"]
)
def test_a_notice_leads_nowhere_else(team, url):
    with pytest.raises(ValueError, match="page of the portal"):
        notify(team=team, users=None, title="x", url=url)


def test_nobody_reads_anothers_notices(team, editor, viewer):
    notify(team=team, users=[editor], title="Done")
    assert Notice.objects.visible_to(editor).count() == 1
    assert not Notice.objects.visible_to(viewer).exists()
    superuser = User.objects.create_superuser("root@example.org", PASSWORD)
    assert not Notice.objects.visible_to(superuser).exists()
    Membership.objects.filter(user=editor).delete()
    assert not Notice.objects.visible_to(editor).exists(), "who left the team no longer reads about it"


def test_letters_go_out_after_the_commit_where_email_is_set_up(
    team, editor, viewer, settings, mailoutbox, monkeypatch, django_capture_on_commit_callbacks
):
    settings.EMAIL_IS_SET_UP = True
    monkeypatch.setattr("threading.Thread.start", lambda self: self.run())
    services.update_profile(actor=viewer, name="V", theme="dark", wants_email=False)
    with django_capture_on_commit_callbacks(execute=True):
        notify(team=team, users=None, title="It\r\nBcc: x@example.org", body="All rows.")
        assert not mailoutbox
    assert [(m.to, m.subject) for m in mailoutbox] == [
        (["editor@example.org"], "It Bcc: x@example.org · Support platform")
    ]


def test_without_email_an_invitation_is_only_a_link(team, admin_user, mailoutbox):
    invitation, _ = invite(team, admin_user, email="new@example.org")
    assert services.send_invitation(invitation=invitation, link="http://x/join/y/") is False
    assert not mailoutbox


def test_what_nobody_needs_any_more_goes(team, editor):
    once(user=editor, press="k", purpose="p", model=Team, make=lambda: team)
    read, unread = notify(team=team, users=[editor], title="old") + notify(
        team=team, users=[editor], title="new"
    )
    services.mark_read(user=editor, notices=[read.pk])
    assert services.tidy() == 0
    assert services.tidy(now=timezone.now() + timedelta(days=200)) == 2
    assert list(Notice.objects.all()) == [unread]
