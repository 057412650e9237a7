"""Which rows are sealed: the test of the newest frozen version, closed to people until opened with a reason.

Pages ask about their own rows only, so what they ask does not grow with the test.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from django.db.models import Count, Exists, OuterRef, QuerySet, Subquery, Sum
from django.db.models.functions import Coalesce

from datasets import bulk
from datasets.active import BLOCK, Texts, contents_of, cuts, n_chars_of
from datasets.asked import are_among, are_asked, exact_of
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
from foundation.files.models import Blob
from foundation.teams.models import User

MOST_MEMBERS = 100
# Contents asked about at once without a look at how long they are.
OF_A_PAGE = 200
# Columns of a text, in the order of `Texts`.
_TEXT = ("system", "turns", "prompt", "completion", "digest")
# In the report of a version: the earlier ones whose tests ask rows of its own.
SHARES_TEST_WITH = "shares_test_with"


def with_looks(user: User | None = None) -> VersionQuerySet:
    """Frozen versions; `is_open` says whether `user` opened the test rows of each."""
    # Nobody has the number 0; a look whose person was removed opens nothing.
    opened = Look.objects.filter(version=OuterRef("pk"), by_id=user.pk if user else 0, kind=LookKind.ROWS)
    return DatasetVersion.objects.frozen().annotate(is_open=Exists(opened)).only("id", "number", "checksum")


def versions_with_looks(dataset: Dataset, user: User | None = None) -> VersionQuerySet:
    """Those of a dataset, the newest first."""
    return with_looks(user).filter(dataset=dataset).order_by("-number")


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
        and the texts before an edit are what the test asks. So does another row of the same words, whatever their
        capitals, spaces and punctuation, unless the version holds it in another split.
        """
        wanted = set(content_ids)
        if self.version is None or not wanted:
            return frozenset()
        found = set[int]()
        for part in _parts(sorted(wanted)):
            found |= self._closed(self.version, part)
        return frozenset(found)

    def _closed(self, version: DatasetVersion, wanted: list[int]) -> set[int]:
        held = VersionRow.objects.filter(version=version, content=OuterRef("pk"))
        texts = Content.objects.filter(pk__in=wanted).annotate(split=Subquery(held.values("split")[:1]))
        found = list(texts.values_list("pk", *_TEXT, "split"))
        sealed = {row[0] for row in found if row[-1] == Split.TEST}
        # The same text under another number: a copy that was left out or dropped, or a row imported again since.
        others = [_texts(row[0], row[1:-1]) for row in found if row[-1] is None]
        if not others:
            return sealed
        asked = are_asked(version, others)
        sealed |= {text.content_id for text, is_asked in zip(others, asked, strict=True) if is_asked}
        return sealed | self._closed_by_edits(version, {text.content_id for text in others})

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
        sides = [f"{side}__{name}" for side in ("before", "after") for name in _TEXT]
        history = list(
            edits.filter(example_id__in=rows).values_list(
                "example_id", "example__content_id", "before_id", "after_id", *sides
            )
        )
        if not history:
            return set()
        had: dict[int, set[int]] = defaultdict(set)
        said: list[tuple[int, Texts]] = []
        for row, current, before, after, *texts in history:
            had[row] |= {current, before, after}
            said += [(row, _texts(before, texts[: len(_TEXT)])), (row, _texts(after, texts[len(_TEXT) :]))]
        # A twin that was edited since, or became one: every text it had then nearly says what the others say.
        asked = are_asked(version, [text for _, text in said])
        twins = {row for (row, _), is_asked in zip(said, asked, strict=True) if is_asked}
        sealed = set().union(*(had[row] for row in twins)) & others
        # The version and the split are picked here: SQLite would walk the whole test by the index of those.
        holding = VersionRow.objects.filter(content_id__in=set().union(*had.values()))
        for held_by, split, tested in holding.values_list("version_id", "split", "example_id"):
            if held_by == version.pk and split == Split.TEST and tested in had:
                sealed |= had[tested] & others
        return sealed

    def all_closed(self) -> frozenset[int]:
        """Every closed content that a row of the dataset has now.

        It reads every row, and the texts of those the version does not hold: for jobs and small datasets.
        """
        version = self.version
        if version is None:
            return frozenset()
        held = VersionRow.objects.filter(version=version)
        lines = held.values_list("content_id", "example_id", "split").iterator(chunk_size=10_000)
        rows = np.fromiter(
            ((content, example or 0, split == Split.TEST) for content, example, split in lines),
            [("content", np.int64), ("example", np.int64), ("is_tested", bool)],
        )
        of_version = np.sort(rows["content"])
        tested, tested_rows = (np.sort(rows[name][rows["is_tested"]]) for name in ("content", "example"))
        examples = Example.objects.filter(dataset=self.dataset)
        sealed, others = set[int](), []
        for example, content in _blocks(examples, "pk", "content_id"):
            of_test = are_among(tested_rows, example) | are_among(tested, content)
            sealed.update(content[of_test].tolist())
            others.append(content[~of_test & ~are_among(of_version, content)])
        # What the version holds in another split stays open, whatever it was before.
        sides = ("example__content_id", "before_id", "after_id")
        edits = []
        for block in _blocks(Edit.objects.filter(example__dataset=self.dataset), "pk", *sides):
            texts = np.array(block[1:])
            edits.append(texts[:, ~are_among(of_version, texts[0])])
        asked = _asked_among(version, np.concatenate([*others, *(texts.ravel() for texts in edits), [0]]))
        sealed.update(*(asked.intersection(part.tolist()) for part in others))
        for texts in edits:
            sealed.update(now for now, *its in texts.T.tolist() if asked.intersection((now, *its)))
        return frozenset(sealed)


def _blocks(rows: QuerySet[Any], *columns: str) -> Iterator[list[np.ndarray]]:
    """Columns of numbers, many rows at once; the first column is the key that grows."""
    ordered = rows.order_by(columns[0]).values_list(*columns)
    n, after = 10_000, 0
    while part := list(ordered.filter(pk__gt=after)[:n]):
        after = part[-1][0]
        yield list(np.array(part, np.int64).T)
        if len(part) < n:
            return


def _asked_among(version: DatasetVersion, content_ids: np.ndarray) -> set[int]:
    """Which of these contents the test of a version asks, by their texts."""
    found = set[int]()
    for block in contents_of(np.unique(content_ids).tolist()):
        asked = are_asked(version, block)
        found |= {text.content_id for text, is_asked in zip(block, asked, strict=True) if is_asked}
    return found


def _texts(content_id: int, columns: Sequence[Any]) -> Texts:
    system, turns, prompt, completion, digest = columns
    return Texts(content_id, system, turns, prompt, completion, bytes(digest))


def _parts(content_ids: list[int]) -> Iterator[list[int]]:
    """As many at once as may be held; what a page shows it has read itself, so that is one part."""
    if len(content_ids) <= OF_A_PAGE:
        yield content_ids
        return
    for some in bulk.chunks(content_ids, BLOCK):
        sizes = Content.objects.filter(pk__in=some).order_by("pk").values_list("pk", n_chars_of())
        found = bulk.plain_rows(sizes)
        for start, end in cuts([n for _, n in found], BLOCK // 4):
            yield [key for key, _ in found[start:end]]


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


def check_file_open(user: User, blob: Blob) -> None:
    """Raises Sealed for a file whose rows came into a dataset with test rows that are closed to this person."""
    for dataset in Dataset.objects.filter(pk__in=Import.objects.filter(blob=blob).values("dataset")):
        version = Vault(dataset, user).version
        if version is not None and version.n_test:
            raise Sealed("This file may hold sealed test rows. Open them with a reason first.")


def earlier_with_rows_of(version: DatasetVersion) -> list[int]:
    """Earlier frozen versions of the dataset whose test asks any text that the test of this one asks."""
    earlier = SealedDigests.objects.filter(
        version__dataset=version.dataset_id,
        version__state=VersionState.FROZEN,
        version__number__lt=version.number,
    ).order_by("version__number")
    kept = SealedDigests.objects.filter(version=version).values_list("data", flat=True).first()
    own = exact_of(version.pk) if kept is None else np.frombuffer(bytes(kept), "<u8")
    return [
        pk
        for pk, data in earlier.values_list("version_id", "data").iterator(chunk_size=4)
        if are_among(own, np.frombuffer(bytes(data), "<u8")).any()
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
