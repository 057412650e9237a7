"""The write-ahead log stays short, however much is written and whoever reads meanwhile."""

from __future__ import annotations

import pytest
from celery import signals

from foundation.database import wal
from foundation.jobs import lifesigns

PAGE = "x" * 4000


@pytest.fixture(autouse=True)
def _asked_at_any_time(monkeypatch):
    monkeypatch.setattr(wal, "ASKS_EVERY_S", -1)


def _write(db, megabytes):
    """Each row fills a page of 4 KB; a transaction is a megabyte."""
    for _ in range(megabytes):
        db.cursor().execute("BEGIN IMMEDIATE")
        db.connection.executemany("INSERT INTO kept VALUES (?)", [(PAGE,)] * 250)
        db.connection.execute("COMMIT")


def test_a_reader_lets_the_log_grow_and_once_gone_it_is_short_again(opened):
    writer, reader = opened(), opened()
    _write(writer, 1)
    reading = reader.connection.execute("SELECT it FROM kept")
    reading.fetchone()
    _write(writer, 30)
    assert wal.length(writer) > 30_000_000
    assert not wal.keep_short(writer)
    assert len(reading.fetchall()) == 249  # it saw one moment: the first megabyte
    assert wal.keep_short(writer)
    _write(writer, 1)
    assert wal.length(writer) <= 8_000_000


def test_two_who_take_turns_keep_it_within_its_bound(opened):
    """Between the copying and the next write somebody has always written, so SQLite alone never begins anew."""
    one, other = opened(), opened()
    longest = 0
    for _ in range(40):
        _write(one, 1)
        reading = other.connection.execute("SELECT it FROM kept")
        reading.fetchone()
        _write(one, 1)
        reading.close()
        wal.keep_short(one)
        longest = max(longest, wal.length(one))
    assert longest < wal.LONG_BYTES + 4_000_000
    assert one.connection.execute("SELECT count(*) FROM kept").fetchone() == (40 * 2 * 250,)


def test_a_short_log_is_left_alone(opened):
    db = opened()
    _write(db, 2)
    before = wal.length(db)
    assert not wal.keep_short(db)
    assert wal.length(db) == before > 2_000_000


def test_inside_a_transaction_nothing_is_copied(opened):
    db = opened()
    reading = opened().connection.execute("SELECT name FROM sqlite_master")
    reading.fetchone()
    db.in_atomic_block = True
    assert not wal.keep_short(db)
    db.in_atomic_block = False


@pytest.mark.django_db
def test_a_workers_sign_of_life_keeps_it_short_where_many_write_little(monkeypatch):
    asked = []
    monkeypatch.setattr(lifesigns, "_quietly", lambda act: act())  # which would close this test's connection
    monkeypatch.setattr(wal, "keep_short", lambda: asked.append("kept short"))
    signals.heartbeat_sent.send(sender=None)
    assert asked == ["kept short"]
