"""What the command palette can find: a registry the roof fills with one typed source a kind of thing."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from django.http import HttpRequest


@dataclass(frozen=True, slots=True)
class Found:
    """One line of the palette."""

    label: str
    url: str
    icon: str = "arrow"
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Source:
    """Where the palette looks. `find(request, words, limit)` answers only what this person may see, in one query."""

    kind: str
    find: Callable[[HttpRequest, str, int], Iterable[Found]]
    order: int = 100


_sources: list[Source] = []


def register_search(sources: Iterable[Source]) -> None:
    """Take these sources into the palette, replacing earlier ones of the same kind."""
    for source in sources:
        _sources[:] = [known for known in _sources if known.kind != source.kind]
        _sources.append(source)
    _sources.sort(key=lambda source: source.order)


def find(request: HttpRequest, words: str, *, limit: int = 6) -> list[tuple[str, Found]]:
    """Up to `limit` lines of each kind, as (kind, line), in the order of the sources."""
    return [
        (source.kind, found)
        for source in _sources
        for found in list(source.find(request, words, limit))[:limit]
    ]
