"""Which of some new texts a dataset does not hold yet: exactly, but for formatting, or nearly. Reads, writes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from django.db.models import QuerySet

from datasets.active import contents_of, near_text
from datasets.asked import asked_by
from datasets.domain.duplicates import THRESHOLD, NearDuplicates, jaccard, near_clusters, sign
from datasets.domain.hashing import loose_keys
from datasets.domain.statuses import Split
from datasets.models import Content, Dataset, DatasetVersion, Example, VersionRow

BLOCK = 8000


@dataclass(slots=True)
class Novelty:
    """Positions that say something new, in order, and how many of the others were copies of which kind."""

    new: list[int] = field(default_factory=list)
    n_exact: int = 0
    n_formatting: int = 0
    n_near: int = 0

    @property
    def n_copies(self) -> int:
        """All that were left out."""
        return self.n_exact + self.n_formatting + self.n_near


def novel(
    dataset: Dataset,
    rows: Sequence[tuple[str, str]],
    *,
    task_kind: str,
    beat: Callable[[int], None] = lambda done: None,
) -> Novelty:
    """What of these (prompt, completion) pairs neither the dataset nor an earlier pair asks already.

    Held against every row people may see, dropped and rejected ones too, and against the test rows of every frozen
    version. Near means a verified Jaccard of at least THRESHOLD over all candidates that MinHash bands propose.
    `beat` hears how many rows were compared.
    """
    kinds: dict[int, str] = {}
    prompts = [prompt for prompt, _ in rows]
    texts = [near_text(task_kind, prompt, completion) for prompt, completion in rows]
    if not rows:
        return Novelty()
    keys = loose_keys(prompts)
    first: dict[int, int] = {}
    for i, key in enumerate(keys.tolist()):
        if key in first:
            kinds[i] = "exact" if prompts[first[key]] == prompts[i] else "formatting"
        else:
            first[key] = i
    for group in near_clusters(texts):
        for at, i in enumerate(group):
            if any(jaccard(texts[i], texts[j]) >= THRESHOLD for j in group[:at] if j not in kinds):
                kinds.setdefault(i, "near")
    signed = sign(texts)
    n_seen = 0
    for block in _held(dataset):
        held_prompts = [prompt for _, prompt, _ in block]
        held = [near_text(task_kind, prompt, completion) for _, prompt, completion in block]
        by_key: dict[int, list[int]] = {}
        held_keys = loose_keys(held_prompts)
        for at in np.flatnonzero(np.isin(held_keys, keys)).tolist():
            by_key.setdefault(int(held_keys[at]), []).append(at)
        for i, key in enumerate(keys.tolist()):
            for at in by_key.get(key, ()):
                if prompts[i] == held_prompts[at]:
                    kinds[i] = "exact"
                elif kinds.get(i) != "exact":
                    kinds[i] = "formatting"
        open_rows = [i for i in range(len(rows)) if i not in kinds]
        if open_rows:
            for i in _near(texts, held, signed, open_rows):
                kinds[i] = "near"
        n_seen += len(block)
        beat(n_seen)
    found = Novelty(new=[i for i in range(len(rows)) if i not in kinds])
    told = list(kinds.values())
    found.n_exact, found.n_formatting, found.n_near = (
        told.count("exact"), told.count("formatting"), told.count("near"),
    )  # fmt: skip
    return found


def _near(texts: Sequence[str], held: Sequence[str], signed: object, open_rows: list[int]) -> Iterator[int]:
    """Which of the open rows are nearly one of the held ones. A cluster only proposes: its pairs are measured."""
    finder = NearDuplicates()
    finder.take(signed)  # type: ignore[arg-type]
    finder.add(held)
    n = len(texts)
    both = lambda at: [texts[i] if i < n else held[i - n] for i in at]  # noqa: E731
    roots = finder.clusters(both).roots()
    for i in open_rows:
        mates = np.flatnonzero(roots == roots[i])
        if any(jaccard(texts[i], held[j - n]) >= THRESHOLD for j in mates.tolist() if j >= n):
            yield i


def _held(dataset: Dataset) -> Iterator[list[tuple[int, str, str]]]:
    """(id, prompt, completion) of all the dataset holds, in blocks; no cursor stays open between them."""
    shown = Example.objects.filter(dataset=dataset).shown()
    yield from _blocks(shown, "id")
    versions = DatasetVersion.objects.frozen().filter(dataset=dataset)
    for version in versions.only("id"):
        # Edited or removed since: what a frozen test holds must not be learnt either.
        tested = VersionRow.objects.filter(version=version, split=Split.TEST)
        gone = tested.exclude(content_id__in=shown.values("content_id"))
        yield from _blocks(gone, "id")


def _blocks(rows: QuerySet[Example] | QuerySet[VersionRow], key: str) -> Iterator[list[tuple[int, str, str]]]:
    last = 0
    wanted = rows.order_by(key).values_list(key, "content__prompt", "content__completion")
    while block := list(wanted.filter(id__gt=last)[:BLOCK]):
        yield block
        last = block[-1][0]


# Up to so many rows of a version, all it keeps back is read to know a text that stands under another number.
READ_UP_TO = 50_000


def unsealed(dataset: Dataset, digests: Mapping[int, bytes], *, at_once: bool = False) -> set[int]:
    """Which of these contents no frozen version ever validates or tests on: what new rows may be written from.

    `digests` are those of the contents, by their numbers.
    `at_once` is for pages: of a large version then, a twin of a validation row passes here and stays out later.
    """
    versions = list(DatasetVersion.objects.frozen().filter(dataset=dataset).only("pk", "checksum", "n_rows"))
    frozen = [version.pk for version in versions]
    free = set(digests)
    if not frozen:
        return free
    standing: dict[int, set[int]] = {}
    # Picked here: SQLite would walk the versions' rows by split instead of these few by content.
    for content, version, split in VersionRow.objects.filter(content_id__in=free).values_list(
        "content_id", "version_id", "split"
    ):
        if version in frozen:
            standing.setdefault(content, set()).add(version)
            if split in (Split.VALIDATION, Split.TEST):
                free.discard(content)
    # A text stands in a version once. Where this number stands in none, the same text may stand under another one: left
    # out as a duplicate, or imported again since.
    unknown = [content for content in free if len(standing.get(content, ())) < len(frozen)]
    if not unknown:
        return free
    tests = asked_by(versions)
    for block in contents_of(sorted(unknown)):
        asked = np.any([test.has(block) for test in tests], axis=0)
        free -= {text.content_id for text, is_asked in zip(block, asked, strict=True) if is_asked}
    if at_once and any(version.n_rows > READ_UP_TO for version in versions):
        return free
    kept_back = VersionRow.objects.filter(version__in=frozen, split__in=(Split.VALIDATION, Split.TEST))
    held = Content.objects.filter(pk__in=unknown, digest__in=kept_back.values("content__digest"))
    return free - set(held.values_list("pk", flat=True))
