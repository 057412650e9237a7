"""Endpoints: where a version is served, to whom, and with which keys."""

from __future__ import annotations

import hashlib
import re
import secrets
from datetime import timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from decisions.models import UseCase
from deployments.domain.routing import share_in_buckets
from deployments.models import Endpoint, GatewayToken, ModelVersion, TrafficChange
from deployments.models.serving import SystemPolicy, TextRetention
from deployments.services.routing import touch_routing
from foundation.jobs import schedules
from foundation.jobs.models import Schedule
from foundation.teams import audit
from foundation.teams.errors import BadInput, Conflict
from foundation.teams.models import User
from foundation.teams.presses import derived_secret

_SLUG = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,58}[a-z0-9])?")
# The gateway's own addresses stand beside the endpoints'.
RESERVED = frozenset(("livez", "readyz", "metrics", "v1", "admin", "api", "health", "static"))
EDITABLE = (
    "system_policy",
    "task",
    "text_retention",
    "text_share",
    "text_days",
    "timeout_s",
    "max_in_flight",
    "requests_per_minute",
    "daily_budget_microusd",
    "falls_back",
)
TOKEN_LIFE_DAYS_MAX = 3650
HOUR_S, DAY_S = 3600, 86_400
# Kind, name, seconds between two looks, settings, switched on. A look at too little says so and costs nothing.
DEFAULT_SCHEDULES: tuple[tuple[str, str, int, dict[str, Any], bool], ...] = (
    ("deployments.check_drift", "Look for drift", HOUR_S, {"hours": 24}, True),
    ("deployments.check_performance", "Look at right answers", DAY_S, {"hours": 168}, True),
    # Whether age alone is a reason depends on the use case.
    ("deployments.propose_retraining", "Propose periodic retraining", DAY_S, {"days": 30}, False),
)


def create_endpoint(
    *, actor: User | None, use_case: UseCase, slug: str, version: ModelVersion, **settings: Any
) -> Endpoint:
    """The saved endpoint; gateways answer on its address within a second. `settings` are any of `EDITABLE`.

    Raises: BadInput naming the field for an address or setting that cannot be used, or another use case's version.
    """
    slug = slug.strip().lower()
    if not _SLUG.fullmatch(slug) or slug in RESERVED:
        raise BadInput(
            "The address takes 1 to 60 small letters, digits and hyphens, as in support-triage.", field="slug"
        )
    if version.use_case_id != use_case.pk:
        raise BadInput("This version belongs to another use case.", field="version")
    endpoint = Endpoint(
        team_id=use_case.team_id,
        use_case=use_case,
        slug=slug,
        baseline=version,
        salt=secrets.token_hex(16),
        created_by=actor,
    )
    _put(endpoint, settings)
    check_task(endpoint.task, version)
    try:
        with transaction.atomic():
            endpoint.save(force_insert=True)
            _note_change(endpoint, actor, f"{version.label} began to serve")
            audit.record(
                actor=actor,
                team=use_case.team,
                verb="endpoint.created",
                target=endpoint,
                fields=["slug", "baseline", *settings],
            )
            watch_by_the_clock(actor=actor, endpoint=endpoint)
            touch_routing()
    except IntegrityError:
        # The address is one for all teams, so the words must not say whose it is.
        raise BadInput(f"The address “{slug}” is taken. Choose another one.", field="slug") from None
    return endpoint


def update_endpoint(*, actor: User | None, endpoint: Endpoint, **settings: Any) -> Endpoint:
    """The endpoint with new settings. Raises BadInput naming the field."""
    before = {name: getattr(endpoint, name) for name in settings}
    _put(endpoint, settings)
    if "task" in settings:
        for version in (endpoint.baseline, endpoint.candidate):
            if version is not None:
                check_task(endpoint.task, version)
    changed = [name for name in settings if getattr(endpoint, name) != before[name]]
    if changed:
        with transaction.atomic():
            endpoint.save(update_fields=changed)
            audit.record(
                actor=actor, team=endpoint.team, verb="endpoint.changed", target=endpoint, fields=changed
            )
            touch_routing()
    return endpoint


def check_task(task: str, version: ModelVersion, *, field: str = "task") -> None:
    """Raises BadInput unless a version that learnt several tasks is told which of them it serves."""
    if version.tasks and task not in version.tasks:
        known = ", ".join(f"“{name}”" for name in version.tasks)
        raise BadInput(
            f"{version.label} learnt several tasks, and the endpoint must serve one of them: {known}.",
            field=field,
        )


def _put(endpoint: Endpoint, settings: dict[str, Any]) -> None:
    for name, value in settings.items():
        if name not in EDITABLE:
            raise BadInput(f"{name} cannot be set here.", field=name)
        setattr(endpoint, name, value)
    if endpoint.system_policy not in SystemPolicy.values:
        raise BadInput("Choose what happens to a client's own system prompt.", field="system_policy")
    if endpoint.text_retention not in TextRetention.values:
        raise BadInput("Choose which text is kept.", field="text_retention")
    for name, low, high in (
        ("text_share", 0, 1),
        ("text_days", 1, 3650),
        ("timeout_s", 1, 600),
        ("max_in_flight", 1, 2000),
    ):
        if not low <= getattr(endpoint, name) <= high:
            raise BadInput(f"This must lie between {low:,} and {high:,}.", field=name)
    for name in ("requests_per_minute", "daily_budget_microusd"):
        value = getattr(endpoint, name)
        if value is not None and value < 1:
            raise BadInput("Leave this empty for no limit, or give at least 1.", field=name)


def set_split(
    *,
    actor: User | None,
    endpoint: Endpoint,
    baseline: ModelVersion,
    candidate: ModelVersion | None,
    share: float,
    reason: str,
    is_shadow: bool = False,
    new_salt: bool = False,
) -> Endpoint:
    """The endpoint with its traffic divided anew; gateways follow within two seconds of the commit.

    `share` is the candidate's part, 0 to 1. `new_salt` draws everybody anew (for a new rollout, so that not the same
    people are always first). Raises: BadInput for a share outside 0 to 1 or versions of another use case.
    """
    try:
        buckets = share_in_buckets(share)
    except ValueError:
        raise BadInput("A share of the traffic lies between 0 and 100 %.", field="share") from None
    if candidate is None:
        buckets = 0
    for version in (baseline, candidate):
        if version is not None and version.use_case_id != endpoint.use_case_id:
            raise BadInput("This version belongs to another use case.", field="candidate")
    if candidate is not None and candidate.pk == baseline.pk:
        raise BadInput("Baseline and candidate are the same version.", field="candidate")
    for field, version in (("baseline", baseline), ("candidate", candidate)):
        if version is not None:
            check_task(endpoint.task, version, field=field)
    with transaction.atomic():
        row = Endpoint.objects.select_for_update().get(pk=endpoint.pk)
        row.baseline, row.candidate, row.share_buckets = baseline, candidate, buckets
        row.is_shadow = is_shadow and candidate is not None
        if new_salt:
            row.salt = secrets.token_hex(16)
        row.save(update_fields=["baseline", "candidate", "share_buckets", "is_shadow", "salt"])
        _note_change(row, actor, reason)
        audit.record(
            actor=actor,
            team=endpoint.team,
            verb="endpoint.traffic_moved",
            target=endpoint,
            fields=["baseline", "candidate", "share"],
            note=f"{baseline.label}"
            + (f" and {candidate.label} at {share:.2%}" if candidate else "")
            + f": {reason}",
        )
        touch_routing()
    for name in ("baseline", "candidate", "share_buckets", "is_shadow", "salt"):
        setattr(endpoint, name, getattr(row, name))
    return endpoint


def switch(*, actor: User | None, endpoint: Endpoint, on: bool, reason: str) -> Endpoint:
    """The endpoint, answering or answering nobody (the kill switch). Doing it again changes nothing."""
    if not (reason := " ".join(reason.split())):
        raise BadInput("Say why, so that the others know.", field="reason")
    with transaction.atomic():
        if Endpoint.objects.filter(pk=endpoint.pk, is_on=not on).update(is_on=on):
            endpoint.is_on = on
            _note_change(endpoint, actor, reason)
            verb = "endpoint.switched_on" if on else "endpoint.switched_off"
            audit.record(
                actor=actor, team=endpoint.team, verb=verb, target=endpoint, fields=["is_on"], note=reason
            )
            touch_routing()
    endpoint.is_on = on
    return endpoint


def watch_by_the_clock(*, actor: User | None, endpoint: Endpoint) -> list[Schedule]:
    """The schedules of an endpoint, written with it: drift each hour, right answers each day, age when switched on.

    Administrators edit them like any other; what is there already stays as it is.
    """
    known = {s.kind: s for s in schedules_of(endpoint)}
    for kind, name, every_s, recipe, enabled in DEFAULT_SCHEDULES:
        if kind not in known:
            known[kind] = schedules.create_schedule(
                actor=actor,
                team=endpoint.team,
                name=f"{name} at {endpoint.slug}",
                kind=kind,
                interval_s=every_s,
                recipe={"endpoint": endpoint.slug, **recipe},
                enabled=enabled,
            )
    return list(known.values())


def schedules_of(endpoint: Endpoint) -> list[Schedule]:
    """What the clock does for this endpoint alone."""
    return list(
        Schedule.objects.filter(
            team_id=endpoint.team_id,
            kind__in=[kind for kind, *_ in DEFAULT_SCHEDULES],
            recipe__endpoint=endpoint.slug,
        )
    )


def archive_endpoint(*, actor: User | None, endpoint: Endpoint) -> None:
    """Put the endpoint away: its address answers nobody and stays taken, what it recorded stays."""
    with transaction.atomic():
        if Endpoint.objects.filter(pk=endpoint.pk, archived_at=None).update(
            archived_at=timezone.now(), is_on=False
        ):
            for schedule in schedules_of(endpoint):
                schedules.delete_schedule(actor=actor, schedule=schedule)
            audit.record(actor=actor, team=endpoint.team, verb="endpoint.archived", target=endpoint)
            touch_routing()


def _note_change(endpoint: Endpoint, actor: User | None, reason: str) -> None:
    TrafficChange.objects.create(
        team_id=endpoint.team_id,
        endpoint=endpoint,
        baseline_id=endpoint.baseline_id,
        candidate_id=endpoint.candidate_id,
        share_buckets=endpoint.share_buckets,
        is_shadow=endpoint.is_shadow,
        is_on=endpoint.is_on,
        reason=reason[:500],
        by=actor,
    )


def issue_gateway_token(
    *, actor: User, endpoint: Endpoint, name: str, days: int | None = 365, press: str = ""
) -> tuple[GatewayToken, str]:
    """The saved token and its text "ftg_<8>_<32>", which is shown once; only its hash is kept.

    `days` None never ends. A second press of the same form finds the same pair.
    Raises: BadInput for an empty name or a life outside 1 to 3,650 days, Conflict for an archived endpoint.
    """
    if not (name := " ".join(name.split())):
        raise BadInput("Say what the token is for, so that you know it again.", field="name")
    if len(name) > 100:
        raise BadInput("A token's name has 100 characters at most.", field="name")
    if days is not None and not 1 <= days <= TOKEN_LIFE_DAYS_MAX:
        raise BadInput(f"A token lives between 1 and {TOKEN_LIFE_DAYS_MAX:,} days.", field="days")
    if endpoint.archived_at is not None:
        raise Conflict("This endpoint is archived.")
    secret = derived_secret(
        user=actor, press=press, purpose=f"gateway token {endpoint.pk} {name} {days}", length=40
    )
    text = f"ftg_{secret[:8]}_{secret[8:]}"
    with transaction.atomic():
        token, is_new = GatewayToken.objects.get_or_create(
            sha256=token_digest(text),
            defaults={
                "team_id": endpoint.team_id,
                "endpoint": endpoint,
                "name": name,
                "prefix": secret[:8],
                "created_by": actor,
                "expires_at": None if days is None else timezone.now() + timedelta(days=days),
            },
        )
        if is_new:
            life = "no end" if days is None else f"{days} days"
            audit.record(
                actor=actor, team=endpoint.team, verb="gateway_token.issued", target=token, note=life
            )
            touch_routing()
    return token, text


def revoke_gateway_token(*, actor: User | None, token: GatewayToken) -> None:
    """End the token; gateways refuse it within two seconds. Doing it again changes nothing."""
    with transaction.atomic():
        if GatewayToken.objects.filter(pk=token.pk, revoked_at=None).update(revoked_at=timezone.now()):
            audit.record(actor=actor, team=token.team, verb="gateway_token.revoked", target=token)
            touch_routing()


def token_digest(text: str) -> str:
    """The hex SHA-256 that is kept of a token: 190 random bits need no slow hash."""
    return hashlib.sha256(text.encode()).hexdigest()
