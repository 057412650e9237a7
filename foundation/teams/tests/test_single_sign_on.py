"""Signing in through another house (OpenID Connect): the same invitations, no way around them."""

import pytest
from allauth.core import context
from allauth.socialaccount.adapter import get_adapter
from allauth.socialaccount.helpers import complete_social_login
from allauth.socialaccount.models import SocialAccount
from django.contrib.auth.models import AnonymousUser
from django.contrib.messages.storage.fallback import FallbackStorage
from django.contrib.sessions.backends.db import SessionStore
from django.test import RequestFactory

from foundation.teams import services
from foundation.teams.adapters import SESSION_KEY
from foundation.teams.domain.roles import Role
from foundation.teams.errors import BadInvitation
from foundation.teams.models import Membership, User
from foundation.teams.tokens import secret_digest

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def provider(settings):
    settings.SOCIALACCOUNT_PROVIDERS = {
        "openid_connect": {
            "APPS": [
                {
                    "provider_id": "oidc",
                    "name": "House of keys",
                    "client_id": "portal",
                    "secret": "s",
                    "settings": {"server_url": "https://id.example.org"},
                }
            ]
        }
    }


@pytest.fixture
def come_back():
    """Somebody comes back from the other house as `email`, with the session they left with."""

    def complete(email, session=None):
        request = RequestFactory().get("/accounts/oidc/oidc/login/callback/")
        request.user, request.session = AnonymousUser(), SessionStore()
        request.session.update(session or {})
        request._messages = FallbackStorage(request)
        with context.request_context(request):
            house = get_adapter().get_provider(request, "oidc")
            answer = {"sub": f"id of {email}", "email": email, "email_verified": True}
            login = house.sociallogin_from_response(request, {"userinfo": answer, "id_token": answer})
            response = complete_social_login(request, login)
        return request, response

    return complete


def invited(team, admin_user, email=""):
    _, secret = services.invite(actor=admin_user, team=team, role=Role.EDITOR, email=email)
    return {SESSION_KEY: secret_digest(secret)}


def test_the_other_house_alone_opens_nothing(come_back):
    request, response = come_back("stranger@example.org")
    assert "Accounts are by invitation" in response.content.decode()
    assert not User.objects.exists()
    assert "_auth_user_id" not in request.session


def test_with_an_invitation_one_is_in_the_team_at_once(come_back, team, admin_user):
    request, response = come_back("new@example.org", invited(team, admin_user))
    user = User.objects.get(email="new@example.org")
    assert Membership.objects.get(user=user).role == Role.EDITOR
    assert (response.status_code, request.session["_auth_user_id"]) == (302, str(user.pk))
    assert SESSION_KEY not in request.session
    again, _ = come_back("new@example.org")
    assert again.session["_auth_user_id"] == str(user.pk), "the next time needs no invitation"


def test_an_invitation_for_another_address_makes_no_account(come_back, team, admin_user):
    with pytest.raises(BadInvitation, match=r"for somebody@example\.org"):
        come_back("new@example.org", invited(team, admin_user, "somebody@example.org"))
    assert not User.objects.filter(email="new@example.org").exists()


def test_the_other_house_does_not_take_over_an_account_here(come_back, editor, team, admin_user):
    """Whoever runs the other house could claim any address; an account here is connected from inside only."""
    for session in ({}, invited(team, admin_user)):
        request, _ = come_back(editor.email, session)
        assert "_auth_user_id" not in request.session
    assert not SocialAccount.objects.exists()


def test_the_sign_in_page_offers_the_other_house(client):
    page = client.get("/accounts/login/?next=/inbox/").content.decode()
    assert "House of keys" in page
    way = client.get("/accounts/oidc/oidc/login/")
    assert "You leave the portal for a moment" in way.content.decode(), "a press, not a link, starts it"
