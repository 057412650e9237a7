from django.core.management.base import BaseCommand

from foundation.files.store import sweep_orphans


class Command(BaseCommand):
    help = "Removes stored bytes that no row refers to and that are older than a day."

    def handle(self, *args: object, **options: object) -> None:
        self.stdout.write(f"{sweep_orphans()} files removed.")
