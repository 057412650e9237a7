"""Endpoints, their keys and their traffic. The gateway reads the first two as a snapshot and writes the rest in batches."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q

from deployments.domain.routing import BUCKETS, Arm
from foundation.teams.models import TeamOwned, TeamQuerySet


class RoutingRevision(models.Model):
    """One row that counts changes of routing, so that a gateway asks for one number and not for everything.

    `epoch` says which history the number counts in: a restored database begins a new one.
    """

    number = models.PositiveBigIntegerField(default=1)
    epoch = models.CharField(max_length=32)
    changed_at = models.DateTimeField(auto_now=True)

    def __str__(self) -> str:
        return f"revision {self.number}"


class TextRetention(models.TextChoices):
    NONE = "none", "No text"
    SAMPLE = "sample", "A sample, personal data masked"
    ALL = "all", "All text as it is"


class SystemPolicy(models.TextChoices):
    REPLACE = "replace", "Replace it by the version's"
    APPEND = "append", "Keep it after the version's"
    REFUSE = "refuse", "Refuse the request"


class EndpointQuerySet(TeamQuerySet):
    def current(self) -> EndpointQuerySet:
        """Those not archived."""
        return self.filter(archived_at=None)

    def for_pages(self) -> EndpointQuerySet:
        """With the versions they serve."""
        return self.select_related("team", "use_case", "baseline__candidate", "candidate__candidate")


class Endpoint(TeamOwned):
    """An address that answers requests: a baseline version, and perhaps a candidate with a share of the traffic."""

    use_case = models.ForeignKey("decisions.UseCase", on_delete=models.CASCADE, related_name="endpoints")
    slug = models.SlugField("address", max_length=60, unique=True)
    # The kill switch: off answers nobody.
    is_on = models.BooleanField(default=True)
    baseline = models.ForeignKey(
        "deployments.ModelVersion", on_delete=models.RESTRICT, related_name="serves_as_baseline"
    )
    candidate = models.ForeignKey(
        "deployments.ModelVersion",
        on_delete=models.RESTRICT,
        null=True,
        blank=True,
        related_name="serves_as_candidate",
    )
    share_buckets = models.PositiveSmallIntegerField(default=0, help_text="hundredths of a per cent")
    is_shadow = models.BooleanField(default=False)
    salt = models.CharField(max_length=32, editable=False)
    # When the candidate fails, the baseline answers, and the prediction says so.
    falls_back = models.BooleanField("fall back to the baseline when the candidate fails", default=True)
    system_policy = models.CharField(
        "a client's own system prompt",
        max_length=8,
        choices=SystemPolicy.choices,
        default=SystemPolicy.REPLACE,
    )
    # Which task it serves: named in every prompt for versions that learnt several tasks, "" for the others.
    task = models.CharField("task", max_length=100, blank=True, default="", db_default="")
    text_retention = models.CharField(
        "text kept", max_length=6, choices=TextRetention.choices, default=TextRetention.SAMPLE
    )
    text_share = models.FloatField(
        "part kept", default=0.10, validators=[MinValueValidator(0), MaxValueValidator(1)]
    )
    text_days = models.PositiveSmallIntegerField(
        "days kept", default=30, validators=[MinValueValidator(1), MaxValueValidator(3650)]
    )
    timeout_s = models.PositiveSmallIntegerField(
        "seconds to wait for an answer", default=60, validators=[MinValueValidator(1), MaxValueValidator(600)]
    )
    max_in_flight = models.PositiveSmallIntegerField(
        "requests at the same time", default=200, validators=[MinValueValidator(1), MaxValueValidator(2000)]
    )
    requests_per_minute = models.PositiveIntegerField(null=True, blank=True)
    daily_budget_microusd = models.PositiveBigIntegerField(null=True, blank=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    archived_at = models.DateTimeField(null=True, blank=True)

    objects = EndpointQuerySet.as_manager()

    class Meta:
        ordering = ["slug"]
        constraints = [
            models.CheckConstraint(
                condition=Q(share_buckets__lte=BUCKETS), name="a_share_is_at_most_everything"
            ),
            models.CheckConstraint(
                condition=Q(share_buckets=0) | Q(candidate__isnull=False), name="a_share_has_its_candidate"
            ),
            models.CheckConstraint(
                condition=Q(text_share__gte=0) & Q(text_share__lte=1), name="a_text_share_is_a_share"
            ),
        ]

    def __str__(self) -> str:
        return self.slug

    @property
    def traffic_share(self) -> float:
        """The candidate's part of the traffic, 0 to 1."""
        return self.share_buckets / BUCKETS


class TrafficChange(TeamOwned):
    """One change of who gets what at an endpoint, with its reason. Written once."""

    endpoint = models.ForeignKey(Endpoint, on_delete=models.CASCADE, related_name="traffic_changes")
    baseline = models.ForeignKey(
        "deployments.ModelVersion", on_delete=models.SET_NULL, null=True, related_name="+"
    )
    candidate = models.ForeignKey(
        "deployments.ModelVersion", on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    share_buckets = models.PositiveSmallIntegerField(default=0)
    is_shadow = models.BooleanField(default=False)
    is_on = models.BooleanField(default=True)
    reason = models.CharField(max_length=500)
    by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return self.reason

    @property
    def traffic_share(self) -> float:
        """The candidate's part of the traffic, 0 to 1."""
        return self.share_buckets / BUCKETS


class GatewayTokenQuerySet(TeamQuerySet):
    def live(self, now: datetime) -> GatewayTokenQuerySet:
        """Those that open their endpoint at `now`."""
        return self.filter(revoked_at=None).filter(Q(expires_at=None) | Q(expires_at__gt=now))


class GatewayToken(TeamOwned):
    """A key to one endpoint. Only its hash is kept; the key is shown once."""

    endpoint = models.ForeignKey(Endpoint, on_delete=models.CASCADE, related_name="tokens")
    name = models.CharField(max_length=100)
    prefix = models.CharField(max_length=8)
    sha256 = models.CharField(max_length=64, unique=True, editable=False)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    objects = GatewayTokenQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.name} (ftg_{self.prefix}…)"


class PredictionQuerySet(TeamQuerySet):
    def comparable(self) -> PredictionQuerySet:
        """Those that may stand for an arm: shown to somebody, always the same version, answered by that version."""
        return self.filter(is_sticky=True, is_fallback=False).exclude(arm=Arm.SHADOW)

    def newest(self) -> PredictionQuerySet:
        """Newest first: the key is a UUIDv7, which grows with time."""
        return self.order_by("-id")


class Prediction(TeamOwned):
    """One request that was routed: answered or not, by whom, how fast, at what cost."""

    id = models.UUIDField(primary_key=True, editable=False, help_text="UUIDv7, made by the gateway")
    endpoint = models.ForeignKey(
        Endpoint, on_delete=models.CASCADE, related_name="predictions", db_index=False
    )
    # Who answered; with `is_fallback` the baseline, although `arm` says candidate.
    version = models.ForeignKey(
        "deployments.ModelVersion", on_delete=models.CASCADE, related_name="predictions", db_index=False
    )
    arm = models.CharField(max_length=9, choices=[(arm.value, arm.value) for arm in Arm])
    at = models.DateTimeField()
    status = models.PositiveSmallIntegerField(help_text="what the client was told; 499 when it had gone")
    # "" or why there was no answer: unreachable, timeout, cut, nonsense, refused, client_gone, …
    error = models.CharField(max_length=40, blank=True)
    is_fallback = models.BooleanField(default=False)
    # What made the candidate fail, when the baseline answered in its place.
    fallback_reason = models.CharField(max_length=40, blank=True)
    # The prediction this one is a copy of (arm shadow).
    shadow_of = models.UUIDField(null=True, blank=True)
    sticky_hash = models.CharField(max_length=16, blank=True)
    is_sticky = models.BooleanField(default=False)
    bucket = models.PositiveSmallIntegerField(default=0)
    is_stream = models.BooleanField(default=False)
    latency_ms = models.FloatField(null=True, blank=True)
    first_byte_ms = models.FloatField(null=True, blank=True)
    input_tokens = models.PositiveIntegerField(default=0)
    output_tokens = models.PositiveIntegerField(default=0)
    # True when the answer was cut and its tokens were estimated.
    usage_estimated = models.BooleanField(default=False)
    cost_microusd = models.BigIntegerField(null=True, blank=True, help_text="None when no price is known")
    stop_reason = models.CharField(max_length=40, blank=True)
    features = models.JSONField(default=dict)
    predicted = models.CharField(max_length=200, blank=True)
    confidence = models.FloatField(null=True, blank=True)
    prompt_text = models.TextField(blank=True)
    answer_text = models.TextField(blank=True)
    # Set while text is kept for a time; the sweep empties the text after it.
    text_until = models.DateTimeField(null=True, blank=True)
    text_masked = models.BooleanField(default=False)

    objects = PredictionQuerySet.as_manager()

    class Meta:
        indexes = [
            # With arm and error in it, counting a day of an endpoint never touches the rows themselves.
            models.Index(fields=["endpoint", "-id", "arm", "error"], name="predictions_of_an_endpoint"),
            models.Index(fields=["version", "-id"], name="predictions_of_a_version"),
            models.Index(fields=["text_until"], condition=Q(text_until__isnull=False), name="texts_to_sweep"),
        ]

    def __str__(self) -> str:
        return str(self.id)

    @property
    def has_text(self) -> bool:
        """Whether its text was kept and is still there."""
        return bool(self.prompt_text or self.answer_text)

    @property
    def is_failed(self) -> bool:
        """Whether the client got no whole answer (one who left early is no failure)."""
        return bool(self.error) and self.error != "client_gone"


class Feedback(TeamOwned):
    """What was learnt about a prediction later. Several may come; the newest counts."""

    id = models.UUIDField(primary_key=True, editable=False, help_text="UUIDv7")
    endpoint = models.ForeignKey(Endpoint, on_delete=models.CASCADE, related_name="feedback", db_index=False)
    # No constraint: feedback may arrive before a prediction that was spilled to disk.
    prediction = models.ForeignKey(
        Prediction, on_delete=models.CASCADE, related_name="feedback", db_constraint=False
    )
    at = models.DateTimeField()
    # The right answer, where somebody knows it.
    label = models.CharField(max_length=2000, blank=True)
    outcome = models.CharField(max_length=200, blank=True)
    rating = models.FloatField(null=True, blank=True)
    is_correct = models.BooleanField(null=True, blank=True)
    comment = models.TextField(blank=True)
    source = models.CharField(max_length=20, default="api")

    class Meta:
        indexes = [models.Index(fields=["endpoint", "-id"], name="feedback_of_an_endpoint")]
        verbose_name_plural = "feedback"

    def __str__(self) -> str:
        return f"feedback on {self.prediction_id}"


class BudgetDay(TeamOwned):
    """What of an endpoint's daily budget has been handed to gateways, in prepaid blocks. Never above the cap."""

    endpoint = models.ForeignKey(Endpoint, on_delete=models.CASCADE, related_name="budget_days")
    day = models.DateField()
    leased_microusd = models.PositiveBigIntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["endpoint", "day"], name="one_budget_a_day")]

    def __str__(self) -> str:
        return f"{self.endpoint} on {self.day}"


class GatewayBeat(models.Model):
    """The last word of one gateway process: alive, which routing it serves, what it could not write."""

    name = models.CharField(max_length=120, unique=True)
    seen_at = models.DateTimeField()
    started_at = models.DateTimeField()
    revision = models.PositiveBigIntegerField(default=0)
    waiting = models.PositiveIntegerField(default=0)
    spilled = models.PositiveBigIntegerField(default=0)
    dropped = models.PositiveBigIntegerField(default=0)
    trouble = models.CharField(max_length=300, blank=True)

    def __str__(self) -> str:
        return self.name

    def as_facts(self) -> dict[str, Any]:
        """For pages: what it says, by name."""
        return {"Waiting to be written": self.waiting, "Kept on disk": self.spilled, "Lost": self.dropped}
