"""Several tasks in one version: the prefix that names a task, and how many rows of each may learn (S45, D29)."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from math import floor

from datasets.domain.splitting import SPLITS

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


def known_elsewhere(keys: Sequence[Hashable], tasks: Sequence[str], splits: Sequence[str]) -> set[int]:
    """Positions of rows that another task validates or tests on: one model learns all tasks, so it would know them.

    A row goes when a row of another task has its key in a later split (train, validation, test). What a task shares
    with itself is its own version's matter. A key that is None or "" joins nobody.
    Shapes: equal lengths.
    """
    order = {split.value: i for i, split in enumerate(SPLITS)}
    first: dict[Hashable, str] = {}
    several = {
        key
        for key, task in zip(keys, tasks, strict=True)
        if key is not None and key != "" and first.setdefault(key, task) != task
    }
    furthest: dict[Hashable, dict[str, int]] = {}
    for key, task, split in zip(keys, tasks, splits, strict=True):
        if key in several:
            by_task = furthest.setdefault(key, {})
            by_task[task] = max(by_task.get(task, 0), order[split])
    return {
        i
        for i, (key, task, split) in enumerate(zip(keys, tasks, splits, strict=True))
        if key in several and any(far > order[split] for other, far in furthest[key].items() if other != task)
    }
