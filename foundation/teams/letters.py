"""Letters by e-mail, where it is set up. Nobody waits for the mail server, nothing fails because of it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence

from django.conf import settings
from django.core.mail import EmailMessage, get_connection
from django.db import transaction

log = logging.getLogger(__name__)
_TIMEOUT_S = 10


def post(*, to: Sequence[str], subject: str, body: str) -> bool:
    """Whether the letter is on its way, one copy for each address, after the current transaction commits."""
    if not settings.EMAIL_IS_SET_UP or not to:
        return False
    # A line break in a subject would start a new header.
    letters = [
        EmailMessage(" ".join(subject.split()), body, settings.DEFAULT_FROM_EMAIL, [one]) for one in to
    ]
    transaction.on_commit(lambda: threading.Thread(target=_send, args=(letters,), daemon=True).start())
    return True


def _send(letters: list[EmailMessage]) -> None:
    try:
        connection = get_connection()
        if hasattr(connection, "timeout"):
            connection.timeout = _TIMEOUT_S
        connection.send_messages(letters)
    except Exception:
        # A mail server has a hundred ways to fail; the inbox has the same notice.
        log.exception("Could not send %s letters", len(letters))
