"""Connections to one SQLite file, as the portal makes them."""

from __future__ import annotations

import pytest
from django.conf import settings
from django.db import DEFAULT_DB_ALIAS
from django.db.utils import ConnectionHandler


@pytest.fixture
def opened(tmp_path, django_db_blocker):
    """New connections to one database with one table, `kept`, of one column of anything."""
    made = []

    def opened(timeout=20):
        database = {
            "ENGINE": "foundation.database.sqlite3",
            "NAME": tmp_path / "some.sqlite3",
            "OPTIONS": {**settings.SQLITE_OPTIONS, "timeout": timeout},
        }
        db = ConnectionHandler({DEFAULT_DB_ALIAS: database})[DEFAULT_DB_ALIAS]
        db.ensure_connection()
        # The thread that closes it is not always the one that wrote through it.
        db.inc_thread_sharing()
        made.append(db)
        return db

    with django_db_blocker.unblock():
        opened().connection.execute("CREATE TABLE kept (it)")
        yield opened
        for db in made:
            db.close()
