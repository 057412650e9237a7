"""Sending known rows through an endpoint as real HTTP requests, and what is known of the answers as feedback.

A running gateway answers where there is one. Otherwise the gateway's own application answers on a loopback port for
as long as the rows take, with the same routes, and its recorder writes the same rows.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import time
import urllib.error
import urllib.request
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import uvicorn
from django.conf import settings

from datasets.domain.pii import mask_pii
from deployments import reading
from deployments.gateway import publishing, routes
from deployments.gateway.app import Gateway
from deployments.gateway.budgets import Budgets, purse
from deployments.gateway.leasing import leased
from deployments.gateway.recorder import Recorder, Spill
from deployments.gateway.writing import write
from deployments.models import Endpoint, Feedback, Prediction
from foundation.jobs.concurrent import run_apart
from foundation.teams.errors import Conflict

AT_ONCE = 4
# A gateway follows a new token within a second; one that needs ten is not there.
PATIENCE_S = 10.0
MAX_TOKENS = 512


@dataclass(frozen=True, slots=True)
class Asked:
    """One row to send: what is asked, whose request it is, and the right answer where it is known."""

    text: str
    key: str = ""
    label: str = ""


@dataclass(frozen=True, slots=True)
class Sent:
    """What came of it: answers and failures by reason, where it went, ids of the recorded predictions."""

    n_answered: int
    failures: dict[str, int]
    gateway: str
    ids: tuple[uuid.UUID, ...]


def running_gateway() -> str:
    """The address of a gateway that lives and is ready; "" when there is none."""
    if reading.gateways().is_missing:
        return ""
    try:
        with urllib.request.urlopen(f"{settings.GATEWAY_URL}/readyz", timeout=2) as reply:  # noqa: S310
            return settings.GATEWAY_URL if reply.status == 200 else ""
    except (OSError, urllib.error.URLError):
        return ""


def check_is_capped(endpoint: Endpoint) -> None:
    """Raises Conflict when replayed requests could cost money that no daily budget bounds."""
    if endpoint.daily_budget_microusd is not None:
        return
    for version in (endpoint.baseline, endpoint.candidate):
        if version is None or version.candidate.connection_id is None:
            continue
        if not version.candidate.model_id.startswith("local:"):
            raise Conflict(
                f"{version.label} asks a paid model and {endpoint.slug} has no daily budget. Give it one, then try again."
            )


def send(endpoint: Endpoint, token: str, rows: Sequence[Asked]) -> Sent:
    """Every row asked and recorded, its feedback given.

    Raises: Conflict when nobody answers, nothing is recorded, or money could be spent without a daily budget.
    """
    check_is_capped(endpoint)
    if url := running_gateway():
        ids, failures = run_apart(_ask(url, endpoint.slug, token, rows))
        _wait_for_record(ids, n_feedback=sum(bool(row.label) for row in rows) - sum(failures.values()))
        return Sent(len(ids), failures, url, tuple(ids))
    return _send_here(endpoint, token, rows)


def _send_here(endpoint: Endpoint, token: str, rows: Sequence[Asked]) -> Sent:
    """The gateway's application in this process, on loopback; it records when the rows are done."""
    folder = Path(settings.VAR_DIR) / "gateway" / "replay"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    ready = routes.ready(publishing.build(), publishing.open_key)
    file, held = purse(folder)
    budgets = Budgets(leased, file, lambda: datetime.now(UTC).date().isoformat())
    recorder = Recorder(write, Spill(folder), mask=mask_pii, limit=4 * len(rows) + 10, settle=budgets.settle)
    gateway = Gateway(put=recorder.put, money=budgets)
    gateway.local.warm(version.artefact for version in ready.versions.values())
    gateway.routes = ready

    async def inside() -> tuple[list[uuid.UUID], dict[str, int], str]:
        async with _served(gateway) as url:
            return *await _ask(url, endpoint.slug, token, rows), url

    try:
        ids, failures, url = run_apart(inside())
        # No thread: the database is asked from where everything else is asked.
        while recorder.waiting:
            recorder.step()
    finally:
        # What was fetched and not spent waits in the file for the next piece.
        budgets.put_away()
        held.close()
    if recorder.is_away or recorder.dropped:
        raise Conflict("The database could not take what was answered. Try again.")
    return Sent(len(ids), failures, url, tuple(ids))


@contextlib.asynccontextmanager
async def _served(gateway: Gateway) -> AsyncIterator[str]:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(128)
        config = uvicorn.Config(
            gateway, lifespan="on", http="httptools", ws="none", access_log=False, log_level="warning",
            log_config=None, timeout_graceful_shutdown=2,
        )  # fmt: skip
        server = _Quiet(config)
        task = asyncio.get_running_loop().create_task(server.serve(sockets=[listening]))
        try:
            while not server.started and not task.done():
                await asyncio.sleep(0.01)
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            await task


class _Quiet(uvicorn.Server):
    """A server inside another program: that program's signals are its own."""

    @contextlib.contextmanager
    def capture_signals(self) -> Any:
        """Leave them alone."""
        yield


async def _ask(
    url: str, slug: str, token: str, rows: Sequence[Asked]
) -> tuple[list[uuid.UUID], dict[str, int]]:
    """Ids of answered predictions, and failures by reason. Raises Conflict when the endpoint cannot be reached."""
    head = {"authorization": f"Bearer {token}"}
    ids: list[uuid.UUID] = []
    failures: Counter[str] = Counter()
    lanes = asyncio.Semaphore(AT_ONCE)
    async with aiohttp.ClientSession(
        headers=head, trust_env=False, timeout=aiohttp.ClientTimeout(total=90)
    ) as client:
        await _until_known(client, f"{url}/{slug}/v1/feedback")

        async def one(row: Asked) -> None:
            body = {
                "model": "ours",
                "max_tokens": MAX_TOKENS,
                "messages": [{"role": "user", "content": row.text}],
            }
            key = {"x-sticky-key": row.key} if row.key else {}
            async with lanes:
                try:
                    async with client.post(f"{url}/{slug}/v1/messages", json=body, headers=key) as reply:
                        raw, name = await reply.read(), reply.headers.get("x-prediction-id", "")
                        if reply.status != 200:
                            failures[_reason(reply.status, raw)] += 1
                            return
                    ids.append(uuid.UUID(name))
                    if row.label:
                        said = {"prediction_id": name, "label": row.label}
                        async with client.post(f"{url}/{slug}/v1/feedback", json=said) as reply:
                            await reply.read()
                except (aiohttp.ClientError, TimeoutError) as error:
                    failures[type(error).__name__] += 1

        await asyncio.gather(*(one(row) for row in rows))
    return ids, dict(failures)


async def _until_known(client: aiohttp.ClientSession, url: str) -> None:
    """Wait until the gateway knows the token: an empty feedback is refused by name, an unknown token by 401."""
    end = time.monotonic() + PATIENCE_S
    status = 0
    while time.monotonic() < end:
        with contextlib.suppress(aiohttp.ClientError, TimeoutError):
            async with client.post(url, json={}) as reply:
                status = reply.status
            if status == 400:
                return
        await asyncio.sleep(0.1)
    raise Conflict(f"The gateway does not serve this endpoint (it answers {status or 'nothing'}).")


def _reason(status: int, raw: bytes) -> str:
    try:
        return f"{status} {json.loads(raw)['error']['message']}"[:200]
    except (ValueError, KeyError, TypeError):
        return str(status)


def _wait_for_record(ids: Sequence[uuid.UUID], *, n_feedback: int) -> None:
    """The gateway writes within a second; feedback counts only once it is there."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        written = Prediction.objects.filter(pk__in=ids).count() >= len(ids)
        if written and Feedback.objects.filter(prediction__in=ids).count() >= n_feedback:
            return
        time.sleep(0.1)
    raise Conflict("The gateway answered, but what it answered is not in the database yet.")
