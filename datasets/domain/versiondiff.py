"""What changed between two versions: rows added, removed, changed, moved to another split.

Knows rows by their digest and by the example they came from; sees no text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple


class RowKey(NamedTuple):
    """One row of a version as the comparison sees it."""

    digest: bytes
    example: int | None
    label: str
    split: str


@dataclass(frozen=True, slots=True)
class VersionDiff:
    """Positions in the two sequences given. A row that changed and moved is among the changed ones."""

    added: tuple[int, ...]
    removed: tuple[int, ...]
    changed: tuple[tuple[int, int], ...]
    moved: tuple[tuple[int, int], ...]
    n_same: int


def diff_versions(before: Sequence[RowKey], after: Sequence[RowKey]) -> VersionDiff:
    """The difference from `before` to `after`.

    Shapes: digests are distinct within each version. A row is changed when its label differs, or when one example has
    another text; it is moved when the same text stands in another split. In the order of `after`, removed ones in that
    of `before`.
    """
    by_digest = {row.digest: i for i, row in enumerate(before)}
    gone = set(by_digest.values())
    fresh: list[int] = []
    changed: list[tuple[int, int]] = []
    moved: list[tuple[int, int]] = []
    n_same = 0
    for j, row in enumerate(after):
        i = by_digest.get(row.digest)
        if i is None:
            fresh.append(j)
            continue
        gone.discard(i)
        if before[i].label != row.label:
            changed.append((i, j))
        elif before[i].split != row.split:
            moved.append((i, j))
        else:
            n_same += 1
    by_example = {before[i].example: i for i in gone if before[i].example is not None}
    added: list[int] = []
    for j in fresh:
        i = by_example.pop(after[j].example, None) if after[j].example is not None else None
        if i is None:
            added.append(j)
        else:
            gone.discard(i)
            changed.append((i, j))
    return VersionDiff(
        tuple(added), tuple(sorted(gone)), tuple(sorted(changed, key=lambda c: c[1])), tuple(moved), n_same
    )
