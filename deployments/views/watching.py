"""Pages of watching: all endpoints, one with its lines, one drift check with its histograms."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_POST

from deployments import reading
from deployments.domain.drift import Bins, FeatureDrift, strongest_change
from deployments.models import DriftCheck, Endpoint, PerformanceCheck, Reading
from deployments.services.explaining import examples_of
from deployments.watched import newest_of
from foundation.jobs.models import Schedule
from foundation.jobs.services import start_job
from foundation.teams.models import Team
from foundation.ui.charts import HistogramPair, Lines, Point, Series, histogram_pair, line_with_band
from foundation.ui.htmx import redirect, toast

CHECKS_SHOWN = 60
KINDS = ("deployments.check_drift", "deployments.check_performance")


def watch_home(request: HttpRequest, team: Team) -> HttpResponse:
    """Every endpoint with its newest checks."""
    endpoints = list(Endpoint.objects.of(team).current().for_pages()[:200])
    drift = newest_of(DriftCheck, endpoints)
    performance = newest_of(PerformanceCheck, endpoints)
    return render(
        request,
        "deployments/watch_home.html",
        {
            "rows": [(e, drift.get(e.pk), performance.get(e.pk)) for e in endpoints],
            "has_schedule": Schedule.objects.filter(team=team, kind__in=KINDS, enabled=True).exists(),
        },
    )


def watch(request: HttpRequest, endpoint: Endpoint) -> HttpResponse:
    """One endpoint: what changed, how right it is over time, every check."""
    drifts = list(endpoint.drift_checks.select_related("version")[:CHECKS_SHOWN])
    checks = list(endpoint.performance_checks.select_related("version")[:CHECKS_SHOWN])
    since = timezone.now() - timedelta(days=1)
    return render(
        request,
        "deployments/watch.html",
        {
            "endpoint": endpoint,
            "drift": drifts[0] if drifts else None,
            "performance": checks[0] if checks else None,
            "whisker_span": max(
                [0.2, *(abs(v) for c in checks[:1] for v in (c.change_low, c.change_high) if v)]
            ),
            "drifts": drifts[:20],
            "checks": checks[:20],
            "chart": _performance_chart(checks),
            "today": reading.requests_of_a_day([endpoint]).get(endpoint.pk, reading.QUIET),
            "n_feedback": reading.feedback_since(endpoint, since),
            "retraining": endpoint.retrainings.open().first(),
            "schedules": [
                s
                for s in Schedule.objects.filter(team=endpoint.team, kind__startswith="deployments.")
                if s.recipe.get("endpoint") in (None, endpoint.slug, endpoint.pk)
            ],
        },
    )


def _performance_chart(checks: list[PerformanceCheck]) -> Any:
    known = [c for c in reversed(checks) if c.accuracy is not None]
    if len(known) < 2:
        return ""
    last = known[-1]
    baseline = last.baseline.get("accuracy")
    return line_with_band(
        Lines(
            last.finding,
            [Series("Right answers", [Point(c.until, c.accuracy, c.low, c.high) for c in known])],
            unit="percent",
            sub="Share of judged answers, with 95 % intervals",
            reference=baseline,
            reference_name="in its evaluation" if baseline is not None else "",
        )
    )


@require_POST
def watch_check(request: HttpRequest, endpoint: Endpoint) -> HttpResponse:
    """Both checks, now. A second press in the same minute is the same work."""
    minute = timezone.now().strftime("%Y%m%d%H%M")
    for kind in KINDS:
        start_job(
            actor=request.user,
            team=endpoint.team,
            kind=kind,
            title=f"Watch {endpoint.slug}",
            recipe={"endpoint": endpoint.pk},
            subject=endpoint,
            url=reverse("deployments:watch", args=[endpoint.pk]),
            dedupe_key=f"{kind}:{endpoint.pk}:{minute}",
        )
    toast(request, "Looking. The result is here within some seconds.", "live")
    return redirect(request, "deployments:watch", endpoint.pk)


def drift_detail(request: HttpRequest, check: DriftCheck) -> HttpResponse:
    """One drift check, feature by feature."""
    readings = list(check.readings.all())
    examples = examples_of(readings)
    return render(
        request,
        "deployments/drift_detail.html",
        {
            "check": check,
            "readings": [{**_shown(r, check), "examples": examples[r.pk]} for r in readings],
            "n_drifted": sum(r.is_drifted for r in readings),
        },
    )


def _shown(row: Reading, check: DriftCheck) -> dict[str, Any]:
    title = row.feature.replace("_", " ").capitalize()
    tones = {"retrain_needed": ("bad", "drifted"), "monitor": ("good", "steady"), "too_few": ("", "too few")}
    tone, word = tones[row.advice]
    bins = Bins(
        row.kind,
        edges=tuple(row.bins) if row.kind == "number" else (),
        names=tuple(row.bins) if row.kind != "number" else (),
    )
    finding, chart, names = title, "", []
    if row.divergence is not None:
        change = strongest_change(
            FeatureDrift(
                row.feature,
                bins,
                tuple(row.reference_counts),
                tuple(row.current_counts),
                word_p=tuple(row.word_p),
            )
        )
        finding = change if row.is_drifted else f"{title}: as before"
    if row.kind == "number":
        chart = histogram_pair(_pair(row, bins, finding, check))
    elif row.kind == "words":
        names = _word_shares(row)
    else:
        names = _name_shares(row, bins)
    return {
        "row": row,
        "title": title,
        "finding": finding,
        "tone": tone,
        "word": word,
        "chart": chart,
        "names": names,
    }


def _pair(row: Reading, bins: Bins, finding: str, check: DriftCheck) -> HistogramPair:
    """What lies outside the reference's range gets a bin at each end, where there is something."""
    edges, before, now = list(bins.edges), list(row.reference_counts), list(row.current_counts)
    width = (edges[-1] - edges[0]) / max(1, len(edges) - 1) or 1.0
    missing = now[-1] if now else 0
    counts = [(b, n) for b, n in zip(before[:-1], now[:-1], strict=True)]
    low, inner, high = counts[0], counts[1:-1], counts[-1]
    if any(low):
        edges.insert(0, edges[0] - width)
        inner.insert(0, low)
    if any(high):
        edges.append(edges[-1] + width)
        inner.append(high)
    more = f", {missing:,} without a value" if missing else ""
    return HistogramPair(
        finding,
        edges,
        [b for b, _ in inner],
        [n for _, n in inner],
        before_name="rows it learnt from",
        after_name="requests",
        x_name=row.feature.replace("_", " "),
        sub=f"{check.n_reference:,} rows and {check.n_current:,} requests{more}; the outermost bins hold what lay outside",
    )


def _word_shares(row: Reading) -> list[dict[str, Any]]:
    *before, n_before = row.reference_counts
    *now, n_now = row.current_counts
    return [
        {"name": name, "before": x / n_before, "now": y / n_now, "n": y, "p": p}
        for name, x, y, p in zip(row.bins, before, now, row.word_p, strict=True)
    ]


def _name_shares(row: Reading, bins: Bins) -> list[dict[str, Any]]:
    a, b = sum(row.reference_counts), sum(row.current_counts)
    rows = [
        {"name": name, "before": x / a if a else None, "now": y / b if b else None, "n": y}
        for name, x, y in zip(bins.labels(), row.reference_counts, row.current_counts, strict=True)
        if x or y
    ]
    return sorted(rows, key=lambda r: -math.fabs((r["now"] or 0) - (r["before"] or 0)))[:12]
