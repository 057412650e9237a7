"""`manage.py up`: the whole portal on one machine, until Ctrl-C."""

from __future__ import annotations

import hashlib
import os
import sys
from argparse import ArgumentParser
from pathlib import Path

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand
from django.db import DatabaseError, connection

from ftportal import launcher, queue_server
from ftportal.first_person import ensure_first_admin
from ftportal.launcher import CannotStart


def _static_digest() -> str:
    """Changes when a static file or the set of installed packages does."""
    parts = [
        str(p.stat().st_mtime_ns) + str(p)
        for folder in settings.STATICFILES_DIRS
        for p in sorted(Path(folder).rglob("*"))
    ]
    lock = settings.BASE_DIR / "requirements" / "runtime.txt"
    return hashlib.sha256("\n".join([*parts, str(lock.stat().st_mtime_ns)]).encode()).hexdigest()


class Command(BaseCommand):
    help = "Start queue, web, worker and beat; print READY; stop all of them on Ctrl-C."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--port", default=os.environ.get("PORT", "8000"))
        parser.add_argument(
            "--demo", action="store_true", help="run the demo workspace once, through the worker"
        )
        parser.add_argument("--workers", type=int, default=2, help="worker processes for long work")

    def handle(self, *args: object, **options: object) -> None:
        try:
            self.run(options)
        except (CannotStart, queue_server.NoQueue) as error:
            self.stderr.write(str(error))
            sys.exit(getattr(error, "code", 3))

    def run(self, options: dict) -> None:
        port = launcher.port_from(str(options["port"]))
        held = launcher.only_instance(settings.VAR_DIR)
        launcher.check_port(port)
        env = {
            **os.environ,
            "PYTHONUNBUFFERED": "1",
            "WORKER_SOFT_SHUTDOWN_S": os.environ.get("WORKER_SOFT_SHUTDOWN_S", "3"),
        }
        env.setdefault("PORTAL_URL", f"http://localhost:{port}")
        processes = launcher.Processes(env, settings.VAR_DIR / "log")
        processes.listen()
        queue = None
        try:
            if not (os.environ.get("CELERY_BROKER_URL") or os.environ.get("REDIS_URL")):
                queue = queue_server.QueueServer(settings.VAR_DIR / "queue")
                queue.wait(processes.start("queue", queue.argv()))
                env["CELERY_BROKER_URL"] = queue.url
                processes.env = env
                settings.CELERY_BROKER_URL = queue.url
            signed_in = self.prepare(options)
            processes.start(
                "web",
                launcher.python(
                    *(
                        "-m",
                        "uvicorn",
                        "ftportal.asgi:application",
                        "--host",
                        os.environ.get("HOST", "127.0.0.1"),
                    ),
                    *(
                        "--port",
                        str(port),
                        "--timeout-graceful-shutdown",
                        "3",
                        "--no-access-log",
                        "--log-level",
                        "warning",
                    ),
                ),
            )
            celery = ("-m", "celery", "-A", "ftportal", "--quiet")
            quiet = ("--without-gossip", "--without-mingle", "-l", "warning")
            processes.start(
                "worker",
                launcher.python(
                    *(*celery, "worker", *quiet, "-n", "portal@%h"),
                    *("-c", str(options["workers"]), "-Q", "default,remote"),
                ),
            )
            # A training takes minutes: in a worker of its own it keeps nobody else waiting.
            processes.start(
                "trainer",
                launcher.python(*celery, "worker", *quiet, "-n", "training@%h", "-c", "1", "-Q", "training"),
            )
            processes.start(
                "beat",
                launcher.python(
                    *celery,
                    "beat",
                    "-l",
                    "warning",
                    "--schedule",
                    str(settings.VAR_DIR / "beat"),
                    "--pidfile=",
                ),
            )
            launcher.wait_for_port(port, processes)
            self.stdout.write(f"READY http://localhost:{port}  {signed_in}")
            self.stdout.flush()
            ended = processes.watch()
            if ended:
                raise CannotStart(
                    f"The {ended} process ended by itself, so everything was stopped; see {processes.logs / (ended + '.log')}.",
                    1,
                )
        finally:
            processes.stop((("beat",), ("worker", "trainer", "web"), ("queue",)))
            if queue:
                queue.remove_socket()
            held.close()

    def prepare(self, options: dict) -> str:
        """Bring tables, static files and the first person up to date; the words that say how to sign in."""
        try:
            call_command("migrate", verbosity=0, interactive=False)
        except DatabaseError as error:
            raise CannotStart(
                f"The database cannot be used: {str(error).splitlines()[0]}. Check DATABASE_URL, or that no other program holds it.",
                1,
            ) from None
        if not (settings.DEBUG or settings.TESTING):
            stamp, want = settings.STATIC_ROOT / ".stamp", _static_digest()
            if not stamp.exists() or stamp.read_text() != want:
                call_command("collectstatic", verbosity=0, interactive=False, clear=False)
                stamp.write_text(want)
        email, password = ensure_first_admin()
        if options["demo"]:
            call_command("demo", verbosity=0)
        connection.close()
        return f"sign in as {email} / {password}" if password else f"sign in as {email}"
