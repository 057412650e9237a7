"""Files of a team, found by what is in them. Knows nothing of what a file means to the floors above."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from foundation.teams.models import TeamOwned, TeamQuerySet


class BlobQuerySet(TeamQuerySet):
    def of_kind(self, kind: str) -> BlobQuerySet:
        """Files kept for one purpose."""
        return self.filter(kind=kind)


class Blob(TeamOwned):
    """Bytes of a team under their SHA-256. The name is only text; the place on disk comes from the digest."""

    sha256 = models.CharField(max_length=64)
    size = models.BigIntegerField(help_text="bytes")
    name = models.CharField(max_length=200)
    content_type = models.CharField(max_length=100, default="application/octet-stream")
    kind = models.CharField(max_length=40)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)

    objects = BlobQuerySet.as_manager()

    # True on the object `store.put` returns when the team had these bytes before.
    was_known = False

    class Meta:
        constraints = [models.UniqueConstraint(fields=["team", "sha256", "kind"], name="one_blob_a_digest")]
        indexes = [models.Index(fields=["sha256"])]

    def __str__(self) -> str:
        return self.name
