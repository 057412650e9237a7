"""Signing in: one door, no way around the second step, nobody led elsewhere afterwards."""

import re

import pytest
from allauth.account.models import EmailAddress
from allauth.mfa.adapter import get_adapter as mfa_adapter
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import TOTP, format_hotp_value, hotp_value, yield_hotp_counters_from_time
from allauth.usersessions.models import UserSession
from django.core.cache import cache
from django.test import Client
from django.urls import reverse

from foundation.teams import services
from foundation.teams.errors import PortalError
from foundation.teams.models import Membership, User

pytestmark = pytest.mark.django_db
PASSWORD = "correct horse battery"
LOGIN = "/accounts/login/"


@pytest.fixture(autouse=True)
def forget_rates():
    cache.clear()


def sign_in(client, email="editor@example.org", password=PASSWORD, **more):
    return client.post(LOGIN, {"login": email, "password": password, **more})


def signed_in(client):
    return "_auth_user_id" in client.session


def code_now(user):
    secret = mfa_adapter().decrypt(Authenticator.objects.get(user=user, type="totp").data["secret"])
    return format_hotp_value(hotp_value(secret, next(yield_hotp_counters_from_time())))


def test_the_password_opens(client, editor):
    response = sign_in(client)
    assert response.status_code == 302 and response.headers["Location"] == "/"
    assert signed_in(client)


def test_the_address_opens_however_it_is_spelt(client, editor):
    assert sign_in(client, "Editor@Example.ORG").status_code == 302


@pytest.mark.parametrize("password", ["", "wrong", PASSWORD.upper(), PASSWORD + " "])
def test_another_password_does_not(client, editor, password):
    assert sign_in(client, password=password).status_code == 200
    assert not signed_in(client)


def test_five_wrong_passwords_close_the_door_for_a_while(client, editor):
    """T45: at most 5 tries an account in 5 minutes; the sixth is refused though the password is right."""
    for _ in range(5):
        sign_in(client, password="wrong")
    assert sign_in(client).status_code == 200
    assert not signed_in(client)


def test_a_closed_account_stays_out_and_is_put_out(client, client_for, editor, team):
    signed = client_for(editor)
    assert signed.get(f"/t/{team.slug}/members/").status_code == 200
    User.objects.filter(pk=editor.pk).update(is_active=False)
    assert signed.get(f"/t/{team.slug}/members/").status_code == 302
    other = Client()
    sign_in(other)
    assert not signed_in(other)


def test_signing_in_changes_the_session_key(client, editor):
    """T36: a session handed to somebody before they sign in is worth nothing afterwards."""
    client.get(LOGIN)
    client.session["planted"] = "yes"
    before = client.session.session_key
    sign_in(client)
    assert client.session.session_key != before


ELSEWHERE = [
    "https://evil.example/", "http://evil.example", "//evil.example", "///evil.example", "////evil.example",
    "/\\evil.example", "\\\\evil.example", "/\\/evil.example", "https:evil.example", "https:/evil.example",
    "http:///evil.example", "javascript:alert(1)", "JaVaScRiPt:alert(1)", "data:text/html,x", "ftp://evil.example",
    " https://evil.example", "\thttps://evil.example", "\x00//evil.example", "//evil.example@testserver",
    "https://testserver@evil.example", "https://testserver.evil.example", "http://testserver:80@evil.example/",
    "//localhost", "http://localhost/", "http://127.0.0.1/", "//[::1]/", "https://evil.example#@testserver",
    "http://[evil.example", "evil.example", "./evil.example", "?next=//evil.example", "#x",
    "%2F%2Fevil.example",
    "/\t/evil.example", "/\n/evil.example", "/\r\n/evil.example", "//evil%00.example", "https://еvil.example",
    "http://testserver\\@evil.example", "mailto:a@evil.example",
]  # fmt: skip


@pytest.mark.parametrize("url", ELSEWHERE)
def test_nobody_is_led_elsewhere_after_signing_in_or_out(client, editor, url):
    """T36: 40 ways to write another site's address."""
    for response in (sign_in(client, next=url), client.post("/accounts/logout/", {"next": url})):
        assert response.status_code == 302
        assert re.fullmatch(r"/(accounts/login/)?", response.headers["Location"]), response.headers[
            "Location"
        ]


def test_a_page_of_our_own_is_where_one_wanted_to_go(client, editor, team):
    response = sign_in(client, next=f"/t/{team.slug}/members/?a=1")
    assert response.headers["Location"] == f"/t/{team.slug}/members/?a=1"


# --- the second step ----------------------------------------------------------------------------------------


@pytest.fixture
def with_code(editor):
    secret = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
    TOTP.activate(editor, secret)
    return editor


def test_with_a_second_step_the_password_alone_opens_nothing(client, with_code, team):
    response = sign_in(client)
    assert response.headers["Location"] == reverse("mfa_authenticate")
    assert not signed_in(client)
    assert client.get(f"/t/{team.slug}/members/").status_code == 302
    assert client.get("/admin/").headers["Location"].startswith(LOGIN)
    wrong = client.post(reverse("mfa_authenticate"), {"code": "000000"})
    assert wrong.status_code == 200 and not signed_in(client)
    client.post(reverse("mfa_authenticate"), {"code": code_now(with_code)})
    assert signed_in(client)


def test_a_code_opens_once(client, with_code):
    code = code_now(with_code)
    sign_in(client)
    client.post(reverse("mfa_authenticate"), {"code": code})
    other = Client()
    sign_in(other)
    other.post(reverse("mfa_authenticate"), {"code": code})
    assert signed_in(client) and not signed_in(other)


def test_a_recovery_code_opens_once(with_code):
    codes = RecoveryCodes.activate(with_code).get_unused_codes()
    for expected in (True, False):
        client = Client()
        sign_in(client)
        client.post(reverse("mfa_authenticate"), {"code": codes[0]})
        assert signed_in(client) is expected


def test_the_pages_of_the_second_step(client, editor):
    sign_in(client)
    assert "passkey is the safest" in client.get(reverse("mfa_index")).content.decode()
    client.post(reverse("account_reauthenticate"), {"password": PASSWORD})
    activate = client.get(reverse("mfa_activate_totp"))
    page = activate.content.decode()
    assert activate.status_code == 200, activate.headers
    assert "data:image/svg+xml" in page
    secret = re.search(r'id="authenticator_secret"[^>]*value="(\w+)"', page).group(1)
    code = format_hotp_value(hotp_value(secret, next(yield_hotp_counters_from_time())))
    assert client.post(reverse("mfa_activate_totp"), {"code": code}).status_code == 302
    assert Authenticator.objects.filter(user=editor, type="totp").exists()
    for name in [
        "mfa_index", "mfa_view_recovery_codes", "mfa_generate_recovery_codes", "mfa_deactivate_totp",
        "mfa_add_webauthn", "mfa_list_webauthn",
    ]:  # fmt: skip
        assert client.get(reverse(name)).status_code == 200, name
    download = client.get(reverse("mfa_download_recovery_codes"))
    assert download["Content-Type"] == "text/plain"


def test_secrets_of_the_second_step_are_not_readable_in_the_database(with_code):
    RecoveryCodes.activate(with_code)
    stored = str(list(Authenticator.objects.values_list("data", flat=True)))
    assert "JBSWY3DPEHPK3PXP" not in stored


def test_portal_keys_can_change_without_locking_anybody_out(client, with_code, settings):
    RecoveryCodes.activate(with_code)
    old = settings.PORTAL_KEYS
    settings.PORTAL_KEYS = ["new " * 10, *old]
    assert services.renew_second_steps() == 2
    settings.PORTAL_KEYS = ["new " * 10]
    sign_in(client)
    client.post(reverse("mfa_authenticate"), {"code": code_now(with_code)})
    assert signed_in(client)
    settings.PORTAL_KEYS = old
    with pytest.raises(PortalError, match="Put the old value back"):
        code_now(with_code)


def test_a_change_of_what_protects_the_account_asks_again(client_for, editor, settings):
    """A browser left open does not let a passer-by add their own key."""
    client = client_for(editor)
    response = client.get(reverse("mfa_activate_totp"))
    assert response.status_code == 302
    assert response.headers["Location"].startswith(reverse("account_reauthenticate"))
    assert client.get(reverse("account_reauthenticate")).status_code == 200


# --- sessions -----------------------------------------------------------------------------------------------


def test_other_sessions_end_at_once(editor, team):
    here, there = Client(), Client()
    sign_in(here)
    sign_in(there)
    assert "2 browsers hold your session" in here.get(reverse("usersessions_list")).content.decode()
    assert UserSession.objects.filter(user=editor).count() == 2
    here.post(reverse("usersessions_list"))
    assert here.get(f"/t/{team.slug}/members/").status_code == 200
    assert there.get(f"/t/{team.slug}/members/").status_code == 302


def test_a_new_password_ends_the_other_sessions(editor, team):
    here, there = Client(), Client()
    sign_in(here)
    sign_in(there)
    new = "another good sentence"
    here.post(
        reverse("account_change_password"), {"oldpassword": PASSWORD, "password1": new, "password2": new}
    )
    assert here.get(f"/t/{team.slug}/members/").status_code == 200
    assert there.get(f"/t/{team.slug}/members/").status_code == 302


def test_signing_out_needs_a_press(client_for, editor):
    client = client_for(editor)
    assert "Sign out?" in client.get(reverse("account_logout")).content.decode()
    assert signed_in(client)
    client.post(reverse("account_logout"))
    assert not signed_in(client)


# --- the forgotten password ---------------------------------------------------------------------------------


def test_without_email_nothing_is_promised(client, editor, mailoutbox):
    page = client.get(reverse("account_reset_password")).content.decode()
    assert "sends no e-mail" in page
    client.post(reverse("account_reset_password"), {"email": editor.email})
    assert not mailoutbox


def test_a_new_password_by_letter(client, editor, settings, mailoutbox):
    settings.EMAIL_IS_SET_UP = True
    answers = {client.post(reverse("account_reset_password"), {"email": e}).status_code
               for e in (editor.email, "nobody@example.org")}  # fmt: skip
    assert answers == {302}, "the answer does not tell who has an account"
    link = re.search(r"http://testserver(/\S+)", mailoutbox[0].body).group(1)
    form = client.get(link, follow=True)
    assert "Choose a new password" in form.content.decode()
    new = "another good sentence"
    client.post(form.redirect_chain[-1][0], {"password1": new, "password2": new})
    assert sign_in(Client(), password=new).status_code == 302
    assert "does not open" in Client().get(link, follow=True).content.decode()


# --- pages of the package -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [
    "account_login", "account_signup", "account_reset_password", "account_reset_password_done",
    "account_reset_password_from_key_done", "account_inactive", "socialaccount_login_cancelled",
    "socialaccount_login_error",
])  # fmt: skip
def test_a_page_before_the_door_has_our_look(client, db, name):
    page = client.get(reverse(name)).content.decode()
    assert 'class="plain' in page and "css/portal.css" in page


@pytest.mark.parametrize("name", [
    "account_change_password", "account_email", "mfa_index", "usersessions_list", "socialaccount_connections",
])  # fmt: skip
def test_a_page_behind_the_door_has_our_look_and_navigation(client_for, editor, team, name):
    page = client_for(editor).get(reverse(name)).content.decode()
    assert 'class="shell"' in page and team.name in page


def test_no_page_of_the_package_carries_inline_script_or_style(client_for, client, editor, team):
    names = ["account_login", "account_change_password", "account_email", "mfa_index", "usersessions_list"]
    pages = [client.get(reverse("account_login"))] + [client_for(editor).get(reverse(n)) for n in names[1:]]
    for response in pages:
        page = response.content.decode()
        for tag in re.findall(r"<script\b[^>]*>", page):
            assert "src=" in tag or "application/json" in tag, tag
        assert "<style" not in page and " style=" not in page
        assert not re.search(r"\son[a-z]+=", page.split("</head>")[1]), "an on… handler"
        assert "script-src 'self'" in response.headers["Content-Security-Policy"]


def test_addresses_of_ones_own_are_kept_in_small_letters(client, editor):
    sign_in(client)
    client.post(reverse("account_email"), {"action_add": "", "email": "Second@Example.org"})
    assert EmailAddress.objects.filter(user=editor, email="second@example.org").exists()


def test_another_persons_address_cannot_be_taken(client, editor, viewer):
    sign_in(client)
    client.post(reverse("account_email"), {"action_add": "", "email": viewer.email.upper()})
    assert not EmailAddress.objects.filter(user=editor, email__iexact=viewer.email).exists()
    assert Membership.objects.get(user=viewer).user.email == "viewer@example.org"


def test_every_form_needs_its_csrf_token(editor, admin_user, team):
    """T48: a form of another site is refused, on our pages and on the package's."""
    client = Client(enforce_csrf_checks=True)
    assert sign_in(client).status_code == 403
    client.force_login(admin_user)
    for address in [
        "/accounts/logout/", "/accounts/password/change/", "/profile/", "/inbox/read/", "/teams/new/",
        f"/t/{team.slug}/settings/", f"/t/{team.slug}/invitations/", f"/t/{team.slug}/tokens/",
        f"/t/{team.slug}/leave/",
    ]:  # fmt: skip
        assert client.post(address).status_code == 403, address
        assert client.post(address, headers={"HX-Request": "true"}).status_code == 403, address
