"""The repair room of long work: everything is there; what happened cannot be rewritten."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.forms import ModelForm
from django.http import HttpRequest

from foundation.jobs import schedules, services
from foundation.jobs.models import Job, Schedule, ScheduleSlot, Shard, WorkerSeen
from foundation.teams.errors import PortalError
from foundation.teams.requests import TeamRequest


class Evidence(admin.ModelAdmin):
    """Rows that tell what happened: to be read."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Job)
class JobAdmin(Evidence):
    list_display = (
        "title",
        "team",
        "kind",
        "state",
        "done",
        "failed",
        "total",
        "spent_microusd",
        "created_at",
    )
    list_filter = ("state", "kind")
    search_fields = ("title", "kind", "error")
    list_select_related = ("team",)
    show_full_result_count = False
    actions = ("cancel", "retry")

    @admin.action(description="Cancel", permissions=["view"])
    def cancel(self, request: TeamRequest, queryset: Any) -> None:
        for job in queryset.select_related("team"):
            services.cancel_job(actor=request.user, job=job)

    @admin.action(description="Retry what failed", permissions=["view"])
    def retry(self, request: TeamRequest, queryset: Any) -> None:
        for job in queryset.select_related("team"):
            try:
                services.retry_failed(actor=request.user, job=job)
            except PortalError as error:
                self.message_user(request, str(error), messages.WARNING)


@admin.register(Shard)
class ShardAdmin(Evidence):
    list_display = ("job", "position", "key", "state", "attempts", "error")
    list_filter = ("state",)
    list_select_related = ("job",)
    show_full_result_count = False
    raw_id_fields = ("job",)


class ScheduleAdminForm(ModelForm):
    """Refuses a timing that never comes, before it is saved."""

    class Meta:
        model = Schedule
        fields = ("team", "name", "kind", "crontab", "interval_s", "recipe", "enabled")

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if not self.errors:
            names = ("team", "name", "kind", "crontab", "interval_s")
            try:
                schedules.check(Schedule(**{name: data.get(name) for name in names}))
            except PortalError as error:
                raise ValidationError(str(error)) from None
        return data


@admin.register(Schedule)
class ScheduleAdmin(admin.ModelAdmin):
    form = ScheduleAdminForm
    list_display = ("name", "team", "kind", "crontab", "interval_s", "enabled", "trouble")
    list_filter = ("enabled",)
    list_select_related = ("team",)

    def save_model(self, request: Any, obj: Schedule, form: Any, change: bool) -> None:
        if change:
            before = Schedule.objects.get(pk=obj.pk)
            values = {n: getattr(obj, n) for n in ("name", "crontab", "interval_s", "recipe", "enabled")}
            schedules.change_schedule(actor=request.user, schedule=before, **values)
        else:
            super().save_model(request, obj, form, change)


@admin.register(ScheduleSlot)
class ScheduleSlotAdmin(Evidence):
    list_display = ("schedule", "slot", "late", "job", "error")
    list_select_related = ("schedule", "job")


@admin.register(WorkerSeen)
class WorkerSeenAdmin(Evidence):
    list_display = ("name", "role", "queues", "seen_at")
