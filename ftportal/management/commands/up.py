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

# Beat first, so that nothing new begins; the queue last, so that last acknowledgements still land.
STOP_ORDER = (("beat",), ("worker", "trainer", "gateway", "web"), ("queue",))


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
        gateway_port = port + 1
        for one in (port, gateway_port):
            launcher.check_port(one)
        env = {
            **os.environ,
            "PYTHONUNBUFFERED": "1",
            "WORKER_SOFT_SHUTDOWN_S": os.environ.get("WORKER_SOFT_SHUTDOWN_S", "3"),
        }
        env.setdefault("PORTAL_URL", f"http://localhost:{port}")
        env.setdefault("GATEWAY_URL", f"http://localhost:{gateway_port}")
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
            self.start_all(processes, port, gateway_port, str(options["workers"]))
            launcher.wait_for_port(port, processes)
            launcher.wait_for_port(gateway_port, processes)
            self.stdout.write(
                f"READY http://localhost:{port}  gateway http://localhost:{gateway_port}  {signed_in}"
            )
            self.stdout.flush()
            ended = processes.watch(self.stderr.write)
            if ended:
                raise CannotStart(
                    f"The {ended} process ended by itself again and again, so everything was stopped; see {processes.logs / (ended + '.log')}.",
                    1,
                )
        finally:
            processes.stop(STOP_ORDER)
            if queue:
                queue.remove_socket()
            held.close()

    def start_all(self, processes: launcher.Processes, port: int, gateway_port: int, workers: str) -> None:
        """Web and gateway first, then those who work for them."""
        host = os.environ.get("HOST", "127.0.0.1")
        uvicorn = "-m uvicorn ftportal.asgi:application --timeout-graceful-shutdown 3 --no-access-log --log-level warning"
        celery = "-m celery -A ftportal --quiet"
        quiet = "--without-gossip --without-mingle -l warning"
        lines = {
            "web": f"{uvicorn} --host {host} --port {port}",
            "gateway": f"-m deployments.gateway --host {host} --port {gateway_port}",
            "worker": f"{celery} worker {quiet} -n portal@%h -c {workers} -Q default,remote",
            # A training takes minutes: in a worker of its own it keeps nobody else waiting.
            "trainer": f"{celery} worker {quiet} -n training@%h -c 1 -Q training",
            "beat": f"{celery} beat -l warning --pidfile= --schedule",
        }
        for name, line in lines.items():
            # The folder's name may hold spaces, so it is no part of the line.
            more = [str(settings.VAR_DIR / "beat")] if name == "beat" else []
            processes.start(name, launcher.python(*line.split(), *more))

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
