"""Two presses of a button, one effect: a form carries a random key, and a key makes one thing."""

from __future__ import annotations

import hashlib
import hmac
import uuid
from collections.abc import Callable
from typing import TypeVar

from django.conf import settings
from django.db import IntegrityError, models, transaction

from foundation.teams.models import Press, User

Made = TypeVar("Made", bound=models.Model)
_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def new_press() -> str:
    """A fresh key for the hidden field of a form."""
    return uuid.uuid4().hex


def once(
    *, user: User, press: str, purpose: str, model: type[Made], make: Callable[[], Made]
) -> tuple[Made, bool]:
    """What `make()` saved, and True; for a key seen before, what was made then, and False.

    `purpose` keeps equal keys of different forms apart. Without a key (`press` empty) it is simply made.
    Raises: `model.DoesNotExist` when what was made then is gone.
    """
    if not press:
        return make(), True
    digest = hashlib.sha256(f"{user.pk}\n{purpose}\n{press}".encode()).hexdigest()
    try:
        with transaction.atomic():
            row = Press.objects.create(digest=digest, user=user)
            made = make()
            row.made = str(made.pk)
            row.save(update_fields=["made"])
            return made, True
    except IntegrityError:
        # A second press: the first one holds the unique digest. Any other conflict is not ours to explain.
        earlier = Press.objects.filter(digest=digest).first()
        if earlier is None:
            raise
        return model._default_manager.get(pk=earlier.made), False


def derived_secret(*, user: User, press: str, purpose: str, length: int) -> str:
    """A secret of `length` letters and digits that a second press of the same form finds again.

    So a link or a token can be shown to whoever pressed twice, though only its hash is kept. It cannot be
    guessed without SECRET_KEY. Shapes: length at most 40 (5.9 bits a character out of 256).
    """
    if length > 40:
        raise ValueError("One SHA-256 holds 40 letters and digits at most.")
    message = f"{purpose}\n{user.pk}\n{press or uuid.uuid4().hex}".encode()
    number = int.from_bytes(
        hmac.digest(settings.SECRET_KEY.encode(), b"ftportal.press\n" + message, "sha256")
    )
    text = ""
    for _ in range(length):
        number, index = divmod(number, len(_ALPHABET))
        text += _ALPHABET[index]
    return text
