"""Texts that nothing refers to any more go, a short slice at a time.

A mix that was cancelled, an edit that lost a race and a label change that was taken back leave such texts.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence

from django.apps import apps
from django.core.cache import cache
from django.db import models
from django.db.models import Exists, OuterRef, QuerySet

from datasets import bulk
from datasets.domain.statuses import VersionState
from datasets.models import Content, DatasetVersion, VersionRow

# What one sweep looks at, in MOST_S at most; no lock is held while it reads.
LOOKED_AT = 50_000
WINDOW = 5_000
MOST_S = 2.0
CURSOR = "datasets:contents-swept-upto"


def references_to(target: type[models.Model]) -> list[models.ForeignKey]:
    """Every column that may refer to a row of `target`, on whichever floor."""
    return [
        field
        for model in apps.get_models()
        for field in model._meta.concrete_fields
        if isinstance(field, models.ForeignKey) and field.related_model is target
    ]


def _unreferenced(rows: QuerySet[Content]) -> list[int]:
    """Ids among `rows` that no row of any table refers to, in order."""
    for field in references_to(Content):
        held = field.model._base_manager.filter(**{field.attname: OuterRef("pk")})
        rows = rows.filter(~Exists(held))
    return list(rows.order_by("id").values_list("id", flat=True))


def remove_unreferenced(content_ids: Sequence[int]) -> int:
    """Remove those of these texts that nothing refers to, in short transactions. Returns how many went.

    The search index follows by its trigger. Whoever writes a text refers to it in the same transaction, so none is
    caught between the two.
    """
    pace, removed, start = bulk.Pace(most=bulk.MOST_WHERE_ROWS_DIFFER), 0, 0
    while start < len(content_ids):
        part = content_ids[start : start + pace.n_rows]
        start += len(part)
        if not _unreferenced(Content.objects.filter(pk__in=part)):
            continue
        with pace.transaction(len(part)):
            # Asked again under the lock.
            gone = _unreferenced(Content.objects.filter(pk__in=part))
            Content.objects.filter(pk__in=gone)._raw_delete("default")
        removed += len(gone)
    return removed


def clear_rows(
    version: DatasetVersion, *, still_mine: Callable[[], None] = lambda: None, until: float = math.inf
) -> None:
    """Remove the rows of a version that is not frozen, in short transactions; texts a mix wrote for them go too.

    `still_mine` is asked in each of them and raises where another worker took over; after `until` (monotonic) the
    rest stays for the next time. What the caller holds may be old: whether it is frozen is asked under the lock.
    """
    pace, is_mix = bulk.Pace(most=bulk.MOST_WHERE_ROWS_DIFFER), "mix" in (version.recipe or {})
    while time.monotonic() < until:
        rows = VersionRow.objects.filter(version=version).values_list("id", "content_id")
        part = list(rows[: pace.n_rows])
        if not part:
            return
        with pace.transaction(len(part)):
            still_mine()
            held = DatasetVersion.objects.select_for_update().filter(pk=version.pk)
            if held.values_list("state", flat=True).first() in (None, VersionState.FROZEN):
                return
            VersionRow.objects.filter(pk__in=[row for row, _ in part])._raw_delete("default")
        if is_mix:
            remove_unreferenced([content for _, content in part])


def sweep_contents() -> int:
    """Look at the next texts, and remove those that nothing refers to. Returns how many went. Safe to repeat.

    Where it stopped is remembered in the cache: forgotten, it begins again from the first.
    """
    until = time.monotonic() + MOST_S
    for version in _left_behind():
        clear_rows(version, until=until)
    removed, after, seen = 0, int(cache.get(CURSOR) or 0), 0
    while seen < LOOKED_AT and time.monotonic() < until:
        window = list(
            Content.objects.filter(pk__gt=after).order_by("id").values_list("id", flat=True)[:WINDOW]
        )
        if not window:
            after = 0
            break
        removed += remove_unreferenced(
            _unreferenced(Content.objects.filter(pk__gt=after, pk__lte=window[-1]))
        )
        after = window[-1]
        seen += len(window)
    cache.set(CURSOR, after, None)
    return removed


def _left_behind() -> Iterable[DatasetVersion]:
    """Versions that failed and whose rows were not all taken out, because the worker was killed meanwhile."""
    rows = VersionRow.objects.filter(version=OuterRef("pk"))
    return DatasetVersion.objects.filter(Exists(rows), state=VersionState.FAILED)[:5]
