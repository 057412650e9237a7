"""The routing snapshot from the database. Runs in a thread of the gateway, never on the way of a request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from django.conf import settings
from django.utils import timezone

from deployments.gateway import routes
from deployments.models import Endpoint, GatewayToken, ModelVersion, RoutingRevision
from foundation.files import store
from foundation.files.errors import FileMissing
from foundation.llm import catalogue
from foundation.llm.errors import NoConnection, NoPrice
from foundation.llm.models import Connection, bound_host
from foundation.llm.vault import unseal


def revision() -> tuple[str, int]:
    """Epoch and number of the routing as it stands: one small query."""
    return RoutingRevision.objects.order_by("pk").values_list("epoch", "number").first() or ("", 0)


def build() -> dict[str, Any]:
    """The document of everything that is served now. Keys stand in it as ciphertext only."""
    # The number is read first: a change that comes in between is found again by the next look.
    epoch, number = revision()
    endpoints = list(Endpoint.objects.current().order_by("pk"))
    wanted = {v for e in endpoints for v in (e.baseline_id, e.candidate_id) if v is not None}
    versions = ModelVersion.objects.for_serving().filter(pk__in=wanted).order_by("pk")
    tokens = GatewayToken.objects.live(timezone.now()).filter(endpoint__in=endpoints).order_by("pk")
    body = {
        "endpoints": [_endpoint(e) for e in endpoints],
        "versions": [_version(v) for v in versions],
        "tokens": [
            {
                "sha256": t.sha256,
                "endpoint": t.endpoint_id,
                "expires_at": t.expires_at.timestamp() if t.expires_at else None,
            }
            for t in tokens
        ],
    }
    return routes.document(body, epoch=epoch, number=number)


def _endpoint(e: Endpoint) -> dict[str, Any]:
    return {
        "id": e.pk,
        "team": e.team_id,
        "slug": e.slug,
        "salt": e.salt,
        "baseline": e.baseline_id,
        "candidate": e.candidate_id,
        "share": e.share_buckets,
        "is_shadow": e.is_shadow,
        "is_on": e.is_on,
        "system_policy": e.system_policy,
        "task": e.task,
        "falls_back": e.falls_back,
        "text_retention": e.text_retention,
        "text_share": e.text_share,
        "text_days": e.text_days,
        "timeout_s": e.timeout_s,
        "max_in_flight": e.max_in_flight,
        "requests_per_minute": e.requests_per_minute,
        "has_budget": e.daily_budget_microusd is not None,
    }


def _version(v: ModelVersion) -> dict[str, Any]:
    candidate = v.candidate
    connection: Connection | None = candidate.connection
    is_local = candidate.model_id.startswith("local:")
    params = candidate.params or {}
    return {
        "id": v.pk,
        "label": v.label,
        "provider": "local" if is_local else (connection.provider if connection else "none"),
        "model": candidate.model_id,
        "system": candidate.system,
        "few_shot": few_shot_messages(candidate.few_shot or []),
        "max_tokens": params.get("max_tokens"),
        "output_config": {"effort": params["effort"]} if params.get("effort") else {},
        "labels": list(v.use_case.task.label_names) if v.use_case.task_kind == "classify" else [],
        "artefact": _artefact(v) if is_local else "",
        "base_url": connection.url if connection and not is_local else "",
        "key_ciphertext": connection.key_ciphertext if connection and not is_local else "",
        "key_from_environment": bool(connection and connection.from_environment and not is_local),
        "is_enabled": bool(is_local or (connection and connection.enabled)),
        "prices": [] if is_local else _prices(candidate.model_id),
        "vocabulary": v.vocabulary,
        "tasks": v.tasks,
    }


def few_shot_messages(rows: list[dict[str, Any]]) -> list[dict[str, str]]:
    """The candidate's examples as turns of a conversation."""
    return [
        turn
        for row in rows
        for turn in (
            {"role": "user", "content": row["prompt"]},
            {"role": "assistant", "content": row["completion"]},
        )
    ]


def _artefact(v: ModelVersion) -> str:
    if v.candidate.artefact is None:
        return ""
    try:
        return str(store.path(v.candidate.artefact))
    except FileMissing:
        return ""


def _prices(model: str) -> list[dict[str, Any]]:
    try:
        tiers = catalogue.price(model).tiers
    except NoPrice:
        return []
    return [{**asdict(tier), "effective_from": tier.effective_from.isoformat()} for tier in tiers]


def open_key(version: Mapping[str, Any]) -> str:
    """The provider key of a version in the snapshot, for memory only. Raises NoConnection with a sentence."""
    if not version["is_enabled"]:
        raise NoConnection("The connection of this version is switched off.")
    if version["key_from_environment"]:
        if not settings.ANTHROPIC_API_KEY:
            raise NoConnection("ANTHROPIC_API_KEY is not set where the gateway runs.")
        if bound_host(version["base_url"]) != bound_host(settings.ANTHROPIC_BASE_URL):
            # Routes from the disk of an earlier run must not carry today's key to yesterday's host.
            raise NoConnection("ANTHROPIC_BASE_URL has changed since these routes were made.")
        return settings.ANTHROPIC_API_KEY
    if not version["key_ciphertext"]:
        raise NoConnection("The connection of this version has no key.")
    return unseal(version["key_ciphertext"], host=bound_host(version["base_url"]))
