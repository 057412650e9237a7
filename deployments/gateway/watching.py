"""The thread that keeps the routes fresh: one small question a moment, the whole only when something changed.

It also tells the portal that this gateway lives. When the database is away, what is served stays as it is.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.db.utils import DatabaseError
from django.utils import timezone

from deployments.gateway import publishing, routes
from deployments.gateway.budgets import Budgets
from deployments.gateway.routes import BadSnapshot, Routes
from deployments.gateway.writing import let_go, look_again
from deployments.models import GatewayBeat

log = logging.getLogger(__name__)
ASK_EVERY_S = 0.5
# What changes without a word to us (a price, a key entered elsewhere) is found by looking at everything now and then.
LOOK_EVERY_S = 15.0
BEAT_EVERY_S = 5.0
FORGET_AFTER = timedelta(days=1)


class Watcher:
    """Holds the last good snapshot. `install(routes)` is called from this thread with each new one."""

    def __init__(
        self,
        folder: Path,
        *,
        install: Callable[[Routes], None],
        budgets: Budgets | None = None,
        counts: Callable[[], Mapping[str, int]] = dict,
        build: Callable[[], dict[str, Any]] = publishing.build,
        revision: Callable[[], tuple[str, int]] = publishing.revision,
        open_key: routes.KeyOpener = publishing.open_key,
    ) -> None:
        self.folder, self.install, self.budgets, self.counts = folder, install, budgets, counts
        self.build, self.revision, self.open_key = build, revision, open_key
        self.current: dict[str, Any] | None = None
        self.trouble = ""
        self.refused = 0
        self.name = f"{socket.gethostname()}:{os.getpid()}"
        self.started_at = timezone.now()
        self._looked_at = self._beat_at = -1e9
        self._asked: tuple[str, int] | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Serve what stands on disk at once, then what the database says."""
        self.from_disk()
        self._thread = threading.Thread(target=self._run, name="routes", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread; a database that hangs is not waited for."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(3)

    def from_disk(self) -> bool:
        """Take the snapshot of the last run, if there is a good one."""
        try:
            return self.take(routes.read(self.folder), save=False)
        except BadSnapshot as reason:
            if (self.folder / routes.FILE_NAME).exists():
                self._refuse(f"The routes on disk cannot be used: {reason}.")
            return False

    def take(self, found: dict[str, Any], *, save: bool = True) -> bool:
        """Judge a snapshot and serve it; False, with a trouble, when the last good one stays."""
        try:
            routes.check(found)
            routes.check_is_newer(found, self.current)
            if self.current is not None and found["sha256"] == self.current["sha256"]:
                self.trouble = ""
                return True
            ready = routes.ready(found, self.open_key)
        except BadSnapshot as reason:
            self._refuse(f"A new routing snapshot was refused: {reason}.")
            return False
        self.install(ready)
        self.current, self.trouble = found, ""
        if save:
            try:
                routes.write(found, self.folder)
            except OSError as error:
                # Served from memory all the same; only a cold start without a database would miss it.
                self._refuse(f"The routes could not be written to {self.folder}: {error.strerror}.")
        return True

    def _refuse(self, sentence: str) -> None:
        if sentence != self.trouble:
            log.error(sentence)
        self.trouble = sentence
        self.refused += 1

    def step(self) -> None:
        """One look at the database. Raises DatabaseError when it is away."""
        now = time.monotonic()
        asked = self.revision()
        if asked != self._asked or self.current is None or now - self._looked_at > LOOK_EVERY_S:
            self.take(self.build())
            self._asked, self._looked_at = asked, now
        if self.budgets is not None and self.current is not None:
            for endpoint in self.current["body"]["endpoints"]:
                if endpoint["has_budget"] and self.budgets.is_low(endpoint["id"]):
                    self.budgets.top_up(endpoint["id"], 0)
        if now - self._beat_at > BEAT_EVERY_S:
            self._beat_at = now
            self.beat()

    def beat(self) -> None:
        """Say in the database that this process lives, and what it serves."""
        now = timezone.now()
        values = {
            "seen_at": now,
            "started_at": self.started_at,
            "revision": self.current["number"] if self.current else 0,
            "trouble": self.trouble[:300],
            **self.counts(),
        }
        GatewayBeat.objects.update_or_create(name=self.name, defaults=values)
        # Processes that were killed never said goodbye.
        GatewayBeat.objects.filter(seen_at__lt=now - FORGET_AFTER).delete()

    def gone(self) -> None:
        """Say goodbye, so that pages do not miss a process that ended in order."""
        with contextlib.suppress(DatabaseError):
            GatewayBeat.objects.filter(name=self.name).delete()
        let_go()

    def _run(self) -> None:
        was_away = False
        while not self._stop.is_set():
            try:
                look_again()
                self.step()
                if was_away:
                    log.warning("The database is back.")
                was_away = False
            except DatabaseError as error:
                if not was_away:
                    log.warning(
                        "The database is away (%s); the routes stay as they are.", type(error).__name__
                    )
                was_away = True
                let_go()
            except Exception:
                log.exception("The routes could not be renewed; they stay as they are.")
                let_go()
            self._stop.wait(ASK_EVERY_S)
