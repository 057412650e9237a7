"""Secrets of the second sign-in step at rest: encrypted under the portal's keys, newest first."""

from __future__ import annotations

import base64
import hashlib

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings

from foundation.teams.errors import PortalError


def _fernet() -> MultiFernet:
    return MultiFernet(
        [Fernet(base64.urlsafe_b64encode(hashlib.sha256(k.encode()).digest())) for k in settings.PORTAL_KEYS]
    )


def encrypt(text: str) -> str:
    """`text` as ciphertext under the newest portal key."""
    return _fernet().encrypt(text.encode()).decode()


def decrypt(ciphertext: str) -> str:
    """The text. Raises PortalError when it was encrypted under a key this portal no longer has."""
    try:
        return _fernet().decrypt(ciphertext.encode()).decode()
    except InvalidToken:
        raise PortalError(
            "The second step of this account cannot be read: PORTAL_KEYS no longer holds the key it was "
            "encrypted with. Put the old value back at the end of PORTAL_KEYS."
        ) from None


def renew(ciphertext: str) -> str:
    """The same text under the newest portal key."""
    return _fernet().rotate(ciphertext.encode()).decode()
