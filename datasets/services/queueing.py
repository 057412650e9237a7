"""Planning a review: a seeded share of the rows, those that need it most, who reads them and which are read twice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from django.db import transaction
from django.db.models import F
from django.db.models.functions import Greatest
from django.urls import reverse

from datasets import bulk
from datasets.domain.quality import GATE
from datasets.domain.review import SHARE, Need, queue, sample_size, stratified_sample
from datasets.errors import NothingToDo
from datasets.models import Dataset, Example, Finding, FindingRow, Judgement, Review, ReviewItem
from datasets.policies import check_can_change
from datasets.services.gating import judgings
from datasets.vault import sealed_contents
from foundation.jobs.models import Job
from foundation.jobs.services import start_job
from foundation.teams import audit
from foundation.teams.domain.roles import Role
from foundation.teams.errors import BadInput
from foundation.teams.models import Membership, User

_ITEM = (
    "review_id", "example_id", "position", "need", "in_sample", "is_double", "is_adjudicated", "assignee_id", "second_id",
    "verdict", "reason", "reviewer_name",
)  # fmt: skip
KIND = "datasets.review"
# A sample is drawn from all rows; of more than this that is a job.
ROWS_AT_ONCE = 5000
ROWS_A_BEAT = 5000
SEALED_AT_ONCE = 500
ITEMS_A_BEAT = 8000
MOST_NEEDED = 100
# They stand first in a queue, so its summary finds them there.
NEEDED_AT_MOST = 10_000
# Findings that say two rows contradict each other, or that a label is likely wrong.
DISAGREEING = ("conflict", "label_noise")
# Findings about the dataset as a whole, or that a fix settles for every row at once.
NOT_BY_ROW = ("imbalance", "one_label", "thin_label", "exact_duplicate", "loose_duplicate", "near_duplicate")


def press_review(
    *,
    actor: User | None,
    dataset: Dataset,
    share: float = SHARE,
    seed: str = "",
    most_needed: int = 0,
    double_share: float = 0.0,
    readers: Sequence[User] = (),
) -> Review | Job:
    """The queue, or over many rows the job that makes it. Two presses are one. Raises as `plan_review` does."""
    check_can_change(dataset)
    given: dict[str, Any] = {
        "share": share,
        "seed": seed,
        "most_needed": most_needed,
        "double_share": double_share,
    }
    if dataset.n_active <= ROWS_AT_ONCE:
        return plan_review(actor=actor, dataset=dataset, readers=readers, **given)
    if (standing := _standing(dataset)) is not None:
        return standing
    _check(dataset, share=share, most_needed=most_needed, double_share=double_share, readers=readers)
    n_before = Review.objects.planned().filter(dataset=dataset).count()
    return start_job(
        actor=actor,
        team=dataset.team,
        kind=KIND,
        title=f"Plan a review of {dataset.name}",
        recipe={"dataset": dataset.pk, **given, "readers": [reader.pk for reader in readers]},
        subject=dataset,
        url=reverse("datasets:dataset-detail", args=[dataset.pk]),
        dedupe_key=f"review:{dataset.pk}:{n_before}",
    )


def plan_review(
    *,
    actor: User | None,
    dataset: Dataset,
    share: float = SHARE,
    seed: str = "",
    most_needed: int = 0,
    double_share: float = 0.0,
    readers: Sequence[User] = (),
    beat: Callable[[str], None] = lambda step: None,
) -> Review:
    """A queue of the rows that need a look and a seeded, stratified share of all. An unfinished one is returned as it is.

    Sealed test rows are left out. `beat` is told each step and may raise to stop: then nobody sees a queue.
    Raises: BadInput for shares outside their bounds or readers who may not edit, NothingToDo without rows.
    """
    check_can_change(dataset)
    if (standing := _standing(dataset)) is not None:
        return standing
    _check(dataset, share=share, most_needed=most_needed, double_share=double_share, readers=readers)
    sealed = sealed_contents(dataset)
    keys: list[int] = []
    digests: list[bytes] = []
    labels: list[str] = []
    rows = Example.objects.filter(dataset=dataset).active().order_by("id")
    columns = rows.values_list("id", "content__digest", "label", "content_id")
    last = 0
    # Block by block: `beat` writes, and SQLite refuses a write beside a cursor whose snapshot is older than another's.
    while block := list(columns.filter(id__gt=last)[:ROWS_A_BEAT]):
        beat("Reading rows")
        last = block[-1][0]
        for key, hashed, label, content in block:
            if content in sealed:
                continue
            keys.append(key)
            digests.append(bytes(hashed))
            labels.append(label)
    beat("Drawing the sample")
    seed = seed or f"review-{dataset.pk}-{dataset.revision}"
    place = {key: i for i, key in enumerate(keys)}
    size = sample_size(len(keys), share)
    places = queue(
        stratified_sample(digests, labels, size=size, seed=seed),
        [(place[key], need) for key, need in needed(dataset, most_needed) if key in place],
        most_needed=most_needed,
        double_share=double_share,
        readers=[reader.pk for reader in readers],
    )
    if not places:
        raise NothingToDo("There are no rows to review yet. Import a file first.")
    with transaction.atomic():
        review = Review.objects.create(
            team=dataset.team,
            dataset=dataset,
            share=share,
            seed=seed,
            created_by=actor,
            n_sample=size,
            n_double=sum(p.is_double for p in places),
        )
    items = [
        (
            review.pk, keys[p.index], position, p.need, p.in_sample, p.is_double, False, p.assignee, p.second,
            "", "", "",
        )
        for position, p in enumerate(places, 1)
    ]  # fmt: skip
    for part in bulk.chunks(items, ITEMS_A_BEAT):
        beat("Writing the queue")
        bulk.insert_in_chunks(ReviewItem, _ITEM, part)
    with transaction.atomic():
        # Only now does anybody see a queue with rows in it.
        Review.objects.filter(pk=review.pk).update(n_total=len(places))
        audit.record(
            actor=actor, team=dataset.team, verb="review.planned", target=review, note=f"{len(places)} rows"
        )
    review.refresh_from_db()
    return review


def take_sealed_out(*, actor: User | None, dataset: Dataset) -> int:
    """Rows of the queue that a freeze sealed before anybody judged them leave it, else it could never be finished.

    Returns how many rows. Safe to repeat.
    """
    review = _standing(dataset)
    if review is None:
        return 0
    n_gone = last = 0
    waiting = review.items.filter(verdict="").order_by("position")
    columns = waiting.values_list("id", "position", "example__content_id")
    while part := list(columns.filter(position__gt=last)[:SEALED_AT_ONCE]):
        last = part[-1][1]
        sealed = sealed_contents(dataset, [content for _, _, content in part])
        leaving = [key for key, _, content in part if content in sealed]
        if not leaving:
            continue
        with transaction.atomic():
            unjudged = ReviewItem.objects.filter(pk__in=leaving, verdict="")
            held = list(unjudged.select_for_update(of=("self",)).values_list("id", "is_double", "in_sample"))
            ReviewItem.objects.filter(pk__in=[row[0] for row in held]).delete()
            Review.objects.filter(pk=review.pk).update(
                n_total=F("n_total") - len(held),
                n_double=Greatest(F("n_double") - sum(row[1] for row in held), 0),
                n_sample=Greatest(F("n_sample") - sum(row[2] for row in held), 0),
            )
            audit.record(
                actor=actor,
                team=dataset.team,
                verb="review.sealed_rows_left",
                target=review,
                note=f"{len(held)} rows",
            )
        n_gone += len(held)
    return n_gone


def forget_unplanned(dataset: Dataset) -> None:
    """Remove what a planning left that was stopped half-way; nobody has seen it."""
    for review in Review.objects.filter(dataset=dataset, n_total=0):
        while keys := list(ReviewItem.objects.filter(review=review).values_list("id", flat=True)[:500]):
            ReviewItem.objects.filter(pk__in=keys).delete()
        review.delete()


def _standing(dataset: Dataset) -> Review | None:
    """The queue that people work on now."""
    standing = Review.objects.planned().filter(dataset=dataset).order_by("-id").first()
    return standing if standing is not None and not standing.is_finished else None


def _check(
    dataset: Dataset, *, share: float, most_needed: int, double_share: float, readers: Sequence[User]
) -> None:
    """Raises BadInput naming the field, before any row is read."""
    try:
        sample_size(dataset.n_active, share)
        queue([], [], most_needed=0, double_share=double_share, readers=[reader.pk for reader in readers])
    except ValueError as error:
        field = "double_share" if "twice" in str(error) else "share"
        raise BadInput(str(error), field=field) from None
    if readers:
        may = Membership.objects.filter(team=dataset.team, user__in=readers, role__gte=Role.EDITOR).count()
        if may < len({reader.pk for reader in readers}):
            raise BadInput("Readers must be editors of the team.", field="readers")
    if double_share and not readers and _n_editors(dataset) < 2:
        raise BadInput(
            "Reading twice needs two editors in the team. Invite another one first.", field="double_share"
        )
    if not 0 <= most_needed <= NEEDED_AT_MOST:
        raise BadInput(f"From 0 to {NEEDED_AT_MOST:,} needy rows are taken.", field="most_needed")


def needed(dataset: Dataset, most: int) -> list[tuple[int, str]]:
    """Examples that need a look, the neediest first: contradictions, weak scores (lowest first), other findings."""
    if not most:
        return []
    found: list[tuple[int, str]] = []
    open_ones = Finding.objects.filter(run=dataset.checks_id).unmended()
    of_checks = FindingRow.objects.filter(finding__in=list(open_ones.values_list("pk", flat=True)))
    clashing = of_checks.filter(finding__rule__in=DISAGREEING).order_by("finding_id", "cluster", "id")
    found += [(key, Need.DISAGREEMENT.value) for key in clashing.values_list("example_id", flat=True)[:most]]
    # The judging at the gate, and the newer one of rows a person mended; of texts as they are now.
    runs = [run.pk for run in judgings(dataset) if run is not None]
    if runs:
        weak = Judgement.objects.filter(
            run__in=runs, overall__lt=GATE, content_id=F("example__content_id")
        ).order_by("overall", "id")
        found += [(key, Need.LOW_SCORE.value) for key in weak.values_list("example_id", flat=True)[:most]]
    others = of_checks.exclude(finding__rule__in=[*DISAGREEING, *NOT_BY_ROW]).exclude(
        finding__severity="note"
    )
    found += [
        (key, Need.FINDING.value)
        for key in others.order_by("finding__severity", "finding_id", "id").values_list(
            "example_id", flat=True
        )[:most]
    ]
    return found


def editors_of(dataset: Dataset) -> list[User]:
    """Who may review: the team's editors and above, by name."""
    members = Membership.objects.filter(team=dataset.team, role__gte=Role.EDITOR).select_related("user")
    return sorted((member.user for member in members), key=str)


def _n_editors(dataset: Dataset) -> int:
    return Membership.objects.filter(team=dataset.team, role__gte=Role.EDITOR).count()
