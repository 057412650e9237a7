"""Tables of the door to models: catalogue, connections, answers kept, money set aside."""

from __future__ import annotations

from urllib.parse import urlsplit

from django.conf import settings
from django.db import models

from foundation.llm.domain.pricing import Rates
from foundation.teams.models import Team, TeamOwned, TeamQuerySet


class ModelEntry(models.Model):
    """One model of a provider, with what is known of its limits and its life."""

    class Lifecycle(models.TextChoices):
        ACTIVE = "active", "active"
        DEPRECATED = "deprecated", "deprecated"
        RETIRED = "retired", "retired"

    provider = models.CharField(max_length=40, default="anthropic")
    model_id = models.CharField(max_length=120)
    display_name = models.CharField(max_length=120)
    line = models.CharField(max_length=40, blank=True)
    lifecycle = models.CharField(max_length=20, choices=Lifecycle.choices, default=Lifecycle.ACTIVE)
    deprecated_at = models.DateField(null=True, blank=True)
    retires_at = models.DateField(null=True, blank=True)
    context_tokens = models.PositiveIntegerField(null=True, blank=True)
    max_output_tokens = models.PositiveIntegerField(null=True, blank=True)
    min_cache_tokens = models.PositiveIntegerField(null=True, blank=True)
    bytes_per_token = models.FloatField(default=2.8, help_text="for estimates only")
    takes_sampling = models.BooleanField(default=False, help_text="accepts temperature, top_p, top_k")
    structured_output = models.BooleanField(default=True)
    takes_effort = models.BooleanField(default=True)
    batch = models.BooleanField(default=True)
    restricted = models.BooleanField(default=False, help_text="offered to verified organisations only")
    rank = models.PositiveSmallIntegerField(default=100, help_text="order in lists, lowest first")
    note = models.TextField(blank=True)
    # The data file this row came from, or "edited": an edited row is never overwritten by a file.
    source = models.CharField(max_length=60, default="edited")

    class Meta:
        ordering = ["rank", "model_id"]
        constraints = [models.UniqueConstraint(fields=["provider", "model_id"], name="one_entry_a_model")]
        verbose_name_plural = "model entries"

    def __str__(self) -> str:
        return self.model_id


class ModelPrice(models.Model):
    """What a model costs from a day on, above a prompt length. Micro-dollars per million tokens."""

    entry = models.ForeignKey(ModelEntry, on_delete=models.CASCADE, related_name="prices")
    effective_from = models.DateField()
    above_prompt_tokens = models.PositiveIntegerField(default=0)
    input = models.PositiveBigIntegerField()
    output = models.PositiveBigIntegerField()
    cache_write_5m = models.PositiveBigIntegerField()
    cache_write_1h = models.PositiveBigIntegerField()
    cache_read = models.PositiveBigIntegerField()
    batch_percent = models.PositiveSmallIntegerField(default=50)
    source = models.CharField(max_length=60, default="edited")

    class Meta:
        ordering = ["entry", "effective_from", "above_prompt_tokens"]
        constraints = [
            models.UniqueConstraint(
                fields=["entry", "effective_from", "above_prompt_tokens"], name="one_price_a_day_and_tier"
            )
        ]

    def __str__(self) -> str:
        return f"{self.entry} from {self.effective_from}"

    def as_rates(self) -> Rates:
        """The row as the value the arithmetic takes."""
        return Rates(
            effective_from=self.effective_from,
            above_prompt_tokens=self.above_prompt_tokens,
            input=self.input,
            output=self.output,
            cache_write_5m=self.cache_write_5m,
            cache_write_1h=self.cache_write_1h,
            cache_read=self.cache_read,
            batch_percent=self.batch_percent,
        )


class ConnectionQuerySet(TeamQuerySet):
    def usable(self) -> ConnectionQuerySet:
        """Enabled connections to models outside this portal."""
        return self.filter(enabled=True).exclude(provider=Connection.Provider.LOCAL)


class Connection(TeamOwned):
    """A way to a provider's models.

    The key is encrypted, never shown again and bound to the host it was given for.
    """

    class Provider(models.TextChoices):
        ANTHROPIC = "anthropic", "Claude (Anthropic)"
        LOCAL = "local", "Models trained in this portal"

    name = models.CharField(max_length=120)
    provider = models.CharField(max_length=20, choices=Provider.choices, default=Provider.ANTHROPIC)
    base_url = models.CharField(max_length=300, blank=True)
    key_ciphertext = models.TextField(blank=True, editable=False)
    key_last4 = models.CharField(max_length=4, blank=True, editable=False)
    from_environment = models.BooleanField(default=False, editable=False)
    max_concurrency = models.PositiveSmallIntegerField(default=8)
    enabled = models.BooleanField(default=True)
    is_default = models.BooleanField(default=False)
    tried_at = models.DateTimeField(null=True, blank=True, editable=False)
    tried_ok = models.BooleanField(null=True, editable=False)
    tried_sentence = models.CharField(max_length=300, blank=True, editable=False)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="+",
        editable=False,
    )
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = ConnectionQuerySet.as_manager()

    class Meta:
        ordering = ["-is_default", "name", "pk"]
        constraints = [
            models.UniqueConstraint(fields=["team", "name"], name="one_connection_a_name"),
            models.UniqueConstraint(
                fields=["team"], condition=models.Q(is_default=True), name="one_default_connection_a_team"
            ),
            models.UniqueConstraint(
                fields=["team"],
                condition=models.Q(from_environment=True),
                name="one_environment_connection_a_team",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def url(self) -> str:
        """The address calls go to: its own, or the environment's."""
        if self.from_environment:
            return settings.ANTHROPIC_BASE_URL.rstrip("/").removesuffix("/v1")
        return self.base_url

    @property
    def host(self) -> str:
        """Scheme, host and port the key is bound to, like `https://api.anthropic.com:443`."""
        return bound_host(self.url)

    @property
    def has_key(self) -> bool:
        """Whether a key is there; says nothing of whether it works."""
        return bool(settings.ANTHROPIC_API_KEY) if self.from_environment else bool(self.key_ciphertext)

    @property
    def shown_key(self) -> str:
        """What people may see of the key: its last four characters."""
        last4 = settings.ANTHROPIC_API_KEY[-4:] if self.from_environment else self.key_last4
        return f"…{last4}" if self.has_key else "not set"


def bound_host(url: str) -> str:
    """Scheme, host and port of `url` in one spelling; "" when there is no host in it."""
    try:
        parts = urlsplit(url.strip())
        if not parts.hostname:
            return ""
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        return ""
    return f"{parts.scheme.lower()}://{parts.hostname.lower()}:{port}"


class ConnectionSlot(models.Model):
    """One place in a connection's line: held by whoever's token stands in it until the lease ends."""

    connection = models.ForeignKey(Connection, on_delete=models.CASCADE, related_name="slots")
    number = models.PositiveSmallIntegerField()
    token = models.CharField(max_length=32, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["connection", "number"], name="one_slot_a_number")]

    def __str__(self) -> str:
        return f"{self.connection} slot {self.number}"


class CachedAnswer(TeamOwned):
    """An answer kept, so that the same question of the same team is never paid for twice."""

    digest = models.CharField(max_length=64)
    sample = models.PositiveIntegerField(default=0)
    model_id = models.CharField(max_length=200)
    text = models.TextField()
    stop_reason = models.CharField(max_length=40)
    usage = models.JSONField(default=dict)
    sent_parameters = models.JSONField(default=dict)
    cost_microusd = models.BigIntegerField(default=0)
    latency_ms = models.FloatField(default=0)
    request_id = models.CharField(max_length=120, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["team", "digest", "sample"], name="one_answer_a_question")
        ]
        indexes = [models.Index(fields=["created_at"])]

    def __str__(self) -> str:
        return self.digest[:12]


class Budget(models.Model):
    """A cap and what has gone against it, in micro-dollars. spent + reserved never passes cap."""

    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="+")
    scope = models.CharField(max_length=120, unique=True)
    cap_microusd = models.BigIntegerField()
    spent_microusd = models.BigIntegerField(default=0)
    reserved_microusd = models.BigIntegerField(default=0)
    unconfirmed_microusd = models.BigIntegerField(
        default=0, help_text="part of spent whose answer never came"
    )
    calls = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField(auto_now_add=True)
    objects = TeamQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(reserved_microusd__gte=0), name="reserved_not_below_zero"
            ),
        ]

    def __str__(self) -> str:
        return self.scope


class ReservationState(models.TextChoices):
    HELD = "held", "held"
    SENT = "sent", "sent"
    SETTLED = "settled", "settled"
    RELEASED = "released", "released"


class Reservation(models.Model):
    """Money set aside for one call: held, then sent, then settled; or released when nothing was sent."""

    budget = models.ForeignKey(Budget, on_delete=models.CASCADE, related_name="reservations")
    bound_microusd = models.BigIntegerField()
    actual_microusd = models.BigIntegerField(null=True, blank=True)
    state = models.CharField(max_length=10, choices=ReservationState.choices, default=ReservationState.HELD)
    unconfirmed = models.BooleanField(default=False)
    expires_at = models.DateTimeField()
    created_at = models.DateTimeField(auto_now_add=True)
    settled_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        indexes = [models.Index(fields=["state", "expires_at"])]

    def __str__(self) -> str:
        return f"{self.bound_microusd} of {self.budget}"


class RemoteBatch(TeamOwned):
    """A half-price batch at a provider. The row is there before the batch leaves, so that it leaves once.

    Without `remote_id` nobody heard the provider's answer to the submission yet. `ended_at`: its money is booked.
    """

    connection = models.ForeignKey(Connection, on_delete=models.PROTECT, related_name="+")
    key = models.CharField(max_length=120, unique=True)
    model_id = models.CharField(max_length=120)
    remote_id = models.CharField(max_length=120, blank=True)
    reservation = models.OneToOneField(Reservation, on_delete=models.CASCADE, related_name="+")
    n_requests = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField(auto_now_add=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return self.key
