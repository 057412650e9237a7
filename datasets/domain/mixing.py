"""Several tasks in one version: the prefix that names a task, and how many rows of each may learn (S45, D29)."""

from __future__ import annotations

from collections.abc import Sequence
from math import floor

MOST_NAME = 100


def prefixed(task: str, prompt: str) -> str:
    """The prompt with its task named, as training, evaluation and serving must say it."""
    return f"[TASK: {task}]\n\n{prompt}"


def task_label(name: str) -> str:
    """A name that can stand in the prefix: one line, no brackets. Raises: ValueError when nothing is left."""
    clean = " ".join(name.replace("[", " ").replace("]", " ").split())[:MOST_NAME].strip()
    if not clean:
        raise ValueError("A task needs a name beside brackets and spaces.")
    return clean


def quotas(sizes: Sequence[int], *, temperature: float = 1.0, most: int | None = None) -> list[int]:
    """Training rows of each task, none of them twice: shares in proportion to size ** (1 / temperature), then the cap.

    Temperature 1 takes every row; higher ones cut the large tasks down, towards as many rows of each as the smallest has.
    Raises: ValueError for a temperature below 1 or a cap below 1.
    Source: temperature sampling as in arXiv:1907.05019, without repeating rows.
    """
    if not 1 <= temperature <= 100:
        raise ValueError(
            "The temperature must lie between 1 (every row) and 100 (as many rows of each task)."
        )
    if most is not None and most < 1:
        raise ValueError("A task needs at least one row.")
    known = [n for n in sizes if n]
    if not known:
        return [0] * len(sizes)
    smallest = min(known)
    out = []
    for n in sizes:
        # The smallest task keeps all its rows; the others their share beside it.
        share = smallest * (n / smallest) ** (1 / temperature) if n else 0.0
        wanted = min(n, floor(share + 1e-9))
        out.append(min(wanted, most) if most is not None else wanted)
    return out
