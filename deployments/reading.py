"""What pages ask about endpoints and their traffic: few queries, bounded rows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, OuterRef, Q, Subquery
from django.utils import timezone

from deployments.gateway.protocol import first_id_at
from deployments.models import Endpoint, Feedback, GatewayBeat, Prediction, RoutingRevision

# Figures of a page rest on this many of the newest predictions, and say so.
NEWEST = 1000
# A gateway says that it lives each 5 s; one that misses three is gone.
SEEN_WITHIN = timedelta(seconds=20)
QUIET: dict[str, Any] = {"n": 0, "n_failed": 0, "last_at": None}


@dataclass(frozen=True, slots=True)
class Traffic:
    """The newest predictions of an endpoint in figures. Shadow copies are not counted."""

    n: int
    n_failed: int
    n_fallback: int
    n_candidate: int
    p50_ms: float | None
    p95_ms: float | None
    cost_microusd: int
    n_unpriced: int
    since: datetime | None

    @property
    def failed_share(self) -> float | None:
        """Share of requests without a whole answer."""
        return self.n_failed / self.n if self.n else None

    @property
    def candidate_share(self) -> float | None:
        """Share of requests that went to the candidate."""
        return self.n_candidate / self.n if self.n else None


def traffic(endpoint: Endpoint, *, newest: int = NEWEST) -> Traffic:
    """Figures over the newest predictions: one query."""
    rows = list(
        Prediction.objects.filter(endpoint=endpoint)
        .exclude(arm="shadow")
        .newest()
        .values_list("latency_ms", "error", "is_fallback", "arm", "cost_microusd", "at")[:newest]
    )
    latencies = sorted(ms for ms, error, *_ in rows if ms is not None and not error)
    return Traffic(
        n=len(rows),
        n_failed=sum(error not in ("", "client_gone") for _, error, *_ in rows),
        n_fallback=sum(row[2] for row in rows),
        n_candidate=sum(row[3] == "candidate" for row in rows),
        p50_ms=_quantile(latencies, 0.5),
        p95_ms=_quantile(latencies, 0.95),
        cost_microusd=sum(row[4] or 0 for row in rows),
        n_unpriced=sum(row[4] is None for row in rows),
        since=rows[-1][5] if rows else None,
    )


def _quantile(ordered: list[float], share: float) -> float | None:
    # The nearest rank: a value that was really measured.
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else None


def requests_of_a_day(
    endpoints: Iterable[Endpoint], *, now: datetime | None = None
) -> dict[int, dict[str, Any]]:
    """By endpoint: requests and failures of the last 24 hours, and when the last one ever came. Two queries."""
    since = (now or timezone.now()) - timedelta(days=1)
    ids = [endpoint.pk for endpoint in endpoints]
    newest = Prediction.objects.filter(endpoint=OuterRef("pk")).newest().values("at")[:1]
    last = dict(Endpoint.objects.filter(pk__in=ids).annotate(last=Subquery(newest)).values_list("pk", "last"))
    # The key grows with time, so its index finds the day; there is none on the moment itself.
    rows = (
        Prediction.objects.filter(endpoint__in=ids, pk__gte=first_id_at(since.timestamp()))
        .exclude(arm="shadow")
        .values("endpoint_id")
        .annotate(n=Count("*"), n_failed=Count("pk", filter=~Q(error__in=["", "client_gone"])))
        .order_by("endpoint_id")
    )
    counted = {row["endpoint_id"]: row for row in rows}
    return {pk: {**QUIET, **counted.get(pk, {}), "last_at": last.get(pk)} for pk in ids}


def feedback_since(endpoint: Endpoint, since: datetime) -> int:
    """Words of feedback since a moment: one query that its index answers alone, however many came before."""
    return Feedback.objects.filter(endpoint=endpoint, pk__gte=first_id_at(since.timestamp())).count()


@dataclass(frozen=True, slots=True)
class Gateways:
    """The gateway processes that live, and what they cannot do."""

    alive: list[GatewayBeat]
    revision: int
    troubles: list[str]
    n_dropped: int

    @property
    def is_missing(self) -> bool:
        """Whether nobody answers requests."""
        return not self.alive

    @property
    def is_behind(self) -> bool:
        """Whether some gateway serves an older routing than the portal holds."""
        return any(beat.revision < self.revision for beat in self.alive)


def gateways(*, now: datetime | None = None) -> Gateways:
    """Who answers requests now: two queries."""
    since = (now or timezone.now()) - SEEN_WITHIN
    alive = list(GatewayBeat.objects.filter(seen_at__gte=since).order_by("name"))
    number = RoutingRevision.objects.values_list("number", flat=True).first() or 0
    return Gateways(
        alive=alive,
        revision=number,
        troubles=sorted({beat.trouble for beat in alive if beat.trouble}),
        n_dropped=sum(beat.dropped for beat in alive),
    )
