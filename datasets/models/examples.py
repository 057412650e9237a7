"""Examples, their content, what checks and people said about them.

Text stands in `Content`, found by its digest within the team; an edit makes new content and the old stays, because a
frozen version may hold it. These are the tables with a million rows: integer keys, few indexes, written in bulk.
"""

from __future__ import annotations

import json
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Exists, ExpressionWrapper, OuterRef, Q, Subquery
from django.db.models.expressions import RawSQL
from django.db.models.lookups import Exact, IsNull

from datasets.domain.statuses import ExampleState, ImportState, Severity, Verdict, choices
from datasets.models.imports import CheckRun, Dataset, Import
from foundation.jobs.models import WorkItem
from foundation.teams.models import TeamOwned, TeamQuerySet

# Turns at either end of a conversation that a page shows; the middle is counted.
SHOWN_TURNS = 20


class Content(models.Model):
    """The text of one training row. Never changed; erased by blanking the text, which leaves the digest."""

    team = models.ForeignKey("teams.Team", on_delete=models.CASCADE, related_name="+", db_index=False)
    # sha256 of the normalised row (domain/cleaning.py). No index: docs/decisions/0015.
    digest = models.BinaryField(max_length=32)
    system = models.TextField(blank=True)
    # Earlier turns as JSON [[role, text], …]; empty for the usual single question and answer.
    turns = models.TextField(blank=True)
    prompt = models.TextField()
    completion = models.TextField()
    # What text cannot say (tools, tool calls, weights) as JSON, usually empty: domain/conversations.py.
    extra = models.TextField(blank=True, default="", db_default="")
    n_chars = models.PositiveIntegerField(default=0)
    erased_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return self.prompt[:60]

    @property
    def tools(self) -> list[dict[str, Any]]:
        """Tools the model was offered, as the file had them."""
        found = json.loads(self.extra).get("tools", []) if self.extra else []
        return [tool for tool in found if isinstance(tool, dict)]

    @property
    def digest_hex(self) -> str:
        """The digest as 64 hexadecimal characters."""
        return bytes(self.digest).hex()

    @property
    def earlier(self) -> list[list[str]]:
        """Turns before the last question, as [role, text]."""
        return json.loads(self.turns) if self.turns else []

    @property
    def turns_to_show(self) -> tuple[list[tuple[str, str, str]], int, list[tuple[str, str, str]]]:
        """(first turns, how many are left out, last turns): nobody reads ten thousand, and no page holds them.

        A turn is (role, who says it in words, text).
        """
        turns, told = self.earlier, self._told
        n = len(turns)
        shown = [*range(n)] if n <= 2 * SHOWN_TURNS else [*range(SHOWN_TURNS), *range(n - SHOWN_TURNS, n)]
        named = [(turns[i][0], _who(turns[i][0], told.get(str(i))), turns[i][1]) for i in shown]
        if n <= 2 * SHOWN_TURNS:
            return named, 0, []
        return named[:SHOWN_TURNS], n - 2 * SHOWN_TURNS, named[SHOWN_TURNS:]

    @property
    def asker(self) -> str:
        """Who puts the last question: a person, or a tool whose answer the model has to go on from."""
        return _who("user", self._told.get(str(len(self.earlier))))

    @property
    def _told(self) -> dict[str, Any]:
        told = json.loads(self.extra).get("messages") if self.extra else None
        return told if isinstance(told, dict) else {}

    @property
    def shown(self) -> tuple[str, str, str, str]:
        """All texts that a judge gets to see."""
        return self.system, self.turns, self.prompt, self.completion

    @property
    def messages(self) -> list[dict[str, str]]:
        """The whole row as chat messages."""
        return messages_of(self.system, self.turns, self.prompt, self.completion)


def _who(role: str, told: Any) -> str:
    """Who says a turn. `told` is what stands beside its text: a tool's answer is kept on the user's side."""
    beside = told if isinstance(told, dict) else {}
    if role != "assistant":
        return "Tool" if beside.get("role") in ("tool", "function") else role.capitalize()
    words = ["Assistant"]
    if beside.get("tool_calls") or beside.get("function_call"):
        words.append("calling a tool")
    if beside.get("weight") == 0:
        words.append("not learnt")
    return ", ".join(words)


def messages_of(system: str, turns: str, prompt: str, completion: str) -> list[dict[str, str]]:
    """Chat messages from the stored columns of one content row."""
    messages = [{"role": "system", "content": system}] if system else []
    if turns:
        messages.extend({"role": role, "content": text} for role, text in json.loads(turns))
    messages.append({"role": "user", "content": prompt})
    messages.append({"role": "assistant", "content": completion})
    return messages


class Plainly(models.Func):
    """A column kept out of SQLite's choice of an index: without statistics it takes the one that narrows less."""

    template = "%(expressions)s"

    def as_sqlite(self, compiler: Any, connection: Any, **more: Any) -> Any:
        """Unary plus, which changes nothing else."""
        return self.as_sql(compiler, connection, template="+%(expressions)s", **more)


def _as_indexed(column: str) -> RawSQL:
    """The condition of a partial index, letter by letter: with a bound value SQLite does not recognise it."""
    sql = f"NOT (datasets_example.{column} = '')"
    return RawSQL(sql, (), output_field=models.BooleanField())  # noqa: S611 - a name of ours


class ExampleQuerySet(TeamQuerySet):
    def of_label(self, *labels: str) -> ExampleQuerySet:
        """Rows of these labels, by their index. Ask for a state as `in_state` does, or SQLite leaves that index."""
        which = {"label": labels[0]} if len(labels) == 1 else {"label__in": labels}
        return self.filter(_as_indexed("label"), **which)

    def of_review(self, verdict: str) -> ExampleQuerySet:
        """Rows whose last word was this one, by their index."""
        return self.filter(_as_indexed("review"), review=verdict)

    def in_state(self, state: str, *, dataset: Dataset | None = None) -> ExampleQuerySet:
        """Shown rows in a state (and of a dataset), where something else leads."""
        finished = Import.objects.filter(pk=OuterRef("source_id"), state=ImportState.DONE)
        found = self.filter(Exact(Plainly("state"), models.Value(state)), models.Exists(finished))
        return found if dataset is None else found.filter(Exact(Plainly("dataset_id"), dataset.pk))

    def shown(self) -> ExampleQuerySet:
        """Rows whose import is finished: what people may see."""
        finished = Import.objects.filter(state=ImportState.DONE).values("id")
        return self.filter(source_id__in=finished)

    def active(self) -> ExampleQuerySet:
        """Shown rows that take part in checks, review and freezing."""
        return self.shown().filter(state=ExampleState.ACTIVE)

    def active_of(self, dataset: Dataset) -> ExampleQuerySet:
        """Active rows of a dataset, for reading all of them in blocks. Asks for the finished imports at once.

        Joined with them, PostgreSQL takes the rows for few until it has statistics, and sorts all of them for each block.
        """
        done = Import.objects.filter(dataset=dataset).visible_rows().values_list("pk", flat=True)
        return self.filter(dataset=dataset, source_id__in=list(done), state=ExampleState.ACTIVE)


class Example(TeamOwned):
    """One row of a dataset: which content, from which line of which file, and whether it takes part."""

    team = models.ForeignKey("teams.Team", on_delete=models.CASCADE, related_name="+", db_index=False)
    dataset = models.ForeignKey(Dataset, on_delete=models.CASCADE, related_name="examples", db_index=False)
    source = models.ForeignKey(Import, on_delete=models.CASCADE, related_name="examples", db_index=False)
    line = models.PositiveBigIntegerField()
    content = models.ForeignKey(Content, on_delete=models.PROTECT, related_name="examples")
    label = models.CharField(max_length=200, blank=True)
    group = models.CharField(max_length=200, blank=True)
    at = models.DateTimeField(null=True, blank=True)
    state = models.CharField(max_length=10, choices=choices(ExampleState), default=ExampleState.ACTIVE)
    # Columns of the file that play no part, as JSON, usually empty. Never part of the digest, never exported.
    meta = models.TextField(blank=True, default="", db_default="")
    # The reviewer's last word, empty while nobody looked.
    review = models.CharField(max_length=10, choices=choices(Verdict), blank=True)
    # Grows with every edit: an edit made against an older number is a conflict, not an overwrite.
    edition = models.PositiveIntegerField(default=1)

    objects = ExampleQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["source", "line"], name="one_example_a_line")]
        indexes = [
            models.Index(fields=["dataset", "state", "id"], name="examples_of_a_dataset"),
            # What lists are narrowed by. Most rows carry no review, so that index costs an import nothing.
            models.Index(fields=["dataset", "label", "id"], condition=~Q(label=""), name="examples_by_label"),
            models.Index(
                fields=["dataset", "review", "id"], condition=~Q(review=""), name="examples_by_review"
            ),
        ]

    def __str__(self) -> str:
        return f"example {self.pk}"

    @property
    def further_columns(self) -> list[tuple[str, str]]:
        """(name, value as text) of the file's columns that play no part."""
        found = json.loads(self.meta) if self.meta else {}
        return [(k, v if isinstance(v, str) else json.dumps(v, ensure_ascii=False)) for k, v in found.items()]


class Edit(TeamOwned):
    """One change of one example's content, kept with both sides so that it can be undone."""

    example = models.ForeignKey(Example, on_delete=models.CASCADE, related_name="edits")
    before = models.ForeignKey(Content, on_delete=models.PROTECT, related_name="+")
    after = models.ForeignKey(Content, on_delete=models.PROTECT, related_name="+")
    label_before = models.CharField(max_length=200, blank=True)
    label_after = models.CharField(max_length=200, blank=True)
    fix = models.ForeignKey("Fix", on_delete=models.CASCADE, null=True, blank=True, related_name="edits")
    by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    at = models.DateTimeField(auto_now_add=True)
    undone_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"edit of example {self.example_id}"


class FindingQuerySet(TeamQuerySet):
    def unmended(self) -> FindingQuerySet:
        """Findings with something left: a fix of some rows, or one that left ties as they are, settles those alone."""
        return self.filter(_something_is_left())

    def with_mended(self) -> FindingQuerySet:
        """The same as a column, `is_mended`."""
        left = ExpressionWrapper(~_something_is_left(), output_field=models.BooleanField())
        return self.annotate(is_mended=left)


def _something_is_left() -> Q:
    standing = Fix.objects.filter(finding=OuterRef("pk"), undone_at=None, n_rows__gt=0)
    rows = FindingRow.objects.filter(finding=OuterRef("pk"))
    is_touched = Exists(standing)
    # Where one fix reached all there was to reach, no row need be looked at. A finding about the whole dataset has no
    # rows and stands until the next check.
    return ~Exists(standing.filter(n_rows__gte=OuterRef("n_fixable"))) & (
        Q(n_rows=0)
        | (~is_touched & _is_any(rows.filter(example__state=ExampleState.ACTIVE)))
        | (is_touched & _is_any(rows.left()))
    )


def _is_any(rows: FindingRowQuerySet) -> IsNull:
    """Whether there is a row, by the index of a finding's rows.

    Of a plain EXISTS PostgreSQL thinks that some row of any finding will do, and reads the rows of all reports until
    it meets the first of this one: 0.5 s where they stand at the end of a million.
    """
    return IsNull(Subquery(rows.order_by("cluster", "id").values("pk")[:1]), False)


class Finding(TeamOwned):
    """Something a check says about a dataset: a named rule, how bad, how many rows."""

    # Set by `checks.open_findings` for pages: the fix that stands, and the rule's words.
    standing: Any
    is_mended: bool
    title: str
    actions: Any

    run = models.ForeignKey(CheckRun, on_delete=models.CASCADE, related_name="findings")
    dataset = models.ForeignKey(Dataset, on_delete=models.CASCADE, related_name="+")
    rule = models.CharField(max_length=40)
    severity = models.CharField(max_length=10, choices=choices(Severity))
    headline = models.CharField(max_length=300)
    detail = models.TextField(blank=True)
    n_rows = models.PositiveIntegerField(default=0)
    # How many rows the one-click fix would drop or change; 0 when there is none.
    n_fixable = models.PositiveIntegerField(default=0)
    facts = models.JSONField(default=dict, blank=True)

    objects = FindingQuerySet.as_manager()

    class Meta:
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["run", "rule"], name="one_finding_a_rule")]

    def __str__(self) -> str:
        return self.headline


class FindingRowQuerySet(models.QuerySet["FindingRow"]):
    def left(self) -> FindingRowQuerySet:
        """Rows that take part and that no standing fix of their finding has changed; those to keep are left out."""
        rewritten = Edit.objects.filter(
            example=OuterRef("example"), fix__finding=OuterRef("finding"), undone_at=None, fix__undone_at=None
        )
        return self.filter(~Exists(rewritten), keep=False, example__state=ExampleState.ACTIVE)


class FindingRow(models.Model):
    """One example a finding speaks about. `cluster` joins rows that belong together; `keep` is the one to stay."""

    finding = models.ForeignKey(Finding, on_delete=models.CASCADE, related_name="rows", db_index=False)
    example = models.ForeignKey(Example, on_delete=models.CASCADE, related_name="finding_rows")
    cluster = models.PositiveIntegerField(default=0)
    keep = models.BooleanField(default=False)
    note = models.CharField(max_length=200, blank=True)
    # The label a check would give the row; empty where it has nothing to suggest.
    suggestion = models.CharField(max_length=200, blank=True, default="", db_default="")
    # The content a judge or classifier spoke about, so that a later report knows whether it still holds. A number is
    # never given twice, so no constraint keeps it: it is only compared.
    judged_content = models.BigIntegerField(null=True, blank=True)

    objects = FindingRowQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["finding", "example"], name="one_row_a_finding")]
        indexes = [models.Index(fields=["finding", "cluster", "id"], name="finding_rows_by_cluster")]

    def __str__(self) -> str:
        return f"row {self.example_id} of finding {self.finding_id}"


class Fix(TeamOwned):
    """One press of a fix button: what it did, by whom, and whether it was taken back."""

    dataset = models.ForeignKey(Dataset, on_delete=models.CASCADE, related_name="fixes")
    finding = models.ForeignKey(
        Finding, on_delete=models.SET_NULL, null=True, blank=True, related_name="fixes"
    )
    rule = models.CharField(max_length=40)
    action = models.CharField(max_length=40)
    n_rows = models.PositiveIntegerField(default=0)
    by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    at = models.DateTimeField(auto_now_add=True)
    undone_at = models.DateTimeField(null=True, blank=True)

    # What became of the rows, once somebody undid it just now; not kept.
    undo_said = ""

    class Meta:
        ordering = ["-id"]
        # Two presses of one button are one fix.
        constraints = [
            models.UniqueConstraint(
                fields=["finding", "action"], condition=Q(undone_at=None), name="one_standing_fix_a_finding"
            )
        ]

    def __str__(self) -> str:
        return f"{self.action}: {self.n_rows} rows"


class FixedRow(models.Model):
    """One example that a fix took out, so that undo brings back exactly these."""

    fix = models.ForeignKey(Fix, on_delete=models.CASCADE, related_name="rows", db_index=False)
    example = models.ForeignKey(Example, on_delete=models.CASCADE, related_name="+")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["fix", "example"], name="one_row_a_fix")]

    def __str__(self) -> str:
        return f"row {self.example_id} of fix {self.fix_id}"


class ReviewQuerySet(TeamQuerySet):
    def planned(self) -> ReviewQuerySet:
        """Reviews whose queue is whole; one that is being planned hides no finished one."""
        return self.filter(n_total__gt=0)


class Review(TeamOwned):
    """A queue of rows that people look at one by one: a seeded share of the dataset."""

    dataset = models.ForeignKey(Dataset, on_delete=models.CASCADE, related_name="reviews")
    share = models.FloatField(default=0.1)
    seed = models.CharField(max_length=60)
    n_total = models.PositiveIntegerField(default=0)
    n_accepted = models.PositiveIntegerField(default=0)
    n_edited = models.PositiveIntegerField(default=0)
    n_rejected = models.PositiveIntegerField(default=0)
    # Rows of the seeded share; the others of the queue are there by need.
    n_sample = models.PositiveIntegerField(default=0)
    # Rows that two people read apart.
    n_double = models.PositiveIntegerField(default=0)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)

    objects = ReviewQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"review of {self.n_total} rows"

    @property
    def n_drawn(self) -> int:
        """Rows drawn at random; a queue from before there was need has no others."""
        return self.n_sample or self.n_total

    @property
    def n_done(self) -> int:
        """Rows somebody has judged."""
        return self.n_accepted + self.n_edited + self.n_rejected

    @property
    def n_left(self) -> int:
        """Rows nobody has judged yet."""
        return max(0, self.n_total - self.n_done)

    @property
    def is_finished(self) -> bool:
        """Whether every row of the sample was judged; an empty sample is not a finished review."""
        return self.n_total > 0 and self.n_left == 0


class ReviewItem(models.Model):
    """One row of a review queue and what was said about it."""

    review = models.ForeignKey(Review, on_delete=models.CASCADE, related_name="items", db_index=False)
    example = models.ForeignKey(Example, on_delete=models.CASCADE, related_name="review_items")
    position = models.PositiveIntegerField()
    # Why it is in the queue beside the sample (domain/review.py: Need); empty for a row of the sample alone.
    need = models.CharField(max_length=20, blank=True)
    in_sample = models.BooleanField(default=True)
    # Two people read it apart; a third, or an approver, settles what they disagree on.
    is_double = models.BooleanField(default=False)
    is_adjudicated = models.BooleanField(default=False)
    assignee = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    second = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    verdict = models.CharField(max_length=10, choices=choices(Verdict), blank=True)
    reason = models.CharField(max_length=300, blank=True)
    edit = models.ForeignKey(Edit, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    reviewer = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    # Who looked, in words: a person's name, or "demo" when the demo workspace recorded it.
    reviewer_name = models.CharField(max_length=200, blank=True)
    at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["position"]
        constraints = [
            models.UniqueConstraint(fields=["review", "position"], name="one_review_item_a_position"),
            models.UniqueConstraint(fields=["review", "example"], name="one_review_item_an_example"),
        ]
        indexes = [models.Index(fields=["review", "verdict", "position"], name="review_items_to_do")]

    def __str__(self) -> str:
        return f"row {self.position} of review {self.review_id}"


class QualityRun(TeamOwned):
    """One judging of a seeded sample by a model: what was asked, and the summary (domain/quality.py)."""

    dataset = models.ForeignKey(Dataset, on_delete=models.CASCADE, related_name="quality_runs")
    job = models.ForeignKey("jobs.Job", on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    model = models.CharField(max_length=120)
    prompt_version = models.CharField(max_length=20)
    seed = models.CharField(max_length=60)
    # "sample" (every label in proportion), "plain" (by seed alone), "all", or "again": rows edited since another run.
    how = models.CharField(max_length=10, default="sample", db_default="sample")
    # Asked through the provider's batches: half the price, answers later, no second try for a broken reply.
    in_batches = models.BooleanField(default=False, db_default=False)
    n_sample = models.PositiveIntegerField(default=0)
    # Rows the average is taken over, and rows that were scored but speak to their judge: those have no part in it.
    n_scored = models.PositiveIntegerField(default=0)
    n_suspicious = models.PositiveIntegerField(default=0, db_default=0)
    average = models.FloatField(null=True, blank=True)
    low = models.FloatField(null=True, blank=True)
    high = models.FloatField(null=True, blank=True)
    revision = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"quality of {self.n_sample} rows"

    @property
    def n_answered(self) -> int:
        """Rows the judge gave a score, believed or not."""
        return self.n_scored + self.n_suspicious


class Judgement(WorkItem):
    """What the judge said about one row; unscored rows carry their reason and no number."""

    run = models.ForeignKey(QualityRun, on_delete=models.CASCADE, related_name="judgements")
    example = models.ForeignKey(Example, on_delete=models.CASCADE, related_name="judgements")
    content = models.ForeignKey(Content, on_delete=models.PROTECT, related_name="+")
    overall = models.FloatField(null=True, blank=True)
    scores: Any = models.JSONField(default=dict, blank=True)
    issues = models.JSONField(default=list, blank=True)
    # Which of domain/quality.py's KINDS the issues are; null where the judge was not asked.
    kinds: Any = models.JSONField(null=True, blank=True)
    unscored = models.CharField(max_length=300, blank=True)
    suspicious = models.BooleanField(default=False)
    reply = models.TextField(blank=True)

    class Meta(WorkItem.Meta):
        abstract = False
        constraints = [
            *getattr(WorkItem.Meta, "constraints", []),
            models.UniqueConstraint(fields=["run", "example"], name="one_judgement_a_row"),
        ]

    def __str__(self) -> str:
        return f"judgement of example {self.example_id}"
