"""The gateway's Django: tables only. No admin, no pages, no queue; it starts in a second and stays small."""

from __future__ import annotations

import os

from django.apps import AppConfig


class TeamsTables(AppConfig):
    """The people's tables without the sign-in pages that their own configuration connects."""

    name = "foundation.teams"
    label = "teams"
    default_auto_field = "django.db.models.BigAutoField"


APPS = [
    "deployments",
    "evaluations",
    "datasets",
    "decisions",
    "foundation.llm",
    "foundation.jobs",
    "foundation.files",
    "deployments.gateway.rooms.TeamsTables",
    "foundation.ui",
    "django.contrib.auth",
    "django.contrib.contenttypes",
]


def set_up() -> None:
    """Make the tables usable in this process, with the portal's settings."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ftportal.settings")
    import django
    from django.conf import settings

    settings.INSTALLED_APPS = APPS
    database = settings.DATABASES["default"]
    if database["ENGINE"].endswith("sqlite3"):
        # A writer that holds the lock for long is treated as a database that is away; the rows wait on disk.
        database["OPTIONS"] = {**database.get("OPTIONS", {}), "timeout": 3}
    django.setup()
