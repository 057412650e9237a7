"""Rollouts and what happened to them. A rollout's steps and guardrails are frozen copies; events are written once."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from deployments.domain.canary import (
    OPEN,
    Action,
    CanaryState,
    Guardrail,
    RolloutState,
    Step,
    read_guardrails,
    read_steps,
)
from foundation.teams.models import TeamOwned, TeamQuerySet


class RolloutQuerySet(TeamQuerySet):
    def open(self) -> RolloutQuerySet:
        """Those that are not over."""
        return self.filter(state__in=OPEN)

    def for_pages(self) -> RolloutQuerySet:
        """With everything a page names beside them."""
        return self.select_related(
            "team", "endpoint__use_case", "baseline__candidate", "candidate__candidate", "created_by"
        )


class Rollout(TeamOwned):
    """One candidate on its way to all of an endpoint's traffic, step by step."""

    endpoint = models.ForeignKey("deployments.Endpoint", on_delete=models.CASCADE, related_name="rollouts")
    baseline = models.ForeignKey("deployments.ModelVersion", on_delete=models.RESTRICT, related_name="+")
    candidate = models.ForeignKey(
        "deployments.ModelVersion", on_delete=models.RESTRICT, related_name="rollouts"
    )
    schedule = models.CharField(max_length=20, help_text="the ready-made schedule it began from")
    # Frozen: domain/canary.py reads and checks them.
    step_rows = models.JSONField(default=list)
    guardrail_rows = models.JSONField(default=list)
    promotes = models.BooleanField("the last step promotes by itself", default=True)
    must_be_better = models.BooleanField("only what is proven better is promoted by itself", default=True)
    state = models.CharField(
        max_length=12,
        choices=[(state.value, state.value) for state in RolloutState],
        default=RolloutState.RUNNING,
    )
    step_index = models.PositiveSmallIntegerField(default=0)
    starts_at = models.DateTimeField()
    # Predictions of the present step count from here; its time counts from `held_since` (later after a pause).
    step_started_at = models.DateTimeField()
    held_since = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)
    reason = models.CharField("what it waits for, or why it ended", max_length=500, blank=True)
    # The last look: {"n_baseline", "n_candidate", "n_left_out", "readings": [...]}.
    measured = models.JSONField(default=dict, blank=True)
    measured_at = models.DateTimeField(null=True, blank=True)
    n_errors = models.PositiveSmallIntegerField("looks that failed in a row", default=0)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)

    objects = RolloutQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["endpoint"], condition=Q(state__in=list(OPEN)), name="one_open_rollout_an_endpoint"
            ),
            models.CheckConstraint(condition=~Q(baseline=F("candidate")), name="a_rollout_has_two_versions"),
        ]

    def __str__(self) -> str:
        return f"{self.candidate.label} at {self.endpoint.slug}"

    @property
    def phase(self) -> RolloutState:
        """Its state as the rules know it."""
        return RolloutState(self.state)

    @property
    def steps(self) -> tuple[Step, ...]:
        """Its ladder."""
        return read_steps(self.step_rows)

    @property
    def guardrails(self) -> tuple[Guardrail, ...]:
        """What it must not make worse."""
        return read_guardrails(self.guardrail_rows)

    @property
    def canary_state(self) -> CanaryState:
        """Where it stands, for the rules."""
        return CanaryState(self.step_index, self.held_since, self.promotes, self.must_be_better)

    @property
    def planned_share(self) -> float:
        """The candidate's share of the traffic as planned now, 0 to 1."""
        if self.phase is RolloutState.PROMOTED:
            return 1.0
        if self.phase in (RolloutState.ROLLED_BACK, RolloutState.SCHEDULED):
            return 0.0
        return self.steps[self.step_index].share


class RolloutEvent(TeamOwned):
    """One move of a rollout: what, why, by whom, with the figures it rested on. Written once."""

    rollout = models.ForeignKey(Rollout, on_delete=models.CASCADE, related_name="events")
    action = models.CharField(max_length=10, choices=[(a.value, a.value) for a in Action])
    reason = models.CharField(max_length=500)
    step_index = models.PositiveSmallIntegerField(default=0)
    share = models.FloatField(default=0, help_text="the candidate's share after it, 0 to 1")
    measured: Any = models.JSONField(default=dict, blank=True)
    by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    at = models.DateTimeField()

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.action}: {self.reason}"

    @property
    def tone(self) -> str:
        """Its dot on the timeline."""
        return {"promote": "good", "step": "good", "roll back": "bad", "pause": "warn"}.get(
            self.action, "live"
        )
