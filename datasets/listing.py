"""Pages of rows at any size: one narrow table leads, the other conditions are asked of its next rows only.

Every list has a key that grows and an index that follows it, so a page costs the same at its end as at its beginning.
Where conditions let few rows through, looking stops after a tenth of a second and says how far it came.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field

from django.db.models import Count, Exists, F, Max, Min, OuterRef, Q, QuerySet, Subquery
from django.db.models.lookups import Exact

from datasets import searching
from datasets.domain.listing import STATES, Filters, holds
from datasets.models import Content, Dataset, DatasetVersion, Example, Finding, FindingRow, Import, VersionRow
from datasets.models.examples import Plainly

PAGE = 50
LOOK_S = 0.1
# Where the search index is asked for a stretch at a time, which cannot be left before its end.
LOOK_BY_STRETCH_S = 0.06
# Looking takes so many steps at most, each one or two questions to the database, each GROWTH times as wide as the last.
MOST_STEPS, GROWTH, STEP = 3, 8, 4000
MOST_SOURCES = 50
# Texts compared in one step of a search; contents that the first question to the search index spans where it need not be
# asked for a stretch at a time; questions a step.
TEXTS, WINDOW, WINDOWS_A_STEP = 400, 1_000_000, 5
# As many contents as would have taken so long, going by the last question to the search index, make up the next one.
QUESTION_S = 0.03

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
    sources: Sources | None = None


@dataclass(frozen=True, slots=True)
class Sources:
    """The finished imports of a dataset as a list offers them, and how far its texts are in the search index."""

    offered: list[tuple[int, str, int]]
    is_indexed: bool
    # No text of the dataset lies outside; 0 as the first while an import is not indexed.
    first_content: int
    last_content: int


def page_of(
    dataset: Dataset,
    filters: Filters,
    *,
    finding: Finding | None = None,
    closed: Callable[[list[int]], Collection[int]] | None = None,
    version: DatasetVersion | None = None,
) -> Page:
    """The page these filters ask for. A finding, version or import of another dataset narrows to nothing it may not.

    Rows whose contents `closed` names are passed over as if they did not match: neither they nor the keys tell of them.
    `version` is the newest frozen one, looked up where it is needed and not given.
    """
    if filters.split and version is None:
        version = newest_frozen(dataset)
    rows = _residual(dataset, filters, finding, version)
    back = filters.before is not None
    newest_first = (filters.order == "newest") != back
    start = filters.before if back else filters.after
    sources = sources_of(dataset)
    page = Page(sources=sources)
    if filters.words and finding is None:
        page.by_rows = not (searching.can_help(filters.words) and sources.is_indexed)
    # Some of what is found may be closed, so a little more is looked for at once.
    first = PAGE + 1 if closed is None else 2 * PAGE
    steps, by = _steps(dataset, filters, finding, version, start, newest_first, page, rows, first)
    by_stretch = bool(filters.words) and finding is None and not page.by_rows and searching.stretch() > 1
    deadline = time.monotonic() + (LOOK_BY_STRETCH_S if by_stretch else LOOK_S)
    found: list[tuple[int, Example]] = []
    matching: list[tuple[int, Example]] = []
    waiting: list[tuple[int, int]] = []
    came_to: int | None = None
    for n, (upto, step) in enumerate(steps, 1):
        came_to = upto
        waiting += step
        page.stopped = n == MOST_STEPS or time.monotonic() > deadline
        # Rows are read, and the vault is asked, once there may be enough of them.
        if len(found) + len(matching) + len(waiting) > PAGE or page.stopped:
            matching += _matching(rows, waiting, by, filters.words)
            waiting = []
        if len(found) + len(matching) > PAGE or page.stopped:
            found += _told(matching, closed)
            matching = []
        if len(found) > PAGE or page.stopped:
            break
    found += _told(matching + _matching(rows, waiting, by, filters.words), closed)
    page.stopped = page.stopped and len(found) <= PAGE
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


def rows_of(finding: Finding, *, after: int | None, n: int) -> list[FindingRow]:
    """Up to `n` rows of a finding behind the row with the key `after`, cluster by cluster; without it the first ones.

    Two walks along one index, because one condition for both sides of the key would read the finding from its start.
    """
    rows = FindingRow.objects.filter(finding=finding).select_related("example__content")
    start = rows.filter(pk=after).values_list("cluster", "pk").first() if after is not None else None
    if start is None:
        return list(rows.order_by("cluster", "pk")[:n])
    found = list(rows.filter(cluster=start[0], pk__gt=start[1]).order_by("pk")[:n])
    if len(found) < n:
        found += rows.filter(cluster__gt=start[0]).order_by("cluster", "pk")[: n - len(found)]
    return found


def keepers_beyond(rows: Sequence[FindingRow]) -> list[FindingRow]:
    """What the first and the last group of a page are held against, where it stands on another page.

    That is the row that stays; where no row of a group is told from the others, its first one.
    """
    shown, found = {row.pk for row in rows}, []
    for cluster in {row.cluster for row in (*rows[:1], *rows[-1:])} - {0}:
        if any(row.keep and not row.note for row in rows if row.cluster == cluster):
            continue
        group = FindingRow.objects.filter(finding=rows[0].finding_id, cluster=cluster)
        group = group.select_related("example__content").order_by("pk")
        first = group.filter(keep=True, note="").first() or group.first()
        if first is not None and first.pk not in shown:
            found.append(first)
    return found


def sources_of(dataset: Dataset) -> Sources:
    """In one question where a dataset has few imports; two for many."""
    done = Import.objects.filter(dataset=dataset).visible_rows()
    last = Subquery(Content.objects.order_by("-id").values("id")[:1])
    columns = ("id", "name", "n_good", "indexed_at", "first_content", "last_content", "edited", "last")
    found = list(
        done.annotate(edited=F("dataset__edited_content"), last=last)
        .order_by("id")
        .values_list(*columns)[: MOST_SOURCES + 1]
    )
    n_waiting = sum(row[3] is None for row in found)
    first = min((row[4] for row in found if row[4] is not None), default=0)
    last_known = [row[5] for row in found]
    if len(found) > MOST_SOURCES:
        whole = done.aggregate(
            n=Count("id", filter=Q(indexed_at=None)),
            low=Min("first_content"),
            high=Max("last_content"),
            n_old=Count("id", filter=Q(last_content=None)),
        )
        n_waiting, first = whole["n"], whole["low"] or 0
        last_known = [None if whole["n_old"] else whole["high"]]
    if n_waiting:
        last_known.append(None)  # what is not in the index yet is not counted either
    return Sources(
        offered=[row[:3] for row in found[:MOST_SOURCES]],
        is_indexed=searching.exists() and not n_waiting,
        first_content=0 if n_waiting else first,
        last_content=_last_content([*last_known, found[0][6] or 0], found[0][7] or 0) if found else 0,
    )


def _last_content(own: Sequence[int | None], of_all: int) -> int:
    """The greatest content a row of the dataset may have: beyond it others' texts stand. Not known of an old import."""
    known = [content for content in own if content is not None]
    return max(known) if len(known) == len(own) else of_all


def is_indexed(dataset: Dataset) -> bool:
    """Whether the search index knows every text of the dataset."""
    return sources_of(dataset).is_indexed


def _residual(
    dataset: Dataset, filters: Filters, finding: Finding | None, version: DatasetVersion | None
) -> QuerySet[Example]:
    """Every condition but the words and the finding, which leads, as it is asked of a few rows at a time."""
    rows = Example.objects.in_state(STATES[filters.state], dataset=dataset)
    if filters.label:
        rows = rows.filter(label=filters.label)
    if filters.review:
        rows = rows.filter(review="" if filters.review == "none" else filters.review)
    if filters.source is not None:
        rows = rows.filter(Exact(Plainly("source_id"), filters.source))
    if filters.split:
        # The split is compared outside: by the index of splits SQLite would walk all of one for every row.
        member = VersionRow.objects.filter(version=version, content=OuterRef("content")).values("split")[:1]
        if version is None:
            rows = rows.none()
        elif filters.words or finding is not None:  # else the split itself leads
            rows = rows.annotate(stands_in=Subquery(member)).filter(stands_in=filters.split)
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
    version: DatasetVersion | None,
    start: int | None,
    newest_first: bool,
    page: Page,
    rows: QuerySet[Example],
    most: int,
) -> tuple[Steps, str]:
    def walk(leading: QuerySet, key: str, example: str, by: str = "pk") -> tuple[Steps, str]:
        # Where texts must be read, a step is narrower.
        width, widest = (TEXTS, 2 * TEXTS) if filters.words else (most, STEP)
        return _walk(
            leading, key, example, start, newest_first, rows=rows, by=by, most=width, widest=widest
        ), by

    if finding is not None:
        return walk(FindingRow.objects.filter(finding=finding), "example_id", "example_id")
    n_state = {"active": dataset.n_active, "dropped": dataset.n_dropped, "rejected": dataset.n_rejected}[
        filters.state
    ]
    if filters.words and n_state <= PAGE:
        # So few that all their texts are read, in the order of the other searches.
        return walk(Example.objects.filter(dataset=dataset, state=STATES[filters.state]), "content_id", "id")
    if filters.words:
        sources = page.sources or sources_of(dataset)
        if not page.by_rows:
            return _proposals(sources, filters.words, start, newest_first), "content_id"
        # Row by row, in the order of the contents, so that a page begun before the index was ready goes on after it.
        # Other teams' contents are passed by number alone: a condition on them, without an index, could walk for long.
        own = Content.objects.filter(pk__gte=sources.first_content, pk__lte=sources.last_content)
        return walk(own, "id", "id", by="content_id")
    if filters.split and version is not None:
        return walk(VersionRow.objects.filter(version=version, split=filters.split), "position", "example_id")
    if filters.source is not None:
        return walk(Example.objects.filter(source_id=filters.source), "line", "id")
    # The condition that lets fewest rows through leads, as far as stored counts tell; the others are asked of its rows.
    leading = Example.objects.filter(dataset=dataset)
    if filters.review not in ("", "none") and n_state > STEP:
        leading = leading.of_review(filters.review)
    elif filters.label and (filters.state == "active" or n_state > STEP):
        leading = leading.of_label(filters.label)
    else:
        leading = leading.filter(state=STATES[filters.state])
    return walk(leading, "id", "id")


def _walk(
    leading: QuerySet,
    key: str,
    example: str,
    start: int | None,
    newest_first: bool,
    *,
    rows: QuerySet[Example],
    by: str,
    most: int,
    widest: int,
) -> Steps:
    """Steps along the index of `key`, of each the first `most` that keep every condition; one question a step.

    The first step is a page: mostly all of it is shown.
    """
    fits = Exists(rows.order_by().filter(**{by: OuterRef(example)}))
    size = min(most, 2 * PAGE)
    while True:
        here = leading
        if start is not None:
            here = leading.filter(**({f"{key}__lt": start} if newest_first else {f"{key}__gt": start}))
        here = here.annotate(fits=fits).order_by(f"-{key}" if newest_first else key)
        step = list(here.values_list(key, example, "fits")[:size])
        if not step:
            return
        found = [(at, which) for at, which, keeps in step if keeps]
        start, is_last = step[-1][0], len(step) < size
        if len(found) > most:
            found, is_last = found[:most], False
            start = found[-1][0]
        yield start, found
        if is_last:
            return
        size = min(size * GROWTH, widest)


def _proposals(sources: Sources, words: str, start: int | None, newest_first: bool) -> Steps:
    """Steps along the search index, window by window, so that no single question takes long.

    Windows that hold little are taken together, as many as half of the time to look allows, at first until a page may be
    full. What is asked after that proposes the texts of all the further steps a page may take.
    """
    low, high = sources.first_content - 1, sources.last_content
    if start is not None:
        low, high = (low, min(high, start - 1)) if newest_first else (max(low, start), high)
    unit = searching.stretch()
    width, further, enough = (WINDOW if unit == 1 else 1), TEXTS, 2 * PAGE
    while low < high:
        began, step = time.monotonic(), list[tuple[int, int]]()
        wanted, further = further, (MOST_STEPS - 1) * TEXTS
        for _ in range(WINDOWS_A_STEP):
            if newest_first:
                above, upto = max(low, (high // unit - width + 1) * unit - 1), high
            else:
                above, upto = low, min(high, ((low + 1) // unit + width) * unit - 1)
            most, asked = wanted - len(step), time.monotonic()
            found = searching.propose(words, above=above, upto=upto, newest_first=newest_first, most=most)
            if len(found) == most:
                # The window held more: go on behind the last of this step.
                upto, above = (upto, found[-1] - 1) if newest_first else (found[-1], above)
            else:
                took = time.monotonic() - asked
                width *= max(1, min(GROWTH, int(QUESTION_S / max(took, 1e-6))))
            low, high = (low, above) if newest_first else (upto, high)
            step += [(key, key) for key in found]
            is_late = time.monotonic() - began > LOOK_S / 2
            if len(found) == most or low >= high or len(step) >= enough or is_late:
                break
        enough = further
        while len(step) > TEXTS:
            part, step = step[:TEXTS], step[TEXTS:]
            yield part[-1][0], part
        yield (above + 1 if newest_first else upto), step


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


def _told(
    found: list[tuple[int, Example]], closed: Callable[[list[int]], Collection[int]] | None
) -> list[tuple[int, Example]]:
    """Those that this person may be told of."""
    if closed is None or not found:
        return found
    hidden = closed([row.content_id for _, row in found])
    return [(key, row) for key, row in found if row.content_id not in hidden]
