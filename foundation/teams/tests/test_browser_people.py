"""Coming in, with a real browser: an invitation, a passkey, and every page about people as it looks."""

from urllib.parse import urlsplit

import pytest
from django.urls import reverse

from foundation.teams import services
from foundation.teams.audit import record
from foundation.teams.domain.roles import Role
from foundation.teams.models import Membership
from foundation.teams.notices import notify
from foundation.ui.testing import assert_good_page, assert_no_csp_violations, follow, shoot

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
PASSWORD = "correct horse battery"


def test_somebody_comes_in_by_a_link(page_as, admin_user, team):
    inviting = page_as(admin_user)
    inviting.goto(reverse("teams:member-list", args=[team.slug]))
    inviting.get_by_role("link", name="Invite somebody").click()
    inviting.get_by_label("E-mail address").fill("new@example.org")
    inviting.get_by_label("Editor: also changes data").check()
    inviting.get_by_role("button", name="Make the link").click()
    link = inviting.locator(".code code").inner_text()
    assert_good_page(inviting)
    shoot(inviting, "invitation-made")

    coming = page_as()
    coming.goto(link)
    assert_good_page(coming)
    shoot(coming, "join")
    follow(coming, coming.get_by_role("link", name="Make an account"))
    assert_good_page(coming)
    shoot(coming, "signup")
    coming.get_by_label("Email").fill("new@example.org")
    coming.get_by_label("Password", exact=True).fill(PASSWORD)
    coming.get_by_label("Password (again)").fill(PASSWORD)
    coming.get_by_role("button", name="Make the account and join").click()
    coming.wait_for_url(f"**/t/{team.slug}/**")
    assert Membership.objects.get(user__email="new@example.org").role == Role.EDITOR

    inviting.goto(reverse("teams:member-list", args=[team.slug]))
    inviting.get_by_text("new@example.org").first.wait_for()
    inviting.get_by_label("Role of new@example.org").select_option("Approver")
    inviting.get_by_role("button", name="Set the role of new@example.org").click()
    inviting.get_by_text("new@example.org is now approver").wait_for()


def test_a_passkey_is_added_and_opens_the_door(page_as, editor):
    page = page_as()
    devtools = page.context.new_cdp_session(page)
    devtools.send("WebAuthn.enable")
    devtools.send(
        "WebAuthn.addVirtualAuthenticator",
        {
            "options": {
                "protocol": "ctap2",
                "transport": "internal",
                "hasResidentKey": True,
                "hasUserVerification": True,
                "isUserVerified": True,
                "automaticPresenceSimulation": True,
            }
        },
    )
    page.goto("/accounts/login/")
    assert_good_page(page)
    shoot(page, "login")
    page.get_by_label("E-mail").fill(editor.email)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.wait_for_url(lambda url: "/accounts/" not in url)

    page.goto(reverse("mfa_index"))
    follow(page, page.get_by_role("link", name="Add a passkey"))
    page.get_by_label("Password").fill(PASSWORD)
    follow(page, page.get_by_role("button", name="Go on"))
    page.get_by_label("Passwordless").check()
    assert_good_page(page)
    page.get_by_role("button", name="Add", exact=True).click()
    page.get_by_role("heading", name="Recovery codes").or_(
        page.get_by_text("works without the password")
    ).wait_for()
    assert_no_csp_violations(page)

    page.context.clear_cookies()
    page.goto("/accounts/login/?next=/inbox/")
    page.get_by_role("button", name="Sign in with a passkey").click()
    # The address of the sign-in ends in /inbox/ as well, after its question mark.
    page.wait_for_url(lambda url: urlsplit(url).path == "/inbox/")
    assert_no_csp_violations(page)


def test_signing_in_and_out_needs_no_script(page_as, editor):
    page = page_as(js=False)
    page.goto("/inbox/")
    assert page.url.endswith("/accounts/login/?next=%2Finbox%2F")
    page.get_by_label("E-mail").fill(editor.email)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    follow(page, page.get_by_role("button", name="Sign in", exact=True))
    assert urlsplit(page.url).path == "/inbox/"
    page.goto("/accounts/logout/")
    follow(page, page.get_by_role("main").get_by_role("button", name="Sign out"))
    page.goto("/inbox/")
    assert "/accounts/login/" in page.url


def test_every_page_about_people_is_good(page_as, admin_user, editor, team):
    services.invite(actor=admin_user, team=team, role=Role.VIEWER, email="x@example.org")
    services.issue_token(actor=admin_user, team=team, role=Role.ADMIN, name="nightly import")
    notify(team=team, users=[admin_user], title="Import ended", body="2,184 rows.", url="/teams/")
    for number in range(60):
        record(
            actor=editor, team=team, verb="dataset.created", target=team, fields=["name"], note=f"n{number}"
        )
    services.seal_audit()
    page = page_as(admin_user)
    membership = Membership.objects.get(user=editor)
    for name, args in [
        ("settings", [team.slug]),
        ("member-list", [team.slug]),
        ("invitation-list", [team.slug]),
        ("token-list", [team.slug]),
        ("audit-list", [team.slug]),
        ("leave", [team.slug]),
        ("member-remove", [membership.pk]),
        ("inbox", []),
        ("profile", []),
        ("team-list", []),
        ("team-create", []),
    ]:
        page.goto(reverse(f"teams:{name}", args=args))
        assert_good_page(page)
        shoot(page, name)
    for name in [
        "mfa_index",
        "account_email",
        "account_change_password",
        "usersessions_list",
        "account_logout",
    ]:
        page.goto(reverse(name))
        assert_good_page(page)
        shoot(page, name)
    page.goto(reverse("socialaccount_connections"))
    assert_good_page(page, primary=False)  # nothing to connect to, where no other house is set up
