"""What one of two readers said about a row, apart from the other."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from datasets.domain.statuses import Verdict, choices
from datasets.models.examples import ReviewItem
from foundation.teams.models import TeamOwned


class Reading(TeamOwned):
    """One blind reading of a row. Both stay when they are settled: agreement is computed from them."""

    item = models.ForeignKey(ReviewItem, on_delete=models.CASCADE, related_name="readings")
    reader = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    verdict = models.CharField(max_length=10, choices=choices(Verdict))
    reason = models.CharField(max_length=300, blank=True)
    # Which text was read: a reading of an older one says nothing about the row as it is. NULL before this was kept.
    edition = models.PositiveIntegerField(null=True)
    # The text an edit proposes; empty for the other verdicts.
    prompt = models.TextField(blank=True)
    completion = models.TextField(blank=True)
    label = models.CharField(max_length=200, blank=True)
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["item", "reader"], name="one_reading_a_person")]

    def __str__(self) -> str:
        return f"{self.verdict} by {self.reader_id}"

    def answer(self, *, label: str) -> str:
        """The named answer agreement is counted on: the label it leaves on a labelled row, else the verdict."""
        if self.verdict == Verdict.REJECTED or not label:
            return self.verdict
        return (
            f"label {self.label or self.completion or label}"
            if self.verdict == Verdict.EDITED
            else f"label {label}"
        )

    @property
    def proposal(self) -> tuple[str, str, str, str]:
        """What must be equal for two readings to be one."""
        return self.verdict, self.prompt, self.completion, self.label
