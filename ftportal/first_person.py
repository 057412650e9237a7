"""The first person of a fresh portal: made once, with a password that only this machine's folder knows."""

from __future__ import annotations

import os
import secrets

from django.conf import settings

from foundation.teams import services as people
from foundation.teams.models import User

DEFAULT_EMAIL = "demo@example.org"


def ensure_first_admin() -> tuple[str, str]:
    """(e-mail, password) of the first administrator; the password is empty once it was changed or set from outside.

    ADMIN_EMAIL and ADMIN_PASSWORD choose both; without them a password is made and kept in var/secrets (mode 0600).
    """
    email = os.environ.get("ADMIN_EMAIL", "").strip().lower() or DEFAULT_EMAIL
    kept = settings.VAR_DIR / "secrets" / "first-password"
    if not User.objects.filter(is_superuser=True).exists():
        password = os.environ.get("ADMIN_PASSWORD", "") or secrets.token_urlsafe(12)
        people.create_first_admin(email=email, password=password, team_name="Demo team")
        if not os.environ.get("ADMIN_PASSWORD"):
            kept.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            kept.touch(mode=0o600)
            kept.write_text(f"{email}\n{password}\n")
            return email, password
        return email, ""
    if kept.exists():
        email, password = kept.read_text().split("\n")[:2]
        person = User.objects.filter(email=email).first()
        # Shown again only while it still opens the door.
        if person and person.check_password(password):
            return email, password
        kept.unlink()
    return User.objects.filter(is_superuser=True).values_list("email", flat=True).order_by("pk")[0], ""
