"""The gateway's process: application, threads and server put together, and taken apart in order."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import uvicorn
from django.conf import settings

from datasets.domain.pii import mask_pii
from deployments.gateway.app import Gateway
from deployments.gateway.budgets import Budgets, purse
from deployments.gateway.leasing import leased
from deployments.gateway.recorder import Recorder, Spill
from deployments.gateway.routes import Routes
from deployments.gateway.watching import Watcher
from deployments.gateway.writing import write

log = logging.getLogger(__name__)
# Streams that are under way when the process is told to end get this long.
DRAIN_S = 30
# A thread gives the interpreter back within half a millisecond: answers wait for nobody's bookkeeping.
SWITCH_S = 0.0005


def application(folder: Path | None = None) -> Gateway:
    """The whole gateway as one ASGI application; its threads start and end with the server's lifespan."""
    folder = folder or Path(settings.VAR_DIR) / "gateway"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    file, held = purse(folder)
    budgets = Budgets(leased, file, lambda: datetime.now(UTC).date().isoformat())
    recorder = Recorder(write, Spill(folder / "spill"), mask=mask_pii, settle=budgets.settle)

    def install(ready: Routes) -> None:
        # The models of new versions are loaded before the first request needs them.
        gateway.local.warm(version.artefact for version in ready.versions.values())
        gateway.routes = ready

    def counts() -> dict[str, int]:
        return {
            "waiting": len(recorder.waiting),
            "spilled": recorder.spill.rows,
            "dropped": recorder.dropped,
        }

    watcher = Watcher(folder, install=install, budgets=budgets, counts=counts)

    def gauges() -> dict[str, float]:
        gateway.metrics.snapshots_refused = watcher.refused
        return {
            "snapshot_number": gateway.routes.number if gateway.routes else 0,
            "record_waiting": len(recorder.waiting),
            "record_written_total": recorder.written,
            "record_dropped_total": recorder.dropped,
            "record_spilled_total": recorder.spill.rows,
            "database_away": float(recorder.is_away),
        }

    def start() -> None:
        recorder.start()
        watcher.start()

    async def stop() -> None:
        loop = asyncio.get_running_loop()
        watcher.stop()
        await loop.run_in_executor(None, recorder.stop)
        budgets.put_away()
        held.close()
        await loop.run_in_executor(None, watcher.gone)

    gateway = Gateway(put=recorder.put, money=budgets, gauges=gauges, on_start=start, on_stop=stop)
    return gateway


class Server(uvicorn.Server):
    """uvicorn's server, which raises the signal that ended it once more; this one has ended in order and says so."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Let SIGTERM and SIGINT ask for the end; a second one for a hurried end."""
        before = {
            number: signal.signal(number, self.handle_exit) for number in (signal.SIGTERM, signal.SIGINT)
        }
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def serve(host: str, port: int) -> None:
    """Answer requests until SIGTERM or SIGINT."""
    sys.setswitchinterval(SWITCH_S)
    options: dict[str, Any] = {
        "host": host,
        "port": port,
        "lifespan": "on",
        "http": "httptools",
        "ws": "none",
        "access_log": False,
        "log_level": "warning",
        "log_config": None,
        "server_header": False,
        "proxy_headers": False,
        "timeout_keep_alive": 75,
        "timeout_graceful_shutdown": DRAIN_S,
        "backlog": 2048,
    }
    Server(uvicorn.Config(application(), **options)).run()
