"""Telling workers that there is work: after commit, off the request thread, one try, one second.

A lost ring loses nothing: the tick rings again. A frozen broker freezes one helper thread and no page.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from typing import Any

from celery import current_app
from django.conf import settings

from foundation.jobs.errors import UnknownKind
from foundation.jobs.kinds import get_kind
from foundation.jobs.models import Job

log = logging.getLogger("foundation.jobs")

TIMEOUT_S = 1.0
# One word a minute about a broker that does not answer is enough.
COMPLAIN_EVERY_S = 60.0

# Task, queue, job, seconds to wait before it rings.
Ring = tuple[str, str, int, float]


class Bell:
    """A helper thread with the rings still to publish. Rings for one job collapse into the highest number asked."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._awake = threading.Event()
        self._pending: dict[Ring, int] = {}
        self._thread: threading.Thread | None = None
        self._connection: Any = None
        self._complained_at = 0.0
        self.published = 0
        self.dropped = 0

    def ring(self, task: str, queue: str, job_id: int, times: int = 1, after_s: float = 0.0) -> None:
        """Publish `times` doorbells soon, to be heard in `after_s` seconds. Returns at once, whatever the broker does."""
        with self._lock:
            key = (task, queue, job_id, after_s)
            self._pending[key] = max(times, self._pending.get(key, 0))
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._loop, name="jobs-doorbell", daemon=True)
                self._thread.start()
        self._awake.set()

    def _loop(self) -> None:
        while True:
            self._awake.wait()
            self._awake.clear()
            with self._lock:
                pending, self._pending = self._pending, {}
            try:
                for ring, times in pending.items():
                    for _ in range(times):
                        self._publish(*ring)
                        self.published += 1
            except Exception as error:
                self.dropped += len(pending)
                self._close()
                if time.monotonic() - self._complained_at > COMPLAIN_EVERY_S:
                    self._complained_at = time.monotonic()
                    log.warning("the broker does not answer (%s); the tick will ring", type(error).__name__)

    def _publish(self, task: str, queue: str, job_id: int, after_s: float) -> None:
        if self._connection is None:
            self._connection = current_app.connection(
                connect_timeout=TIMEOUT_S,
                transport_options={
                    **current_app.conf.broker_transport_options,
                    "socket_timeout": TIMEOUT_S,
                    "socket_connect_timeout": TIMEOUT_S,
                    "max_retries": 0,
                    "connect_retries_timeout": TIMEOUT_S,
                },
            )
        with current_app.amqp.Producer(self._connection, auto_declare=False) as producer:
            current_app.send_task(
                task,
                args=[job_id],
                queue=queue,
                producer=producer,
                retry=False,
                # A doorbell nobody heard in time is worthless: the tick rings anew.
                expires=4 * settings.JOBS_TICK_S + after_s,
                countdown=after_s or None,
                ignore_result=True,
            )

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                connection.collapse_connection() if hasattr(connection, "collapse_connection") else None
                connection.release()
            except Exception:
                log.debug("closing a broken broker connection failed", exc_info=True)


_bell = Bell()


def _new_bell() -> None:
    # A forked child has the lists but not the thread.
    global _bell
    _bell = Bell()


os.register_at_fork(after_in_child=_new_bell)


def ring(job: Job, times: int = 1, *, after_s: float = 0.0) -> None:
    """Ring for a job at the task and queue of its kind. Never waits, never raises.

    `after_s` is for a few seconds only: the worker holds such a doorbell in its memory, and the tick is its spare.
    """
    if not settings.JOBS_DOORBELL or times < 1:
        return
    try:
        kind = get_kind(job.kind)
        task, queue = kind.task, kind.queue
    except UnknownKind:
        task, queue = "jobs.run_batch", "default"
    if job.status.is_final:
        # Cleaning up is short, and must not queue behind a training.
        task, queue = "jobs.run_batch", "default"
    _bell.ring(task, queue, job.pk, times, after_s)
