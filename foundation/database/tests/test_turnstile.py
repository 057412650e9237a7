"""Writers of one SQLite file, each with a connection of its own: who waits first writes next."""

from __future__ import annotations

import errno
import fcntl
import os
import sqlite3
import threading

import pytest
from django.db import OperationalError

from foundation.database import turnstile
from foundation.database.turnstile import Turnstile, takes_the_lock


def _begin(db):
    db.cursor().execute("BEGIN IMMEDIATE")


def test_a_writer_that_never_rests_lets_the_waiting_one_in_between(opened):
    bulk, small = opened(), opened()
    holds, over = threading.Event(), threading.Event()
    n_done = 0

    def write_without_a_rest():
        nonlocal n_done
        while not over.is_set():
            _begin(bulk)
            holds.set()
            bulk.connection.executemany("INSERT INTO kept VALUES (?)", ((n,) for n in range(10_000)))
            bulk.connection.execute("COMMIT")
            n_done += 1
        bulk.close()

    thread = threading.Thread(target=write_without_a_rest)
    thread.start()
    missed = []
    try:
        for _ in range(10):
            holds.clear()
            assert holds.wait(10)
            before = n_done
            _begin(small)
            small.connection.execute("INSERT INTO kept VALUES (-1)")
            missed.append(n_done - before)
            small.connection.execute("COMMIT")
    finally:
        over.set()
        thread.join()
    # One is under way when we come, and one more may have gone through the turnstile a moment before us.
    assert max(missed) <= 2
    assert n_done >= 10


def test_a_statement_outside_a_transaction_waits_in_line_too(opened):
    holder, small = opened(), opened()
    _begin(holder)
    written = []

    def write():
        with small.cursor() as cursor:
            cursor.execute("INSERT INTO kept VALUES (%s)", [7])
            written.append(cursor.rowcount)
        small.close()

    thread = threading.Thread(target=write)
    thread.start()
    thread.join(0.05)
    assert written == []
    holder.connection.execute("COMMIT")
    thread.join(10)
    assert written == [1]


def test_a_lock_that_does_not_get_free_is_told_after_the_time_asked_for(opened):
    holder, small = opened(), opened(timeout=0.05)
    _begin(holder)
    with pytest.raises(OperationalError, match="database is locked"):
        _begin(small)
    holder.connection.execute("ROLLBACK")
    # Nobody stands in the turnstile any more, and whatever is asked otherwise waits as long as before.
    _begin(holder)
    assert small.connection.execute("PRAGMA busy_timeout").fetchone() == (50,)


def test_a_process_stopped_in_the_turnstile_keeps_nobody_there_for_long(opened, tmp_path, monkeypatch):
    monkeypatch.setattr(turnstile, "PATIENCE_S", 0.05)
    stopped = os.open(tmp_path / "some.sqlite3-turn", os.O_RDWR)
    fcntl.flock(stopped, fcntl.LOCK_EX)
    _begin(opened())
    os.close(stopped)


def test_who_reads_an_older_state_is_told_so_and_does_not_ask_for_twenty_seconds(opened):
    reader, writer = opened(), opened()
    writer.connection.execute("INSERT INTO kept VALUES (1), (2)")
    reading = reader.connection.execute("SELECT it FROM kept")
    reading.fetchone()
    writer.connection.execute("INSERT INTO kept VALUES (3)")
    with pytest.raises(OperationalError) as caught:
        reader.cursor().execute("INSERT INTO kept VALUES (4)")
    assert caught.value.__cause__.sqlite_errorcode == sqlite3.SQLITE_BUSY_SNAPSHOT


def test_inside_a_transaction_nobody_asks_at_the_turnstile(opened, monkeypatch):
    db = opened()
    _begin(db)
    monkeypatch.setattr(Turnstile, "pass_with", None)
    db.cursor().execute("INSERT INTO kept VALUES (1)")
    assert db.cursor().execute("SELECT count(*) FROM kept").fetchone() == (1,)


def test_where_its_file_cannot_be_made_the_database_works_without(opened, tmp_path):
    place = tmp_path / "some.sqlite3-turn"
    place.unlink()
    place.mkdir()
    db = opened()
    assert db.connection.turnstile is None
    _begin(db)


def test_where_its_file_cannot_be_held_nobody_waits_for_it(opened, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    db = opened()
    assert db.connection.turnstile is None
    _begin(db)
    db.connection.execute("INSERT INTO kept VALUES (1)")
    db.connection.execute("COMMIT")


def test_a_place_is_found_while_somebody_stands_in_the_turnstile(opened, tmp_path):
    first = Turnstile(tmp_path / "some.sqlite3-turn", timeout_s=1)
    assert first._enter()
    assert opened().connection.turnstile is not None
    first.close()


def test_a_closed_connection_gives_its_file_back(opened):
    db = opened()
    file = db.connection.turnstile._file
    db.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(file)


@pytest.mark.parametrize(
    ("sql", "takes"),
    [
        ("BEGIN IMMEDIATE", True),
        ("BEGIN EXCLUSIVE", True),
        ("BEGIN", False),
        ("\n        update jobs_job SET step = ''", True),
        ("INSERT INTO kept VALUES (1)", True),
        ("DELETE FROM kept", True),
        ("REPLACE INTO kept VALUES (1)", True),
        ("SELECT 'INSERT'", False),
        ("SAVEPOINT s1", False),
        ("PRAGMA journal_mode", False),
        ("", False),
    ],
)
def test_what_takes_the_lock_is_told_by_its_first_word(sql, takes):
    assert takes_the_lock(sql) is takes
