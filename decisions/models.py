"""Tables of deciding: use cases, the answers given about them, what they would return, and what was measured.

Knows no floor above; they hang their own tables on `UseCase`.
"""

from __future__ import annotations

from typing import Any, NoReturn

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models.functions import Lower

from decisions.domain.facts import FACT_NAMES, Complexity, Facts, Level, Task, TaskKind, Timing
from decisions.errors import Frozen
from foundation.teams.models import TeamOwned, TeamQuerySet

MAX_VOLUME_PER_DAY = 10_000_000_000


def _choices(scale: Any) -> list[tuple[str, str]]:
    return [(word.value, word.label) for word in scale]


class UseCaseQuerySet(TeamQuerySet):
    def active(self) -> UseCaseQuerySet:
        """Those not archived."""
        return self.filter(archived_at=None)

    def archived(self) -> UseCaseQuerySet:
        """Those put away."""
        return self.exclude(archived_at=None)

    def to_rescore(self) -> UseCaseQuerySet:
        """Those with a decision whose facts moved since the clock last looked."""
        return self.filter(facts_revision__gt=models.F("rescored_revision"), latest_decision__isnull=False)

    def with_answers(self) -> UseCaseQuerySet:
        """With team, owner, latest decision and latest ROI analysis in the same query."""
        rows = self.select_related("team", "owner", "latest_decision__author", "latest_roi")
        # The whole answers are for their own pages; a list would carry them for nothing.
        heavy = (
            "latest_decision__result",
            "latest_decision__inputs",
            "latest_roi__result",
            "latest_roi__inputs",
        )
        return rows.defer(*heavy)


class UseCase(TeamOwned):
    """What a team wants a model to do: the fifteen facts, the task, the evidence, and what it is worth."""

    name = models.CharField(max_length=200)
    description = models.TextField("what should it do?", blank=True)

    task_kind = models.CharField(max_length=10, choices=_choices(TaskKind), default=TaskKind.CLASSIFY)
    # [{"name": "billing", "definition": "…"}, …]
    labels = models.JSONField(default=list, blank=True)
    output_schema = models.JSONField(null=True, blank=True)

    # The fourteen facts beside the name, in the order of `domain.facts.Facts`.
    task_complexity = models.CharField(
        max_length=10, choices=_choices(Complexity), default=Complexity.MODERATE
    )
    data_availability = models.CharField(max_length=10, choices=_choices(Level), default=Level.MEDIUM)
    data_quality = models.CharField(max_length=10, choices=_choices(Level), default=Level.MEDIUM)
    volume_per_day = models.PositiveBigIntegerField(
        "requests a day", default=1000, validators=[MaxValueValidator(MAX_VOLUME_PER_DAY)]
    )
    budget_constraint = models.CharField(
        "budget", max_length=10, choices=_choices(Level), default=Level.MEDIUM
    )
    time_to_market = models.CharField(
        "timing", max_length=10, choices=_choices(Timing), default=Timing.NORMAL
    )
    requires_factual_accuracy = models.BooleanField("needs factual accuracy", default=False)
    requires_consistency = models.BooleanField("needs the same answer every time", default=False)
    requires_specialised_behaviour = models.BooleanField("needs specialised behaviour", default=False)
    has_knowledge_base = models.BooleanField("a knowledge base exists", default=False)
    data_changes_frequently = models.BooleanField("the knowledge changes often", default=False)
    requires_citations = models.BooleanField("needs citations", default=False)
    requires_flexibility = models.BooleanField("needs flexibility", default=False)
    domain_specific = models.BooleanField("is domain-specific", default=False)

    # What the tree and the few-shot matrix ask beside the facts; None is "not known yet".
    prompt_solves_it = models.BooleanField("does a prompt solve it?", null=True, blank=True)
    examples_in_hand = models.PositiveBigIntegerField(null=True, blank=True)
    # A share: 0.10 is ten per cent more correct answers than the best prompt.
    expected_gain = models.DecimalField(
        max_digits=6,
        decimal_places=4,
        null=True,
        blank=True,
        validators=[MinValueValidator(-1), MaxValueValidator(1)],
    )
    is_prototype = models.BooleanField("still exploring", default=False)
    behaviour_changes_often = models.BooleanField("the wanted behaviour changes often", default=False)

    # What one better answer is worth. The chapter's $0.50 is an assumption, and the pages say so.
    value_per_improved_microusd = models.PositiveBigIntegerField(default=500_000)
    # Differences to the standard rates of `domain.costs`, by approach; empty means none.
    rates = models.JSONField(default=dict, blank=True)

    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    # Grows with every edit by a person: an edit made against an older number is a conflict, not an overwrite.
    version = models.PositiveIntegerField(default=1)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    archived_at = models.DateTimeField(null=True, blank=True)

    # Kept by the services, so that a list of many use cases needs no query a row.
    latest_decision = models.ForeignKey(
        "decisions.Decision",
        null=True,
        blank=True,
        editable=False,
        on_delete=models.SET_NULL,
        related_name="+",
    )
    latest_roi = models.ForeignKey(
        "decisions.RoiAnalysis",
        null=True,
        blank=True,
        editable=False,
        on_delete=models.SET_NULL,
        related_name="+",
    )
    # Grows with every change of a fact, whoever made it; the clock re-scores what it has not seen (`standing.py`).
    facts_revision = models.PositiveBigIntegerField(default=0, editable=False)
    rescored_revision = models.PositiveBigIntegerField(default=0, editable=False)
    # What author and approvers were last told: approach and margin class, as in "rag:narrow".
    known_standing = models.CharField(max_length=40, blank=True, default="", editable=False)
    # The newest evidence by kind: {"examples_in_hand": {"value": 2184, "source": "…", "as_of": "2026-11-22"}}.
    measured = models.JSONField(default=dict, blank=True, editable=False)

    objects = UseCaseQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["team", "archived_at", "-id"], name="use_cases_of_a_team"),
            models.Index(
                fields=["id"],
                condition=models.Q(facts_revision__gt=models.F("rescored_revision")),
                name="use_cases_to_rescore",
            ),
        ]
        constraints = [
            models.CheckConstraint(condition=~models.Q(name=""), name="use_case_has_a_name"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def facts(self) -> Facts:
        """The fifteen facts as a value."""
        return Facts.from_mapping({name: getattr(self, name) for name in FACT_NAMES})

    @property
    def task(self) -> Task:
        """The task as a value: kind, labels with definitions, output schema."""
        return Task.from_columns(self.task_kind, self.labels, self.output_schema)

    @property
    def is_archived(self) -> bool:
        """Put away: found under "Archived", changed by nobody until it is restored."""
        return self.archived_at is not None


class FrozenQuerySet(TeamQuerySet):
    """Rows that are written once. Changing or deleting them one by one or in bulk is refused."""

    def update(self, **kwargs: Any) -> NoReturn:
        """Raises Frozen: a saved answer never changes."""
        raise Frozen(self.model._meta.verbose_name)

    def delete(self) -> NoReturn:
        """Raises Frozen: a saved answer goes only with its team."""
        raise Frozen(self.model._meta.verbose_name)

    def bulk_update(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Raises Frozen: a saved answer never changes."""
        raise Frozen(self.model._meta.verbose_name)


class FrozenRow(TeamOwned):
    """A row that is written once and read for ever."""

    objects = FrozenQuerySet.as_manager()

    class Meta:
        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Write the new row. Raises Frozen when it is in the table already."""
        if not self._state.adding:
            raise Frozen(self._meta.verbose_name)
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Raises Frozen: a saved answer goes only with its team."""
        raise Frozen(self._meta.verbose_name)


class Decision(FrozenRow):
    """One answer to "which approach", with everything it rests on. Never changed."""

    use_case = models.ForeignKey(UseCase, on_delete=models.CASCADE, related_name="decisions")
    number = models.PositiveIntegerField()
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    note = models.TextField(blank=True)
    inputs = models.JSONField()
    inputs_sha256 = models.CharField(max_length=64)
    result = models.JSONField()
    # Copied out of the result for lists.
    recommendation = models.CharField(max_length=20)
    headline = models.CharField(max_length=300)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-number"]
        constraints = [models.UniqueConstraint(fields=["use_case", "number"], name="one_decision_a_number")]

    def __str__(self) -> str:
        return f"Decision {self.number}: {self.headline}"


class RoiScenario(TeamOwned):
    """A named plan beside the one the decision rests on: "Cautious", "GPUs of our own". Its returns are versions of it."""

    use_case = models.ForeignKey(UseCase, on_delete=models.CASCADE, related_name="roi_scenarios")
    name = models.CharField(max_length=80)
    # Kept by the services, so that comparing needs no query a scenario.
    latest = models.ForeignKey(
        "decisions.RoiAnalysis",
        null=True,
        blank=True,
        editable=False,
        on_delete=models.SET_NULL,
        related_name="+",
    )
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    archived_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint("use_case", Lower("name"), name="one_roi_scenario_a_name"),
            models.CheckConstraint(condition=~models.Q(name=""), name="roi_scenario_has_a_name"),
        ]

    def __str__(self) -> str:
        return self.name


class RoiAnalysis(FrozenRow):
    """What the switch would cost and return under stated assumptions. Never changed."""

    use_case = models.ForeignKey(UseCase, on_delete=models.CASCADE, related_name="roi_analyses")
    # None is the plan the decision rests on.
    scenario = models.ForeignKey(
        RoiScenario, null=True, blank=True, on_delete=models.CASCADE, related_name="analyses"
    )
    number = models.PositiveIntegerField()
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    note = models.TextField(blank=True)
    inputs = models.JSONField()
    inputs_sha256 = models.CharField(max_length=64)
    result = models.JSONField()
    # Whether the improvement was measured against the best prompt, and where; else it is an assumption.
    is_measured = models.BooleanField(default=False)
    source = models.CharField(max_length=300, blank=True)
    # Copied out of the result for lists: whether the total over the horizon is above zero.
    is_positive = models.BooleanField(default=False)
    headline = models.CharField(max_length=300)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-number"]
        verbose_name = "ROI analysis"
        verbose_name_plural = "ROI analyses"
        constraints = [
            models.UniqueConstraint(fields=["use_case", "number"], name="one_roi_analysis_a_number")
        ]

    def __str__(self) -> str:
        return f"ROI {self.number}: {self.headline}"

    @property
    def months(self) -> int:
        """The months looked at: those chosen, or fewer when the base model retires first."""
        return self.result.get("horizon_months") or self.inputs["horizon_months"]


class ActualMonth(TeamOwned):
    """What really happened in one calendar month (UTC), as the floors above counted it. Told again, it is replaced."""

    use_case = models.ForeignKey(UseCase, on_delete=models.CASCADE, related_name="actual_months")
    month = models.DateField(help_text="its first day")
    # From the first answered request, or the 1st, to the end of the month or now.
    n_days = models.PositiveSmallIntegerField(default=0)
    # Requests the fine-tuned model answered, what they cost, and how many of them have no known price.
    n_requests = models.PositiveBigIntegerField(default=0)
    n_unpriced = models.PositiveBigIntegerField(default=0)
    serving_microusd = models.BigIntegerField(default=0)
    # The same of everything else that answered: the prompt it is compared with.
    n_requests_prompt = models.PositiveBigIntegerField(default=0)
    n_unpriced_prompt = models.PositiveBigIntegerField(default=0)
    serving_prompt_microusd = models.BigIntegerField(default=0)
    # Answers somebody judged in that month, and how many were right.
    n_judged = models.PositiveBigIntegerField(default=0)
    n_right = models.PositiveBigIntegerField(default=0)
    n_judged_prompt = models.PositiveBigIntegerField(default=0)
    n_right_prompt = models.PositiveBigIntegerField(default=0)
    training_microusd = models.BigIntegerField(default=0)
    # What judging, checking and evaluating cost, from the ledger.
    ledger_microusd = models.BigIntegerField(default=0)
    source = models.CharField(max_length=300, blank=True)
    told_at = models.DateTimeField()

    class Meta:
        ordering = ["month"]
        constraints = [
            models.UniqueConstraint(fields=["use_case", "month"], name="one_actual_month"),
            models.CheckConstraint(
                condition=models.Q(n_right__lte=models.F("n_judged"))
                & models.Q(n_right_prompt__lte=models.F("n_judged_prompt")),
                name="no_more_right_than_judged",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.use_case} in {self.month:%b %Y}"


class Evidence(FrozenRow):
    """One measured fact that a floor above handed down: what, where from, as of when."""

    use_case = models.ForeignKey(UseCase, on_delete=models.CASCADE, related_name="evidence")
    kind = models.CharField(max_length=60)
    value = models.JSONField()
    source = models.CharField(max_length=300)
    as_of = models.DateTimeField()
    recorded_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-as_of", "-id"]
        verbose_name = "evidence"
        verbose_name_plural = "evidence"
        indexes = [models.Index(fields=["use_case", "kind", "-as_of"], name="evidence_of_a_use_case")]

    def __str__(self) -> str:
        return f"{self.kind} = {self.value} ({self.source})"


class SignOff(FrozenRow):
    """An approver's word on one decision. Never changed; the next decision asks for its own."""

    decision = models.ForeignKey(Decision, on_delete=models.CASCADE, related_name="sign_offs")
    approver = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    note = models.TextField()
    # The digest of the inputs that were on the page when it was signed.
    inputs_sha256 = models.CharField(max_length=64)
    # The author signed, being the only person in the team: said wherever the signature is shown.
    is_own = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["created_at", "id"]
        verbose_name = "sign-off"
        constraints = [
            models.UniqueConstraint(fields=["decision", "approver"], name="one_sign_off_an_approver")
        ]

    def __str__(self) -> str:
        return f"{self.approver or 'Somebody'} on decision {self.decision_id}"


class BlindRound(TeamOwned):
    """Members answer the facts each by themselves; nobody sees the others' answers until it is revealed."""

    use_case = models.ForeignKey(UseCase, on_delete=models.CASCADE, related_name="blind_rounds")
    number = models.PositiveIntegerField()
    opened_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    opened_at = models.DateTimeField(auto_now_add=True)
    revealed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    revealed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-number"]
        constraints = [
            models.UniqueConstraint(fields=["use_case", "number"], name="one_blind_round_a_number")
        ]

    def __str__(self) -> str:
        return f"Round {self.number}"

    @property
    def is_open(self) -> bool:
        """Answers are still taken, and hidden."""
        return self.revealed_at is None


class BlindAnswer(FrozenRow):
    """One member's own reading of the facts in one round, given before seeing anybody else's. Never changed."""

    round = models.ForeignKey(BlindRound, on_delete=models.CASCADE, related_name="answers")
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    facts = models.JSONField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["created_at", "id"]
        constraints = [models.UniqueConstraint(fields=["round", "author"], name="one_blind_answer_a_person")]

    def __str__(self) -> str:
        return f"{self.author or 'Somebody'} in round {self.round_id}"
