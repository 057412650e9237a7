"""What a team asks of rows before they are frozen, and what was done to labels."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from datasets.models.examples import Fix
from datasets.models.imports import Dataset
from foundation.teams.models import TeamOwned


class DatasetGate(TeamOwned):
    """A team's stance on each rule (domain/freezing_rules.py); rules it says nothing of keep their start."""

    stances = models.JSONField(default=dict, blank=True)
    changed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    changed_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["team"], name="one_dataset_gate_a_team")]

    def __str__(self) -> str:
        return f"dataset gate of {self.team}"


class LabelChange(TeamOwned):
    """A label renamed, or merged into another: who, when, from, to, how many rows. Its edits hang on the fix."""

    dataset = models.ForeignKey(Dataset, on_delete=models.CASCADE, related_name="label_changes")
    from_label = models.CharField(max_length=200)
    to_label = models.CharField(max_length=200)
    # Whether `to_label` had rows already: then it is a merge, and only the edits can tell the rows apart again.
    is_merge = models.BooleanField(default=False)
    fix = models.OneToOneField(Fix, on_delete=models.CASCADE, related_name="label_change")
    job = models.ForeignKey("jobs.Job", on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    n_rows = models.PositiveIntegerField(default=0)
    by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    undone_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.from_label} → {self.to_label}"
