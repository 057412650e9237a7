"""Which rows people look at: a share of every label, in the order of a seed (S34)."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import ceil

from datasets.domain.splitting import largest_remainder, rank

SHARE = 0.10


def sample_size(n_rows: int, share: float = SHARE) -> int:
    """Rows to look at: the share rounded up, so that a small dataset has at least one."""
    if not 0 < share <= 1:
        raise ValueError("The share to review must lie above 0 and at most 1.")
    return min(n_rows, ceil(n_rows * Fraction(str(share)))) if n_rows else 0


def stratified_sample(digests: Sequence[bytes], labels: Sequence[str], *, size: int, seed: str) -> list[int]:
    """Positions of `size` rows, every label in proportion, in the order sha256(seed ‖ digest).

    Shapes: equal lengths. The same rows and seed give the same sample on any machine, whatever their order.
    """
    n = len(digests)
    size = min(size, n)
    if size <= 0:
        return []
    strata: dict[str, list[tuple[bytes, int]]] = {}
    for i in range(n):
        strata.setdefault(labels[i], []).append((rank(seed, digests[i]), i))
    names = sorted(strata)
    shares = [Fraction(len(strata[name]), n) for name in names]
    chosen: list[tuple[bytes, int]] = []
    for name, count in zip(names, largest_remainder(size, shares), strict=True):
        chosen += sorted(strata[name])[:count]
    return [i for _, i in sorted(chosen)]
