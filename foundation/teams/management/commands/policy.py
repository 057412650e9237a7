"""`manage.py policy`: who may open and change what, for every address of the portal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from foundation.teams.policy import as_markdown, table


class Command(BaseCommand):
    help = "Prints the policy table made from the routes. --write puts it into docs/policy.md."

    def add_arguments(self, parser: CommandParser) -> None:
        """Take --write."""
        parser.add_argument("--write", action="store_true", help="write docs/policy.md instead of printing")

    def handle(self, *args: Any, **options: Any) -> None:
        """Print or write the table; fail when an address has no policy."""
        lines = table()
        text = as_markdown(lines)
        if options["write"]:
            path = Path(settings.BASE_DIR) / "docs" / "policy.md"
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
            self.stdout.write(f"Wrote {path}.")
        else:
            self.stdout.write(text)
        if missing := [line.address for line in lines if line.policy is None]:
            raise SystemExit(f"{len(missing)} addresses have no policy and are refused: {', '.join(missing)}")
