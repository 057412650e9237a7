"""From active rows and a recipe to a split with its report: everything of a version but the writing.

Rows are read in the order of their digest, so the order of imports leaves no trace.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
from django.db.models.functions import Length

from datasets.active import BLOCK, active_rows, contents_of, row_keys, texts_of
from datasets.binding import Known, known_of
from datasets.domain.duplicates import Clusters, NearDuplicates
from datasets.domain.hashing import joined_keys
from datasets.domain.leakage import leakage, to_leave_out
from datasets.domain.power import mcnemar_power, power_sentence, rows_needed
from datasets.domain.recipe import Recipe, checksum
from datasets.domain.splitting import SPLITS, assign, folds_of, rank
from datasets.domain.stats import stats
from datasets.domain.statuses import SYNTHETIC, Split
from datasets.errors import Blocked
from datasets.models import Dataset, DatasetVersion, Example, VersionRow

# Rows that may share one prompt before it counts as the task's own words, where 1 % of all rows is fewer.
MOST_ASKED = 20


@dataclass(slots=True)
class Frozen:
    """A version before it is written: rows in reading order of their split, report, statistics, checksum."""

    rows: list[
        tuple[int, int, str, str, Any, str, int]
    ]  # content, example, label, group, at, split, position
    sizes: dict[str, int]
    report: dict[str, Any]
    stats: dict[str, Any]
    checksum: str
    labels: list[str]


def compose(dataset: Dataset, recipe: Recipe, *, progress: Callable[[str], None]) -> Frozen:
    """The split of the rows as they are now, by the recipe alone. Same rows and recipe: same checksum anywhere."""
    known = known_of(dataset, threshold=recipe.near_threshold, task_kind=recipe.task_kind)
    loaded = (_by_check(dataset, known, progress) if known else None) or _by_text(dataset, progress)
    # By digest, then label, group and time: which of two equal rows stays must not hang on its place in a file.
    loaded.sort(key=lambda r: (r[0], r[1], r[2], r[3].isoformat() if r[3] else "", r[5]))
    unique = [row for i, row in enumerate(loaded) if i == 0 or row[0] != loaded[i - 1][0]]
    left_out = len(loaded) - len(unique)
    digests = [row[0] for row in unique]
    labels = [row[1] for row in unique]
    groups = [row[2] for row in unique]
    times = [row[3] for row in unique]
    content_ids = [row[4] for row in unique]
    prompt_keys = [row[8] for row in unique]
    whole_keys = [row[9] for row in unique]

    clusters = _near(unique, recipe, progress)
    near_roots = clusters.roots().copy()
    # Rows that are equal but for formatting, or ask the same, or belong to one customer stay together as well.
    # A prompt that a whole dataset shares ("Write a product text") names the task and binds nobody.
    common = max(MOST_ASKED, len(unique) // 100)
    asked = Counter(prompt_keys)
    prompts = [key if asked[key] <= common else 0 for key in prompt_keys]
    binding: tuple[list[Any], ...] = (whole_keys, prompts, groups if recipe.keep_groups else [])
    for keys in binding:
        first: dict[Any, int] = {}
        for i, key in enumerate(keys):
            if key:
                clusters.join(first.setdefault(key, i), i)
    units = clusters.roots()

    progress("Splitting")
    left_out_leaks: dict[str, int] = {}
    ratios = recipe.ratios
    if recipe.size_test_by_power:
        ratios = ratios.with_test_rows(len(unique), rows_needed())
    splits = assign(
        digests,
        seed=recipe.seed,
        ratios=ratios,
        strategy=recipe.strategy,
        labels=labels,
        units=units.tolist(),
        times=times,
        furthest=_furthest(dataset, recipe, [row[5] for row in unique], digests),
    )
    dropped: set[int] = set()
    for kind in recipe.drop_leaks:
        shared: dict[str, list[Any]] = {"prompt": prompt_keys, "group": groups}
        by = shared.get(kind, [])
        gone = to_leave_out(kind, by, splits, times) - dropped
        left_out_leaks[kind] = len(gone)
        dropped |= gone
    if dropped:
        kept = [i for i in range(len(unique)) if i not in dropped]
        if not any(splits[i] == Split.TRAIN for i in kept):
            raise Blocked(
                "Every training row shares this with the test, so none would be left to learn from."
            )
        unique, digests, content_ids = (
            [unique[i] for i in kept], [digests[i] for i in kept], [content_ids[i] for i in kept],
        )  # fmt: skip
        labels, groups, times = [labels[i] for i in kept], [groups[i] for i in kept], [times[i] for i in kept]
        prompt_keys, whole_keys = [prompt_keys[i] for i in kept], [whole_keys[i] for i in kept]
        splits = [splits[i] for i in kept]
        near_roots, units = near_roots[kept], units[kept]
    progress("Looking for leaks")
    found = leakage(
        digests=digests,
        loose_keys=whole_keys,
        prompt_keys=prompt_keys,
        near_roots=near_roots.tolist(),
        groups=groups,
        times=times,
        splits=splits,
    )
    order: dict[str, list[int]] = {split: [] for split in SPLITS}
    for i in sorted(range(len(unique)), key=lambda i: rank(recipe.seed, digests[i])):
        order[splits[i]].append(i)
    rows = [
        (content_ids[i], unique[i][5], labels[i], groups[i], times[i], split.value, position)
        for split in SPLITS
        for position, i in enumerate(order[split])
    ]
    sizes = {split.value: len(order[split]) for split in SPLITS}
    spread = {
        split.value: dict(Counter(labels[i] for i in order[split] if labels[i]).most_common())
        for split in SPLITS
    }
    leaks = found.as_json()
    for kind in ("exact", "loose", "prompt", "near", "group"):
        leaks[kind]["examples"] = [[unique[i][5] for i in rows] for rows in leaks[kind]["examples"]]
    numbers = stats([row[6] for row in unique], [row[7] for row in unique], labels)
    n_test = sizes[Split.TEST]
    power = {
        "n_test": n_test,
        "power": round(mcnemar_power(n_test), 4),
        "needed": rows_needed(),
        "sentence": power_sentence(n_test),
        "ratios": [round(float(part), 6) for part in ratios.parts],
        "raised": ratios != recipe.ratios,
    }
    unit_sizes = np.bincount(units, minlength=0)
    report = {
        "leakage": leaks,
        "power": power,
        "distribution": {"whole": numbers.labels, **spread},
        "left_out": {"exact_duplicates": left_out, "leaks": left_out_leaks},
        "units": {
            "near_groups": int((np.bincount(near_roots) > 1).sum()) if len(unique) else 0,
            "largest": int(unit_sizes.max()) if len(unique) else 0,
        },
    }
    if recipe.n_folds:
        folds = folds_of(
            digests, splits, seed=recipe.seed, n_folds=recipe.n_folds, labels=labels, units=units.tolist()
        )
        # One number a row, in reading order of the split.
        report["folds"] = {
            "n": recipe.n_folds,
            **{s.value: [folds[i] for i in order[s]] for s in (Split.TRAIN, Split.VALIDATION)},
            **_bound(dataset, units.tolist(), order),
        }
    synthetic = synthetic_ids(dataset)
    if synthetic:
        report["synthetic"] = {s.value: sum(unique[i][5] in synthetic for i in order[s]) for s in SPLITS}
        given = given_ids(dataset)
        report["written_from"] = {s.value: sum(unique[i][5] in given for i in order[s]) for s in SPLITS}
    total = checksum(recipe, ((split.value, digests[i], labels[i]) for split in SPLITS for i in order[split]))
    return Frozen(rows, sizes, report, numbers.as_json(), total, list(numbers.labels))


# Digest, label, group, time, content, example, two lengths, key of what is asked, key of the whole row. Keys are None
# for a row that a check found bound to nobody.
_Loaded = tuple[bytes, str, str, Any, int, int, int, int, int | None, int | None]


def _by_text(dataset: Dataset, progress: Callable[[str], None]) -> list[_Loaded]:
    """All active rows, their keys worked out from their texts."""
    loaded: list[_Loaded] = []
    progress("Reading rows")
    for block in active_rows(dataset):
        asked_of, answered = row_keys(block)
        wholes = joined_keys(asked_of, answered).tolist()
        for row, prompt_key, whole_key in zip(block, asked_of.tolist(), wholes, strict=True):
            lengths = len(row.prompt), len(row.completion)
            loaded.append(
                (
                    row.digest,
                    row.label,
                    row.group,
                    row.at,
                    row.content_id,
                    row.id,
                    *lengths,
                    prompt_key,
                    whole_key,
                )
            )
        progress("Reading rows")
    return loaded


def _by_check(dataset: Dataset, known: Known, progress: Callable[[str], None]) -> list[_Loaded] | None:
    """The same with the texts of bound rows only; None when there is a row that the check has not seen."""
    rows = (
        Example.objects.filter(dataset=dataset)
        .active()
        .order_by("id")
        .values_list(
            "content__digest",
            "label",
            "group",
            "at",
            "content_id",
            "id",
            Length("content__prompt"),
            Length("content__completion"),
        )
    )
    found: list[Any] = []
    last = 0
    while part := list(rows.filter(id__gt=last)[:BLOCK]):
        found += part
        last = part[-1][5]
        progress("Reading rows")
    content_ids = np.array([row[4] for row in found], np.int64)
    if not known.has_seen(content_ids):
        return None
    bound = content_ids[known.are_bound(content_ids)].tolist()
    keys: dict[int, tuple[int, int]] = {}
    for start in range(0, len(bound), BLOCK):
        block = contents_of(bound[start : start + BLOCK])
        asked_of, answered = row_keys(block)
        wholes = joined_keys(asked_of, answered).tolist()
        for row, prompt_key, whole_key in zip(block, asked_of.tolist(), wholes, strict=True):
            keys[row.content_id] = (prompt_key, whole_key)
        progress("Reading rows")
    nobody = (None, None)
    return [(bytes(row[0]), *row[1:], *keys.get(row[4], nobody)) for row in found]


def _near(unique: list[_Loaded], recipe: Recipe, progress: Callable[[str], None]) -> Clusters:
    """Which rows are nearly the same: those that may be bound to another, compared."""
    compared = [i for i, row in enumerate(unique) if row[8] is not None]
    contents = [unique[i][4] for i in compared]
    finder = NearDuplicates(recipe.near_threshold)
    for start in range(0, len(contents), 10_000):
        progress("Comparing rows")
        finder.add(texts_of(contents[start : start + 10_000], recipe.task_kind))
    roots = finder.clusters(
        lambda at: texts_of([contents[i] for i in at], recipe.task_kind),
        beat=lambda: progress("Comparing rows"),
    ).roots()
    clusters = Clusters(len(unique))
    for i in np.flatnonzero(roots != np.arange(len(roots))).tolist():
        clusters.join(compared[int(roots[i])], compared[i])
    return clusters


def synthetic_ids(dataset: Dataset) -> set[int]:
    """Examples a model wrote: they train and are never tested on."""
    rows = Example.objects.filter(dataset=dataset, source__source=SYNTHETIC).active()
    return set(rows.values_list("id", flat=True))


def given_ids(dataset: Dataset) -> set[int]:
    """Examples that were shown to a model when it wrote rows that take part now."""
    return {key for given in written_from(dataset).values() for key in given}


def written_from(dataset: Dataset) -> dict[int, list[int]]:
    """Of every example a model wrote and that takes part: the examples it was shown."""
    rows = Example.objects.filter(dataset=dataset, source__source=SYNTHETIC).active()
    found: dict[int, list[int]] = {}
    for key, meta in rows.values_list("id", "meta"):
        told = orjson.loads(meta).get("given_rows") if meta else None
        found[key] = [k for k in told if isinstance(k, int)] if isinstance(told, list) else []
    return found


def _bound(dataset: Dataset, units: list[int], order: dict[str, list[int]]) -> dict[str, Any]:
    """What a cross-validation must know of rows outside the test: who belongs together, and who was written from whom.

    Units are numbered as they come in reading order, so that the order of imports leaves no trace.
    """
    numbers: dict[int, int] = {}
    named = {
        s.value: [numbers.setdefault(units[i], len(numbers)) for i in order[s]]
        for s in (Split.TRAIN, Split.VALIDATION)
    }
    return {"units": named, "written": {str(key): given for key, given in written_from(dataset).items()}}


def _furthest(dataset: Dataset, recipe: Recipe, example_ids: list[int], digests: list[bytes]) -> list[int]:
    """How far each row may go (splitting.assign): written by a model or learnt from, training only; seen, not the test."""
    synthetic = synthetic_ids(dataset)
    seen = _digests(dataset, recipe.fresh_after)
    learnt = _digests(dataset, recipe.learnt_from, split=Split.TRAIN)
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
