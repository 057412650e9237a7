"""From active rows and a recipe to a split with its report: everything of a version but the writing.

Rows are read in the order of their digest, so the order of imports leaves no trace. A million of them are columns of
numbers, and lists where a value is text or bytes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, fields
from itertools import chain, pairwise, repeat
from typing import Any

import numpy as np
import orjson
from django.db.models.functions import Length

from datasets import bulk
from datasets.active import BLOCK, active_rows, contents_of, cuts, row_keys, texts_of
from datasets.binding import Known, known_of
from datasets.crossing import crossings
from datasets.domain.duplicates import Clusters, NearDuplicates
from datasets.domain.hashing import joined_keys
from datasets.domain.leakage import leakage, repeated, to_leave_out
from datasets.domain.power import mcnemar_power, power_sentence, rows_needed
from datasets.domain.recipe import Recipe, checksum
from datasets.domain.splitting import SPLITS, assign, byte_order, folds_of, numbered, ranks_of
from datasets.domain.stats import stats
from datasets.domain.statuses import SYNTHETIC, Split
from datasets.errors import Blocked
from datasets.models import Dataset, DatasetVersion, Example, Import, VersionRow

# Rows that may share one prompt before it counts as the task's own words, where 1 % of all rows is fewer.
MOST_ASKED = 20


@dataclass(slots=True)
class FrozenRows:
    """The rows of a version before they are written, in reading order: training, then validation, then test."""

    content_ids: np.ndarray
    example_ids: np.ndarray
    labels: list[str]
    groups: list[str]
    times: list[Any]


@dataclass(slots=True)
class Frozen:
    """A version before it is written: how many rows, report, statistics, checksum, and the rows themselves.

    Without `rows` they stand in the database already.
    """

    n_rows: int
    sizes: dict[str, int]
    report: dict[str, Any]
    stats: dict[str, Any]
    checksum: str
    labels: list[str]
    rows: FrozenRows | None = None


@dataclass(slots=True)
class _Rows:
    """Columns of rows; position i is the same row in each."""

    digests: list[bytes]
    labels: list[str]
    groups: list[str]
    times: list[Any]
    content_ids: np.ndarray
    example_ids: np.ndarray
    n_prompt: np.ndarray
    n_completion: np.ndarray
    # Keys of what is asked and of the whole row; they say something only where a row may be bound to another.
    prompt_keys: np.ndarray
    whole_keys: np.ndarray
    may_be_bound: np.ndarray

    def __len__(self) -> int:
        return len(self.digests)

    def take(self, at: np.ndarray) -> _Rows:
        """The rows at these positions, in that order."""
        positions = at.tolist()
        taken: dict[str, Any] = {}
        for field in fields(self):
            column = getattr(self, field.name)
            taken[field.name] = (
                column[at] if isinstance(column, np.ndarray) else [column[i] for i in positions]
            )
        return _Rows(**taken)


def compose(dataset: Dataset, recipe: Recipe, *, progress: Callable[[str], None]) -> Frozen:
    """The split of the rows as they are now, by the recipe alone. Same rows and recipe: same checksum anywhere."""
    known = known_of(dataset, threshold=recipe.near_threshold, task_kind=recipe.task_kind)
    loaded = (_by_check(dataset, known, progress) if known else None) or _by_text(dataset, progress)
    synthetic = synthetic_ids(dataset)
    rows = loaded.take(_first_of_equals(loaded, synthetic))
    left_out = len(loaded) - len(rows)
    del loaded

    clusters = _near(rows, recipe, progress)
    near_roots = clusters.roots().copy()
    prompts = _numbers(rows.prompt_keys, rows.may_be_bound)
    wholes = _numbers(rows.whole_keys, rows.may_be_bound)
    groups = _group_numbers(rows.groups)
    # Rows that are equal but for formatting, or ask the same, or belong to one customer stay together as well.
    # A prompt that a whole dataset shares ("Write a product text") names the task and binds nobody.
    asked = np.bincount(prompts + 1, minlength=1)[prompts + 1]
    own_words = np.where(asked <= max(MOST_ASKED, len(rows) // 100), prompts, -1)
    for numbers in (wholes, own_words, *([groups] if recipe.keep_groups else [])):
        first: dict[int, int] = {}
        again = repeated(numbers)
        for i, number in zip(again.tolist(), numbers[again].tolist(), strict=True):
            clusters.join(first.setdefault(number, i), i)
    units = clusters.roots()

    progress("Splitting")
    ratios = recipe.ratios
    if recipe.size_test_by_power:
        ratios = ratios.with_test_rows(len(rows), rows_needed())
    by_rank = byte_order(ranks_of(recipe.seed, rows.digests))
    splits = assign(
        rows.digests,
        seed=recipe.seed,
        ratios=ratios,
        strategy=recipe.strategy,
        labels=rows.labels,
        units=units,
        times=rows.times,
        furthest=_furthest(dataset, recipe, synthetic, rows.example_ids.tolist(), rows.digests),
        by_rank=by_rank,
    )
    if recipe.fresh_after and ratios.test > 0 and Split.TEST not in splits:
        raise Blocked(
            "No row can be a fresh test: all were in a version before, or belong together with one that was. "
            "Import rows that no version held and freeze again, or freeze without a fresh test."
        )
    left_out_leaks: dict[str, int] = {}
    dropped: set[int] = set()
    for kind in recipe.drop_leaks:
        asked_by = [key if key >= 0 else None for key in prompts.tolist()]
        by: Sequence[Any] = asked_by if kind == "prompt" else rows.groups if kind == "group" else []
        gone = to_leave_out(kind, by, splits, rows.times) - dropped
        left_out_leaks[kind] = len(gone)
        dropped |= gone
    if dropped:
        stays = np.ones(len(rows), bool)
        stays[list(dropped)] = False
        kept = np.flatnonzero(stays)
        splits = [splits[i] for i in kept.tolist()]
        if Split.TRAIN not in splits:
            raise Blocked(
                "Every training row shares this with the test, so none would be left to learn from."
            )
        by_rank = (np.cumsum(stays) - 1)[by_rank[stays[by_rank]]]
        rows, near_roots, units = rows.take(kept), near_roots[kept], units[kept]
        prompts, wholes, groups = prompts[kept], wholes[kept], groups[kept]
    progress("Looking for leaks")
    leaks = leakage(
        digests=rows.digests,
        loose_keys=wholes,
        prompt_keys=prompts,
        near_roots=near_roots,
        groups=groups,
        times=rows.times,
        splits=splits,
    ).as_json()
    for kind in ("exact", "loose", "prompt", "near", "group"):
        leaks[kind]["examples"] = [rows.example_ids[list(at)].tolist() for at in leaks[kind]["examples"]]
    numbers_of = stats(rows.n_prompt, rows.n_completion, rows.labels)
    # Which split, as a number in the order of SPLITS.
    split = np.fromiter(map({s: i for i, s in enumerate(SPLITS)}.__getitem__, splits), np.int8, len(splits))
    order = {s: by_rank[split[by_rank] == i] for i, s in enumerate(SPLITS)}
    reading = rows.take(np.concatenate(list(order.values())))
    sizes = {s.value: len(order[s]) for s in SPLITS}
    names = chain.from_iterable(repeat(name, n) for name, n in sizes.items())
    n_test = sizes[Split.TEST]
    report = {
        "leakage": leaks,
        "power": {
            "n_test": n_test,
            "power": round(mcnemar_power(n_test), 4),
            "needed": rows_needed(),
            "sentence": power_sentence(n_test),
            "ratios": [round(float(part), 6) for part in ratios.parts],
            "raised": ratios != recipe.ratios,
        },
        "distribution": {"whole": numbers_of.labels, **_spread(reading.labels, sizes)},
        "left_out": {"exact_duplicates": left_out, "leaks": left_out_leaks},
        "units": {
            "near_groups": int((np.bincount(near_roots) > 1).sum()) if len(rows) else 0,
            "largest": int(np.bincount(units).max()) if len(rows) else 0,
        },
    }
    if recipe.n_folds:
        folds = folds_of(
            rows.digests,
            splits,
            seed=recipe.seed,
            n_folds=recipe.n_folds,
            labels=rows.labels,
            units=units.tolist(),
        )
        # One number a row, in reading order of the split.
        report["folds"] = {
            "n": recipe.n_folds,
            **{s.value: [folds[i] for i in order[s].tolist()] for s in (Split.TRAIN, Split.VALIDATION)},
            **_bound(dataset, units, order),
        }
    if synthetic:
        for name, ids in (("synthetic", synthetic), ("written_from", given_ids(dataset))):
            is_one = np.isin(rows.example_ids, list(ids))
            report[name] = {s.value: int(is_one[order[s]].sum()) for s in SPLITS}
    report |= crossings(
        dataset,
        reading.digests,
        reading.content_ids,
        n_train=sizes[Split.TRAIN],
        n_test=n_test,
        progress=progress,
    )
    total = checksum(recipe, zip(names, reading.digests, reading.labels, strict=True))
    frozen = FrozenRows(
        reading.content_ids, reading.example_ids, reading.labels, reading.groups, reading.times
    )
    return Frozen(len(rows), sizes, report, numbers_of.as_json(), total, list(numbers_of.labels), rows=frozen)


def _first_of_equals(rows: _Rows, synthetic: Collection[int]) -> np.ndarray:
    """Positions in the order of digests, one of each digest.

    A person's row before a model's, which only trains; then by label, group and time. Which of two equal rows stays
    must not hang on its place in a file, nor on which file came first.
    """
    order = byte_order(rows.digests)
    ordered = [rows.digests[i] for i in order.tolist()]
    starts = [i for i, (a, b) in enumerate(pairwise(ordered), 1) if a != b] if len(rows) else []
    firsts = np.array([0, *starts] if len(rows) else [], np.int64)
    sizes = np.diff(firsts, append=len(rows))
    found = order[firsts]

    def key(i: int) -> tuple[bool, str, str, str, int]:
        at, example = rows.times[i], int(rows.example_ids[i])
        return example in synthetic, rows.labels[i], rows.groups[i], at.isoformat() if at else "", example

    for place in np.flatnonzero(sizes > 1).tolist():
        found[place] = min(order[firsts[place] : firsts[place] + sizes[place]].tolist(), key=key)
    return found


def _numbers(keys: np.ndarray, known: np.ndarray) -> np.ndarray:
    """A number from 0 for each distinct key, -1 for a row whose key says nothing."""
    found = np.full(len(keys), -1, np.int64)
    found[known] = np.unique(keys[known], return_inverse=True)[1]
    return found


def _group_numbers(groups: list[str]) -> np.ndarray:
    """A number for each group, -1 for a row without one."""
    names, numbers = numbered(groups)
    return numbers - (1 if names[:1] == [""] else 0)


def _spread(labels: list[str], sizes: dict[str, int]) -> dict[str, dict[str, int]]:
    """Rows of each label in each split, most frequent first; the labels of all rows in reading order are given."""
    found, start = {}, 0
    for name, n in sizes.items():
        counts = Counter(labels[start : start + n])
        del counts[""]
        found[name] = dict(counts.most_common())
        start += n
    return found


class _Reader:
    """Gathers blocks of rows into columns."""

    def __init__(self) -> None:
        self.digests: list[bytes] = []
        self.labels: list[str] = []
        self.groups: list[str] = []
        self.times: list[Any] = []
        self.numbers: list[np.ndarray] = []
        # Labels and groups are few: one string stands for all that are equal.
        self.words: dict[str, str] = {}

    def add(self, digests: Sequence[Any], labels: Sequence[str], groups: Sequence[str], times: Sequence[Any],
            *numbers: Sequence[int]) -> None:  # fmt: skip
        """Take a block. `numbers`: content ids, example ids, lengths of prompt and completion."""
        self.digests.extend(map(bytes, digests))
        self.labels.extend(map(self.words.setdefault, labels, labels))
        self.groups.extend(map(self.words.setdefault, groups, groups))
        self.times.extend(times)
        self.numbers.append(np.array(numbers, np.int64))

    def rows(self) -> _Rows:
        """All of them, bound to nobody."""
        numbers = np.concatenate(self.numbers, axis=1) if self.numbers else np.empty((4, 0), np.int64)
        n = numbers.shape[1]
        content_ids, example_ids, n_prompt, n_completion = numbers
        prompt_keys, whole_keys = np.zeros((2, n), np.uint64)
        return _Rows(
            self.digests, self.labels, self.groups, self.times, content_ids, example_ids, n_prompt, n_completion,
            prompt_keys, whole_keys, may_be_bound=np.zeros(n, bool),
        )  # fmt: skip


def _by_text(dataset: Dataset, progress: Callable[[str], None]) -> _Rows:
    """All active rows, their keys worked out from their texts."""
    reader, keys = _Reader(), []
    progress("Reading rows")
    for block in active_rows(dataset):
        asked_of, answered = row_keys(block)
        keys.append((asked_of, joined_keys(asked_of, answered)))
        columns = ((r.digest, r.label, r.group, r.at, r.content_id, r.id, len(r.prompt), len(r.completion)) for r in block)  # fmt: skip
        reader.add(*zip(*columns, strict=True))
        progress("Reading rows")
    rows = reader.rows()
    rows.may_be_bound[:] = True
    if keys:
        rows.prompt_keys, rows.whole_keys = (np.concatenate(column) for column in zip(*keys, strict=True))
    return rows


def _by_check(dataset: Dataset, known: Known, progress: Callable[[str], None]) -> _Rows | None:
    """The same with the texts of bound rows only; None when there is a row that the check has not seen."""
    active = Example.objects.active_of(dataset).order_by("id")
    # Times are asked for by themselves: most rows have none, and each is worked on by itself when it is read.
    times = dict(active.exclude(at=None).values_list("id", "at"))
    columns = active.values_list(
        "content__digest", "label", "group", "content_id", "id", Length("content__prompt"), Length("content__completion")
    )  # fmt: skip
    reader, last = _Reader(), 0
    while part := bulk.plain_rows(columns.filter(id__gt=last)[:BLOCK]):
        digests, labels, groups, contents, ids, *lengths = zip(*part, strict=True)
        reader.add(digests, labels, groups, [times.get(i) for i in ids] if times else [None] * len(ids),
                   contents, ids, *lengths)  # fmt: skip
        last = ids[-1]
        progress("Reading rows")
    rows = reader.rows()
    if not known.has_seen(rows.content_ids):
        return None
    rows.may_be_bound = known.are_bound(rows.content_ids)
    at = np.flatnonzero(rows.may_be_bound)
    # In the order of contents: whoever is read at once stands side by side, also where several rows share one.
    at = at[np.argsort(rows.content_ids[at], kind="stable")]
    bound = rows.content_ids[at]
    for block in contents_of(np.unique(bound).tolist()):
        asked_of, answered = row_keys(block)
        ids_of = np.array([row.content_id for row in block], np.int64)
        order = np.argsort(ids_of)
        here = slice(np.searchsorted(bound, ids_of.min()), np.searchsorted(bound, ids_of.max(), side="right"))
        place = order[np.searchsorted(ids_of, bound[here], sorter=order)]
        rows.prompt_keys[at[here]] = asked_of[place]
        rows.whole_keys[at[here]] = joined_keys(asked_of, answered)[place]
        progress("Reading rows")
    return rows


def _near(rows: _Rows, recipe: Recipe, progress: Callable[[str], None]) -> Clusters:
    """Which rows are nearly the same: those that may be bound to another, compared."""
    compared = np.flatnonzero(rows.may_be_bound)
    contents = rows.content_ids[compared].tolist()
    finder = NearDuplicates(recipe.near_threshold)
    for start, end in cuts((rows.n_prompt + rows.n_completion)[compared].tolist()):
        progress("Comparing rows")
        finder.add(texts_of(contents[start:end], recipe.task_kind))
    roots = finder.clusters(
        lambda at: texts_of([contents[i] for i in at], recipe.task_kind),
        beat=lambda: progress("Comparing rows"),
    ).roots()
    clusters = Clusters(len(rows))
    for i in np.flatnonzero(roots != np.arange(len(roots))).tolist():
        clusters.join(int(compared[roots[i]]), int(compared[i]))
    return clusters


def synthetic_ids(dataset: Dataset) -> set[int]:
    """Examples a model wrote: they train and are never tested on."""
    sources = list(Import.objects.filter(dataset=dataset, source=SYNTHETIC).values_list("pk", flat=True))
    if not sources:  # as most datasets have it: no look at a million rows
        return set()
    rows = Example.objects.filter(dataset=dataset, source__in=sources).active()
    return set(rows.values_list("id", flat=True))


def given_ids(dataset: Dataset) -> set[int]:
    """Examples that were shown to a model when it wrote rows that take part now."""
    return {key for given in written_from(dataset).values() for key in given}


def written_from(dataset: Dataset, *, dropped_too: bool = False) -> dict[int, list[int]]:
    """Of every example a model wrote and that takes part, or once did: the examples it was shown."""
    rows = Example.objects.filter(dataset=dataset, source__source=SYNTHETIC)
    if not dropped_too:
        rows = rows.active()
    found: dict[int, list[int]] = {}
    for key, meta in rows.values_list("id", "meta"):
        told = orjson.loads(meta).get("given_rows") if meta else None
        found[key] = [k for k in told if isinstance(k, int)] if isinstance(told, list) else []
    return found


def _bound(dataset: Dataset, units: np.ndarray, order: dict[Split, np.ndarray]) -> dict[str, Any]:
    """What a cross-validation must know of rows outside the test: who belongs together, and who was written from whom.

    Units are numbered as they come in reading order, so that the order of imports leaves no trace.
    """
    numbers: dict[int, int] = {}
    named = {
        s.value: [numbers.setdefault(unit, len(numbers)) for unit in units[order[s]].tolist()]
        for s in (Split.TRAIN, Split.VALIDATION)
    }
    return {"units": named, "written": {str(key): given for key, given in written_from(dataset).items()}}


def _furthest(
    dataset: Dataset, recipe: Recipe, synthetic: Collection[int], example_ids: list[int], digests: list[bytes]
) -> list[int]:
    """How far each row may go (splitting.assign): written by a model or learnt from, training only; seen, not the test."""
    seen = _digests(dataset, recipe.fresh_after)
    for split in (Split.TRAIN, Split.VALIDATION):
        seen |= _digests(dataset, recipe.never_tested, split=split)
    learnt = _digests(dataset, (*recipe.learnt_from, *recipe.learnt_whole), split=Split.TRAIN)
    learnt |= _digests(dataset, recipe.learnt_whole, split=Split.VALIDATION)
    if not synthetic and not seen and not learnt:
        return []
    return [
        0 if key in synthetic or digest in learnt else 1 if digest in seen else 2
        for key, digest in zip(example_ids, digests, strict=True)
    ]


def _digests(dataset: Dataset, checksums: Sequence[str], split: Split | None = None) -> set[bytes]:
    if not checksums:
        return set()
    versions = DatasetVersion.objects.frozen().filter(dataset=dataset, checksum__in=checksums)
    rows = VersionRow.objects.filter(version__in=versions)
    if split is not None:
        rows = rows.filter(split=split)
    found = rows.values_list("content__digest", flat=True)
    return {bytes(digest) for digest in found.iterator(chunk_size=10_000)}
