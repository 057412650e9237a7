from django.core.management.base import BaseCommand

from foundation.llm.services import rotate_keys
from foundation.teams.services import renew_second_steps


class Command(BaseCommand):
    help = "Encrypts stored keys and second sign-in steps anew under the first of PORTAL_KEYS."

    def handle(self, *args: object, **options: object) -> None:
        renewed = rotate_keys() + renew_second_steps()
        self.stdout.write(f"{renewed} secrets encrypted under the newest portal key.")
