"""The one static beat entry and the queues. What is due is asked of the database. Plain values: settings read it."""

from __future__ import annotations

from typing import Any

# Every task names its queue. Trainings run for minutes, so they have a queue, and best a worker, of their own.
ROUTES: dict[str, dict[str, str]] = {
    "jobs.tick": {"queue": "default"},
    "jobs.sweep": {"queue": "default"},
    "jobs.run_batch": {"queue": "default"},
    "jobs.supervise": {"queue": "training"},
    "jobs.poll": {"queue": "remote"},
}


def schedule(tick_s: int) -> dict[str, dict[str, Any]]:
    """The beat schedule: one tick every `tick_s` seconds; one that waited for longer than two ticks is dropped."""
    return {
        "jobs.tick": {
            "task": "jobs.tick",
            "schedule": float(tick_s),
            "options": {"queue": "default", "expires": 2 * tick_s},
        }
    }
