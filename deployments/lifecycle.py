"""What the rail says about shipping and watching, answered in bulk."""

from __future__ import annotations

from django.db.models import Exists, OuterRef, Subquery
from django.urls import reverse

from decisions.lifecycle import Stage, StageState
from decisions.models import UseCase
from deployments.domain.canary import RolloutState
from deployments.models import Endpoint, ModelVersion, Rollout
from deployments.watched import Seen, newest_of_both
from evaluations.models import Evaluation
from foundation.ui.formats import percent


def ship_states(use_cases: list[UseCase]) -> dict[int, StageState]:
    """How shipping stands, by use case id. Three queries at most, however many use cases."""
    ids = [u.pk for u in use_cases]
    endpoints = _first_endpoints(ids)
    for use_case in use_cases:
        # Handed to Watch, which is asked next about the same rows.
        use_case._endpoint_that_speaks = endpoints.get(use_case.pk)  # type: ignore[attr-defined]
    # What is served brought its newest version along; only the rest has to be asked for.
    newest = {
        pk: ModelVersion(pk=endpoint.newest_pk, number=endpoint.newest_number)  # type: ignore[attr-defined]
        for pk, endpoint in endpoints.items()
    }
    unserved = [pk for pk in ids if pk not in endpoints]
    evaluated: set[int] = set()
    if unserved:
        done = Evaluation.objects.done().filter(use_case=OuterRef("pk")).order_by()
        for pk, last, number, name, is_evaluated in (
            UseCase.objects.filter(pk__in=unserved)
            .annotate(is_evaluated=Exists(done), **_newest_version("pk", "number", "name", of="pk"))
            .values_list("pk", "newest_pk", "newest_number", "newest_name", "is_evaluated")
        ):
            if last is not None:
                newest[pk] = ModelVersion(pk=last, number=number, name=name)
            if is_evaluated:
                evaluated.add(pk)
    rollouts = {
        rollout.endpoint.use_case_id: rollout
        for rollout in Rollout.objects.open()
        .filter(endpoint__use_case__in=list(endpoints))
        .select_related("endpoint", "candidate")
        .order_by("pk")
    }
    return {
        u.pk: _ship(u, endpoints.get(u.pk), newest.get(u.pk), rollouts.get(u.pk), u.pk in evaluated)
        for u in use_cases
    }


def _newest_version(*fields: str, of: str) -> dict[str, Subquery]:
    """Columns of the newest model version of the use case whose key stands in the column `of`, each as newest_<field>."""
    versions = ModelVersion.objects.filter(use_case=OuterRef(of)).order_by("-pk")
    return {f"newest_{field}": Subquery(versions.values(field)[:1]) for field in fields}


def _first_endpoints(ids: list[int]) -> dict[int, Endpoint]:
    """By use case: the endpoint that speaks for it, the oldest one that answers."""
    found: dict[int, Endpoint] = {}
    rows = (
        Endpoint.objects.current()
        .filter(use_case__in=ids)
        .select_related("baseline")
        .annotate(**_newest_version("pk", "number", of="use_case"))
    )
    for endpoint in rows.defer("baseline__vocabulary").order_by("-is_on", "pk"):
        found.setdefault(endpoint.use_case_id, endpoint)
    return found


def _ship(
    use_case: UseCase,
    endpoint: Endpoint | None,
    newest: ModelVersion | None,
    rollout: Rollout | None,
    is_evaluated: bool,
) -> StageState:
    slug = use_case.team.slug
    if rollout is not None:
        page = reverse("deployments:rollout-detail", args=[rollout.pk])
        words = f"{rollout.candidate.label} at {percent(rollout.planned_share, 0)} of {rollout.endpoint.slug}"
        if rollout.phase is RolloutState.PAUSED:
            return StageState("warn", f"{words}, paused: {rollout.reason}", url=page, action="Decide")
        if rollout.phase is RolloutState.SCHEDULED:
            return StageState("now", f"{rollout.candidate.label} waits for its hour", url=page)
        return StageState("now", words, url=page)
    if endpoint is not None:
        page = reverse("deployments:endpoint-detail", args=[endpoint.pk])
        if not endpoint.is_on:
            return StageState(
                "warn", f"{endpoint.slug} is switched off", url=page, action="Open the endpoint"
            )
        if newest is not None and newest.number > endpoint.baseline.number:
            plan = reverse("deployments:rollout-create", args=[endpoint.pk])
            words = f"{newest.label} is registered, {endpoint.baseline.label} answers"
            return StageState(
                "next", words, url=f"{plan}?candidate={newest.pk}", action=f"Roll {newest.label} out"
            )
        return StageState("done", f"{endpoint.baseline.label} answers at {endpoint.slug}", url=page)
    if newest is not None:
        new = reverse("deployments:endpoint-create", args=[slug])
        return StageState(
            "next",
            f"{newest.label} is registered, nothing serves it",
            url=f"{new}?version={newest.pk}",
            action="Serve it",
        )
    if is_evaluated:
        page = reverse("deployments:version-list", args=[slug])
        return StageState("next", "No model version yet", url=page, action="Register a version")
    return StageState(
        "later", "Needs an evaluated candidate", blocker="Evaluate a candidate before it is shipped."
    )


def watch_states(use_cases: list[UseCase]) -> dict[int, StageState]:
    """How watching stands, by use case id. Two queries at most, however many use cases."""
    handed = {u.pk: u.__dict__.pop("_endpoint_that_speaks", ...) for u in use_cases}
    endpoints = _first_endpoints([pk for pk, endpoint in handed.items() if endpoint is ...])
    endpoints |= {pk: endpoint for pk, endpoint in handed.items() if isinstance(endpoint, Endpoint)}
    drift, performance = newest_of_both(endpoints.values())
    return {
        u.pk: _watch(endpoint, drift.get(endpoint.pk), performance.get(endpoint.pk))
        if (endpoint := endpoints.get(u.pk))
        else StageState(
            "later", "Needs an endpoint that answers", blocker="Ship a version before watching it."
        )
        for u in use_cases
    }


def _watch(endpoint: Endpoint, drift: Seen | None, right: Seen | None) -> StageState:
    page = reverse("deployments:watch", args=[endpoint.pk])
    before = next((c for c in (drift, right) if c and c.version_id != endpoint.baseline_id), None)
    # A check of a version that no longer serves says nothing about the one that does.
    drift = drift if drift and drift.version_id == endpoint.baseline_id else None
    right = right if right and right.version_id == endpoint.baseline_id else None
    if right is not None and right.state == "degraded":
        return StageState("warn", f"Fewer answers are right: {right.finding}", url=page, action="Look at it")
    if drift is not None and drift.state == "drifted":
        return StageState("warn", f"Requests have changed: {drift.finding}", url=page, action="Look at it")
    if drift is None and right is None and before is not None:
        words = (
            f"Waits for requests to {endpoint.baseline.label}; the last look was at v{before.version_number}"
        )
        return StageState("now", words, url=page)
    if drift is None and right is None:
        return StageState("next", f"{endpoint.slug} was not looked at yet", url=page, action="Look at it")
    if right is not None and right.state == "holding":
        return StageState(
            "done", f"{percent(right.accuracy, 1)} of {right.n_judged:,} judged answers right", url=page
        )
    if drift is not None and drift.state == "steady":
        return StageState(
            "done", f"Requests look as before; {right.state if right else 'nothing'} judged", url=page
        )
    return StageState("now", "Waits for requests and feedback", url=page)


STAGES = (Stage("ship", "Ship", ship_states), Stage("watch", "Watch", watch_states))
