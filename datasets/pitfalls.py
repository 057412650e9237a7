"""What prepared data says about the pitfalls of fine-tuning: leakage, size and fit, quality, the split."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.urls import reverse

from datasets.models import DatasetVersion, TrainingRun
from datasets.vault import wear_of
from decisions.domain.facts import MINIMUM_EXAMPLES, RECOMMENDED_EXAMPLES
from decisions.domain.pitfalls import Sign, State
from decisions.models import UseCase
from foundation.ui.formats import grouped

QUALITY_GATE = 0.7


def signs(use_case: UseCase) -> list[Sign]:
    """What the newest frozen version and the newest training run of this use case tell. Three queries at most."""
    version = (
        DatasetVersion.objects.frozen()
        .filter(dataset__use_case=use_case)
        .select_related("dataset")
        .order_by("-pk")
        .first()
    )
    if version is None:
        return []
    run = TrainingRun.objects.succeeded().filter(use_case=use_case).order_by("-pk").first()
    found = [
        *_leakage(version, wear_of(version).n_looks),
        _size(version),
        *_quality(version),
        *_split(version),
    ]
    if run is not None and run.metrics.get("sentence"):
        state = {"bad": State.BAD, "warn": State.WARN}.get(run.metrics.get("level") or "", State.GOOD)
        found.append(
            Sign(
                2,
                state,
                f"{run}: {run.metrics['sentence']}",
                reverse("training:run-detail", args=[run.pk]),
            )
        )
    return found


def _page(version: DatasetVersion) -> str:
    return reverse("datasets:version-detail", args=[version.pk])


def _leakage(version: DatasetVersion, n_looks: int) -> list[Sign]:
    report: Mapping[str, Any] = version.report.get("leakage") or {}
    if not report:
        return []
    clean = bool(report.get("is_clean"))
    words = "no row of validation or test is in training, exactly or nearly" if clean else "rows are shared"
    found = [Sign(1, State.GOOD if clean else State.BAD, f"{version}: {words}.", _page(version))]
    if n_looks:
        found.append(
            Sign(
                1,
                State.WARN,
                f"Its test rows were opened {n_looks} time{'s' if n_looks != 1 else ''}.",
                _page(version),
            )
        )
    return found


def _size(version: DatasetVersion) -> Sign:
    n = version.n_rows
    state = State.BAD if n < MINIMUM_EXAMPLES else State.WARN if n < RECOMMENDED_EXAMPLES else State.GOOD
    return Sign(2, state, f"{version}: {grouped(n)} rows.", _page(version))


def _quality(version: DatasetVersion) -> list[Sign]:
    found = []
    review: Mapping[str, Any] = version.report.get("review") or {}
    done, total = review.get("n_done") or 0, review.get("n_total") or 0
    enough = total > 0 and done == total and done * 10 >= version.n_rows
    words = f"{grouped(done)} of {grouped(version.n_rows)} rows were reviewed by people"
    found.append(Sign(4, State.GOOD if enough else State.WARN, f"{words}.", _page(version)))
    quality: Mapping[str, Any] = version.report.get("quality") or {}
    if (average := quality.get("average")) is not None:
        state = State.GOOD if average >= QUALITY_GATE else State.BAD
        found.append(Sign(4, state, f"A model judged the quality {average:.2f} of 1.", _page(version)))
    out = (version.report.get("left_out") or {}).get("exact_duplicates")
    if out is not None:
        found.append(Sign(4, State.GOOD, f"{grouped(out)} exact duplicates were left out.", _page(version)))
    return found


def _split(version: DatasetVersion) -> list[Sign]:
    strategy, seed = version.recipe.get("strategy"), version.recipe.get("seed")
    if not strategy:
        return []
    leak: Mapping[str, Any] = version.report.get("leakage") or {}
    found = [
        Sign(
            5,
            State.GOOD,
            f"Split {strategy}, seed “{seed}”, near-duplicates kept in one part.",
            _page(version),
        )
    ]
    if leak.get("has_times") and strategy != "time" and leak.get("n_from_the_future"):
        n = grouped(leak["n_from_the_future"])
        found.append(
            Sign(
                5,
                State.WARN,
                f"{n} training rows are newer than the oldest test row; a split by time has none.",
                _page(version),
            )
        )
    return found
