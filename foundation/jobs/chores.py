"""Small regular work of the portal itself (sweeps, sealing): registered by the roof, run by the clock.

A chore is idempotent and takes a few seconds at most. Its schedule is a row, so that the admin can change it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from django.core.exceptions import ImproperlyConfigured

from foundation.jobs.models import Schedule


@dataclass(frozen=True, slots=True)
class Chore:
    """Something to do every `every_s` seconds. `name` is "<app>.<what>", `run` takes nothing and may come twice."""

    name: str
    title: str
    every_s: int
    run: Callable[[], object]


_chores: dict[str, Chore] = {}


def register_chores(chores: Iterable[Chore]) -> None:
    """Make chores known by name; another function under a known name is refused."""
    for chore in chores:
        known = _chores.get(chore.name)
        if known is not None and known.run is not chore.run:
            raise ImproperlyConfigured(f"Two chores are called {chore.name}.")
        _chores[chore.name] = chore


def get_chore(name: str) -> Chore | None:
    """The chore of that name, or None."""
    return _chores.get(name)


def all_chores() -> list[Chore]:
    """Every registered chore, by name."""
    return [_chores[name] for name in sorted(_chores)]


def write_schedules() -> int:
    """Give every chore its schedule, unless it has one. Returns how many were written."""
    known = set(Schedule.objects.filter(team=None).values_list("kind", flat=True))
    missing = [
        Schedule(team=None, kind=chore.name, name=chore.title, interval_s=chore.every_s)
        for chore in all_chores()
        if chore.name not in known
    ]
    return len(Schedule.objects.bulk_create(missing))
