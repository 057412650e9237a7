"""`manage.py restore FILE`: the portal as it was when the backup was made."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from pathlib import Path

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from ftportal import launcher
from ftportal.backup.progress import Progress
from ftportal.backup.restoring import CannotRestore, restore


class Command(BaseCommand):
    help = "Put the backup FILE in the place of this portal, which must be stopped; checked before anything is touched."
    # A database that is not there yet has no migrations to check.
    requires_migrations_checks = False

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument(
            "--force",
            action="store_true",
            help="also over a portal that is not empty; that one is kept beside it",
        )

    def handle(self, *args: object, **options: object) -> None:
        path = options["file"]
        assert isinstance(path, Path)
        try:
            held = launcher.only_instance(settings.VAR_DIR)
            with held:
                done = restore(path, Progress(sys.stderr), force=bool(options["force"]))
        except (CannotRestore, launcher.CannotStart) as error:
            raise CommandError(str(error)) from None
        self.stdout.write(f"Restored {done.n_rows:,} rows and {done.n_files:,} files, as of {done.made_at}.")
        if done.missing:
            self.stdout.write(
                f"{len(done.missing):,} files were missing when the backup was made: {done.missing[0]} …"
            )
        if done.kept_in:
            self.stdout.write(f"What was here before stands in {done.kept_in}.")
        if not done.keys_fit:
            self.stdout.write(
                "Stored provider keys and second steps of sign-in were sealed with other PORTAL_KEYS: put the old ones at "
                "the end of PORTAL_KEYS, or enter the keys again."
            )
