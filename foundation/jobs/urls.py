"""Addresses of long work: jobs, schedules."""

from django.urls import URLPattern, URLResolver

from foundation.jobs import views
from foundation.jobs.models import Job, Schedule
from foundation.teams.domain.roles import Role
from foundation.teams.routes import object_path, team_path

app_name = "jobs"
ADMIN, EDITOR = Role.ADMIN, Role.EDITOR


def team_schedules():
    """Schedules of teams; those of the portal itself are the admin's."""
    return Schedule.objects.exclude(team=None).select_related("team")


urlpatterns: list[URLPattern | URLResolver] = [
    team_path("t/<slug:team>/jobs/", views.job_list, name="job-list"),
    object_path("jobs/<int:pk>/", views.job_detail, Job, name="job-detail"),
    object_path("jobs/<int:pk>/progress/", views.job_progress, Job, name="job-progress"),
    object_path("jobs/<int:pk>/cancel/", views.job_cancel, Job, name="job-cancel", read=EDITOR),
    object_path("jobs/<int:pk>/pause/", views.job_pause, Job, name="job-pause", read=EDITOR),
    object_path("jobs/<int:pk>/resume/", views.job_resume, Job, name="job-resume", read=EDITOR),
    object_path("jobs/<int:pk>/retry/", views.job_retry, Job, name="job-retry", read=EDITOR),
    team_path("t/<slug:team>/schedules/", views.schedule_list, name="schedule-list", write=ADMIN),
    team_path(
        "t/<slug:team>/schedules/new/", views.schedule_new, name="schedule-new", read=ADMIN, write=ADMIN
    ),
    object_path(
        "schedules/<int:pk>/",
        views.schedule_edit,
        Schedule,
        name="schedule-edit",
        read=ADMIN,
        write=ADMIN,
        queryset=team_schedules,
    ),
    object_path(
        "schedules/<int:pk>/delete/",
        views.schedule_delete,
        Schedule,
        name="schedule-delete",
        read=ADMIN,
        write=ADMIN,
        queryset=team_schedules,
    ),
]
