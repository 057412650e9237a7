"""What the tests of frozen versions ask, as sorted numbers: eight bytes a text, read once by each process.

Exactly, by digests; and but for formatting, by the keys of the check for copies (`active.whole_keys`). So a page asks
about its fifty rows, however many rows the test has. Who may read what is the vault's matter.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock

import numpy as np

from datasets import bulk
from datasets.active import BLOCK, Texts, contents_of, whole_keys
from datasets.domain.statuses import Split
from datasets.models import DatasetVersion, Edit, SealedDigests, VersionRow

# Of 32 bytes of a digest: among a billion texts, one asked of 10^10 is closed by mistake.
KEPT_BYTES = 8
# Versions whose tests a process holds at once: those of the largest mix, and some beside.
MOST_HELD = 32


def first_bytes(digests: Sequence[bytes]) -> np.ndarray:
    """Digests by their first bytes, as numbers."""
    return np.frombuffer(b"".join(d[:KEPT_BYTES] for d in digests), ">u8").astype(np.uint64)


def are_among(known: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Which of `asked` stand in the sorted `known`."""
    if not len(known):
        return np.zeros(len(asked), bool)
    at = np.minimum(np.searchsorted(known, asked), len(known) - 1)
    return np.asarray(known[at] == asked)


@dataclass(frozen=True, slots=True)
class Asked:
    """What one test asks: `exact` by its digests, `loose` but for formatting. Both sorted.

    `loose` holds every text its rows ever had: what a row said before it was mended nearly says what it says now.
    """

    exact: np.ndarray
    loose: np.ndarray

    def has(self, texts: Sequence[Texts]) -> np.ndarray:
        """Which of these texts it asks, in these words or in another formatting of them."""
        if not texts:
            return np.zeros(0, bool)
        exactly = are_among(self.exact, first_bytes([text.digest for text in texts]))
        return np.asarray(exactly | are_among(self.loose, whole_keys(texts)))


_held: OrderedDict[tuple[int, str], Asked] = OrderedDict()
_lock = Lock()


def forget() -> None:
    """Drop what this process holds."""
    with _lock:
        _held.clear()


def asked_by(versions: Sequence[DatasetVersion]) -> list[Asked]:
    """What the test of each of these versions asks, in their order; one question for all that are not held yet.

    A frozen version never changes, so what is held stays true. One that was frozen before this was kept is read anew by
    every process.
    """
    found: dict[tuple[int, str], Asked] = {}
    with _lock:
        for version in versions:
            key = (version.pk, version.checksum)
            if key in _held:
                _held.move_to_end(key)
                found[key] = _held[key]
    missing = {version.pk: version for version in versions if (version.pk, version.checksum) not in found}
    if missing:
        kept = {
            pk: (data, loose)
            for pk, data, loose in SealedDigests.objects.filter(version_id__in=missing).values_list(
                "version_id", "data", "loose"
            )
        }
        for pk, version in missing.items():
            data, loose = kept.get(pk, (None, None))
            asked = Asked(
                exact_of(pk) if data is None else _unpacked(data),
                loose_of(pk) if loose is None else _unpacked(loose),
            )
            found[version.pk, version.checksum] = asked
        with _lock:
            for version in missing.values():
                _held[version.pk, version.checksum] = found[version.pk, version.checksum]
            while len(_held) > MOST_HELD:
                _held.popitem(last=False)
    return [found[version.pk, version.checksum] for version in versions]


def are_asked(version: DatasetVersion, texts: Sequence[Texts]) -> np.ndarray:
    """Which of these texts the test of a version asks, formatting aside."""
    return asked_by([version])[0].has(texts)


def exact_of(version_id: int) -> np.ndarray:
    """What the test of a version asks, by its digests."""
    rows = VersionRow.objects.filter(version_id=version_id, split=Split.TEST)
    found = rows.values_list("content__digest", flat=True).iterator(chunk_size=10_000)
    return np.sort(first_bytes([bytes(digest) for digest in found]))


def loose_of(version_id: int) -> np.ndarray:
    """Keys of what the test of a version asks and of what its rows said before they were edited. It reads their texts."""
    rows = VersionRow.objects.filter(version_id=version_id, split=Split.TEST).order_by("position")
    tested = list(rows.values_list("content_id", "example_id"))
    texts = {content for content, _ in tested}
    for part in bulk.chunks([example for _, example in tested if example is not None], BLOCK):
        edits = Edit.objects.filter(example_id__in=part).order_by()
        for pair in edits.values_list("before_id", "after_id"):
            texts.update(pair)
    keys = [whole_keys(block) for block in contents_of(sorted(texts))]
    return np.unique(np.concatenate(keys)) if keys else np.empty(0, np.uint64)


def keep_asked(version: DatasetVersion) -> None:
    """Keep what the test of a version asks, before it is frozen. Safe to repeat."""
    packed = {"data": _packed(exact_of(version.pk)), "loose": _packed(loose_of(version.pk))}
    SealedDigests.objects.update_or_create(version=version, defaults=packed)


def _packed(numbers: np.ndarray) -> bytes:
    return numbers.astype("<u8").tobytes()


def _unpacked(data: bytes | memoryview) -> np.ndarray:
    return np.frombuffer(bytes(data), "<u8")
