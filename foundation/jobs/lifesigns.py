"""Celery's signals, turned into rows: workers and beats are seen, a dead child's leases are freed at once.

Everything runs in the main thread of the worker's parent, between two forks, and closes its connection after
itself: no child may inherit one.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable
from typing import Any

from celery import signals
from django.db import connection

from foundation.database import garbage, wal
from foundation.jobs import claiming, presence
from foundation.jobs.models import WorkerSeen

log = logging.getLogger("foundation.jobs")

SEEN_EVERY_S = 5.0
# Celery's own heartbeat comes every 2 s; each of them looks for leases of dead children.
_last_seen: dict[str, float] = {}
_queues: dict[str, str] = {}
_beat_name = ""
_is_settled = False


def _quietly(act: Callable[[], Any]) -> None:
    """Run `act`; a database that is away for the moment must not take the worker's parent with it."""
    try:
        act()
    except Exception:
        log.warning("a sign of life could not be written; it is tried again", exc_info=True)
    finally:
        connection.close()
        if connection.vendor == "postgresql":
            # A pool has threads, and the parent forks.
            connection.close_pool()  # type: ignore[attr-defined]


def _seen_now_and_then(name: str, role: str, queues: str = "") -> None:
    if time.monotonic() - _last_seen.get(name, -1e9) < SEEN_EVERY_S:
        return
    _last_seen[name] = time.monotonic()
    presence.seen(name, role, queues)


@signals.worker_init.connect
def doorbells_are_not_given_back(**_: Any) -> None:
    """A worker that loses its queue lets go of the doorbells it holds: the tick rings again.

    It would give them back over the connection that is gone. Where that fails in the wrong moment the worker ends, and
    with it the work of its children.
    """
    # Only workers need this early: it takes a third of a second, and 6 MB.
    from kombu.transport import redis as queue_transport

    queue_transport.QoS.restore_at_shutdown = False


@signals.worker_before_create_process.connect
def children_inherit(**_: Any) -> None:
    """What the parent has loaded by its first fork is permanent in every child: no collection there goes through it."""
    global _is_settled
    if not _is_settled:
        _is_settled = True
        garbage.settle()


@signals.worker_ready.connect
def worker_is_ready(sender: Any = None, **_: Any) -> None:
    """A worker has come up: what its predecessor on this machine left behind is free again."""
    name = getattr(sender, "hostname", "") or socket.gethostname()
    consumer = getattr(sender, "task_consumer", None)
    _queues[name] = ", ".join(sorted(queue.name for queue in getattr(consumer, "queues", []) or []))

    def act() -> None:
        _seen_now_and_then(name, WorkerSeen.Role.WORKER, _queues[name])
        claiming.sweep()

    _quietly(act)


@signals.heartbeat_sent.connect
def worker_lives(sender: Any = None, **_: Any) -> None:
    """Every 2 s: the worker is there, leases of its dead children are freed, and SQLite's log stays short."""
    name = getattr(getattr(sender, "eventer", None), "hostname", "") or socket.gethostname()

    def act() -> None:
        # The heart beats before the worker takes work: who is not ready has no queues to show, and is not seen yet.
        if name in _queues:
            _seen_now_and_then(name, WorkerSeen.Role.WORKER, _queues[name])
        claiming.sweep()
        # Whoever writes in bulk sees to it; many who write little each would not.
        wal.keep_short()

    _quietly(act)


@signals.beat_init.connect
@signals.beat_embedded_init.connect
def beat_begins(**_: Any) -> None:
    """This process is a beat."""
    global _beat_name
    _beat_name = f"beat@{socket.gethostname()}:{os.getpid()}"


@signals.after_task_publish.connect
def beat_lives(sender: Any = None, **_: Any) -> None:
    """A beat that published its tick is alive, and so is the broker."""
    if _beat_name and sender == "jobs.tick":
        _quietly(lambda: _seen_now_and_then(_beat_name, WorkerSeen.Role.BEAT))
