"""Rows that cross from the test of one version into the training of another, counted once: when the later one is frozen.

By their texts, so that a row imported again counts as well. Reads, writes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from datasets import bulk
from datasets.active import BLOCK
from datasets.asked import are_among, asked_by, first_bytes
from datasets.domain.statuses import Split
from datasets.models import Content, Dataset, DatasetVersion, VersionRow

# In the report of a version: {"version": number of the one before, "n": its test rows that train here}.
TEACHES_TESTED = "teaches_tested"
# And {key of an earlier version: {"train": rows of that file which are tested here, "validation": …}}.
TESTS_ROWS_OF = "tests_rows_of"
# Earlier versions whose files are held against a new test: each is read once, a second or so for a million rows.
MOST_EARLIER = 10
AT_ONCE = 20_000


def crossings(
    dataset: Dataset,
    digests: Sequence[bytes],
    content_ids: np.ndarray,
    *,
    n_train: int,
    n_test: int,
    progress: Callable[[str], None],
) -> dict[str, Any]:
    """What the report of a new version says of the frozen ones before it; nothing for the first.

    Shapes: `digests` and `content_ids` of its rows in reading order, the first `n_train` train, the last `n_test` test.
    """
    frozen = DatasetVersion.objects.frozen().filter(dataset=dataset).order_by("-number")
    earlier = list(frozen.only("id", "number", "checksum")[:MOST_EARLIER])
    if not earlier:
        return {}
    progress("Comparing with earlier versions")
    before = asked_by(earlier[:1])[0].exact
    taught = are_among(before, first_bytes(digests[:n_train]))
    start = len(digests) - n_test
    tested = np.sort(first_bytes(digests[start:]))
    held, held_by_test = np.sort(content_ids), np.sort(content_ids[start:])
    found: dict[str, dict[str, int]] = {}
    for version in earlier:
        found[str(version.pk)] = {}
        for split in (Split.TRAIN, Split.VALIDATION):
            n = 0
            for ids in _contents(version, split):
                progress("Comparing with earlier versions")
                n += int(are_among(held_by_test, ids).sum())
                # A text stands in a version once, so only where its number does not is it looked at.
                n += _n_among(tested, ids[~are_among(held, ids)])
            found[str(version.pk)][split.value] = n
    return {
        TEACHES_TESTED: {"version": earlier[0].number, "n": int(taught.sum())},
        TESTS_ROWS_OF: found,
    }


def _contents(version: DatasetVersion, split: Split) -> Iterator[np.ndarray]:
    """Content numbers of a split, in blocks."""
    rows = VersionRow.objects.filter(version=version, split=split).order_by("position")
    last = -1
    while part := bulk.plain_rows(
        rows.filter(position__gt=last).values_list("position", "content_id")[:AT_ONCE]
    ):
        last = part[-1][0]
        yield np.array([content for _, content in part], np.int64)


def _n_among(tested: np.ndarray, content_ids: np.ndarray) -> int:
    n = 0
    for part in bulk.chunks(content_ids.tolist(), BLOCK):
        texts = Content.objects.filter(pk__in=part).values_list("digest", flat=True)
        n += int(are_among(tested, first_bytes([bytes(one) for one in texts])).sum())
    return n


def n_tested_since(version: DatasetVersion) -> dict[str, Any] | None:
    """The number of the newest version, where it is a later one, and how many rows of these files it tests on.

    "train" and "validation" are None where that was not counted: it was frozen before it was, or ten versions later.
    """
    newer = DatasetVersion.objects.frozen().filter(dataset=version.dataset_id, number__gt=version.number)
    row = newer.order_by("-number").values_list("number", f"report__{TESTS_ROWS_OF}").first()
    if row is None:
        return None
    number, counted = row
    return {"number": number, "train": None, "validation": None, **(counted or {}).get(str(version.pk), {})}
