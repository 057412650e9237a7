"""The chain over audit events: each seal covers one event and the seal before it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

# What the first event of a team is chained to.
START = "0" * 64


@dataclass(frozen=True, slots=True)
class Link:
    """One sealed event as it stands in the table."""

    number: int
    content: Mapping[str, object]
    sha256: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a walk along the chain found; `broken_at` is the seal number of the first fault, None if whole."""

    n_sealed: int
    head: str
    broken_at: int | None
    sentence: str


def seal(previous: str, content: Mapping[str, object]) -> str:
    """The hex SHA-256 over the previous seal and the event, written in one canonical way."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(f"{previous}\n{text}".encode()).hexdigest()


def walk(links: Iterable[Link], heads: Mapping[int, str]) -> Verdict:
    """Whether the links follow each other without a gap and end where the batches of seals say.

    `heads` maps the last number of each sealed batch to its seal: it shows an end that was cut off.
    """
    previous, number = START, 0
    for link in links:
        if link.number != number + 1:
            return Verdict(number, previous, number + 1, f"Event {number + 1} is missing from the record.")
        number = link.number
        if seal(previous, link.content) != link.sha256:
            return Verdict(number, previous, number, f"Event {number} was changed after it was sealed.")
        previous = link.sha256
        if heads.get(number, previous) != previous:
            return Verdict(number, previous, number, f"The record up to event {number} was written anew.")
    last = max(heads, default=0)
    if last > number:
        return Verdict(
            number, previous, number + 1, f"Events {number + 1} to {last} are missing from the record."
        )
    return Verdict(number, previous, None, f"All {number} sealed events are whole and in order.")
