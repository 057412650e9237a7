"""Who tells about the pitfalls: the floors above register what they know, as they register stages. Asks nobody itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from decisions.domain.pitfalls import Pitfall, Sign, checklist, signs_of_decision
from decisions.models import Decision, UseCase

# Answers for one use case, in a handful of queries whatever its size.
Source = Callable[[UseCase], list[Sign]]
_sources: dict[str, Source] = {}


def register_pitfall_sources(sources: Iterable[tuple[str, Source]]) -> None:
    """Add who knows something, by name; one registered before under the same name is replaced."""
    _sources.update(sources)


def pitfalls_of(use_case: UseCase, decision: Decision) -> tuple[Pitfall, ...]:
    """The checklist of seven for one decision, its state from everything the portal has recorded."""
    trains = decision.recommendation in ("fine_tuning", "hybrid")
    signs = signs_of_decision(decision.inputs, trains=trains)
    for source in _sources.values():
        signs.extend(source(use_case))
    return checklist(signs)
