"""`manage.py gateway`: start the gateway in the place of this process."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser

from django.core.management.base import BaseCommand


class Command(BaseCommand):
    help = "Answer live requests, until SIGTERM. Serves from its snapshot when the database is away."
    # Nothing of the database may be needed to start: it may be the thing that is down.
    requires_system_checks: list[str] = []
    requires_migrations_checks = False

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--host", default=os.environ.get("HOST", "127.0.0.1"))
        parser.add_argument("--port", default=os.environ.get("GATEWAY_PORT", "8001"))

    def handle(self, *args: object, **options: object) -> None:
        words = ["--host", str(options["host"]), "--port", str(options["port"])]
        sys.stdout.flush()
        # A fresh interpreter with a third of the modules: the gateway needs neither pages nor the queue.
        os.execv(sys.executable, [sys.executable, "-m", "deployments.gateway", *words])  # noqa: S606
