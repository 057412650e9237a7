"""`manage.py demo`: start the demo workspace, once. The worker runs it."""

from __future__ import annotations

from django.core.management.base import BaseCommand

from foundation.teams.models import Team
from ftportal.first_person import ensure_first_admin
from ftportal.trials import DEMO_FILE, DEMO_RECIPE, DEMO_TRAFFIC, TRAFFIC_COLUMNS, start_trial


class Command(BaseCommand):
    help = "Start the lifecycle on the bundled raw file, unless that was done before."

    def handle(self, *args: object, **options: object) -> None:
        ensure_first_admin()
        team = Team.objects.filter(memberships__user__is_superuser=True).order_by("pk").first()
        admin = team.memberships.filter(user__is_superuser=True).select_related("user").first().user
        job = start_trial(
            actor=admin,
            team=team,
            path=DEMO_FILE,
            recipe=DEMO_RECIPE,
            traffic=DEMO_TRAFFIC,
            traffic_columns=TRAFFIC_COLUMNS,
        )
        if int(str(options["verbosity"])):
            self.stdout.write(f"{job.title}: {job.status.label.lower()}")
