"""`manage.py first_admin EMAIL`: the first administrator of a portal run for a team."""

from __future__ import annotations

import getpass
import secrets
import sys
from argparse import ArgumentParser

from django.core.management.base import BaseCommand, CommandError

from foundation.teams import services as people
from foundation.teams.models import User


class Command(BaseCommand):
    help = "Create the first administrator; asks for a password, or makes one when there is no terminal."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("email")
        parser.add_argument("--team", default="Our team", help="name of the first team")

    def handle(self, *args: object, **options: object) -> None:
        email = str(options["email"]).strip().lower()
        if User.objects.filter(is_superuser=True).exists():
            raise CommandError("This portal already has an administrator; ask them for an invitation.")
        if sys.stdin.isatty():
            password = getpass.getpass("Password (at least 10 characters): ")
            if len(password) < 10:
                raise CommandError("That password is shorter than 10 characters.")
            people.create_first_admin(email=email, password=password, team_name=str(options["team"]))
            self.stdout.write(f"{email} may now sign in.")
        else:
            password = secrets.token_urlsafe(12)
            people.create_first_admin(email=email, password=password, team_name=str(options["team"]))
            self.stdout.write(f"{email} may now sign in with {password} ; change it under Profile.")
