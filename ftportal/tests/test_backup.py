"""Backup and restore: the archive by itself, then a portal that runs, is backed up under writes and begins elsewhere."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import json
import shutil
import sqlite3
import subprocess
import sys
import tarfile
import threading
import urllib.request

import pytest

from datasets import searching
from deployments.tests.portal_home import ROOT, PortalHome, get, prepare, wait_for
from ftportal.backup import databases
from ftportal.backup.archive import MANIFEST, SQLITE, BadArchive, Writer, unpack
from ftportal.backup.making import CannotBackUp, make_backup

FACTS = {"made_at": "2026-11-26T12:00:00+00:00", "engine": "sqlite", "migrations": [], "rows": {}, "keys": []}


def quiet(words):
    """Progress that nobody reads."""


@pytest.fixture
def archive(tmp_path):
    """A small whole archive with a database and two files in it."""
    path = tmp_path / "a.ftbackup"
    with Writer(path) as writer:
        for name, data in (
            (SQLITE, b"rows" * 500),
            ("files/" + "a" * 64, b"one"),
            ("files/" + "b" * 64, b""),
        ):
            source = tmp_path / "source"
            source.write_bytes(data)
            writer.add(name, source)
        writer.finish(FACTS)
    return path


def test_what_goes_in_comes_out_and_is_for_this_account_only(archive, tmp_path):
    into = tmp_path / "out"
    into.mkdir()
    manifest = unpack(archive, into, quiet)
    assert (into / SQLITE).read_bytes() == b"rows" * 500 and (into / "files" / ("b" * 64)).read_bytes() == b""
    assert manifest["members"][SQLITE]["sha256"] == hashlib.sha256(b"rows" * 500).hexdigest()
    assert archive.stat().st_mode & 0o777 == 0o600
    assert sorted(p.name for p in tmp_path.iterdir() if p.name.startswith(".")) == []


def test_a_backup_that_fails_leaves_nothing(tmp_path):
    with pytest.raises(OSError), Writer(tmp_path / "a.ftbackup") as writer:
        writer.add(SQLITE, tmp_path / "none")
    assert list(tmp_path.iterdir()) == []


def test_any_changed_byte_and_any_cut_is_refused(archive, tmp_path):
    """Every place of the file in turn, 40 of them: a restore never believes a damaged archive."""
    whole = archive.read_bytes()
    step = max(1, len(whole) // 40)
    damaged = [whole[:n] for n in range(0, len(whole), step)]
    # The first ten bytes are gzip's head: its time and system say nothing about the content.
    damaged += [whole[:n] + bytes([whole[n] ^ 0x41]) + whole[n + 1 :] for n in range(10, len(whole), step)]
    for number, raw in enumerate(damaged):
        bad = tmp_path / f"bad{number}"
        bad.write_bytes(raw)
        into = tmp_path / f"into{number}"
        into.mkdir()
        with pytest.raises(BadArchive):
            unpack(bad, into, quiet)


def test_a_backup_is_never_written_over(archive):
    before = archive.read_bytes()
    with pytest.raises(CannotBackUp, match="is there already"):
        make_backup(archive, quiet)
    assert archive.read_bytes() == before


def packed(path, members):
    """A tar of our own making, as somebody with bad intent would write it."""
    with gzip.open(path, "wb") as raw, tarfile.open(fileobj=raw, mode="w|") as tar:
        for info, data in members:
            if isinstance(info, str):
                info = tarfile.TarInfo(info)
                info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def link(name, target, kind):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


@pytest.mark.parametrize(
    "member",
    [
        pytest.param(("../evil", b"x"), id="a way up"),
        pytest.param(("/tmp/evil", b"x"), id="an absolute path"),
        pytest.param(("files/../../evil", b"x"), id="a way up behind a known folder"),
        pytest.param(("files\\..\\evil", b"x"), id="the other slash"),
        pytest.param(("files/" + "A" * 64, b"x"), id="capitals"),
        pytest.param(("files/" + "a" * 64 + "\n", b"x"), id="a line feed at the end"),
        pytest.param((link("files/" + "c" * 64, "/etc/passwd", tarfile.SYMTYPE), b""), id="a link"),
        pytest.param((link("files/" + "c" * 64, SQLITE, tarfile.LNKTYPE), b""), id="a hard link"),
        pytest.param((link("files", "", tarfile.DIRTYPE), b""), id="a folder"),
        pytest.param((SQLITE, b"x"), id="the same name twice"),
    ],
)
def test_nothing_but_known_names_is_ever_unpacked(tmp_path, member):
    bad = packed(tmp_path / "bad", [(SQLITE, b"x"), member])
    into = tmp_path / "deep" / "into"
    into.mkdir(parents=True)
    with pytest.raises(BadArchive, match="no part of a backup"):
        unpack(bad, into, quiet)
    assert {p.name for p in tmp_path.rglob("*")} <= {"bad", "deep", "into", SQLITE}


@pytest.mark.parametrize(
    "manifest",
    [
        pytest.param(b"[]", id="a list"),
        pytest.param(b"{", id="half of it"),
        pytest.param(json.dumps({**FACTS, "format": 99, "members": {}}).encode(), id="a later format"),
        pytest.param(json.dumps({**FACTS, "format": 1, "members": {}}).encode(), id="another list of parts"),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused(tmp_path, manifest):
    into = tmp_path / "into"
    into.mkdir()
    with pytest.raises(BadArchive):
        unpack(packed(tmp_path / "bad", [(SQLITE, b"x"), (MANIFEST, manifest)]), into, quiet)


# --- with a portal -----------------------------------------------------------------------------------------------------


def manage(home, *words):
    """`manage.py` in this portal; (exit status, what it said)."""
    ran = subprocess.run(
        [sys.executable, "manage.py", *map(str, words)],
        cwd=ROOT,
        env=home.env,
        capture_output=True,
        text=True,
    )
    return ran.returncode, ran.stdout + ran.stderr


def digests(database):
    """By table: a digest over every row in the order of its key. The search index keeps tables of its own making."""
    found = {}
    with contextlib.closing(sqlite3.connect(database)) as db:
        names = [
            r[0]
            for r in db.execute(
                "SELECT name FROM sqlite_master WHERE type='table' AND name NOT LIKE 'sqlite_%'"
            )
            if not r[0].startswith(searching.TABLE)
        ]
        for name in names:
            digest = hashlib.sha256()
            for row in db.execute(f'SELECT * FROM "{name}" ORDER BY rowid'):
                digest.update(repr(row).encode())
            found[name] = digest.hexdigest()
    return found


# A dataset of 40 searchable rows, and somebody who is signed in. The answer is the cookie.
ROWS_AND_A_SIGN_IN = """
import json
from allauth.usersessions.models import UserSession
from django.contrib.sessions.backends.db import SessionStore
from django.core.cache import cache
from datasets import services as datasets
from foundation.files import store
from foundation.jobs.services import run_until_idle
dataset = datasets.create_dataset(actor=user, team=team, use_case=use_case, name="Tickets")
lines = "".join(json.dumps({"prompt": f"ticket {n} about a zebra", "completion": "yes"}) + chr(10) for n in range(40))
blob = store.put(team=team, stream=lines.encode(), name="rows.jsonl", kind="import", actor=user)
datasets.start_import(actor=user, import_=datasets.stage_upload(actor=user, dataset=dataset, blob=blob))
assert run_until_idle(60)
session = SessionStore()
session["_auth_user_id"] = str(user.pk)
session.create()
UserSession.objects.create(user=user, ip="127.0.0.1", user_agent="test", session_key=session.session_key)
cache.set("planted-in-the-cache", 1)
answer = session.session_key
"""
# How many rows the index proposes for a word, before and after the jobs that wait have run.
PROPOSED = """
from datasets import searching
from datasets.models import Import
from foundation.jobs.services import run_until_idle
def proposed():
    return len(searching.propose("zebra", above=0, upto=10**9, newest_first=False, most=100))
before = (proposed(), Import.objects.exclude(indexed_at=None).count())
assert run_until_idle(60)
answer = [*before, proposed(), Import.objects.exclude(indexed_at=None).count()]
"""


def parts_that_hold(folder, *words):
    """The files of an unpacked archive in which one of the words stands."""
    return [
        path.name
        for path in folder.rglob("*")
        if path.is_file() and any(w.encode() in path.read_bytes() for w in words)
    ]


@pytest.mark.lane
def test_a_portal_backed_up_under_writes_begins_again_elsewhere(tmp_path):
    """T53: rows, checksums and files equal, no broken keys, the gateway answers the old token; and what is refused."""
    folder = tmp_path / "one"
    folder.mkdir()
    prepare(folder)
    home, archive = PortalHome(folder), tmp_path / "portal.ftbackup"
    elsewhere = PortalHome(make(tmp_path / "two"))
    stop = threading.Event()
    try:
        home.start_provider()
        home.start_hand()
        token = home.seed()
        home.do(
            "from foundation.files import store\n"
            "for n in range(20):\n"
            "    store.put(team=team, stream=bytes([n]) * 10_000, name=f'f{n}', kind='upload', actor=user)"
        )
        cookie = home.do(ROWS_AND_A_SIGN_IN)
        assert home.do(PROPOSED) == [40, 1, 40, 1]
        # Somebody writes all the time: pairs of rows that only make sense together.
        home.do("from foundation.teams import audit")

        def write():
            while not stop.is_set():
                home.do(
                    "from django.db import transaction\n"
                    "with transaction.atomic():\n"
                    "    audit.record(actor=None, team=team, verb='pair.first', target=None)\n"
                    "    audit.record(actor=None, team=team, verb='pair.second', target=None)"
                )

        writer = threading.Thread(target=write)
        writer.start()
        wait_for(
            lambda: home.rows("SELECT count(*) FROM teams_auditevent WHERE verb = 'pair.second'")[0][0] > 20
        )
        code, said = manage(home, "backup", archive)
        n_after = home.rows("SELECT count(*) FROM teams_auditevent WHERE verb = 'pair.second'")[0][0]
        wait_for(
            lambda: (
                home.rows("SELECT count(*) FROM teams_auditevent WHERE verb = 'pair.second'")[0][0] > n_after
            )
        )
        stop.set()
        writer.join()
        assert code == 0 and "21 files" in said and "PORTAL_KEYS" in said, said

        # Refused, with everything as it was: the portal is not empty, or the archive is damaged.
        before = digests(home.database)
        code, said = manage(home, "restore", archive)
        assert code == 1 and "not empty" in said, said
        damaged = tmp_path / "damaged"
        damaged.write_bytes(archive.read_bytes()[:-100])
        code, said = manage(elsewhere, "restore", damaged)
        assert code == 1 and "was not restored" in said and "Nothing was changed" in said, said
        assert digests(home.database) == before and not elsewhere.database.exists()

        # Elsewhere, with the keys that open the provider's key.
        shutil.copytree(folder / "secrets", elsewhere.folder / "secrets", dirs_exist_ok=True)
        code, said = manage(elsewhere, "restore", archive)
        assert code == 0 and "21 files" in said and "other PORTAL_KEYS" not in said, said
        inside = tmp_path / "inside"
        inside.mkdir()
        manifest = unpack(archive, inside, quiet)
        want, got = digests(inside / SQLITE), digests(elsewhere.database)
        # No key of a sign-in, and no counts of the cache.
        assert cookie in str(home.rows("SELECT session_key FROM django_session"))
        assert parts_that_hold(inside, cookie, "planted-in-the-cache") == []
        assert [manifest["rows"][name] for name in databases.LEFT_OUT] == [0, 0, 0]
        # These alone move: the routing counts anew, the record says that it was restored, the rows are indexed anew.
        moved = {name for name in want if want[name] != got[name]}
        anew = {"datasets_import", "jobs_job"}
        assert moved - anew <= {"deployments_routingrevision", "teams_auditevent", "django_migrations"}, moved
        with contextlib.closing(sqlite3.connect(elsewhere.database)) as db:
            assert db.execute("PRAGMA foreign_key_check").fetchall() == []
            assert db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
            pairs = dict(db.execute("SELECT verb, count(*) FROM teams_auditevent GROUP BY verb"))
        assert pairs["pair.first"] == pairs["pair.second"] > 20 and pairs["portal.restored"] == 1
        counts = {name: n for name, n in manifest["rows"].items() if name not in moved}
        assert counts == {name: elsewhere.rows(f'SELECT count(*) FROM "{name}"')[0][0] for name in counts}
        files = {p.name: p.read_bytes() for p in (folder / "files").rglob("*") if p.is_file()}
        assert len(files) == 21
        assert files == {
            p.name: p.read_bytes() for p in (elsewhere.folder / "files").rglob("*") if p.is_file()
        }
        assert (elsewhere.folder / "gateway" / "routes.json").exists()

        # Rows are found again once the job that waits has run, and not missed before that.
        elsewhere.start_hand()
        assert elsewhere.do(PROPOSED) == [0, 0, 40, 1]

        # The gateway serves from the rebuilt snapshot: the old token, the old version, the provider's key.
        elsewhere.start_gateway()
        request = urllib.request.Request(
            elsewhere.url("/triage/v1/messages"),
            json.dumps({"max_tokens": 5, "messages": [{"role": "user", "content": "q"}]}).encode(),
            {"authorization": f"Bearer {token}"},
        )
        with urllib.request.urlopen(request, timeout=20) as reply:
            assert reply.status == 200 and reply.headers["x-model-version"] == "v1"
        assert get(elsewhere.url("/readyz"))[0] == 200

        # Over a portal that is not empty only by force, and that one is kept.
        home.stop()
        code, said = manage(home, "restore", archive, "--force")
        assert code == 0 and "before-restore-" in said, said
        kept = next(folder.glob("before-restore-*")) / "portal.sqlite3"
        assert digests(kept).keys() == before.keys()
        assert digests(home.database)["teams_user"] == got["teams_user"]
    finally:
        stop.set()
        home.stop()
        elsewhere.stop()


def make(folder):
    """The folder, made."""
    folder.mkdir()
    return folder


@pytest.mark.lane
def test_a_postgresql_portal_comes_back_by_copy(tmp_path):
    """T53 on PostgreSQL: rows, keys and sequences as they were; rows that came later are gone; the old portal is kept."""
    from ftportal.testing import postgres

    try:
        started = contextlib.ExitStack()
        url = started.enter_context(postgres.server(database=True))
    except postgres.NoServer as why:
        pytest.skip(str(why))
    import psycopg

    with started:
        home, archive = PortalHome(make(tmp_path / "one")), tmp_path / "portal.ftbackup"
        home.env |= {"DATABASE_URL": url, "DATABASE_POOL": "1"}
        try:
            assert manage(home, "migrate", "-v0")[0] == 0
            home.start_hand()
            home.do(
                "user = User.objects.create_user('ana@example.org', 'correct horse battery')\n"
                "team = create_team(actor=user, name='Grüße \\\\N')\n"
                "use_case = create_use_case(actor=user, team=team, name='Triage', task_kind='write')\n"
                "from foundation.files import store\n"
                "store.put(team=team, stream=b'bytes', name='f', kind='upload', actor=user)"
            )
            cookie = home.do(ROWS_AND_A_SIGN_IN)
            assert home.do(PROPOSED) == [40, 1, 40, 1]
            code, said = manage(home, "backup", archive)
            assert code == 0 and "2 files" in said, said
            inside = make(tmp_path / "inside")
            manifest = unpack(archive, inside, quiet)
            assert parts_that_hold(inside, cookie, "planted-in-the-cache") == []
            assert not set(databases.LEFT_OUT) & set(manifest["rows"])
            home.do("create_team(actor=user, name='Later')")
            code, said = manage(home, "restore", archive, "--force")
            assert code == 1 and "other connections" in said, said
            home.end(home.hand)
            code, said = manage(home, "restore", archive, "--force")
            assert code == 0 and "before-restore-" in said, said
            with psycopg.connect(url) as db:
                assert db.execute("SELECT name FROM teams_team").fetchall() == [("Grüße \\N",)]
                verbs = [row[0] for row in db.execute("SELECT verb FROM teams_auditevent ORDER BY id")]
                assert verbs[-1] == "portal.restored" and verbs.count("portal.restored") == 1
                # The record is still append-only, and new keys begin after the old ones.
                with pytest.raises(psycopg.Error, match="append-only"):
                    db.execute("DELETE FROM teams_auditevent")
                db.rollback()
            home.start_hand()
            assert home.do(PROPOSED) == [0, 0, 40, 1]
            assert home.do("answer = create_team(actor=User.objects.get(), name='Next').pk") > 1
            assert len(list(home.folder.glob("before-restore-*/portal.ftbackup"))) == 1
        finally:
            home.stop()
