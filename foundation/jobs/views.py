"""Pages of long work. One request each: find, ask, call a service, draw."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db.models import Count
from django.http import HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_POST

from foundation.jobs import crontabs, presence, schedules, services
from foundation.jobs.claiming import rows
from foundation.jobs.domain.states import ItemState, JobState
from foundation.jobs.errors import UnknownKind
from foundation.jobs.forms import ScheduleForm
from foundation.jobs.kinds import get_kind
from foundation.jobs.models import Job, Schedule, ScheduleSlot, WorkerSeen
from foundation.jobs.policies import can_cancel, can_pause, can_resume, can_retry
from foundation.teams.errors import BadInput, PortalError
from foundation.teams.models import Team
from foundation.teams.requests import TeamRequest
from foundation.ui import htmx

PAGE_SIZE = 50
FAILED_SHOWN = 100
PARTS_SHOWN = 50

# What the list can be narrowed to; the address says which.
FILTERS: dict[str, tuple[str, tuple[JobState, ...]]] = {
    "open": (
        "Open",
        (JobState.PLANNING, JobState.QUEUED, JobState.RUNNING, JobState.PAUSED, JobState.CANCELLING),
    ),
    "done": ("Done", (JobState.SUCCEEDED,)),
    "failed": ("Failed", (JobState.FAILED,)),
    "cancelled": ("Cancelled", (JobState.CANCELLED,)),
}


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isdigit() and len(text) < 18 else None


def job_list(request: TeamRequest, team: Team) -> HttpResponse:
    """The team's jobs, newest first, narrowed by state; who works, and how long the queue is."""
    chosen = request.GET.get("show", "")
    mine = Job.objects.of(team)
    counts = dict(mine.order_by().values_list("state").annotate(n=Count("pk")))
    found = mine.select_related("created_by", "part_of")
    if chosen in FILTERS:
        found = found.filter(state__in=FILTERS[chosen][1])
    after = _number(request.GET.get("after"))
    if after is not None:
        found = found.filter(pk__lt=after)
    jobs = list(found[: PAGE_SIZE + 1])
    context = {
        "jobs": jobs[:PAGE_SIZE],
        "older": jobs[PAGE_SIZE - 1].pk if len(jobs) > PAGE_SIZE else None,
        "filters": [
            (key, label, sum(counts.get(state.value, 0) for state in states))
            for key, (label, states) in FILTERS.items()
        ],
        "chosen": chosen,
        "n_all": sum(counts.values()),
        "n_running": counts.get(JobState.RUNNING.value, 0),
        "n_waiting": counts.get(JobState.QUEUED.value, 0) + counts.get(JobState.PLANNING.value, 0),
        "workers": list(WorkerSeen.objects.filter(seen_at__gte=timezone.now() - presence.FORGET_AFTER)[:20]),
        "alive_since": timezone.now() - presence.MISSING_AFTER,
    }
    return htmx.render_page(request, "jobs/job_list.html", "jobs/_job_list_rows.html", context)


def job_detail(request: TeamRequest, job: Job) -> HttpResponse:
    """One job: how far, what failed and why, what can be done about it."""
    failed: list[Any] = []
    kind_title = job.kind
    try:
        kind = get_kind(job.kind)
        kind_title = kind.title or kind.name
        items = rows(kind.item_model).filter(job_id=job.pk)
        failed = list(items.filter(state=ItemState.FAILED).order_by("position")[:FAILED_SHOWN])
    except UnknownKind:
        pass
    context = {
        "job": job,
        "parts": list(job.parts.order_by("pk")[:PARTS_SHOWN]),
        "work": kind_title,
        "failed_items": failed,
        "n_failed_more": max(0, job.failed - len(failed)),
        "can_cancel": can_cancel(request.role, job),
        "can_pause": can_pause(request.role, job),
        "can_resume": can_resume(request.role, job),
        "can_retry": can_retry(request.role, job),
    }
    return htmx.render_page(request, "jobs/job_detail.html", None, context)


def job_progress(request: TeamRequest, job: Job) -> HttpResponse:
    """The part of a page that asks for itself each second; when the job has ended, the page is loaded anew."""
    if job.is_finished and request.GET.get("n"):
        return htmx.trigger(htmx.refresh(request), "job-finished", job.pk)
    n = _number(request.GET.get("n")) or 0
    # Screen readers hear every fifth answer: not more often than each 5 s.
    context = {"job": job, "n": n + 1, "say": n % 5 == 0, "polled": True}
    return htmx.render_page(request, "jobs/_job_progress.html", "jobs/_job_numbers.html", context)


def _act(
    request: TeamRequest, job: Job, service: Callable[..., Job], said: Callable[[Job], str]
) -> HttpResponse:
    try:
        job = service(actor=request.user, job=job)
    except PortalError as error:
        htmx.toast(request, str(error), "bad")
    else:
        htmx.toast(request, said(job))
    back = request.POST.get("next", "")
    safe = url_has_allowed_host_and_scheme(
        back, {request.get_host()}, request.is_secure()
    ) and back.startswith("/")
    return htmx.redirect(request, back if safe else services.page_of(job))


@require_POST
def job_cancel(request: TeamRequest, job: Job) -> HttpResponse:
    """Stop it; what is done stays."""
    return _act(
        request,
        job,
        services.cancel_job,
        lambda now: (
            "Cancelled. What was done is kept." if now.is_finished else "Cancelling: at most 10 seconds."
        ),
    )


@require_POST
def job_pause(request: TeamRequest, job: Job) -> HttpResponse:
    """Begin nothing new."""
    return _act(request, job, services.pause_job, lambda now: "Paused. What runs now is finished first.")


@require_POST
def job_resume(request: TeamRequest, job: Job) -> HttpResponse:
    """Go on."""
    return _act(request, job, services.resume_job, lambda now: "It goes on.")


@require_POST
def job_retry(request: TeamRequest, job: Job) -> HttpResponse:
    """Run what failed again, and nothing else."""
    return _act(request, job, services.retry_failed, lambda now: "Queued again: only what failed.")


def schedule_list(request: TeamRequest, team: Team) -> HttpResponse:
    """The team's schedules, when each comes next, and how its last run ended."""
    found = list(Schedule.objects.of(team))
    last: dict[int, ScheduleSlot] = {}
    recent = ScheduleSlot.objects.filter(schedule__team=team).select_related("job").order_by("-slot")
    for slot in recent[: 20 * len(found) + 1]:
        last.setdefault(slot.schedule_id, slot)
    lines = []
    for schedule in found:
        try:
            coming = crontabs.coming_runs(schedule, timezone.now(), 1)[0] if schedule.enabled else None
        except BadInput as error:
            coming, schedule.trouble = None, str(error)
        lines.append({"schedule": schedule, "next": coming, "last": last.get(schedule.pk)})
    context = {"lines": lines, "can_add": bool(ScheduleForm.kind_choices())}
    return htmx.render_page(request, "jobs/schedule_list.html", None, context)


def _schedule_form(
    request: TeamRequest, form: ScheduleForm, save: Callable[[dict[str, Any]], Schedule], **context: Any
) -> HttpResponse:
    if request.method == "POST" and form.is_valid():
        try:
            schedule = save(form.values())
        except BadInput as error:
            form.add_error(error.field if error.field in form.fields else None, str(error))
        else:
            htmx.toast(request, f"“{schedule.name}” is saved.")
            assert schedule.team is not None
            return htmx.redirect(request, reverse("jobs:schedule-list", args=[schedule.team.slug]))
    status = 422 if form.is_bound else 200
    return htmx.render_page(
        request, "jobs/schedule_form.html", None, {"form": form, **context}, status=status
    )


def schedule_new(request: TeamRequest, team: Team) -> HttpResponse:
    """Write a schedule."""
    form = ScheduleForm(request.POST or None)
    return _schedule_form(
        request, form, lambda values: schedules.create_schedule(actor=request.user, team=team, **values)
    )


def schedule_edit(request: TeamRequest, schedule: Schedule) -> HttpResponse:
    """Change a schedule."""
    form = ScheduleForm(request.POST or None, schedule=schedule)

    def save(values: dict[str, Any]) -> Schedule:
        values.pop("kind", None)
        fresh = Schedule.objects.visible_to(request.user).select_related("team").get(pk=schedule.pk)
        return schedules.change_schedule(actor=request.user, schedule=fresh, **values)

    try:
        coming = crontabs.coming_runs(schedule, timezone.now())
    except BadInput:
        coming = ()
    slots = list(schedule.slots.select_related("job")[:20])
    return _schedule_form(request, form, save, schedule=schedule, coming=coming, slots=slots)


@require_POST
def schedule_delete(request: TeamRequest, schedule: Schedule) -> HttpResponse:
    """Remove a schedule; the jobs it started stay."""
    team = schedule.team
    assert team is not None
    schedules.delete_schedule(actor=request.user, schedule=schedule)
    htmx.toast(request, f"“{schedule.name}” is deleted.")
    return htmx.redirect(request, reverse("jobs:schedule-list", args=[team.slug]))
