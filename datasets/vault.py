"""Which rows are sealed: the test of the newest frozen version, closed to people until opened with a reason.

Pages ask about their own rows only, so what they ask does not grow with the test.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import lru_cache

import numpy as np
from django.db.models import Count, Exists, OuterRef, QuerySet, Subquery, Sum
from django.db.models.functions import Coalesce

from datasets.domain.statuses import SYNTHETIC, ImportState, LookKind, Split, VersionState
from datasets.domain.vault import Wear, wear
from datasets.errors import Sealed
from datasets.models import (
    Content,
    Dataset,
    DatasetVersion,
    Edit,
    Example,
    Import,
    Look,
    SealedDigests,
    VersionRow,
)
from datasets.models.versions import VersionQuerySet
from foundation.teams.models import User

# Of 32 bytes of a digest: among a billion texts, one asked of 10^10 is closed by mistake.
KEPT_BYTES = 8
MOST_MEMBERS = 100
# In the report of a version: the earlier ones whose tests ask rows of its own.
SHARES_TEST_WITH = "shares_test_with"


def versions_with_looks(dataset: Dataset, user: User | None = None) -> VersionQuerySet:
    """Frozen versions, the newest first; `is_open` says whether `user` opened the test rows of each."""
    # Nobody has the number 0; a look whose person was removed opens nothing.
    opened = Look.objects.filter(version=OuterRef("pk"), by_id=user.pk if user else 0, kind=LookKind.ROWS)
    frozen = DatasetVersion.objects.frozen().filter(dataset=dataset).annotate(is_open=Exists(opened))
    return frozen.order_by("-number").only("id", "number", "checksum")


class Vault:
    """The closed test rows of a dataset, asked about many times: the version and its looks are looked up once."""

    def __init__(self, dataset: Dataset, user: User | None = None) -> None:
        version = versions_with_looks(dataset, user).first()
        self.dataset, self.newest = dataset, version
        is_open = version is None or version.is_open  # type: ignore[attr-defined]
        self.version: DatasetVersion | None = None if is_open else version

    def closed(self, content_ids: Iterable[int]) -> frozenset[int]:
        """Which of these contents are closed to this person.

        A test row stays closed under every text it has or had: an edit after the freeze shows nearly the same words,
        and the texts before an edit are what the test asks.
        """
        wanted = set(content_ids)
        if self.version is None or not wanted:
            return frozenset()
        held = VersionRow.objects.filter(version=self.version, content=OuterRef("pk"))
        texts = Content.objects.filter(pk__in=wanted).annotate(split=Subquery(held.values("split")[:1]))
        found = list(texts.values_list("pk", "digest", "split"))
        sealed = {pk for pk, _, split in found if split == Split.TEST}
        # The same text under another number: an exact duplicate that was left out, or a row imported again since.
        others = [(pk, bytes(digest)) for pk, digest, split in found if split is None]
        asked = are_asked(self.version, [digest for _, digest in others])
        sealed |= {pk for (pk, _), is_asked in zip(others, asked, strict=True) if is_asked}
        if others:
            sealed |= self._closed_by_edits(self.version, {pk for pk, _ in others})
        return frozenset(sealed)

    def _closed_by_edits(self, version: DatasetVersion, others: set[int]) -> set[int]:
        """Those of these texts, which stand in no split of the version, that an edit leads to what its test asks."""
        edits = Edit.objects.order_by()
        rows = (
            Example.objects.filter(content_id__in=others)
            .order_by()
            .values("pk")
            .union(
                edits.filter(before_id__in=others).values("example_id"),
                edits.filter(after_id__in=others).values("example_id"),
            )
        )
        history = list(
            edits.filter(example_id__in=rows).values_list(
                "example_id", "before_id", "after_id", "before__digest", "example__content_id"
            )
        )
        if not history:
            return set()
        had: dict[int, set[int]] = defaultdict(set)
        for row, before, after, _, current in history:
            had[row] |= {before, after, current}
        # A twin that was edited since: every text it had then nearly says what the one before said.
        asked = are_asked(version, [bytes(line[3]) for line in history])
        twins = {line[0] for line, is_asked in zip(history, asked, strict=True) if is_asked}
        sealed = set().union(*(had[row] for row in twins)) & others
        # The version and the split are picked here: SQLite would walk the whole test by the index of those.
        holding = VersionRow.objects.filter(content_id__in=set().union(*had.values()))
        for held_by, split, tested in holding.values_list("version_id", "split", "example_id"):
            if held_by == version.pk and split == Split.TEST and tested in had:
                sealed |= had[tested] & others
        return sealed

    def all_closed(self) -> frozenset[int]:
        """Every closed content that a row of the dataset has now. It reads every row: for jobs and small datasets."""
        if self.version is None:
            return frozenset()
        tested = np.fromiter(
            self._test.exclude(example_id=None)
            .values_list("example_id", flat=True)
            .iterator(chunk_size=10_000),
            np.int64,
        )
        tested.sort()
        sealed: set[int] = set()
        rows = Example.objects.filter(dataset=self.dataset).order_by("id")
        columns = rows.values_list("pk", "content_id", "content__digest")
        after = 0
        while part := list(columns.filter(pk__gt=after)[:10_000]):
            after = part[-1][0]
            of_test = _are_among(tested, np.array([row[0] for row in part], np.int64))
            asked = are_asked(self.version, [bytes(row[2]) for row in part])
            sealed.update(part[i][1] for i in np.flatnonzero(of_test | asked).tolist())
        held = VersionRow.objects.filter(version=self.version, content=OuterRef("example__content"))
        edits = Edit.objects.filter(~Exists(held), example__dataset=self.dataset).order_by("pk")
        lines = list(edits.values_list("example__content_id", "before__digest"))
        asked = are_asked(self.version, [bytes(digest) for _, digest in lines])
        return frozenset(sealed | {lines[i][0] for i in np.flatnonzero(asked).tolist()})

    @property
    def _test(self) -> QuerySet[VersionRow]:
        return VersionRow.objects.filter(version=self.version, split=Split.TEST)


def _first_bytes(digests: Sequence[bytes]) -> np.ndarray:
    """Digests by their first bytes, as numbers."""
    return np.frombuffer(b"".join(d[:KEPT_BYTES] for d in digests), ">u8").astype(np.uint64)


def _are_among(known: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Which of `asked` stand in the sorted `known`."""
    if not len(known):
        return np.zeros(len(asked), bool)
    at = np.minimum(np.searchsorted(known, asked), len(known) - 1)
    return np.asarray(known[at] == asked)


def are_asked(version: DatasetVersion, digests: Sequence[bytes]) -> np.ndarray:
    """Which of these texts the test of a version asks."""
    return _are_among(_sealed_digests(version.pk, version.checksum), _first_bytes(digests))


@lru_cache(maxsize=8)
def _sealed_digests(version_id: int, checksum: str) -> np.ndarray:
    """What the test of a version asks, as sorted numbers: 8 bytes a row. A frozen version never changes."""
    data = SealedDigests.objects.filter(version_id=version_id).values_list("data", flat=True).first()
    # A version that was frozen before these were kept is read once by every process.
    return np.frombuffer(_packed_digests(version_id) if data is None else bytes(data), "<u8")


def _packed_digests(version_id: int) -> bytes:
    rows = VersionRow.objects.filter(version_id=version_id, split=Split.TEST)
    found = rows.values_list("content__digest", flat=True).iterator(chunk_size=10_000)
    return np.sort(_first_bytes([bytes(digest) for digest in found])).astype("<u8").tobytes()


def keep_sealed_digests(version: DatasetVersion) -> None:
    """Keep what the test of a version asks, before it is frozen. Safe to repeat."""
    SealedDigests.objects.update_or_create(version=version, defaults={"data": _packed_digests(version.pk)})


def sealed_contents(
    dataset: Dataset, content_ids: Iterable[int] | None = None, *, user: User | None = None
) -> frozenset[int]:
    """Which of these contents (all, without them) are closed test rows. For a person who opened them: none."""
    vault = Vault(dataset, user)
    return vault.all_closed() if content_ids is None else vault.closed(content_ids)


def check_not_sealed(dataset: Dataset, content_ids: Iterable[int], *, user: User | None) -> None:
    """Raises Sealed when a person would change rows that are closed to them. The portal's own work may go on."""
    if user is not None and sealed_contents(dataset, content_ids, user=user):
        raise Sealed


def earlier_with_rows_of(version: DatasetVersion) -> list[int]:
    """Earlier frozen versions of the dataset whose test asks any text that the test of this one asks."""
    earlier = SealedDigests.objects.filter(
        version__dataset=version.dataset_id,
        version__state=VersionState.FROZEN,
        version__number__lt=version.number,
    ).order_by("version__number")
    kept = SealedDigests.objects.filter(version=version).values_list("data", flat=True).first()
    own = np.frombuffer(_packed_digests(version.pk) if kept is None else bytes(kept), "<u8")
    return [
        pk
        for pk, data in earlier.values_list("version_id", "data").iterator(chunk_size=4)
        if _are_among(own, np.frombuffer(bytes(data), "<u8")).any()
    ]


def _tests_within(version: DatasetVersion) -> set[int]:
    """Versions a look at which shows test rows of this one: itself, what it was mixed from, and the earlier versions
    whose tests share rows with those. Versions frozen before this was kept in their report are compared now.
    """
    found, earlier, waiting = {version.pk}, set[int](), [version]
    while waiting and len(found) < MOST_MEMBERS:
        one = waiting.pop()
        known = (one.report or {}).get(SHARES_TEST_WITH)
        earlier.update(earlier_with_rows_of(one) if known is None and one.is_frozen else known or ())
        mixed = [task["version"] for task in (one.recipe or {}).get("mix", {}).get("tasks", ())]
        if not mixed:
            continue
        members = DatasetVersion.objects.filter(pk__in=mixed, team_id=version.team_id).exclude(pk__in=found)
        for member in members.only("id", "dataset_id", "number", "state", "recipe", "report"):
            found.add(member.pk)
            waiting.append(member)
    return found | earlier


def looks_at(version: DatasetVersion, *, most: int) -> list[Look]:
    """The newest looks at test rows of a version, each once: one at a mix is not shown again for each of its members."""
    tests = _tests_within(version)
    rows = Look.objects.filter(version__in=tests).select_related("by", "version__dataset")
    seen: dict[int, Look] = {}
    for look in rows.order_by("-id")[: most * (MOST_MEMBERS if len(tests) > 1 else 1)]:
        root = look.through_id or look.pk
        if root not in seen or look.version_id == version.pk:
            seen[root] = look
    return sorted(seen.values(), key=lambda look: -look.pk)[:most]


def wear_of(version: DatasetVersion) -> Wear:
    """How worn the test of a version is. Whoever looked at the test of a member looked at rows of the mix, and whoever
    looked at an earlier version at those of its rows that are asked again.
    """
    looks = Look.objects.filter(version__in=_tests_within(version))
    n = looks.aggregate(n=Count(Coalesce("through_id", "pk"), distinct=True))["n"]
    return wear(version.n_test, n)


def n_fresh_rows(dataset: Dataset) -> int:
    """Rows whose file came in after the newest frozen version: what a fresh test can be drawn from, at most.

    By the imports' stored counts: what was dropped since is not taken off.
    """
    newest = DatasetVersion.objects.frozen().filter(dataset=dataset).order_by("-number").first()
    if newest is None:
        return dataset.n_active
    imports = Import.objects.filter(
        dataset=dataset, state=ImportState.DONE, finished_at__gt=newest.created_at
    ).exclude(source=SYNTHETIC)
    return min(dataset.n_active, imports.aggregate(n=Sum("n_good"))["n"] or 0)
