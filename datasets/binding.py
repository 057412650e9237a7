"""Which rows of a checked dataset stand alone, so that freezing need not compare a million rows a second time.

A row that a check found bound to nobody (no near-duplicate, nobody who asks the same) is bound to nobody in any part of
those rows either. Everybody else, and every row the check has not seen, is compared anew: the answer is the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from datasets.domain.packing import pack, unpack
from datasets.models import Bindings, Dataset


@dataclass(frozen=True, slots=True)
class Known:
    """Content ids a check has seen, as runs [start, end], and those among them that are bound to another row."""

    starts: np.ndarray
    ends: np.ndarray
    bound: np.ndarray

    def has_seen(self, content_ids: np.ndarray) -> bool:
        """Whether the check has seen every one of these."""
        if not len(self.starts):
            return not len(content_ids)
        at = np.searchsorted(self.starts, content_ids, side="right") - 1
        return bool(np.all((at >= 0) & (content_ids <= self.ends[np.maximum(at, 0)])))

    def are_bound(self, content_ids: np.ndarray) -> np.ndarray:
        """Which of these are bound to another row."""
        return np.isin(content_ids, self.bound)


def packed(seen: np.ndarray, bound: np.ndarray, *, threshold: float, task_kind: str) -> bytes:
    """What a check keeps for freezing: the content ids it saw and those it found bound."""
    seen = np.sort(seen)
    first = np.concatenate(([True], np.diff(seen) > 1)) if len(seen) else np.empty(0, bool)
    last = np.concatenate((first[1:], [True])) if len(seen) else first
    facts = {"threshold": threshold, "task_kind": task_kind}
    return pack(facts, {"starts": seen[first], "ends": seen[last], "bound": np.unique(bound)})


def known_of(dataset: Dataset, *, threshold: float, task_kind: str) -> Known | None:
    """What the shown check of a dataset knows; None when there is none, or it measured otherwise."""
    data = Bindings.objects.filter(run=dataset.checks_id).values_list("data", flat=True).first()
    if data is None:
        return None
    facts, columns = unpack(data)
    if facts != {"threshold": threshold, "task_kind": task_kind}:
        return None
    return Known(**columns)
