"""Which rows a quick evaluation takes: seeded by digest order, so that any machine picks the same ones."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Iterable


def order_key(seed: str, digest: str) -> str:
    """Where a row stands in the order of `seed`: sha256(seed ‖ digest) as hex."""
    return hashlib.sha256(f"{seed}\n{digest}".encode()).hexdigest()


def sample(rows: Iterable[tuple[int, str, Hashable]], *, size: int, seed: str) -> list[int]:
    """Row ids of a stratified sample, in ascending order; all of them when there are no more than `size`.

    `rows` are (id, digest, label). Each label gets its share by largest remainder, and at least one row while `size`
    allows. A smaller sample of the same seed lies inside a larger one as far as the shares allow.
    Raises: ValueError when size < 1.
    """
    if size < 1:
        raise ValueError("a sample needs at least one row")
    by_label: dict[Hashable, list[tuple[str, int]]] = {}
    for row_id, digest, label in rows:
        by_label.setdefault(label, []).append((order_key(seed, digest), row_id))
    total = sum(map(len, by_label.values()))
    if total <= size:
        return sorted(row_id for found in by_label.values() for _, row_id in found)
    quotas = _quotas({label: len(found) for label, found in by_label.items()}, size)
    chosen: list[int] = []
    for label, found in by_label.items():
        found.sort()
        chosen += [row_id for _, row_id in found[: quotas[label]]]
    return sorted(chosen)


def _quotas(sizes: dict[Hashable, int], size: int) -> dict[Hashable, int]:
    total = sum(sizes.values())
    order = sorted(sizes, key=lambda label: (-sizes[label], str(label)))
    floor = {label: size * sizes[label] // total for label in order}
    if len(order) <= size:
        floor = {label: max(1, n) for label, n in floor.items()}
    remainder = {label: (size * sizes[label]) % total for label in order}
    for label in sorted(order, key=lambda x: -remainder[x]):
        if sum(floor.values()) >= size:
            break
        if floor[label] < sizes[label]:
            floor[label] += 1
    # The guaranteed single rows may have taken too many: the largest labels give them back.
    while sum(floor.values()) > size:
        largest = max(order, key=lambda label: floor[label])
        floor[largest] -= 1
    return floor
