"""People and switches that every test may ask for."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path

import pytest

os.environ.setdefault("DJANGO_ALLOW_ASYNC_UNSAFE", "true")

pytest_plugins = ["foundation.ui.testing"]

DATABASE_FIXTURES = {"db", "transactional_db", "django_db_reset_sequences", "live_server"}


def pytest_collection_modifyitems(config, items):
    """On the PostgreSQL lane only tests that touch the database run: the rest said the same on SQLite."""
    if os.environ.get("ONLY_DATABASE_TESTS") != "1":
        return
    kept = [
        item
        for item in items
        if DATABASE_FIXTURES & set(getattr(item, "fixturenames", ()))
        or item.get_closest_marker("django_db")
        or item.get_closest_marker("faults")
    ]
    config.hook.pytest_deselected(items=[item for item in items if item not in set(kept)])
    items[:] = kept


def _schema_digest():
    """What the tables follow from: every installed migration and the release of Django."""
    import hashlib

    import django
    from django.apps import apps

    digest = hashlib.sha256(django.__version__.encode())
    for app in sorted(apps.get_app_configs(), key=lambda app: app.label):
        for path in sorted((Path(app.path) / "migrations").glob("*.py")):
            digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:16]


@pytest.fixture(scope="session")
def _in_a_file_beside_a_server(request, django_db_modify_db_settings, tmp_path_factory):
    """A database in memory is one connection, which every thread of a live server and the test itself would share:
    one's transaction would hold the other's writes. In a file each has its own, as in the portal."""
    from django.db import connection

    if connection.vendor == "sqlite" and any(
        "live_server" in item.fixturenames for item in request.session.items
    ):
        folder = tmp_path_factory.mktemp("database")
        connection.settings_dict["TEST"]["NAME"] = str(folder / "test.sqlite3")


@pytest.fixture(scope="session")
def _migrated_once(_in_a_file_beside_a_server):
    """Migrating an empty SQLite takes 5 s of CPU in every process, so the outcome is kept and copied.

    PostgreSQL is migrated for real, and `makemigrations --check` holds the files against the models.
    """
    from django.conf import settings
    from django.core import management
    from django.db import connection

    kept = settings.BASE_DIR / ".tools" / f"test-schema-{_schema_digest()}.sqlite3"
    if connection.vendor != "sqlite" or not kept.parent.is_dir():
        yield
        return
    migrate = management.call_command

    def call(name, *args, **kwargs):
        if name != "migrate":
            return migrate(name, *args, **kwargs)
        management.call_command = migrate  # a test that migrates by itself means it
        connection.ensure_connection()
        if kept.exists():
            with contextlib.closing(sqlite3.connect(kept)) as source:
                source.backup(connection.connection)
            return None
        migrate(name, *args, **kwargs)
        draft = kept.with_suffix(f".{os.getpid()}")
        with contextlib.closing(sqlite3.connect(draft)) as copy:
            connection.connection.backup(copy)
        draft.replace(kept)

    management.call_command = call
    yield
    management.call_command = migrate


@pytest.fixture(scope="session")
def django_db_setup(_migrated_once, django_db_setup, django_db_blocker):
    """Transactional tests empty every table by DELETE, which the triggers on the record would refuse."""
    from django.db import connection

    from decisions import frozen_triggers
    from foundation.teams import audit_triggers

    with django_db_blocker.unblock():
        # What a test asks later: whether the migrations left every trigger in its place.
        frozen_triggers.missing_after_migrating = frozen_triggers.missing(connection)
        frozen_triggers.remove(connection)
        audit_triggers.remove(connection)


@pytest.fixture(autouse=True)
def nobody_asks_by_the_clock(monkeypatch):
    """Once in five seconds a page of a process also asks who was seen working; here none does, however slow the machine.

    So a test that counts a page's queries counts the same ones each time. Whoever tests presence lets it look.
    """
    from foundation.jobs import presence

    monkeypatch.setattr(presence, "_process_began", float("inf"))
    presence.forget_cached()


@pytest.fixture
def pages_ask_who_works(monkeypatch):
    """Every page asks who was seen working, as the costliest page of each five seconds does."""
    from foundation.jobs import presence

    monkeypatch.setattr(presence, "_process_began", float("-inf"))
    monkeypatch.setattr(presence, "CACHED_S", -1.0)


@pytest.fixture
def team(db):
    from foundation.teams.models import Team

    return Team.objects.create(slug="support", name="Support platform")


def _person(team, email, role):
    from foundation.teams.models import Membership, User

    user = User.objects.create_user(email, "correct horse battery", name=email.split("@")[0].capitalize())
    if team is not None:
        Membership.objects.create(team=team, user=user, role=role)
    return user


@pytest.fixture
def viewer(team):
    from foundation.teams.domain.roles import Role

    return _person(team, "viewer@example.org", Role.VIEWER)


@pytest.fixture
def editor(team):
    from foundation.teams.domain.roles import Role

    return _person(team, "editor@example.org", Role.EDITOR)


@pytest.fixture
def approver(team):
    from foundation.teams.domain.roles import Role

    return _person(team, "approver@example.org", Role.APPROVER)


@pytest.fixture
def admin_user(team):
    from foundation.teams.domain.roles import Role

    return _person(team, "admin@example.org", Role.ADMIN)


@pytest.fixture
def outsider(db):
    from foundation.teams.domain.roles import Role
    from foundation.teams.models import Team

    other = Team.objects.create(slug="elsewhere", name="Elsewhere")
    return _person(other, "outsider@example.org", Role.ADMIN)


@pytest.fixture
def superuser(db):
    from foundation.teams.models import User

    return User.objects.create_superuser("root@example.org", "correct horse battery", name="Root")


@pytest.fixture
def client_for(client):
    """A test client signed in as the given user."""

    def sign_in(user):
        client.force_login(user)
        return client

    return sign_in
