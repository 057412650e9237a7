"""Provider keys at rest: encrypted, and sealed together with the host they were given for."""

from __future__ import annotations

import base64
import hashlib
import json

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings

from foundation.llm.errors import NoConnection


def _fernet() -> MultiFernet:
    """All portal keys, newest first: the first encrypts, any may decrypt."""
    return MultiFernet(
        [Fernet(base64.urlsafe_b64encode(hashlib.sha256(k.encode()).digest())) for k in settings.PORTAL_KEYS]
    )


def seal(secret: str, *, host: str) -> str:
    """`secret` as ciphertext that opens only for `host`."""
    return _fernet().encrypt(json.dumps({"host": host, "key": secret}).encode()).decode()


def unseal(ciphertext: str, *, host: str) -> str:
    """The secret.

    Raises NoConnection when it was sealed for another host or under a key this portal no longer has.
    """
    try:
        sealed = json.loads(_fernet().decrypt(ciphertext.encode()))
    except InvalidToken:
        raise NoConnection(
            "The stored key cannot be opened: PORTAL_KEYS no longer holds the key it was encrypted with. "
            "Put the old value back at the end of PORTAL_KEYS, or enter the provider key again."
        ) from None
    if sealed["host"] != host:
        raise NoConnection("The stored key belongs to another address. Enter the key for this address.")
    return sealed["key"]


def reseal(ciphertext: str) -> str:
    """The same secret under the newest portal key."""
    return _fernet().rotate(ciphertext.encode()).decode()
