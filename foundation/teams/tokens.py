"""API tokens at the door: `Authorization: Bearer ftl_<8>_<32>`."""

from __future__ import annotations

import hashlib
import hmac
import re
from datetime import timedelta

from django.utils import timezone

from foundation.teams.domain.roles import Role
from foundation.teams.domain.scopes import Scope, effective_role
from foundation.teams.models import ApiToken, Membership

_SHAPE = re.compile(r"ftl_([0-9A-Za-z]{8})_([0-9A-Za-z]{32})", re.ASCII)
# `last_used_at` is for people to read: to the minute is enough, and a write a request would be too much.
_LAST_USED_EVERY = timedelta(minutes=1)


def authenticate(raw: str) -> ApiToken | None:
    """The live token of an Authorization header (or of the bare token), with `user`, `team` and `role` set.

    None when it is unknown, misspelt, expired, revoked, or its maker is no longer active in the team. `role`
    is what the token may do now: its scope, cut to its maker's role of today.
    """
    match = _SHAPE.fullmatch(raw.removeprefix("Bearer ").strip())
    if match is None:
        return None
    prefix, secret = match.groups()
    token = ApiToken.objects.filter(prefix=prefix).select_related("user", "team").first()
    digest = secret_digest(secret)
    # Compare even when there is no such token, so that the time taken tells nothing.
    same = hmac.compare_digest(token.secret_sha256 if token else "0" * 64, digest)
    now = timezone.now()
    if token is None or not same or token.revoked_at or token.expires_at <= now or not token.user.is_active:
        return None
    membership = Membership.objects.filter(team=token.team, user=token.user).first()
    if membership is None:
        return None
    token.role = effective_role(Scope(token.scope), Role(membership.role))  # type: ignore[attr-defined]
    if token.last_used_at is None or now - token.last_used_at > _LAST_USED_EVERY:
        ApiToken.objects.filter(pk=token.pk).update(last_used_at=now)
    return token


def secret_digest(secret: str) -> str:
    """The hex SHA-256 that is kept of a secret. Secrets are 190 random bits, so no slow hash is needed."""
    return hashlib.sha256(secret.encode()).hexdigest()
