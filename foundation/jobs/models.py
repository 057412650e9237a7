"""Tables of long work: jobs, their items, schedules with their slots, and who was seen working."""

from __future__ import annotations

import json
from datetime import datetime

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from foundation.jobs.domain.states import ACTIVE, FINAL, OPEN, ItemState, JobState
from foundation.jobs.looks import Look, look
from foundation.teams.models import TeamOwned, TeamQuerySet


class JobQuerySet(TeamQuerySet):
    """Named questions about jobs."""

    def open(self) -> JobQuerySet:
        """Jobs that are not finished."""
        return self.filter(state__in=sorted(OPEN))

    def active(self) -> JobQuerySet:
        """Jobs a worker may take up by itself: open and not paused."""
        return self.filter(state__in=sorted(ACTIVE))

    def unsettled(self) -> JobQuerySet:
        """Finished jobs whose cleaning up and notice are still to come."""
        return self.filter(state__in=sorted(FINAL), settled_at__isnull=True)

    def about(self, subject: models.Model) -> JobQuerySet:
        """Jobs about one row, newest first."""
        return self.filter(subject_type=subject._meta.label_lower, subject_id=subject.pk).order_by("-pk")


class Job(TeamOwned):
    """One piece of long work: what was asked (frozen), where it stands, what it cost, how it ended."""

    kind = models.CharField(max_length=100)
    title = models.CharField(max_length=300)
    state = models.CharField(
        max_length=12, default=JobState.PLANNING.value, choices=[(s.value, s.label) for s in JobState]
    )
    step = models.CharField(max_length=200, blank=True)
    total = models.PositiveIntegerField(default=0)
    done = models.PositiveIntegerField(default=0)
    failed = models.PositiveIntegerField(default=0)
    skipped = models.PositiveIntegerField(default=0)
    # Progress inside the one long item that runs now (training steps, bytes read).
    part_done = models.PositiveBigIntegerField(default=0)
    part_total = models.PositiveBigIntegerField(default=0)
    cap_microusd = models.BigIntegerField(null=True, blank=True)
    spent_microusd = models.BigIntegerField(default=0)
    error = models.CharField(max_length=1000, blank=True)
    recipe = models.JSONField(default=dict, blank=True)
    result = models.JSONField(default=dict, blank=True)
    subject_type = models.CharField(max_length=100, blank=True)
    subject_id = models.BigIntegerField(null=True, blank=True)
    url = models.CharField(max_length=500, blank=True)
    dedupe_key = models.CharField(max_length=200, blank=True)
    # Whether what failed can be run again by itself; frozen from the kind. All-or-nothing work is started anew.
    retryable = models.BooleanField(default=True)

    # The job that started this one while it ran: it tells people for both, and takes its parts along when cancelled.
    part_of = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.SET_NULL, related_name="parts"
    )
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    cancel_asked_at = models.DateTimeField(null=True, blank=True)
    # Cleaning up and telling people come after the final state, and are repeated until this is set.
    settled_at = models.DateTimeField(null=True, blank=True)

    # Where planning goes on; null once every item is written.
    plan_cursor = models.BigIntegerField(null=True, blank=True, default=0)
    # The window the rate is measured over: it begins anew after a pause or a retry.
    pace_from_at = models.DateTimeField(null=True, blank=True)
    pace_from_done = models.PositiveIntegerField(default=0)
    pace_at = models.DateTimeField(null=True, blank=True)

    # Planning, finishing and cleaning up are done by one worker at a time: this lease says which.
    lease_token = models.CharField(max_length=32, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)
    lease_owner = models.CharField(max_length=120, blank=True)
    control_attempts = models.PositiveSmallIntegerField(default=0)
    control_after = models.DateTimeField(null=True, blank=True)

    objects = JobQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        constraints = [
            # Two presses are one job; one that failed or was cancelled does not stand in the way of a new try.
            models.UniqueConstraint(
                fields=["team", "dedupe_key"],
                condition=~Q(dedupe_key="") & ~Q(state__in=["failed", "cancelled"]),
                name="jobs_one_job_a_key",
            ),
        ]
        indexes = [
            models.Index(fields=["team", "-id"], name="jobs_job_team"),
            models.Index(fields=["team", "state", "-id"], name="jobs_job_team_state"),
            models.Index(fields=["subject_type", "subject_id"], name="jobs_job_subject"),
            models.Index(
                fields=["state"],
                condition=Q(state__in=["planning", "queued", "running", "paused", "cancelling"]),
                name="jobs_job_open",
            ),
            models.Index(
                fields=["settled_at"], condition=Q(settled_at__isnull=True), name="jobs_job_unsettled"
            ),
        ]

    def __str__(self) -> str:
        return self.title

    @property
    def status(self) -> JobState:
        """The state as the enum, so that templates and rules can ask it things."""
        return JobState(self.state)

    @property
    def is_finished(self) -> bool:
        """Whether it succeeded, failed or was cancelled."""
        return self.status.is_final

    @property
    def settled(self) -> int:
        """Items that have their answer: done, failed or skipped."""
        return self.done + self.failed + self.skipped

    @property
    def can_be_retried(self) -> bool:
        """Whether something failed that may run again by itself."""
        failed = self.status is JobState.FAILED or (self.status is JobState.SUCCEEDED and self.failed > 0)
        return failed and self.retryable

    @property
    def recipe_text(self) -> str:
        """What was asked, as indented JSON."""
        return json.dumps(self.recipe, indent=2, ensure_ascii=False, sort_keys=True)

    @property
    def result_text(self) -> str:
        """What came out, as indented JSON."""
        return json.dumps(self.result, indent=2, ensure_ascii=False, sort_keys=True)

    @property
    def findings(self) -> list[tuple[str, object]]:
        """(name in words, value) of what came out, as far as it is single values; the rest stands in `result_text`."""
        return [
            (name.replace("_", " ").capitalize(), value)
            for name, value in self.result.items()
            if isinstance(value, str | int | float) and value != ""
        ]

    @property
    def progress(self) -> Look:
        """How the job looks to people now."""
        return look(self, now=timezone.now())


class WorkItem(models.Model):
    """One item of a job. Apps make their own rows the items by inheriting this; Meta must inherit too."""

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="+")
    position = models.PositiveIntegerField()
    state = models.CharField(
        max_length=8, default=ItemState.QUEUED.value, choices=[(s.value, s.label) for s in ItemState]
    )
    # How often it was started. More than none and queued again means: an attempt was lost or failed.
    attempts = models.PositiveSmallIntegerField(default=0)
    lease_token = models.CharField(max_length=32, blank=True, default="")
    lease_until = models.DateTimeField(null=True, blank=True)
    lease_owner = models.CharField(max_length=120, blank=True, default="")
    # Not before this instant: a polled item that waits, or the pause before another attempt.
    due_at = models.DateTimeField(null=True, blank=True)
    error = models.CharField(max_length=500, blank=True, default="")
    cost_microusd = models.BigIntegerField(default=0)

    class Meta:
        abstract = True
        constraints = [
            models.UniqueConstraint(fields=["job", "position"], name="%(app_label)s_%(class)s_place"),
        ]
        indexes = [
            models.Index(fields=["job", "state", "position"], name="%(class)s_claim"),
            models.Index(fields=["lease_until"], condition=Q(state="running"), name="%(class)s_lease"),
        ]

    def __str__(self) -> str:
        return f"item {self.position}"


class Shard(WorkItem):
    """An item for kinds that have no rows of their own: a byte range, a slice, a single task."""

    key = models.CharField(max_length=200, blank=True)
    payload = models.JSONField(default=dict, blank=True)
    result = models.JSONField(default=dict, blank=True)

    class Meta(WorkItem.Meta):
        abstract = False


class Schedule(models.Model):
    """Work that starts by the clock. Without a team it belongs to the portal itself."""

    team = models.ForeignKey("teams.Team", null=True, blank=True, on_delete=models.CASCADE, related_name="+")
    name = models.CharField(max_length=200)
    kind = models.CharField(max_length=100)
    crontab = models.CharField(
        max_length=100,
        blank=True,
        help_text="Five fields in UTC: minute, hour, day of month, month, day of week.",
    )
    interval_s = models.PositiveIntegerField(null=True, blank=True, help_text="Seconds between two starts.")
    recipe = models.JSONField(default=dict, blank=True)
    enabled = models.BooleanField(default=True)
    created_at = models.DateTimeField(default=timezone.now)
    # Slots before this instant are history: set at creation and whenever the timing or `enabled` changes.
    counts_from = models.DateTimeField(default=timezone.now)
    # The sentence that says why this row cannot be read; it delays nobody else.
    trouble = models.CharField(max_length=300, blank=True)

    objects = TeamQuerySet.as_manager()

    class Meta:
        ordering = ["name", "pk"]
        constraints = [
            models.CheckConstraint(
                condition=(~Q(crontab="") & Q(interval_s__isnull=True))
                | (Q(crontab="") & Q(interval_s__isnull=False)),
                name="jobs_schedule_one_timing",
            ),
        ]

    def __str__(self) -> str:
        return self.name


class ScheduleSlot(models.Model):
    """One instant a schedule was due at. Unique, so that any number of clocks starts it once."""

    schedule = models.ForeignKey(Schedule, on_delete=models.CASCADE, related_name="slots")
    slot = models.DateTimeField()
    job = models.ForeignKey(Job, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    started_at = models.DateTimeField(default=timezone.now)
    late = models.BooleanField(default=False)
    error = models.CharField(max_length=300, blank=True)

    class Meta:
        ordering = ["-slot"]
        constraints = [models.UniqueConstraint(fields=["schedule", "slot"], name="jobs_one_run_a_slot")]

    def __str__(self) -> str:
        return f"{self.schedule} at {self.slot:%Y-%m-%d %H:%M}"


class WorkerSeen(models.Model):
    """A worker or a beat, and when it was last alive."""

    class Role(models.TextChoices):
        WORKER = "worker", "Worker"
        BEAT = "beat", "Clock"

    name = models.CharField(max_length=200, unique=True)
    role = models.CharField(max_length=8, choices=Role.choices)
    queues = models.CharField(max_length=200, blank=True)
    started_at = models.DateTimeField(default=timezone.now)
    seen_at = models.DateTimeField(db_index=True)

    class Meta:
        ordering = ["role", "name"]
        verbose_name_plural = "workers seen"

    def __str__(self) -> str:
        return self.name


def is_due(now: datetime) -> Q:
    """Condition on items: may be taken up at `now`."""
    return Q(due_at__isnull=True) | Q(due_at__lte=now)


def suspects() -> Q:
    """Condition on items: an attempt was lost or failed, so they are claimed singly."""
    return Q(attempts__gt=0)
