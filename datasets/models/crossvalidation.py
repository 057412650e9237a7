"""Cross-validations: one configuration judged over the folds of a frozen version, a fold an item, a row an answer."""

from __future__ import annotations

from django.conf import settings as portal
from django.db import models
from django.db.models import Q

from datasets.domain.statuses import choices
from datasets.domain.training import RunState
from datasets.models.versions import VersionRow
from foundation.jobs.models import WorkItem
from foundation.teams.models import TeamOwned, TeamQuerySet


class CrossValidationQuerySet(TeamQuerySet):
    def succeeded(self) -> CrossValidationQuerySet:
        """Those whose every row has its answer."""
        return self.filter(state=RunState.SUCCEEDED)

    def open(self) -> CrossValidationQuerySet:
        """Those that are not finished."""
        return self.filter(state__in=[RunState.QUEUED, RunState.RUNNING])


class CrossValidation(TeamOwned):
    """One backend with its settings over the folds of one version. Its result never changes once it succeeded."""

    use_case = models.ForeignKey(
        "decisions.UseCase", on_delete=models.CASCADE, related_name="cross_validations"
    )
    version = models.ForeignKey(
        "datasets.DatasetVersion", on_delete=models.PROTECT, related_name="cross_validations"
    )
    number = models.PositiveIntegerField(help_text="counts within the use case")
    backend = models.CharField(max_length=60)
    settings = models.JSONField(default=dict, help_text="complete: given values merged over the defaults")
    seed = models.PositiveIntegerField(default=0)
    n_folds = models.PositiveSmallIntegerField()
    # Rows outside the test, and those among them that a model wrote: they teach and are never judged.
    n_rows = models.PositiveIntegerField()
    n_written = models.PositiveIntegerField(default=0)
    trains_final = models.BooleanField(default=False)
    state = models.CharField(max_length=10, choices=choices(RunState), default=RunState.QUEUED)
    # {"accuracy", "low", "high", "n", "folds", "labels", "confusion", ...}: see domain/crossvalidation.py
    metrics = models.JSONField(default=dict, blank=True)
    seconds = models.FloatField(null=True, blank=True)
    error = models.CharField(max_length=1000, blank=True)
    job = models.ForeignKey("jobs.Job", on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    created_by = models.ForeignKey(
        portal.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    objects = CrossValidationQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["use_case", "number"], name="one_cross_validation_a_number"),
        ]

    def __str__(self) -> str:
        return f"cross-validation {self.number}"

    @property
    def is_finished(self) -> bool:
        """Whether nothing more happens by itself."""
        return RunState(self.state).is_final


class FoldRun(WorkItem):
    """One fold on its way: how many rows taught and were judged, and what the child said of the fit."""

    cross_validation = models.ForeignKey(CrossValidation, on_delete=models.CASCADE, related_name="folds")
    fold = models.PositiveSmallIntegerField()
    n_train = models.PositiveIntegerField(default=0)
    n_held = models.PositiveIntegerField(default=0)
    # Written rows that sat this fold out.
    n_left_out = models.PositiveIntegerField(default=0)
    # {"train": {"accuracy", "n", ...}, "chosen", "converged", "seconds"}
    result = models.JSONField(default=dict, blank=True)

    class Meta(WorkItem.Meta):
        abstract = False

    def __str__(self) -> str:
        return f"fold {self.fold}"


class FoldAnswer(models.Model):
    """What the model of the fold that held a row answered to it: each row's one honest prediction."""

    cross_validation = models.ForeignKey(
        CrossValidation, on_delete=models.CASCADE, related_name="answers", db_index=False
    )
    row = models.ForeignKey(VersionRow, on_delete=models.CASCADE, related_name="+", db_index=False)
    fold = models.PositiveSmallIntegerField()
    # Who belongs together has one number; see report["folds"] of the version.
    unit = models.PositiveIntegerField()
    predicted = models.TextField(blank=True)
    confidence = models.FloatField(null=True, blank=True)
    is_right = models.BooleanField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["cross_validation", "row"], name="one_fold_answer_a_row"),
        ]
        indexes = [
            models.Index(
                fields=["cross_validation", "row"], condition=Q(is_right=False), name="wrong_out_of_fold"
            ),
            # Deleting a version's rows asks for their answers.
            models.Index(fields=["row"], name="fold_answers_of_a_row"),
        ]

    def __str__(self) -> str:
        return f"answer to row {self.row_id}"
