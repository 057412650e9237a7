"""Which files are handed back. A floor above that keeps some of them closed says so with a guard."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from foundation.files.models import Blob
from foundation.teams.models import User

# Raises a PortalError, in a sentence, for a file that is closed to this person.
Guard = Callable[[User, Blob], None]
_guards: list[Guard] = []


def register_guards(guards: Iterable[Guard]) -> None:
    """Add guards; one that is there already stays once."""
    _guards.extend(guard for guard in guards if guard not in _guards)


def check_open(user: User, blob: Blob) -> None:
    """Raises what a guard raises."""
    for guard in _guards:
        guard(user, blob)
