"""The Prepare stage of every use case, answered in bulk."""

from __future__ import annotations

from django.db.models import Exists, OuterRef
from django.urls import reverse

from datasets.domain.review import covers
from datasets.domain.statuses import ImportState
from datasets.models import Dataset, DatasetVersion, Import, Review
from datasets.reading import remember_frozen
from decisions.lifecycle import Stage, StageState
from decisions.models import UseCase
from foundation.ui.formats import grouped


def states(use_cases: list[UseCase]) -> dict[int, StageState]:
    """How preparing stands, by use case id. Three queries at most, however many use cases."""
    by_use_case: dict[int, list[Dataset]] = {use_case.pk: [] for use_case in use_cases}
    datasets = (
        Dataset.objects.filter(use_case__in=by_use_case)
        .select_related("checks")
        .annotate(is_reading=Exists(Import.objects.filter(dataset=OuterRef("pk"), state=ImportState.RUNNING)))
        .order_by("id")
    )
    put_away: dict[int, list[int]] = {}
    for dataset in datasets:
        if dataset.archived_at is None:
            by_use_case[dataset.use_case_id].append(dataset)
        else:
            put_away.setdefault(dataset.use_case_id, []).append(dataset.pk)
    ids = [dataset.pk for group in by_use_case.values() for dataset in group]
    versions: dict[int, DatasetVersion] = {}
    frozen: dict[int, int] = {}
    archived = [pk for group in put_away.values() for pk in group]
    by_number = DatasetVersion.objects.filter(dataset__in=[*ids, *archived]).order_by("number")
    for version in by_number.only("dataset_id", "number", "state", "n_rows", "n_test"):
        if version.is_frozen or version.state == "building":
            versions[version.dataset_id] = version
        if version.is_frozen:
            frozen[version.dataset_id] = version.pk
    for use_case in use_cases:
        # Of a dataset put away only where no other has one. Told also where there is none: others need not ask.
        here = [frozen[d.pk] for d in by_use_case[use_case.pk] if d.pk in frozen]
        away = [frozen[pk] for pk in put_away.get(use_case.pk, ()) if pk in frozen]
        remember_frozen(use_case, max(here or away, default=None))
    # A frozen version speaks for its dataset, so only the others' reviews are asked for.
    open_ids = [pk for pk in ids if pk not in versions]
    reviews = {r.dataset_id: r for r in Review.objects.planned().filter(dataset__in=open_ids).order_by("id")}
    return {
        use_case.pk: _state(use_case, by_use_case[use_case.pk], versions, reviews) for use_case in use_cases
    }


def _state(
    use_case: UseCase,
    datasets: list[Dataset],
    versions: dict[int, DatasetVersion],
    reviews: dict[int, Review],
) -> StageState:
    if not datasets:
        url = f"{reverse('datasets:dataset-create', args=[use_case.team.slug])}?use_case={use_case.pk}"
        return StageState("next", "No rows yet", url=url, action="Bring in rows")
    # The dataset that got furthest speaks for the use case; the newest among equals.
    dataset = max(datasets, key=lambda d: (d.pk in versions, d.n_active > 0, d.pk))
    page = reverse("datasets:dataset-detail", args=[dataset.pk])
    version = versions.get(dataset.pk)
    rows = f"{grouped(dataset.n_active)} rows"
    if dataset.is_reading:  # type: ignore[attr-defined]
        return StageState("now", "A file is being read", url=page)
    if version is not None and version.is_frozen:
        words = f"Version {version.number} frozen: {grouped(version.n_rows)} rows, {grouped(version.n_test)} for the test"
        return StageState("done", words, url=reverse("datasets:version-detail", args=[version.pk]))
    if version is not None:
        return StageState("now", f"Version {version.number} is being frozen", url=page)
    if not dataset.n_active:
        url = reverse("datasets:import-create", args=[dataset.pk])
        return StageState("next", "No rows yet", url=url, action="Import a file")
    if dataset.checks is None:
        return StageState("now", f"{rows}, not checked yet", url=page)
    review = reviews.get(dataset.pk)
    if review is None or not review.n_total:
        return StageState(
            "next", f"{rows} checked; nobody looked at a sample", url=page, action="Review a sample"
        )
    if not review.is_finished:
        url = reverse("datasets:review-detail", args=[review.pk])
        left = f"{grouped(review.n_left)} of {grouped(review.n_total)} rows left to review"
        return StageState("next", left, url=url, action="Go on reviewing")
    # A dataset without a version has no sealed rows: the sample is of all of them.
    if not covers(review.n_drawn, dataset.n_active):
        words = f"{rows} checked; the review took {grouped(review.n_drawn)}, too few for them"
        return StageState("next", words, url=page, action="Review a new sample")
    url = reverse("datasets:version-create", args=[dataset.pk])
    return StageState("next", f"{rows} checked and reviewed", url=url, action="Freeze a version")


PREPARE = Stage("prepare", "Prepare", states)
