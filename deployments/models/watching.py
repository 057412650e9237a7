"""What watching found: drift against the training rows, quality against the evaluation, and what to do about it."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Q

from foundation.teams.models import TeamOwned, TeamQuerySet


class DriftReference(TeamOwned):
    """How the rows a version learnt from look, feature by feature, with the bins that traffic is counted into."""

    version = models.OneToOneField(
        "deployments.ModelVersion", on_delete=models.CASCADE, related_name="drift_reference"
    )
    # {feature: {"kind", "edges" | "names", "counts"}}, see domain/drift.py.
    features = models.JSONField(default=dict)
    n = models.PositiveIntegerField(default=0)
    source = models.CharField(max_length=200, blank=True)
    made_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"reference of {self.version}"


class CheckQuerySet(TeamQuerySet):
    def for_pages(self) -> CheckQuerySet:
        """With what a page names beside them."""
        return self.select_related("team", "endpoint__use_case", "version__candidate")


class DriftCheck(TeamOwned):
    """One look at whether recent requests still resemble the training rows. Written once."""

    endpoint = models.ForeignKey(
        "deployments.Endpoint", on_delete=models.CASCADE, related_name="drift_checks"
    )
    version = models.ForeignKey("deployments.ModelVersion", on_delete=models.CASCADE, related_name="+")
    since = models.DateTimeField(null=True, blank=True)
    until = models.DateTimeField()
    n_reference = models.PositiveIntegerField(default=0)
    n_current = models.PositiveIntegerField(default=0)
    seed = models.PositiveBigIntegerField(default=0)
    # {"alpha", "least_divergence", "min_sample", "n_permutations"}
    settings = models.JSONField(default=dict)
    state = models.CharField(
        max_length=8, choices=[("steady", "steady"), ("drifted", "drifted"), ("too few", "too few")]
    )
    finding = models.TextField(blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = CheckQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["endpoint", "-id"], name="drift_checks_of_an_endpoint")]

    def __str__(self) -> str:
        return f"{self.endpoint.slug} {self.state}"

    @property
    def tone(self) -> str:
        """The pill it is shown in."""
        return {"steady": "good", "drifted": "bad"}.get(self.state, "")


class Reading(TeamOwned):
    """One feature of one drift check: both distributions, their divergence, and what chance alone would give."""

    check_of = models.ForeignKey(DriftCheck, on_delete=models.CASCADE, related_name="readings")
    feature = models.CharField(max_length=60)
    kind = models.CharField(max_length=8)
    # Numbers: edges, with a bin below and one above; names: the categories in order, "other" last;
    # words: those that moved most, each counted in texts that hold it, all texts last.
    bins = models.JSONField(default=list)
    reference_counts = models.JSONField(default=list)
    current_counts = models.JSONField(default=list)
    # In nats, 0 to 0.693; None when there was too little.
    divergence = models.FloatField(null=True, blank=True)
    threshold = models.FloatField(null=True, blank=True)
    p_value = models.FloatField(null=True, blank=True)
    p_adjusted = models.FloatField(null=True, blank=True)
    is_drifted = models.BooleanField(default=False)
    advice = models.CharField(max_length=20, help_text="retrain_needed, monitor or too_few")
    # Of words: each one's p-value, corrected over all words looked at.
    word_p = models.JSONField(default=list, blank=True)
    # Where it moved most: {"requests": [prediction ids], "rows": [row ids]}. Never text, which has its own end.
    samples = models.JSONField(default=dict, blank=True)

    class Meta:
        ordering = ["-is_drifted", "p_adjusted", "feature"]
        constraints = [
            models.UniqueConstraint(fields=["check_of", "feature"], name="one_reading_a_feature"),
            models.CheckConstraint(
                condition=Q(is_drifted=False) | Q(divergence__isnull=False), name="drift_has_its_divergence"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.feature}: {self.advice}"


class PerformanceCheck(TeamOwned):
    """One look at how often a version was right lately, against its evaluation. None is not known, never 0."""

    endpoint = models.ForeignKey(
        "deployments.Endpoint", on_delete=models.CASCADE, related_name="performance_checks"
    )
    version = models.ForeignKey("deployments.ModelVersion", on_delete=models.CASCADE, related_name="+")
    since = models.DateTimeField(null=True, blank=True)
    until = models.DateTimeField()
    n_requests = models.PositiveIntegerField(default=0)
    n_judged = models.PositiveIntegerField(default=0)
    accuracy = models.FloatField(null=True, blank=True)
    low = models.FloatField(null=True, blank=True)
    high = models.FloatField(null=True, blank=True)
    # {"accuracy", "low", "high", "n", "source", "latency_ms"}
    baseline = models.JSONField(default=dict, blank=True)
    # Recent minus baseline, in share of right answers.
    change = models.FloatField(null=True, blank=True)
    change_low = models.FloatField(null=True, blank=True)
    change_high = models.FloatField(null=True, blank=True)
    # (baseline - recent) / baseline
    relative_drop = models.FloatField(null=True, blank=True)
    p50_ms = models.FloatField(null=True, blank=True)
    p95_ms = models.FloatField(null=True, blank=True)
    threshold = models.FloatField(default=0.05)
    state = models.CharField(
        max_length=12,
        choices=[(s, s) for s in ("holding", "degraded", "unsure", "too few", "no baseline")],
    )
    advice = models.JSONField(default=list, blank=True)
    finding = models.TextField(blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = CheckQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["endpoint", "-id"], name="performance_of_an_endpoint")]

    def __str__(self) -> str:
        return f"{self.endpoint.slug} {self.state}"

    @property
    def tone(self) -> str:
        """The pill it is shown in."""
        return {"holding": "good", "degraded": "bad", "unsure": "warn"}.get(self.state, "")


class RetrainingQuerySet(TeamQuerySet):
    def open(self) -> RetrainingQuerySet:
        """Those that are not over."""
        return self.filter(state__in=[s for s in Retraining.State if not s.is_final])

    def for_pages(self) -> RetrainingQuerySet:
        """With everything that came of it."""
        return self.select_related(
            "team",
            "endpoint__use_case",
            "previous__candidate__training_run",
            "import_row__job",
            "dataset_version__dataset",
            "dataset_version__job",
            "training_run__job",
            "comparison",
            "version",
            "approved_by",
        )


class Retraining(TeamOwned):
    """A proposal to learn again: why, with which rows; once approved, everything that came of it."""

    class State(models.TextChoices):
        PROPOSED = "proposed", "proposed"
        IMPORTING = "importing", "bringing in rows"
        FREEZING = "freezing", "freezing a version"
        TRAINING = "training", "training"
        EVALUATING = "evaluating", "evaluating"
        DONE = "done", "done"
        DECLINED = "declined", "declined"
        FAILED = "failed", "failed"

        @property
        def is_final(self) -> bool:
            """Whether nothing more happens by itself."""
            return self in (self.DONE, self.DECLINED, self.FAILED)

        @property
        def tone(self) -> str:
            """The pill it is shown in."""
            return {"done": "good", "failed": "bad", "declined": "", "proposed": "warn"}.get(
                self.value, "live"
            )

    endpoint = models.ForeignKey("deployments.Endpoint", on_delete=models.CASCADE, related_name="retrainings")
    # The version it wants to replace.
    previous = models.ForeignKey("deployments.ModelVersion", on_delete=models.CASCADE, related_name="+")
    reason = models.CharField(max_length=500)
    trigger = models.CharField(max_length=12, help_text="drift, performance, period or person")
    state = models.CharField(max_length=10, choices=State.choices, default=State.PROPOSED)
    # Predictions with feedback whose right answer is known and whose text was kept, at the time of the proposal.
    n_new_rows = models.PositiveIntegerField(default=0)
    rows_until = models.DateTimeField()
    # What the person gave; the rest is taken over from the previous run (D29).
    options = models.JSONField(default=dict, blank=True)
    # When it begins after the approval: S76 asks for 24 hours, and a person may shorten it.
    starts_at = models.DateTimeField(null=True, blank=True)
    import_row = models.ForeignKey(
        "datasets.Import", null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    dataset_version = models.ForeignKey(
        "datasets.DatasetVersion", null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    training_run = models.ForeignKey(
        "datasets.TrainingRun", null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    comparison = models.ForeignKey(
        "evaluations.Comparison", null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    version = models.ForeignKey(
        "deployments.ModelVersion", null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    # Filled after the run, never before: {"value", "low", "high", "verdict"} as the comparison found it.
    improvement: Any = models.JSONField(default=dict, blank=True)
    error = models.CharField(max_length=1000, blank=True)
    # None when the clock proposed it.
    proposed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    approved_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    # Who approved it, where that was no person of the team: the demo names itself here.
    approved_as = models.CharField(max_length=100, blank=True)
    approved_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    objects = RetrainingQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        constraints = [
            # A drift that is found every hour proposes once.
            models.UniqueConstraint(
                fields=["endpoint"],
                condition=Q(state__in=["proposed", "importing", "freezing", "training", "evaluating"]),
                name="one_open_retraining_an_endpoint",
            )
        ]

    def __str__(self) -> str:
        return f"retraining for {self.endpoint.slug}"

    @property
    def approver(self) -> str:
        """Who approved it, as pages name them; "" while nobody did."""
        return self.approved_as or (str(self.approved_by) if self.approved_by else "")

    @property
    def phase(self) -> Retraining.State:
        """Its state with tone and finality."""
        return self.State(self.state)
