"""Comparing two versions of a dataset: at once when they are small, by a job that keeps the outcome when they are large."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.urls import reverse
from django.utils import timezone

from datasets.domain.statuses import Split
from datasets.domain.versiondiff import RowKey, diff_versions
from datasets.models import Content, DatasetVersion, VersionDiff, VersionRow
from datasets.policies import check_can_use
from datasets.vault import sealed_contents, versions_with_looks
from foundation.jobs.services import start_job
from foundation.teams.errors import BadInput
from foundation.teams.models import User

# Rows of both versions together up to which a page compares them at once.
AT_ONCE = 20_000
# Rows of each kind that are kept to be read; the counts are whole.
KEPT = 1000
KINDS = ("added", "removed", "changed", "moved")


def check_comparable(before: DatasetVersion, after: DatasetVersion) -> None:
    """Raises BadInput for versions of two datasets or one with itself, Conflict for one that is not frozen."""
    if before.dataset_id != after.dataset_id or before.pk == after.pk:
        raise BadInput("Choose another version of the same dataset.", field="other")
    check_can_use(before)
    check_can_use(after)


def compute(before: DatasetVersion, after: DatasetVersion) -> dict[str, Any]:
    """Counts, and the first rows of each kind: [content before, split before, label before, content after, …]."""

    def keys(version: DatasetVersion) -> tuple[list[RowKey], list[int]]:
        rows = VersionRow.objects.filter(version=version).order_by("split", "position")
        found, contents = [], []
        columns = rows.values_list("content__digest", "example_id", "label", "split", "content_id")
        for digest, example, label, split, content in columns.iterator(chunk_size=10_000):
            found.append(RowKey(bytes(digest), example, label, split))
            contents.append(content)
        return found, contents

    (old, old_ids), (new, new_ids) = keys(before), keys(after)
    found = diff_versions(old, new)

    def side(rows: list[RowKey], ids: list[int], i: int | None) -> list[Any]:
        return [None, "", ""] if i is None else [ids[i], rows[i].split, rows[i].label]

    pairs: dict[str, list[tuple[int | None, int | None]]] = {
        "added": [(None, j) for j in found.added],
        "removed": [(i, None) for i in found.removed],
        "changed": list(found.changed),
        "moved": list(found.moved),
    }
    return {
        "counts": {**{kind: len(pairs[kind]) for kind in KINDS}, "same": found.n_same},
        "rows": {
            kind: [side(old, old_ids, i) + side(new, new_ids, j) for i, j in pairs[kind][:KEPT]]
            for kind in KINDS
        },
    }


def difference(before: DatasetVersion, after: DatasetVersion) -> dict[str, Any] | None:
    """The difference, kept or worked out now; None when the versions are large and no job has compared them yet."""
    check_comparable(before, after)
    kept = VersionDiff.objects.filter(before=before, after=after).exclude(finished_at=None).first()
    if kept is not None:
        return kept.result
    return compute(before, after) if before.n_rows + after.n_rows <= AT_ONCE else None


def start_diff(*, actor: User | None, before: DatasetVersion, after: DatasetVersion) -> VersionDiff:
    """The comparison of two large versions and its job; the same request is the same row."""
    check_comparable(before, after)
    with transaction.atomic():
        row, _ = VersionDiff.objects.get_or_create(
            before=before, after=after, defaults={"team_id": after.team_id}
        )
        if row.finished_at is None:
            row.job = start_job(
                actor=actor,
                team=after.dataset.team,
                kind="datasets.diff",
                title=f"Compare versions {before.number} and {after.number} of {after.dataset.name}",
                recipe={"diff": row.pk},
                subject=after,
                url=reverse("datasets:version-diff", args=[after.pk, before.number]),
                dedupe_key=f"diff:{row.pk}",
            )
            row.save(update_fields=["job"])
    return row


def keep_diff(*, diff_id: int) -> VersionDiff:
    """Work the difference out and keep it: frozen versions never change. Doing it again gives the same."""
    row = VersionDiff.objects.select_related("before__dataset", "after__dataset").get(pk=diff_id)
    result = compute(row.before, row.after)
    VersionDiff.objects.filter(pk=row.pk).update(result=result, finished_at=timezone.now())
    row.refresh_from_db()
    return row


def shown_rows(
    found: dict[str, Any],
    kind: str,
    *,
    before: DatasetVersion,
    after: DatasetVersion,
    user: User,
    start: int,
    n: int,
) -> list[dict[str, Any]]:
    """`n` rows of one kind from place `start`, with their texts; test rows stay closed to who has not opened them."""
    rows = found["rows"][kind][start : start + n]
    ids = {key for row in rows for key in (row[0], row[3]) if key}
    contents = Content.objects.in_bulk(ids)
    known = list(versions_with_looks(after.dataset, user))
    opened = {version.pk for version in known if version.is_open}  # type: ignore[attr-defined]
    newest = known[0] if known else None
    # The splits of these two say enough, unless a newer version has another test.
    is_told = newest is None or newest.pk in (before.pk, after.pk)
    sealed = frozenset() if is_told else sealed_contents(after.dataset, ids, user=user)
    out = []
    for old, old_split, old_label, new, new_split, new_label in rows:
        is_sealed = (
            (old_split == Split.TEST and before.pk not in opened)
            or (new_split == Split.TEST and after.pk not in opened)
            or bool({old, new} & sealed)
        )
        out.append(
            {
                "before": None if is_sealed else contents.get(old),
                "after": None if is_sealed else contents.get(new),
                "is_sealed": is_sealed,
                "split_before": old_split,
                "split_after": new_split,
                "label_before": old_label,
                "label_after": new_label,
            }
        )
    return out
