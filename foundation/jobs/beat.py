"""The one static beat entry. What is due is asked of the database at each tick. Plain values: settings read it."""

from __future__ import annotations

from typing import Any


def schedule(tick_s: int) -> dict[str, dict[str, Any]]:
    """The beat schedule: one tick every `tick_s` seconds; one that waited for longer than two ticks is dropped."""
    return {
        "jobs.tick": {
            "task": "jobs.tick",
            "schedule": float(tick_s),
            "options": {"queue": "default", "expires": 2 * tick_s},
        }
    }
