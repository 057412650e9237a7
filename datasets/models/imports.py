"""Datasets and the files that fill them.

A dataset belongs to a use case; an import is one file on its way in. Rows of an import are visible only once its state
is `done`, so that a killed import leaves what was there before.
"""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from datasets.domain.layouts import Layout
from datasets.domain.statuses import ImportState, choices
from foundation.teams.models import TeamOwned, TeamQuerySet


class DatasetQuerySet(TeamQuerySet):
    def current(self) -> DatasetQuerySet:
        """Datasets that were not archived."""
        return self.filter(archived_at=None)


class Dataset(TeamOwned):
    """One growing collection of examples for one use case."""

    use_case = models.ForeignKey("decisions.UseCase", on_delete=models.CASCADE, related_name="datasets")
    name = models.CharField(max_length=200)
    description = models.TextField(blank=True)
    # Under which terms the rows may be used; stands on every datasheet.
    licence = models.CharField(max_length=200, blank=True)
    # Stored counts: a page never counts a million rows. Kept by the services that change rows.
    n_active = models.PositiveIntegerField(default=0)
    n_dropped = models.PositiveIntegerField(default=0)
    n_rejected = models.PositiveIntegerField(default=0)
    # {label: active rows}, most frequent first; "" when rows carry no label.
    label_counts = models.JSONField(default=dict, blank=True)
    # Grows with every change of rows. A check report that was made at another revision is out of date.
    revision = models.PositiveIntegerField(default=0)
    # The report that pages show; a new one becomes visible by this one field.
    # The greatest content that an edit gave a row: beyond it and those of its imports no search need look.
    edited_content = models.BigIntegerField(null=True, blank=True)
    checks = models.ForeignKey("CheckRun", on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    archived_at = models.DateTimeField(null=True, blank=True)

    objects = DatasetQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["team", "use_case", "name"], name="one_dataset_name_a_use_case")
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def checks_are_current(self) -> bool:
        """Whether the shown findings speak about the rows as they are now."""
        return self.checks is not None and self.checks.revision == self.revision


class ImportQuerySet(TeamQuerySet):
    def visible_rows(self) -> ImportQuerySet:
        """Imports whose rows count."""
        return self.filter(state=ImportState.DONE)


class Import(TeamOwned):
    """One file (or paste) and what became of it."""

    dataset = models.ForeignKey(Dataset, on_delete=models.CASCADE, related_name="imports")
    blob = models.ForeignKey("files.Blob", on_delete=models.PROTECT, related_name="+")
    name = models.CharField(max_length=255)
    # upload, paste, or a source that the roof gathers (predictions, feedback)
    source = models.CharField(max_length=30, default="upload")
    state = models.CharField(max_length=12, choices=choices(ImportState), default=ImportState.DRAFT)
    # What was recognised, in words, and how the file is read; see domain/layouts.py and domain/mapping.py.
    layout = models.JSONField(default=dict)
    mapping = models.JSONField(default=dict)
    skip_bad_rows = models.BooleanField(default=False)
    # The first finished import of the same bytes into this dataset.
    repeats = models.ForeignKey("self", on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    job = models.ForeignKey("jobs.Job", on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    n_good = models.PositiveIntegerField(default=0)
    n_bad = models.PositiveIntegerField(default=0)
    n_blank = models.PositiveIntegerField(default=0)
    # {column: rows that had it} of the columns that were left out, because the mapping says so.
    left_out = models.JSONField(default=dict, db_default={}, blank=True)
    error = models.TextField(blank=True)
    # How far the search index has come: the last example id in it, the smallest and the greatest content id, and when it was
    # whole. Imports from before the greatest was kept have none.
    indexed_upto = models.BigIntegerField(default=0, db_default=0)
    first_content = models.BigIntegerField(null=True, blank=True)
    last_content = models.BigIntegerField(null=True, blank=True)
    indexed_at = models.DateTimeField(null=True, blank=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    objects = ImportQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return self.name

    @property
    def place(self) -> str:
        """What the number of a row counts in this file: its line, or the row itself."""
        return Layout.from_json(self.layout).place

    @property
    def n_read(self) -> int:
        """Rows seen in the file, blank lines not counted."""
        return self.n_good + self.n_bad


class BadRow(models.Model):
    """One line of a file that could not become an example, and why."""

    source = models.ForeignKey(Import, on_delete=models.CASCADE, related_name="bad_rows", db_index=False)
    line = models.PositiveBigIntegerField()
    column = models.CharField(max_length=100, blank=True)
    reason = models.CharField(max_length=300)
    fix = models.CharField(max_length=300, blank=True)
    excerpt = models.CharField(max_length=200, blank=True)

    class Meta:
        ordering = ["line"]
        constraints = [models.UniqueConstraint(fields=["source", "line"], name="one_reason_a_line")]

    def __str__(self) -> str:
        return f"line {self.line}: {self.reason}"


class CheckRun(TeamOwned):
    """One pass of all checks over the active rows of a dataset."""

    dataset = models.ForeignKey(Dataset, on_delete=models.CASCADE, related_name="check_runs")
    job = models.ForeignKey("jobs.Job", on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    revision = models.PositiveIntegerField(default=0)
    n_rows = models.PositiveIntegerField(default=0)
    stats = models.JSONField(default=dict)
    started_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(finished_at=None) | Q(finished_at__gte=F("started_at")),
                name="checks_end_after_start",
            )
        ]

    def __str__(self) -> str:
        return f"checks of {self.dataset_id} at revision {self.revision}"


class CheckPart(models.Model):
    """What one worker saw of one stretch of rows, packed, until the report is drawn from all of them."""

    job = models.ForeignKey("jobs.Job", on_delete=models.CASCADE, related_name="+", db_index=False)
    position = models.PositiveIntegerField()
    data = models.BinaryField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["job", "position"], name="one_check_part_a_place")]

    def __str__(self) -> str:
        return f"part {self.position} of job {self.job_id}"


class Bindings(models.Model):
    """Which checked rows are bound to another row (nearly the same, the same prompt), packed; the rest stand alone.

    Freezing reads this instead of comparing a million rows again. See datasets/binding.py.
    """

    run = models.OneToOneField(CheckRun, on_delete=models.CASCADE, related_name="bindings")
    data = models.BinaryField()

    def __str__(self) -> str:
        return f"bindings of check {self.run_id}"
