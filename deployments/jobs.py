"""Looking at drift and at right answers as work the clock or a person may start; one item an endpoint."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

from django.utils import timezone

from deployments.domain.drift import Settings
from deployments.domain.retraining import Reason, reason_to_retrain
from deployments.jobs_replay import Replay
from deployments.models import Endpoint
from deployments.services import watching
from deployments.services.retraining import propose_retraining
from foundation.jobs.kinds import Kind, Outcome, Plan, Work
from foundation.jobs.models import Job, Shard
from foundation.teams.errors import BadInput, PortalError


class EndpointKind(Kind):
    """Work on each endpoint of a team, or on the one the recipe names by its address or id."""

    item_model = Shard
    batch_size = 1
    quiet = True
    schedulable = True

    def plan(self, job: Job, cursor: int) -> Plan:
        """One item an endpoint."""
        found = Endpoint.objects.of(job.team).current()
        wanted = job.recipe.get("endpoint")
        if wanted is not None:
            found = found.filter(**({"pk": wanted} if isinstance(wanted, int) else {"slug": str(wanted)}))
        items = [
            Shard(job=job, position=position, key=endpoint.slug[:200], payload={"endpoint": endpoint.pk})
            for position, endpoint in enumerate(found.order_by("pk")[:500])
        ]
        return Plan(items)

    def run(self, job: Job, items: Sequence[Any], work: Work) -> Iterator[Outcome]:
        """Look at each endpoint; what is found is written by `store`."""
        for item in items:
            endpoint = Endpoint.objects.for_pages().filter(pk=item.payload["endpoint"]).first()
            if endpoint is None:
                yield Outcome.skip(item, "The endpoint is gone.")
                continue
            try:
                found = self.look(job, endpoint)
            except PortalError as error:
                yield Outcome.skip(item, str(error))
                continue
            yield Outcome(item, data=found)

    def look(self, job: Job, endpoint: Endpoint) -> Any:
        """What there is to find at one endpoint."""
        raise NotImplementedError

    @staticmethod
    def hours(job: Job, default: float) -> timedelta:
        """The window of the recipe. Raises BadInput outside 1 minute to 90 days."""
        value = job.recipe.get("hours", default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 1 / 60 <= value <= 24 * 90:
            raise BadInput("“hours” is a number from 0.02 to 2,160.", field="hours")
        return timedelta(hours=value)


class CheckDrift(EndpointKind):
    """Recipe: {"hours": 24, "endpoint": address, "least_divergence": 0.01, "min_sample": 100}, all may be missing."""

    name = "deployments.check_drift"
    title = "Look for drift"

    def look(self, job: Job, endpoint: Endpoint) -> watching.DriftFound:
        """Readings of every feature."""
        given = {k: job.recipe[k] for k in ("alpha", "least_divergence", "min_sample") if k in job.recipe}
        try:
            settings = Settings(**given)
        except (TypeError, ValueError) as error:
            raise BadInput(f"The schedule's recipe cannot be used: {error}.") from None
        return watching.look_for_drift(endpoint, window=self.hours(job, 24), settings=settings)

    def store(self, job: Job, outcomes: Sequence[Outcome]) -> None:
        """Write the checks."""
        for outcome in outcomes:
            if outcome.data is not None:
                watching.keep_drift(outcome.data)


class CheckPerformance(EndpointKind):
    """Recipe: {"hours": 168, "endpoint": address, "threshold": 0.05}, all may be missing."""

    name = "deployments.check_performance"
    title = "Look at right answers"

    def look(self, job: Job, endpoint: Endpoint) -> watching.PerformanceFound:
        """Accuracy and latency against the evaluation."""
        threshold = job.recipe.get("threshold", 0.05)
        if isinstance(threshold, bool) or not isinstance(threshold, int | float) or not 0 < threshold < 1:
            raise BadInput("“threshold” is a number between 0 and 1.", field="threshold")
        return watching.look_at_performance(endpoint, window=self.hours(job, 168), threshold=float(threshold))

    def store(self, job: Job, outcomes: Sequence[Outcome]) -> None:
        """Write the checks."""
        for outcome in outcomes:
            if outcome.data is not None:
                watching.keep_performance(outcome.data)


class ProposeRetraining(EndpointKind):
    """Recipe: {"days": 30, "endpoint": address}: proposes where the served version is older (S77, periodic)."""

    name = "deployments.propose_retraining"
    title = "Propose periodic retraining"

    def look(self, job: Job, endpoint: Endpoint) -> tuple[Endpoint, Reason] | None:
        """The reason, when it is time."""
        days = job.recipe.get("days", 30)
        if isinstance(days, bool) or not isinstance(days, int) or not 1 <= days <= 3650:
            raise BadInput("“days” is a whole number from 1 to 3,650.", field="days")
        reason = reason_to_retrain(
            drift_state="",
            drift_finding="",
            performance_state="",
            performance_finding="",
            trained_at=endpoint.baseline.created_at,
            every=timedelta(days=days),
            now=timezone.now(),
        )
        return (endpoint, reason) if reason else None

    def store(self, job: Job, outcomes: Sequence[Outcome]) -> None:
        """Write the proposals; an endpoint with an open one keeps it."""
        for outcome in outcomes:
            if outcome.data is not None:
                endpoint, reason = outcome.data
                propose_retraining(actor=None, endpoint=endpoint, reason=reason.words, trigger=reason.trigger)


KINDS: list[type[Kind]] = [CheckDrift, CheckPerformance, ProposeRetraining, Replay]
