"""`manage.py backup FILE`: the whole portal in one file, while it runs."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser
from pathlib import Path

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import connection

from foundation.ui import formats
from ftportal.backup.databases import sqlite_path
from ftportal.backup.making import CannotBackUp, make_backup
from ftportal.backup.progress import Progress


class Command(BaseCommand):
    help = "Write the database and every file it names to FILE; the portal may run meanwhile."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path)

    def handle(self, *args: object, **options: object) -> None:
        path = options["file"]
        assert isinstance(path, Path)
        if connection.vendor == "sqlite" and not sqlite_path().exists():
            raise CommandError(
                f"There is no portal in {settings.VAR_DIR} yet, so there is nothing to back up."
            )
        try:
            made = make_backup(path, Progress(sys.stderr))
        except CannotBackUp as error:
            raise CommandError(str(error)) from None
        self.stdout.write(
            f"{path}: {made.n_rows:,} rows and {made.n_files:,} files, {formats.size(made.size_bytes)}."
        )
        if made.missing:
            self.stdout.write(
                f"{len(made.missing):,} files are named in the database and gone from the store: {made.missing[0]} …"
            )
        where = "the environment" if os.environ.get("PORTAL_KEYS") else settings.VAR_DIR / "secrets"
        self.stdout.write(
            f"Keep PORTAL_KEYS (from {where}) apart from it: without them stored provider keys and second steps of "
            "sign-in cannot be opened."
        )
