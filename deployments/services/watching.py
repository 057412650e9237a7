"""Watching what is served: drift against the rows a version learnt from, right answers against its evaluation."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import orjson
from django.db import transaction
from django.db.models import QuerySet, TextField
from django.db.models.functions import Cast
from django.urls import reverse
from django.utils import timezone

from datasets.models import DatasetVersion, FoldAnswer
from datasets.reading import version_rows
from deployments.domain import drift, performance
from deployments.domain.drift import Bins, FeatureDrift, Settings
from deployments.domain.features import Vocabulary, features_of
from deployments.domain.performance import Lately, Verdict
from deployments.domain.routing import Arm
from deployments.domain.sequential import Count
from deployments.models import (
    DriftCheck,
    DriftReference,
    Endpoint,
    Feedback,
    ModelVersion,
    PerformanceCheck,
    Prediction,
    Reading,
)
from deployments.services import explaining
from deployments.services.measuring import first_id_at, judgements
from evaluations.models import Evaluation, Result
from foundation.teams.errors import Conflict
from foundation.teams.notices import notify

# The newest requests a check looks at; a hundred thousand take a second.
MOST = 100_000
# Rows a reference is made of.
REFERENCE_ROWS = 20_000
WINDOW = timedelta(days=1)


# -- drift -----------------------------------------------------------------------------------------------------


def reference_of(version: ModelVersion) -> DriftReference:
    """How the version's rows look, made once and kept. Raises Conflict when it knows no rows.

    Validation rows, because their words are as new to the vocabulary as traffic's are; training rows when there are
    none. What was answered is taken from the version's evaluation, since a model does not answer as its rows do. A
    final model after a cross-validation learnt from its validation rows: the models of the folds answered for it.
    """
    if found := DriftReference.objects.filter(version=version).first():
        return found
    version = ModelVersion.objects.for_pages().get(pk=version.pk)
    evaluation = (
        Evaluation.objects.done()
        .filter(candidate_id=version.candidate_id, split="validation")
        .select_related("version")
        .order_by("-pk")
        .first()
    )
    rows_of = version.candidate.version or (evaluation.version if evaluation else None)
    if rows_of is None:
        raise Conflict(
            f"{version.label} learnt from no rows and was evaluated on none: nothing to compare with."
        )
    columns, source = _columns(version, rows_of)
    answered = _answered(evaluation)
    run = version.candidate.training_run
    if not answered and run is not None and run.cross_validation_id is not None:
        answered = _answered_out_of_fold(run.cross_validation_id, is_labelled="label" in columns)
        if answered:
            source += f", answers of {run.cross_validation}"
    columns.pop("label", None)
    columns.pop("answer_characters", None)
    columns |= answered
    features = {}
    for name, values in columns.items():
        if not any(value is not None for value in values):
            continue
        bins = drift.bins_of(values)
        features[name] = {
            "kind": bins.kind,
            "bins": list(bins.edges or bins.names),
            "counts": bins.count(values).tolist(),
        }
    n = max((len(values) for values in columns.values()), default=0)
    found, _ = DriftReference.objects.get_or_create(
        version=version,
        defaults={"team_id": version.team_id, "features": features, "n": n, "source": source[:200]},
    )
    return found


def _columns(version: ModelVersion, rows_of: DatasetVersion) -> tuple[dict[str, list[Any]], str]:
    split = "validation" if rows_of.n_validation else "train"
    vocabulary = Vocabulary.from_text(version.vocabulary) if version.vocabulary else None
    columns: dict[str, list[Any]] = {}
    for n, row in enumerate(version_rows(rows_of, split)):
        if n >= REFERENCE_ROWS:
            break
        found = features_of(row.prompt, answer=row.completion, label=row.label, vocabulary=vocabulary)
        for name, value in found.items():
            columns.setdefault(name, []).append(value)
    return columns, f"{split} rows of {rows_of}"


def _answered(evaluation: Evaluation | None) -> dict[str, list[Any]]:
    if evaluation is None:
        return {}
    rows = list(
        Result.objects.filter(evaluation=evaluation)
        .exclude(output="")
        .values_list("predicted", "output")[:REFERENCE_ROWS]
    )
    labels = [predicted for predicted, _ in rows if predicted]
    if labels:
        return {"label": labels}
    return {"answer_characters": [len(output) for _, output in rows]} if rows else {}


def _answered_out_of_fold(cross_validation_id: int, *, is_labelled: bool) -> dict[str, list[Any]]:
    said = (
        FoldAnswer.objects.filter(cross_validation=cross_validation_id).exclude(predicted="").order_by("row")
    )
    answers = list(said.values_list("predicted", flat=True)[:REFERENCE_ROWS])
    if not answers:
        return {}
    return {"label": answers} if is_labelled else {"answer_characters": [len(answer) for answer in answers]}


@dataclass(frozen=True, slots=True)
class DriftFound:
    """What a look at drift found, before it is written."""

    endpoint: Endpoint
    version: ModelVersion
    since: datetime
    until: datetime
    n_reference: int
    n_current: int
    seed: int
    settings: Settings
    readings: list[FeatureDrift]
    state: str
    finding: str
    # By feature: where examples of what moved are found.
    samples: Mapping[str, dict[str, list[Any]]] = field(default_factory=dict)


def look_for_drift(
    endpoint: Endpoint,
    *,
    now: datetime | None = None,
    window: timedelta = WINDOW,
    settings: Settings | None = None,
) -> DriftFound:
    """The requests of the window against the rows of the version that serves. Writes only the kept reference.

    Raises: Conflict when the version knows no rows.
    """
    now, settings = now or timezone.now(), settings or Settings()
    version = endpoint.baseline
    reference = reference_of(version)
    since = begins_at(endpoint, version, now - window)
    requests = _requests(endpoint, version, since, now)
    # As text and through orjson: the field's own decoder takes twice the time of everything else.
    texts = requests.annotate(text=Cast("features", TextField()))
    rows = [orjson.loads(text) for text in texts.values_list("text", flat=True)[:MOST]]
    known = {
        name: (
            Bins(
                stored["kind"],
                edges=tuple(stored["bins"]) if stored["kind"] == "number" else (),
                names=tuple(stored["bins"]) if stored["kind"] == "name" else (),
            ),
            stored["counts"],
        )
        for name, stored in reference.features.items()
    }
    current: Mapping[str, list[Any]] = {name: [row.get(name) for row in rows] for name in known}
    seed = zlib.crc32(f"{endpoint.pk}:{version.pk}:{now.isoformat()}".encode())
    rows_of = version.candidate.version
    wording = explaining.wording_of(rows_of, requests, settings=settings, seed=seed)
    readings = drift.read_drift(
        known, current, settings=settings, seed=seed, more=[wording] if wording else []
    )
    state, finding = drift.tell(readings, n_current=len(rows), min_sample=settings.min_sample)
    samples = {
        r.feature: explaining.samples_of(r, requests, version, rows_of) for r in readings if r.is_drifted
    }
    return DriftFound(
        endpoint,
        version,
        since,
        now,
        reference.n,
        len(rows),
        seed,
        settings,
        readings,
        state,
        finding,
        samples,
    )


def begins_at(endpoint: Endpoint, version: ModelVersion, since: datetime) -> datetime:
    """When watching begins: `since`, or when the version took over from another, if that came later.

    Until then its rollout watched it, with guardrails of its own.
    """
    changes = endpoint.traffic_changes.order_by("-pk")
    other = changes.exclude(baseline=version).first()
    if other is None:
        return since
    took_over = endpoint.traffic_changes.filter(pk__gt=other.pk).order_by("pk").first()
    return max(since, took_over.at) if took_over else since


def _requests(
    endpoint: Endpoint, version: ModelVersion, since: datetime, now: datetime
) -> QuerySet[Prediction]:
    return (
        Prediction.objects.filter(
            endpoint=endpoint, version=version, pk__gte=first_id_at(since), at__gte=since, at__lte=now
        )
        .exclude(arm=Arm.SHADOW)
        .newest()
    )


def keep_drift(found: DriftFound) -> DriftCheck:
    """The saved check with its readings. The team is told when it drifts and did not before."""
    before = DriftCheck.objects.filter(endpoint=found.endpoint).exclude(state="too few").first()
    with transaction.atomic():
        check = DriftCheck.objects.create(
            team_id=found.endpoint.team_id,
            endpoint=found.endpoint,
            version=found.version,
            since=found.since,
            until=found.until,
            n_reference=found.n_reference,
            n_current=found.n_current,
            seed=found.seed,
            settings=found.settings.as_dict(),
            state=found.state,
            finding=found.finding,
        )
        Reading.objects.bulk_create(
            Reading(
                team_id=check.team_id,
                check_of=check,
                feature=r.feature,
                kind=r.bins.kind,
                bins=list(r.bins.edges or r.bins.names),
                reference_counts=list(r.reference_counts),
                current_counts=list(r.current_counts),
                divergence=r.divergence,
                threshold=r.threshold,
                p_value=r.p_value,
                p_adjusted=r.p_adjusted,
                is_drifted=r.is_drifted,
                advice=r.advice,
                word_p=list(r.word_p),
                samples=found.samples.get(r.feature, {}),
            )
            for r in found.readings
        )
        if check.state == "drifted" and (
            before is None or before.state != "drifted" or before.version_id != check.version_id
        ):
            _alert(found.endpoint, "Requests have changed", found.finding, "drift-detail", check.pk)
    return check


def _alert(endpoint: Endpoint, what: str, finding: str, page: str, pk: int) -> None:
    notify(
        team=endpoint.team,
        users=None,
        title=f"{what} at {endpoint.slug}",
        body=finding,
        url=reverse(f"deployments:{page}", args=[pk]),
    )


# -- performance -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PerformanceFound:
    """What a look at right answers found, before it is written."""

    endpoint: Endpoint
    version: ModelVersion
    since: datetime
    until: datetime
    n_requests: int
    lately: Lately
    baseline: dict[str, Any]
    verdict: Verdict
    threshold: float


def look_at_performance(
    endpoint: Endpoint,
    *,
    now: datetime | None = None,
    window: timedelta = timedelta(days=7),
    threshold: float = performance.THRESHOLD,
) -> PerformanceFound:
    """The judged answers of the window against the evaluation the version was registered with. Writes nothing."""
    now = now or timezone.now()
    version = endpoint.baseline
    since = begins_at(endpoint, version, now - window)
    rows = list(
        _requests(endpoint, version, since, now)
        .filter(is_fallback=False)
        .values_list("pk", "latency_ms", "error")[:MOST]
    )
    ids = {pk for pk, *_ in rows}
    feedback = (
        Feedback.objects.filter(endpoint=endpoint, pk__gte=first_id_at(since), at__lte=now)
        .order_by("pk")
        .values_list("prediction_id", "is_correct", "label", "prediction__predicted")
    )
    right = {pk: said for pk, said in judgements(feedback).items() if pk in ids}
    latencies = sorted(ms for _, ms, error in rows if ms is not None and not error)
    lately = Lately(
        Count(len(right), sum(right.values())), _quantile(latencies, 0.5), _quantile(latencies, 0.95)
    )
    baseline = baseline_of(version)
    count = Count(baseline["n"], baseline["right"]) if baseline else None
    verdict = performance.judge(
        lately, count, threshold=threshold, baseline_ms=(baseline or {}).get("latency_ms")
    )
    return PerformanceFound(
        endpoint, version, since, now, len(rows), lately, baseline or {}, verdict, threshold
    )


def _quantile(ordered: list[float], share: float) -> float | None:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else None


def baseline_of(version: ModelVersion) -> dict[str, Any] | None:
    """The evaluation it was registered with, as a count of right rows; None when it has none.

    A score that is not a share of rows (macro F1, a judge's mean) is read as one, which its source says.
    """
    best = version.best_evaluation
    if not best or best.get("score") is None or not best.get("n"):
        return None
    figures = best.get("figures") or {}
    return {
        "accuracy": best["score"],
        "low": best.get("low"),
        "high": best.get("high"),
        "n": best["n"],
        "right": round(best["score"] * best["n"]),
        "source": f"{best.get('scorer', '')} on {best['split']} rows of {best['dataset_version']}".strip(),
        "latency_ms": figures.get("latency_p50"),
        "evaluation": best.get("id"),
    }


def keep_performance(found: PerformanceFound) -> PerformanceCheck:
    """The saved check. The team is told when it degraded and had not before."""
    before = PerformanceCheck.objects.filter(endpoint=found.endpoint).exclude(state="too few").first()
    v = found.verdict
    with transaction.atomic():
        check = PerformanceCheck.objects.create(
            team_id=found.endpoint.team_id,
            endpoint=found.endpoint,
            version=found.version,
            since=found.since,
            until=found.until,
            n_requests=found.n_requests,
            n_judged=found.lately.judged.n,
            accuracy=v.accuracy,
            low=v.low,
            high=v.high,
            baseline=found.baseline,
            change=v.change,
            change_low=v.change_low,
            change_high=v.change_high,
            relative_drop=v.relative_drop,
            p50_ms=found.lately.p50_ms,
            p95_ms=found.lately.p95_ms,
            threshold=found.threshold,
            state=v.state,
            advice=v.advice,
            finding=v.finding,
        )
        if check.state == "degraded" and (
            before is None or before.state != "degraded" or before.version_id != check.version_id
        ):
            notify(
                team=found.endpoint.team,
                users=None,
                title=f"Fewer answers are right at {found.endpoint.slug}",
                body=v.finding,
                url=reverse("deployments:watch", args=[found.endpoint.pk]),
            )
    return check
