"""The demo workspace: whether a team has one, what it came to, and putting it away in one press."""

from __future__ import annotations

from dataclasses import dataclass

from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.utils.functional import SimpleLazyObject
from django.views.decorators.http import require_POST

from datasets.models import Dataset
from datasets.services import archive_dataset
from decisions.models import UseCase
from decisions.services import archive_use_case
from deployments.models import Endpoint
from deployments.services import archive_endpoint
from foundation.jobs.models import Job
from foundation.jobs.services import cancel_job
from foundation.teams import audit
from foundation.teams.models import Team, User
from foundation.teams.requests import TeamRequest
from foundation.ui.htmx import redirect, toast
from ftportal.trials import DEMO_RECIPE


@dataclass(frozen=True, slots=True)
class Workspace:
    """The demo of a team: its use case and the job that made it."""

    use_case: UseCase
    job: Job


def job_of(team: Team | None) -> Job | None:
    """The newest job that made a demo for the team. One query."""
    if team is None:
        return None
    jobs = Job.objects.filter(team=team, kind="ftportal.lifecycle", recipe__is_demo=True)
    return jobs.order_by("-pk").first()


def demo_of(team: Team) -> Workspace | None:
    """The team's demo workspace while it is there."""
    job = job_of(team)
    use_case = UseCase.objects.of(team).active().filter(name=DEMO_RECIPE["name"]).first() if job else None
    return Workspace(use_case, job) if job and use_case else None


def demo(request: HttpRequest) -> dict[str, object]:
    """For templates: the name of the demo's use case, and `demo_job`, asked of the database only where it is named."""
    return {
        "demo_name": DEMO_RECIPE["name"],
        "demo_job": SimpleLazyObject(lambda: job_of(getattr(request, "team", None))),
    }


def put_away(*, actor: User, team: Team) -> UseCase | None:
    """The demo's use case, archived with its endpoints, schedules and datasets; None when there is no demo.

    Nothing is destroyed: an archived use case can be brought back, its versions and predictions stay. What still runs
    is cancelled. Doing it again changes nothing.
    """
    found = demo_of(team)
    if found is None:
        return None
    if not found.job.status.is_final:
        cancel_job(actor=actor, job=found.job)
    with transaction.atomic():
        for endpoint in Endpoint.objects.of(team).current().filter(use_case=found.use_case):
            archive_endpoint(actor=actor, endpoint=endpoint)
        for dataset in Dataset.objects.of(team).filter(use_case=found.use_case, archived_at=None):
            archive_dataset(actor=actor, dataset=dataset)
        archive_use_case(actor=actor, use_case=found.use_case)
        audit.record(actor=actor, team=team, verb="demo.put_away", target=found.use_case)
    return found.use_case


@require_POST
def demo_remove(request: TeamRequest, team: Team) -> HttpResponse:
    """One press: the demo is out of the way."""
    gone = put_away(actor=request.user, team=team)
    toast(
        request,
        "The demo is put away. It stands among the archived use cases." if gone else "There is no demo.",
    )
    return redirect(request, "decisions:use-case-list", team.slug)
