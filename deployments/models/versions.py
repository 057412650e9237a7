"""Model versions: candidates registered to be shipped, and the names that point at them."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import models

from foundation.teams.models import TeamOwned, TeamQuerySet


class ModelVersionQuerySet(TeamQuerySet):
    def for_pages(self) -> ModelVersionQuerySet:
        """With everything a page names beside them."""
        return self.select_related(
            "team",
            "use_case",
            "candidate__version__dataset",
            "candidate__training_run",
            "previous",
            "created_by",
        )

    def for_serving(self) -> ModelVersionQuerySet:
        """With everything the gateway has to know to answer."""
        return self.select_related(
            "use_case", "candidate__connection", "candidate__artefact", "candidate__version"
        ).defer("candidate__version__report", "candidate__version__stats")


class ModelVersion(TeamOwned):
    """A candidate registered to be shipped. What it answers with never changes; notes, tags and metadata may."""

    use_case = models.ForeignKey("decisions.UseCase", on_delete=models.CASCADE, related_name="model_versions")
    number = models.PositiveIntegerField(help_text="counts within the use case")
    candidate = models.ForeignKey(
        "evaluations.Candidate", on_delete=models.RESTRICT, related_name="model_versions"
    )
    name = models.CharField(max_length=200, blank=True)
    notes = models.TextField(blank=True)
    tags = models.JSONField(default=list, blank=True)
    metadata = models.JSONField(default=dict, blank=True)
    # Copied from its evaluations when it was registered: {"as_of", "evaluations": [{"id", "split", "score", …}]}.
    performance = models.JSONField(default=dict, blank=True)
    # Words of its training rows as a sketch (domain/features.py); "" when it learnt from none.
    vocabulary = models.TextField(blank=True, editable=False)
    previous = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.SET_NULL, related_name="followers"
    )
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)

    objects = ModelVersionQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["use_case", "number"], name="one_model_version_a_number"),
            # Registering the same candidate twice would be two names for one thing.
            models.UniqueConstraint(fields=["candidate"], name="one_model_version_a_candidate"),
        ]

    def __str__(self) -> str:
        return f"v{self.number} {self.name}".strip()

    @property
    def label(self) -> str:
        """What people call it in one word."""
        return f"v{self.number}"

    @property
    def tasks(self) -> list[str]:
        """Names of the tasks it learnt, where its rows were mixed from several; a prompt must name one of them."""
        learnt_from = self.candidate.version
        mix = (learnt_from.recipe or {}).get("mix") if learnt_from is not None else None
        return [member["task"] for member in mix["tasks"]] if mix else []

    @property
    def best_evaluation(self) -> dict[str, Any] | None:
        """The figures to show beside it: of a claim on test rows when there is one, else the newest."""
        found = self.performance.get("evaluations") or []
        return next((e for e in found if e.get("is_claim")), found[0] if found else None)


def tasks_of(versions: models.QuerySet[ModelVersion]) -> list[str]:
    """Names of all tasks that any of these versions learnt beside others."""
    mixed = versions.filter(candidate__version__recipe__has_key="mix")
    found = mixed.values_list("candidate__version__recipe__mix__tasks", flat=True)
    return sorted({member["task"] for tasks in found for member in tasks})


class AliasName(models.TextChoices):
    PRODUCTION = "production", "production"
    PREVIOUS = "previous", "previous"


class Alias(TeamOwned):
    """A name that points at one version of a use case and can be moved to another."""

    use_case = models.ForeignKey("decisions.UseCase", on_delete=models.CASCADE, related_name="aliases")
    name = models.CharField(max_length=20, choices=AliasName.choices)
    version = models.ForeignKey(ModelVersion, on_delete=models.CASCADE, related_name="aliases")
    moved_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    moved_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["use_case", "name"], name="one_alias_a_name")]
        verbose_name_plural = "aliases"

    def __str__(self) -> str:
        return f"{self.name} is {self.version}"
