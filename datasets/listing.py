"""Pages of rows at any size: one narrow table leads, the other conditions are asked of its next rows only.

Every list has a key that grows and an index that follows it, so a page costs the same at its end as at its beginning.
Where conditions let few rows through, looking stops after a tenth of a second and says how far it came.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field

from django.db.models import Exists, Max, Min, OuterRef, QuerySet

from datasets import searching
from datasets.domain.listing import STATES, Filters, holds
from datasets.models import Content, Dataset, DatasetVersion, Example, Finding, FindingRow, Import, VersionRow

PAGE = 50
LOOK_S = 0.1
# Rows of the leading table looked at in one step, and contents between two looks into the search index.
STEP, WINDOW = 400, 50_000

# (key, id of the example or of its content) in order, a step at a time; the key alone says how far it came.
Steps = Iterator[tuple[int, list[tuple[int, int]]]]


@dataclass(slots=True)
class Page:
    """Rows of one page; `prev` and `next` are keys to go on from, `stopped` says that looking ended early."""

    rows: list[Example] = field(default_factory=list)
    prev: int | None = None
    next: int | None = None
    stopped: bool = False
    # The words were looked for row by row: their index is being made, or cannot help.
    by_rows: bool = False


def page_of(
    dataset: Dataset,
    filters: Filters,
    *,
    finding: Finding | None = None,
    closed: Callable[[list[int]], Collection[int]] | None = None,
) -> Page:
    """The page these filters ask for. A finding, version or import of another dataset narrows to nothing it may not.

    Rows whose contents `closed` names are passed over as if they did not match: neither they nor the keys tell of them.
    """
    rows = _residual(dataset, filters, finding)
    back = filters.before is not None
    newest_first = (filters.order == "newest") != back
    start = filters.before if back else filters.after
    page = Page()
    if filters.words and finding is None:
        page.by_rows = not (searching.can_help(filters.words) and is_indexed(dataset))
    steps, by = _steps(dataset, filters, finding, start, newest_first, page.by_rows)
    deadline = time.monotonic() + LOOK_S
    found: list[tuple[int, Example]] = []
    came_to: int | None = None
    for upto, step in steps:
        came_to = upto
        here = _matching(rows, step, by, filters.words)
        if here and closed is not None:
            hidden = closed([row.content_id for _, row in here])
            here = [(key, row) for key, row in here if row.content_id not in hidden]
        found += here
        if len(found) > PAGE:
            break
        if time.monotonic() > deadline:
            page.stopped = True
            break
    n_shown = PAGE
    while PAGE <= n_shown < len(found) and found[n_shown][0] == found[n_shown - 1][0]:
        n_shown += 1  # rows of one key stay on one page: the next begins behind the key
    shown = found[:n_shown]
    further = shown[-1][0] if len(found) > n_shown else came_to if page.stopped else None
    backward = None
    if start is not None:
        # The way back begins at the first row shown; with none, at the place the page was asked from.
        backward = shown[0][0] if shown else start + (-1 if newest_first else 1)
    if back:
        shown.reverse()
    page.next, page.prev = (backward, further) if back else (further, backward)
    page.rows = [row for _, row in shown]
    return page


def is_indexed(dataset: Dataset) -> bool:
    """Whether the search index knows every text of the dataset."""
    waiting = Import.objects.filter(dataset=dataset, indexed_at=None).visible_rows()
    return searching.exists() and not waiting.exists()


def _residual(dataset: Dataset, filters: Filters, finding: Finding | None) -> QuerySet[Example]:
    """Every condition but the words, as it is asked of a few rows at a time."""
    rows = Example.objects.filter(dataset=dataset, state=STATES[filters.state]).shown()
    if filters.label:
        rows = rows.filter(label=filters.label)
    if filters.review:
        rows = rows.filter(review="" if filters.review == "none" else filters.review)
    if filters.source is not None:
        rows = rows.filter(source_id=filters.source)
    if finding is not None:
        rows = rows.filter(finding_rows__finding=finding)
    if filters.split:
        version = newest_frozen(dataset)
        member = VersionRow.objects.filter(version=version, split=filters.split, content=OuterRef("content"))
        if version is None:
            rows = rows.none()
        elif filters.words or finding is not None:  # else the split itself leads
            rows = rows.filter(Exists(member))
    return rows.select_related("content")


def newest_frozen(dataset: Dataset) -> DatasetVersion | None:
    """The version whose splits a list shows."""
    return (
        DatasetVersion.objects.frozen()
        .filter(dataset=dataset)
        .order_by("-number")
        .only("id", "number")
        .first()
    )


def _steps(
    dataset: Dataset,
    filters: Filters,
    finding: Finding | None,
    start: int | None,
    newest_first: bool,
    by_rows: bool,
) -> tuple[Steps, str]:
    if finding is not None:
        return _walk(
            FindingRow.objects.filter(finding=finding), "example_id", "example_id", start, newest_first
        ), "pk"
    if filters.words:
        if not by_rows:
            return _proposals(dataset, filters.words, start, newest_first), "content_id"
        # Row by row, in the order of the contents, so that a page begun before the index was ready goes on after it.
        low = _first_content(dataset)
        # Other teams' contents are passed by number alone: a condition on them, without an index, could walk for long.
        contents = Content.objects.filter(pk__gte=low)
        return _walk(contents, "id", "id", start, newest_first), "content_id"
    if filters.split and (version := newest_frozen(dataset)):
        members = VersionRow.objects.filter(version=version, split=filters.split)
        return _walk(members, "position", "example_id", start, newest_first), "pk"
    if filters.source is not None:
        return _walk(Example.objects.filter(source_id=filters.source, dataset=dataset), "line", "id", start, newest_first), "pk"  # fmt: skip
    leading = Example.objects.filter(dataset=dataset, state=STATES[filters.state])
    if filters.label:
        leading = leading.filter(label=filters.label)
    if filters.review:
        leading = leading.filter(review="" if filters.review == "none" else filters.review)
    return _walk(leading, "id", "id", start, newest_first), "pk"


def _walk(rows: QuerySet, key: str, example: str, start: int | None, newest_first: bool) -> Steps:
    """Steps along the index of `key`. The first step is a page: mostly all of it is shown."""
    size = PAGE + 1
    while True:
        here = rows
        if start is not None:
            here = rows.filter(**({f"{key}__lt": start} if newest_first else {f"{key}__gt": start}))
        order = f"-{key}" if newest_first else key
        step = list(here.order_by(order).values_list(key, example)[:size])
        if not step:
            return
        start = step[-1][0]
        yield start, step
        if len(step) < size:
            return
        size = STEP


def _proposals(dataset: Dataset, words: str, start: int | None, newest_first: bool) -> Steps:
    """Steps along the search index, window by window, so that no single question takes long."""
    low = _first_content(dataset) - 1
    high = Content.objects.aggregate(last=Max("id"))["last"] or 0
    if start is not None:
        low, high = (low, min(high, start - 1)) if newest_first else (max(low, start), high)
    width = WINDOW
    while low < high:
        above, upto = (max(low, high - width), high) if newest_first else (low, min(high, low + width))
        found = searching.propose(words, above=above, upto=upto, newest_first=newest_first, most=STEP)
        if len(found) == STEP:
            # The window held more than one step: go on behind the last of this one.
            upto, above = (upto, found[-1] - 1) if newest_first else (found[-1], above)
        else:
            width *= 2
        yield (above + 1 if newest_first else upto), [(key, key) for key in found]
        low, high = (low, above) if newest_first else (upto, high)


def _first_content(dataset: Dataset) -> int:
    """A content id that no text of the dataset lies below; known once an import is indexed."""
    first = Import.objects.filter(dataset=dataset).exclude(indexed_at=None).visible_rows()
    if Import.objects.filter(dataset=dataset, indexed_at=None).visible_rows().exists():
        return 0
    return first.aggregate(low=Min("first_content"))["low"] or 0


def _matching(
    rows: QuerySet[Example], step: list[tuple[int, int]], by: str, words: str
) -> list[tuple[int, Example]]:
    """The rows of a step that keep every condition, in its order, each with its key."""
    place = {example: at for at, (_, example) in enumerate(step) if example is not None}
    if not place:
        return []
    found = list(rows.filter(**{f"{by}__in": list(place)}))
    if words:
        found = [
            row for row in found if holds(row.content.prompt, words) or holds(row.content.completion, words)
        ]
    which: Callable[[Example], int] = (lambda row: row.pk) if by == "pk" else (lambda row: row.content_id)
    ordered = sorted(found, key=lambda row: (place[which(row)], row.pk))
    return [(step[place[which(row)]][0], row) for row in ordered]
