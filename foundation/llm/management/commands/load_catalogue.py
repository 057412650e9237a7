from pathlib import Path

from django.core.management.base import BaseCommand, CommandParser

from foundation.llm import catalogue


class Command(BaseCommand):
    help = "Loads models and prices from a dated file; rows edited by hand stay as they are."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", nargs="?", type=Path, default=catalogue.DATA_FILE)

    def handle(self, *args: object, file: Path, **options: object) -> None:
        n_models, n_prices = catalogue.load(file)
        self.stdout.write(f"{n_models} models and {n_prices} prices made or renewed from {file.name}.")
