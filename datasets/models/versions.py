"""Frozen versions: which content, in which split, by which recipe. Written once, never changed."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q

from datasets.domain.statuses import LookKind, Split, VersionState, choices
from datasets.models.examples import Content
from datasets.models.imports import Dataset
from foundation.teams.models import TeamOwned, TeamQuerySet


class VersionQuerySet(TeamQuerySet):
    def frozen(self) -> VersionQuerySet:
        """Versions that training and evaluation may use."""
        return self.filter(state=VersionState.FROZEN)


class DatasetVersion(TeamOwned):
    """Frozen content ids + split + recipe + report + checksum."""

    dataset = models.ForeignKey(Dataset, on_delete=models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField()
    state = models.CharField(max_length=10, choices=choices(VersionState), default=VersionState.BUILDING)
    # sha256 over the recipe and every (digest, label, split): same rows and recipe, same checksum, on any machine.
    checksum = models.CharField(max_length=64, blank=True)
    # {"seed", "ratios", "strategy", "task_kind", ...}: see domain/recipe.py
    recipe = models.JSONField(default=dict)
    task_kind = models.CharField(max_length=12, blank=True)
    labels = models.JSONField(default=list, blank=True)
    n_rows = models.PositiveIntegerField(default=0)
    n_train = models.PositiveIntegerField(default=0)
    n_validation = models.PositiveIntegerField(default=0)
    n_test = models.PositiveIntegerField(default=0)
    # {"leakage", "power", "gate", "distribution", "left_out", "findings", "review", "quality", …}; crossing.py has two more
    report = models.JSONField(default=dict, blank=True)
    stats = models.JSONField(default=dict, blank=True)
    override_reason = models.TextField(blank=True)
    error = models.TextField(blank=True)
    notes = models.TextField(blank=True)
    tags = models.JSONField(default=list, blank=True)
    job = models.ForeignKey("jobs.Job", on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    frozen_at = models.DateTimeField(null=True, blank=True)

    objects = VersionQuerySet.as_manager()

    class Meta:
        ordering = ["-number"]
        constraints = [
            models.UniqueConstraint(fields=["dataset", "number"], name="one_version_a_number"),
            models.CheckConstraint(
                condition=~Q(state="frozen") | (~Q(checksum="") & Q(frozen_at__isnull=False)),
                name="a_frozen_version_has_its_checksum",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.dataset.name} v{self.number}"

    @property
    def is_frozen(self) -> bool:
        """Whether training and evaluation may use it."""
        return self.state == VersionState.FROZEN


class VersionRow(models.Model):
    """One row of a version. `position` is the reading order inside its split, the same on any machine."""

    version = models.ForeignKey(DatasetVersion, on_delete=models.CASCADE, related_name="rows", db_index=False)
    content = models.ForeignKey(Content, on_delete=models.PROTECT, related_name="+")
    # Where it came from; a plain number, because an example may go and the version stays.
    example_id = models.PositiveBigIntegerField(null=True, blank=True)
    label = models.CharField(max_length=200, blank=True)
    group = models.CharField(max_length=200, blank=True)
    at = models.DateTimeField(null=True, blank=True)
    split = models.CharField(max_length=10, choices=choices(Split))
    position = models.PositiveIntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["version", "split", "position"], name="one_row_a_position_of_a_split"
            )
        ]

    def __str__(self) -> str:
        return f"{self.split} {self.position} of version {self.version_id}"


class SealedDigests(models.Model):
    """What the test of a version asks, as the first 8 bytes of each row's digest, sorted: see datasets/asked.py.

    So a page asks about its fifty rows, however many rows the test has.
    """

    version = models.OneToOneField(DatasetVersion, on_delete=models.CASCADE, related_name="sealed_digests")
    data = models.BinaryField()
    # Sorted keys of its texts without their formatting; versions frozen before these were kept have none.
    loose = models.BinaryField(null=True)

    def __str__(self) -> str:
        return f"digests of the test of version {self.version_id}"


class Look(TeamOwned):
    """Somebody looked at the test of a version: who, when, why and how. Each one is counted (domain/vault.py)."""

    version = models.ForeignKey(DatasetVersion, on_delete=models.CASCADE, related_name="looks")
    by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    kind = models.CharField(max_length=10, choices=choices(LookKind), default=LookKind.ROWS)
    reason = models.TextField()
    # Which claim it was, in words; empty for an opening of the version's rows.
    subject = models.CharField(max_length=300, blank=True)
    # A look at the test of a mix is one at each of its members' tests: the look it is a part of. Where
    # the mix goes, the looks at tests of other use cases stay.
    through = models.ForeignKey(
        "self", on_delete=models.SET_NULL, null=True, blank=True, related_name="parts"
    )
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"look at the test rows of version {self.version_id}"


class ExportCheck(TeamOwned):
    """What providers would say against the files of a version, and each file's size and SHA-256 before its download."""

    version = models.OneToOneField(DatasetVersion, on_delete=models.CASCADE, related_name="export_check")
    job = models.ForeignKey("jobs.Job", on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    # {format: {"files": {split: {"bytes", "sha256"}}, "rules": {rule: {"n", "rows": [[split, position, example]]}}, ...}}
    report = models.JSONField(default=dict, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    objects = TeamQuerySet.as_manager()

    def __str__(self) -> str:
        return f"exports of version {self.version_id}"


class VersionDiff(TeamOwned):
    """What changed between two frozen versions, kept because neither ever changes."""

    before = models.ForeignKey(DatasetVersion, on_delete=models.CASCADE, related_name="+")
    after = models.ForeignKey(DatasetVersion, on_delete=models.CASCADE, related_name="+")
    job = models.ForeignKey("jobs.Job", on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    # {"counts": {...}, "rows": {kind: [...]}}: ids, splits and labels; no text.
    result = models.JSONField(default=dict, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["before", "after"], name="one_diff_a_pair")]

    def __str__(self) -> str:
        return f"versions {self.before_id} and {self.after_id}"
