"""Training runs: which version taught which model, with what settings, at what cost, and how well it learnt."""

from __future__ import annotations

from django.conf import settings as portal
from django.db import models
from django.db.models import Q

from datasets.domain.statuses import choices
from datasets.domain.training import RunState
from foundation.teams.models import TeamOwned, TeamQuerySet


class TrainingRunQuerySet(TeamQuerySet):
    def succeeded(self) -> TrainingRunQuerySet:
        """Runs that left a model behind."""
        return self.filter(state=RunState.SUCCEEDED)

    def open(self) -> TrainingRunQuerySet:
        """Runs that are not finished."""
        return self.filter(state__in=[RunState.QUEUED, RunState.RUNNING])


class TrainingRun(TeamOwned):
    """One training of one backend on one frozen version. Its result never changes once it succeeded."""

    use_case = models.ForeignKey("decisions.UseCase", on_delete=models.CASCADE, related_name="training_runs")
    version = models.ForeignKey(
        "datasets.DatasetVersion", on_delete=models.PROTECT, related_name="training_runs"
    )
    # Where set, it learnt from validation rows too, and its expected accuracy is that of the cross-validation.
    cross_validation = models.OneToOneField(
        "datasets.CrossValidation",
        on_delete=models.RESTRICT,
        null=True,
        blank=True,
        related_name="final_run",
    )
    number = models.PositiveIntegerField(help_text="counts within the use case")
    backend = models.CharField(max_length=60)
    settings = models.JSONField(default=dict, help_text="complete: given values merged over the defaults")
    state = models.CharField(max_length=10, choices=choices(RunState), default=RunState.QUEUED)
    seed = models.PositiveIntegerField(default=0)
    # The trained model, as a file of this team. Hosted backends leave `model_id` instead.
    artefact = models.ForeignKey(
        "files.Blob", on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    model_id = models.CharField(max_length=200, blank=True)
    # {"train", "validation", "gap", "level", "sentence", "curve", "trials", "chosen", ...}: see training/contract.py
    metrics = models.JSONField(default=dict, blank=True)
    cost_microusd = models.BigIntegerField(default=0)
    seconds = models.FloatField(null=True, blank=True)
    error = models.CharField(max_length=1000, blank=True)
    job = models.ForeignKey("jobs.Job", on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    created_by = models.ForeignKey(
        portal.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    objects = TrainingRunQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["use_case", "number"], name="one_training_run_a_number"),
            models.CheckConstraint(
                condition=~Q(state="succeeded") | Q(artefact__isnull=False) | ~Q(model_id=""),
                name="a_successful_run_has_its_model",
            ),
        ]
        indexes = [models.Index(fields=["use_case", "state", "-id"], name="runs_of_a_use_case")]

    def __str__(self) -> str:
        return f"run {self.number}"

    @property
    def name(self) -> str:
        """What people call it."""
        return f"{self.backend} {self.number}"

    @property
    def is_finished(self) -> bool:
        """Whether nothing more happens by itself."""
        return RunState(self.state).is_final
