"""Sign-in and sign-up: sign-up is by invitation, and nobody is sent to another site afterwards."""

from __future__ import annotations

from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.utils import filter_users_by_email
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import HttpRequest
from django.utils.http import url_has_allowed_host_and_scheme

from foundation.teams import services, vault
from foundation.teams.errors import BadInvitation
from foundation.teams.models import Invitation

# The session keeps the hash of the invitation's secret, never the secret.
SESSION_KEY = "invitation"
_SIGN_UP_PAGES = {"account_signup", "socialaccount_signup"}


def invitation_of(request: HttpRequest | None) -> Invitation | None:
    """The open invitation this visitor came with, None without one."""
    sha256 = request.session.get(SESSION_KEY) if request is not None else None
    if not sha256:
        return None
    try:
        return services.find_invitation(sha256=sha256)
    except BadInvitation:
        return None


def _accept(request: HttpRequest, user: Any) -> None:
    services.accept_invitation(user=user, sha256=request.session.get(SESSION_KEY) or "none")
    request.session.pop(SESSION_KEY, None)


class InvitationOnlyAdapter(DefaultAccountAdapter):
    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """Only for who came with an open invitation."""
        return invitation_of(request) is not None

    def clean_email(self, email: str) -> str:
        """The address in small letters, nobody else's; at sign-up the invited one, where one is named.

        Addresses are not verified by letter (the portal works without e-mail), so who has one, keeps it.
        """
        email = super().clean_email(email).lower()
        at = getattr(self.request, "resolver_match", None) if self.request is not None else None
        page = at.url_name if at is not None else ""
        if page in _SIGN_UP_PAGES or page == "account_email":
            me = self.request.user.pk
            if any(user.pk != me for user in filter_users_by_email(email)):
                raise ValidationError("Somebody already signs in with this address.")
        if page in _SIGN_UP_PAGES:
            invitation = invitation_of(self.request)
            if invitation is not None and invitation.email and invitation.email != email:
                raise ValidationError(f"Your invitation is for {invitation.email}. Use that address.")
        return email

    def save_user(self, request: HttpRequest, user: Any, form: Any, commit: bool = True) -> Any:
        """The saved user, who is in the team from the same moment: without the team, no user."""
        with transaction.atomic():
            user = super().save_user(request, user, form, commit=commit)
            if commit:
                _accept(request, user)
        return user

    def is_safe_url(self, url: str) -> bool:
        """Whether `url` is a path of this portal. Other hosts never are, whatever the settings allow."""
        return bool(url) and url.startswith("/") and url_has_allowed_host_and_scheme(url, allowed_hosts=None)

    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        """Nothing where e-mail is not set up: on the console a letter's links would stand in the log."""
        if settings.EMAIL_IS_SET_UP:
            super().send_mail(template_prefix, email, context)


class InvitationOnlySocialAdapter(DefaultSocialAccountAdapter):
    def save_user(self, request: HttpRequest, sociallogin: Any, form: Any = None) -> Any:
        """The saved user of a single sign-on, in the team from the same moment."""
        with transaction.atomic():
            user = super().save_user(request, sociallogin, form)
            if form is None:
                # With a form, the account adapter has already done it.
                _accept(request, user)
        return user


class SealedSecondStepAdapter(DefaultMFAAdapter):
    def encrypt(self, text: str) -> str:
        """What is stored of a secret: never the secret itself."""
        return vault.encrypt(text)

    def decrypt(self, encrypted_text: str) -> str:
        """The secret again."""
        return vault.decrypt(encrypted_text)
