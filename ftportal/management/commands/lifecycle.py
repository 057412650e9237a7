"""`manage.py lifecycle FILE`: all six stages on the command line, each finding printed as it is made."""

from __future__ import annotations

import sys
import time
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand

from datasets.domain.recipe import MAX_FOLDS
from foundation.jobs.domain.states import ItemState
from foundation.jobs.models import Job, Shard
from foundation.jobs.services import cancel_job, run_until_idle
from foundation.teams.errors import PortalError
from foundation.teams.models import Team
from foundation.ui import formats
from ftportal.first_person import ensure_first_admin
from ftportal.trials import DEMO_FILE, DEMO_RECIPE, DEMO_TRAFFIC, TRAFFIC_COLUMNS, start_trial


class Command(BaseCommand):
    help = "Run the lifecycle on FILE (CSV, TSV, JSONL, a JSON list) and print what each stage found."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file")
        parser.add_argument("--name", default="", help="name of the use case (default: the file's name)")
        parser.add_argument("--text", default="", help="column with the text or prompt")
        parser.add_argument("--label", default="", help="column with the label")
        parser.add_argument(
            "--group", default="", help="column whose rows must stay in one split, e.g. the customer"
        )
        parser.add_argument("--at", default="", help="column with the time")
        parser.add_argument(
            "--traffic", default="", help="file of later requests with their right answers, to be replayed"
        )
        parser.add_argument(
            "--traffic-label",
            default="",
            help="its column with the right answer, when it is named differently",
        )
        parser.add_argument("--seed", default="", help="seed of the split")
        parser.add_argument(
            "--folds", type=int, default=0, help="cross-validate the training over so many folds, 2 to 10"
        )
        parser.add_argument(
            "--cap", type=float, default=0, help="dollars each paid run may spend on a connected model"
        )
        parser.add_argument(
            "--judge", action="store_true", help="with --cap: let the connected model judge answers too"
        )
        parser.add_argument(
            "--reviewer", default="", help="who vouches for the reviewed sample (default: nobody)"
        )

    def handle(self, *args: object, **options: Any) -> None:
        try:
            ended = self.run(options)
        except PortalError as error:
            self.stderr.write(str(error))
            sys.exit(2)
        if ended.status.value != "succeeded":
            self.stderr.write(ended.error or f"The lifecycle is {ended.status.label.lower()}.")
            sys.exit(1)

    def run(self, options: dict[str, Any]) -> Job:
        """The ended job; each finding is printed as its stage is done."""
        if not options["file"]:
            raise PortalError("Give a file: make trial DATA=tickets.csv")
        call_command("migrate", verbosity=0, interactive=False)
        ensure_first_admin()
        team = Team.objects.filter(memberships__user__is_superuser=True).order_by("pk").first()
        admin = team.memberships.filter(user__is_superuser=True).select_related("user").first().user
        path = Path(options["file"])
        given = {k: options[k] for k in ("text", "label", "group", "at", "seed", "reviewer") if options[k]}
        if options["folds"]:
            if not 2 <= options["folds"] <= MAX_FOLDS:
                raise PortalError(f"--folds is a number from 2 to {MAX_FOLDS}.")
            given |= {"n_folds": options["folds"], "cross_validate": True}
        if options["cap"] < 0:
            raise PortalError("--cap is a number of dollars, 0 or more.")
        if options["cap"]:
            given |= {"cap_microusd": round(options["cap"] * 1_000_000), "judge": options["judge"]}
        recipe = {
            "name": options["name"] or path.stem.replace("-", " ").replace("_", " ").capitalize(),
            **given,
        }
        traffic, columns = Path(options["traffic"]) if options["traffic"] else None, {}
        if options["traffic_label"]:
            columns = {"label": options["traffic_label"]}
        if path.exists() and path.resolve() == DEMO_FILE.resolve():
            recipe = {**DEMO_RECIPE, **{k: v for k, v in recipe.items() if k != "name"}}
            if traffic is None:
                traffic, columns = DEMO_TRAFFIC, TRAFFIC_COLUMNS
        started = time.monotonic()
        job = start_trial(
            actor=admin, team=team, path=path, recipe=recipe, traffic=traffic, traffic_columns=columns
        )
        printed = 0
        try:
            while True:
                run_until_idle(max_seconds=1)
                for shard in Shard.objects.filter(
                    job=job, state=ItemState.DONE, position__gte=printed
                ).order_by("position"):
                    self.stdout.write(f"{shard.result['title']:<13} {shard.result['finding']}")
                    self.stdout.flush()
                    printed += 1
                job.refresh_from_db()
                if job.status.is_final:
                    break
        except KeyboardInterrupt:
            cancel_job(actor=admin, job=job)
            run_until_idle(max_seconds=10)
            job.refresh_from_db()
        if job.status.is_final and job.status.value == "succeeded":
            self.stdout.write(
                f"Done in {formats.duration(time.monotonic() - started)}. Look at it in the portal: make portal"
            )
        return job
