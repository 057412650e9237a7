"""Candidates, their evaluations over frozen rows, and comparisons of these. Results are evidence: written once."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Q

from evaluations.domain.statuses import (
    CandidateKind,
    ComparisonState,
    EvaluationState,
    LookKind,
    choices,
)
from foundation.jobs.models import WorkItem
from foundation.teams.models import TeamOwned, TeamQuerySet


class CandidateQuerySet(TeamQuerySet):
    def current(self) -> CandidateQuerySet:
        """Candidates that were not archived."""
        return self.filter(archived_at=None)


class Candidate(TeamOwned):
    """Something that can answer. Frozen: a changed prompt is a new candidate."""

    use_case = models.ForeignKey("decisions.UseCase", on_delete=models.CASCADE, related_name="candidates")
    name = models.CharField(max_length=200)
    kind = models.CharField(max_length=10, choices=choices(CandidateKind))
    connection = models.ForeignKey(
        "llm.Connection", on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    model_id = models.CharField(max_length=200, help_text="local:<sha256> for a model of this portal")
    system = models.TextField(blank=True)
    # [{"content_id", "prompt", "completion"}], taken from training rows only.
    few_shot = models.JSONField(default=list, blank=True)
    # {"max_tokens", "effort"}
    params = models.JSONField(default=dict, blank=True)
    # The version it learnt from (baselines, trained runs) or took its examples from.
    version = models.ForeignKey(
        "datasets.DatasetVersion", on_delete=models.PROTECT, null=True, blank=True, related_name="candidates"
    )
    training_run = models.ForeignKey(
        "datasets.TrainingRun", on_delete=models.PROTECT, null=True, blank=True, related_name="candidates"
    )
    artefact = models.ForeignKey(
        "files.Blob", on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    # sha256 over everything that decides its answers: two equal ones are one.
    digest = models.CharField(max_length=64)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    archived_at = models.DateTimeField(null=True, blank=True)

    objects = CandidateQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        constraints = [models.UniqueConstraint(fields=["use_case", "digest"], name="one_candidate_a_digest")]

    def __str__(self) -> str:
        return self.name

    @property
    def kind_label(self) -> str:
        """What people read for its kind."""
        return CandidateKind(self.kind).label

    @property
    def is_local(self) -> bool:
        """Whether it answers inside the portal, free and in bulk."""
        return CandidateKind(self.kind).is_local


class EvaluationQuerySet(TeamQuerySet):
    def done(self) -> EvaluationQuerySet:
        """Finished ones with figures."""
        return self.filter(state=EvaluationState.DONE)

    def choosing(self) -> EvaluationQuerySet:
        """Those a team may choose by: validation rows."""
        return self.exclude(is_claim=True)

    def for_pages(self) -> EvaluationQuerySet:
        """With everything a page names beside them."""
        return self.select_related("team", "candidate", "version__dataset", "use_case", "job")


class Evaluation(TeamOwned):
    """One candidate over one frozen set of rows with named scorers."""

    use_case = models.ForeignKey("decisions.UseCase", on_delete=models.CASCADE, related_name="evaluations")
    candidate = models.ForeignKey(Candidate, on_delete=models.PROTECT, related_name="evaluations")
    version = models.ForeignKey(
        "datasets.DatasetVersion", on_delete=models.PROTECT, related_name="evaluations"
    )
    split = models.CharField(max_length=10)
    # Frozen: ids of the version's rows in order; empty means every row of the split.
    row_ids = models.JSONField(default=list, blank=True)
    n_rows = models.PositiveIntegerField(default=0)
    seed = models.CharField(max_length=60)
    # Scorer names in order; the first is the primary one, and `Result.score` holds it.
    scorers = models.JSONField(default=list)
    # {"labels", "schema", "judge": {"connection_id", "model", "metrics", "prompt_version"}, "task_kind", "task": name}
    plan = models.JSONField(default=dict)
    cap_microusd = models.BigIntegerField(null=True, blank=True)
    is_claim = models.BooleanField(default=False)
    reason = models.CharField(max_length=500, blank=True)
    state = models.CharField(max_length=10, choices=choices(EvaluationState), default=EvaluationState.RUNNING)
    job = models.ForeignKey("jobs.Job", on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    error = models.CharField(max_length=1000, blank=True)
    # Figures over all rows, written when the job ends; see services.aggregate.
    aggregates = models.JSONField(default=dict, blank=True)
    # The primary figure once more as columns, for lists and the rail.
    score = models.FloatField(null=True, blank=True)
    low = models.FloatField(null=True, blank=True)
    high = models.FloatField(null=True, blank=True)
    n_scored = models.PositiveIntegerField(default=0)
    n_unscored = models.PositiveIntegerField(default=0)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    objects = EvaluationQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(is_claim=False) | ~Q(reason=""), name="a_claim_says_why_it_looks"
            )
        ]
        indexes = [models.Index(fields=["use_case", "state", "-id"], name="evaluations_of_a_use_case")]

    def __str__(self) -> str:
        return f"{self.candidate} on {self.split}"

    @property
    def is_sealed(self) -> bool:
        """Whether its rows may be read only after somebody opened them with a reason."""
        return self.split == "test"

    @property
    def is_finished(self) -> bool:
        """Whether nothing more happens by itself."""
        return EvaluationState(self.state).is_final


class Result(WorkItem):
    """One row's answer and its scores. `score` None is unscored, with the reason; it is never 0 by default."""

    evaluation = models.ForeignKey(
        Evaluation, on_delete=models.CASCADE, related_name="results", db_index=False
    )
    row = models.ForeignKey("datasets.VersionRow", on_delete=models.PROTECT, related_name="+", db_index=False)
    content = models.ForeignKey(
        "datasets.Content", on_delete=models.PROTECT, related_name="+", db_index=False
    )
    expected_label = models.CharField(max_length=200, blank=True)
    output = models.TextField(blank=True)
    # The label read from the output; empty when none of the labels was meant.
    predicted = models.CharField(max_length=200, blank=True)
    # The primary score, 0 to 1.
    score = models.FloatField(null=True, blank=True)
    # {scorer: 0..1 or null}
    scores = models.JSONField(default=dict, blank=True)
    unscored = models.CharField(max_length=300, blank=True)
    # The judge's evidence: {"model", "prompt_version", "reply", "reasons", "repaired"}
    judge: Any = models.JSONField(default=dict, blank=True)
    is_suspicious = models.BooleanField(default=False)
    confidence = models.FloatField(null=True, blank=True)
    latency_ms = models.FloatField(null=True, blank=True)
    input_tokens = models.PositiveIntegerField(default=0)
    output_tokens = models.PositiveIntegerField(default=0)
    # What the answer costs at list price, whether it was paid now or came from the cache (cost_microusd: paid now).
    price_microusd = models.BigIntegerField(default=0)
    from_cache = models.BooleanField(default=False)
    request_id = models.CharField(max_length=120, blank=True)

    class Meta(WorkItem.Meta):
        abstract = False
        constraints = [
            *WorkItem.Meta.constraints,
            models.UniqueConstraint(fields=["evaluation", "row"], name="one_result_a_row"),
        ]
        indexes = [
            *WorkItem.Meta.indexes,
            models.Index(fields=["evaluation", "score", "position"], name="results_by_score"),
            models.Index(fields=["evaluation", "position"], name="results_in_order"),
            # Deleting a version's rows, or texts, asks for their results.
            models.Index(fields=["row"], name="results_of_a_row"),
            models.Index(fields=["content"], name="results_of_a_text"),
        ]

    def __str__(self) -> str:
        return f"row {self.position} of evaluation {self.evaluation_id}"


class ComparisonQuerySet(TeamQuerySet):
    def done(self) -> ComparisonQuerySet:
        """Decided ones."""
        return self.filter(state=ComparisonState.DONE)


class Comparison(TeamOwned):
    """Several evaluations over the same rows: paired differences, a verdict a measure, one finding."""

    use_case = models.ForeignKey("decisions.UseCase", on_delete=models.CASCADE, related_name="comparisons")
    name = models.CharField(max_length=300)
    version = models.ForeignKey(
        "datasets.DatasetVersion", on_delete=models.PROTECT, related_name="comparisons"
    )
    split = models.CharField(max_length=10)
    evaluations = models.ManyToManyField(Evaluation, related_name="comparisons")
    baseline = models.ForeignKey(Evaluation, on_delete=models.PROTECT, related_name="+")
    seed = models.PositiveBigIntegerField(default=0)
    # Frozen before the results: {"points", "relative", "alpha"}
    margins = models.JSONField(default=dict)
    state = models.CharField(max_length=8, choices=choices(ComparisonState), default=ComparisonState.WAITING)
    error = models.CharField(max_length=500, blank=True)
    # domain/comparison.py: Report, as plain values.
    result = models.JSONField(default=dict, blank=True)
    finding = models.TextField(blank=True)
    verdict = models.CharField(max_length=12, blank=True)
    is_claim = models.BooleanField(default=False)
    reason = models.CharField(max_length=500, blank=True)
    # Which look at this version's test rows it was, 0 on validation rows.
    look_number = models.PositiveIntegerField(default=0)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    objects = ComparisonQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(is_claim=False) | (~Q(reason="") & Q(look_number__gte=1)),
                name="a_claim_is_a_counted_look",
            )
        ]
        indexes = [models.Index(fields=["use_case", "state", "-id"], name="comparisons_of_a_use_case")]

    def __str__(self) -> str:
        return self.name

    @property
    def is_sealed(self) -> bool:
        """Whether its rows may be read only after somebody opened them with a reason."""
        return self.split == "test"


class TestLook(TeamOwned):
    """One look at the sealed test rows of a version: who, why, and which one in order. Never removed."""

    __test__ = False  # not a test class, whatever its name begins with

    version = models.ForeignKey(
        "datasets.DatasetVersion", on_delete=models.PROTECT, related_name="test_looks"
    )
    comparison = models.ForeignKey(
        Comparison, on_delete=models.PROTECT, null=True, blank=True, related_name="looks"
    )
    evaluation = models.ForeignKey(
        Evaluation, on_delete=models.PROTECT, null=True, blank=True, related_name="looks"
    )
    kind = models.CharField(max_length=6, choices=choices(LookKind))
    # Counts claims of this version from 1; reading rows of a counted claim is no further claim and has 0.
    number = models.PositiveIntegerField(default=0)
    reason = models.CharField(max_length=500)
    by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["version", "number"], condition=Q(kind="claim"), name="one_claim_a_number"
            ),
            models.CheckConstraint(condition=~Q(reason=""), name="a_look_has_its_reason"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} of test rows of version {self.version_id}"
