"""People and switches that every test may ask for."""

from __future__ import annotations

import os

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


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup, django_db_blocker):
    """Transactional tests empty every table by DELETE, which the triggers on the record would refuse."""
    from django.db import connection

    from foundation.teams import audit_triggers

    with django_db_blocker.unblock():
        audit_triggers.remove(connection)


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
