"""Findings that outlast a report: what a judge or a classifier said of rows that still say the same.

Their work costs money or minutes and is not done again by every check. A new report that left them out would lift what
they stopped, so it takes them over for the rows whose text is still the one that was judged.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any, NamedTuple

from datasets import bulk
from datasets.checking import Found
from datasets.domain import quality
from datasets.domain.statuses import ExampleState
from datasets.looking import Row
from datasets.models import CheckRun, Dataset, Edit, Example, Finding, FindingRow, Judgement, LabelChange

WEAK, NOISE = "judged_weak", "label_noise"
RULES_THAT_LAST = (WEAK, NOISE)


class _Verdict(NamedTuple):
    content: int
    overall: float
    issues: list[str]
    kinds: list[str] | None


def findings(dataset: Dataset, shown: CheckRun | None) -> list[Found]:
    """What stays said of the dataset when a report takes the place of `shown`. Those without rows are among them."""
    found = [weak_rows(dataset)]
    if (suspects := _suspects(dataset, shown)) is not None:
        found.append(suspects)
    return found


def stats(shown: CheckRun | None) -> dict[str, Any]:
    """What the classifier said of all labels, for the facts of the report that takes the place of `shown`."""
    noise = shown.stats.get(NOISE) if shown is not None else None
    return {NOISE: {"run": shown.pk, "revision": shown.revision, **noise}} if shown and noise else {}


def still_as_judged(dataset: Dataset, judged: Mapping[int, int]) -> dict[int, str]:
    """The label now of those active examples that still have the content they were judged with, {example: content}.

    A text whose label alone was renamed since is the same text.
    """
    same, changed = dict[int, str](), list[tuple[int, int, str]]()
    for part in bulk.chunks(list(judged), 1000):
        rows = Example.objects.filter(pk__in=part, dataset=dataset, state=ExampleState.ACTIVE)
        for key, content, label in rows.values_list("pk", "content_id", "label"):
            if content == judged[key]:
                same[key] = label
            else:
                changed.append((key, content, label))
    renames = list(LabelChange.objects.filter(dataset=dataset).values_list("fix_id", flat=True))
    if not changed or not renames:
        return same
    for few in bulk.chunks(changed, 500):
        leads: dict[tuple[int, int], int] = {}
        edits = Edit.objects.filter(example__in=[key for key, _, _ in few], fix__in=renames).order_by("id")
        for key, before, after, undone in edits.values_list(
            "example_id", "before_id", "after_id", "undone_at"
        ):
            leads[(key, before) if undone is None else (key, after)] = after if undone is None else before
        for key, content, label in few:
            at = judged[key]
            while at != content and (key, at) in leads:
                at = leads.pop((key, at))
            if at == content:
                same[key] = label
    return same


# --- by a model --------------------------------------------------------------------------------------------------


def weak_rows(dataset: Dataset) -> Found:
    """Rows judged below the bar, or called contradictory or unclear, by the newest verdict on each as it is now."""
    verdicts = defaultdict[int, list[_Verdict]](list)
    judgements = (
        Judgement.objects.filter(run__dataset=dataset)
        .exclude(run__finished_at=None)
        .exclude(overall=None)
        .order_by("run_id", "id")
        .values_list("example_id", "content_id", "overall", "issues", "kinds")
    )
    for example, *verdict in judgements.iterator(chunk_size=5000):
        verdicts[example].append(_Verdict(*verdict))
    newest: dict[int, _Verdict] = {}
    waiting: dict[int, list[_Verdict]] = verdicts
    while waiting:
        # A row that was mended, judged again and given its old text back has its old verdict back.
        newest |= {
            key: waiting[key][-1]
            for key in still_as_judged(dataset, {key: said[-1].content for key, said in waiting.items()})
        }
        waiting = {key: said[:-1] for key, said in waiting.items() if key not in newest and len(said) > 1}
    rows, n_weak = [], 0
    for key in sorted(newest, key=lambda key: (newest[key].overall, key)):
        _, overall, issues, kinds = newest[key]
        is_weak = overall < quality.GATE
        if is_weak or quality.is_contradictory_or_unclear(issues, kinds):
            rows.append(Row(key, note=f"{overall:.2f}: {' '.join(issues) or 'no issue named'}"[:200]))
            n_weak += is_weak
    n, n_named = len(rows), len(rows) - n_weak
    headline = (
        f"{n_weak:,} of {len(newest):,} judged rows {'is' if n_weak == 1 else 'are'} below {quality.GATE}"
    )
    if n_named:
        headline += (
            f", and {n_named:,} above it {'is' if n_named == 1 else 'are'} called contradictory or unclear"
        )
    return Found(WEAK, headline, rows, n)


# --- by the classifier -------------------------------------------------------------------------------------------


def suspected(rows: list[Row], n_plain: int, facts: Mapping[str, Any]) -> Found:
    """The finding that names these labels; the first `n_plain` rows are doubted plainly."""
    n = len(rows)
    headline = f"{n:,} label{' looks' if n == 1 else 's look'} wrong to a classifier"
    if n_plain and n > 1:
        headline += f", {n_plain:,} of them plainly"
    if facts.get("n_judged"):
        headline += f", of {facts['n_judged']:,} judged"
    return Found(NOISE, headline, rows, n, {**facts, "plain": n_plain})


def _suspects(dataset: Dataset, shown: CheckRun | None) -> Found | None:
    """The suspects of the last look for wrong labels whose text and label are still the doubted ones."""
    noise = shown.stats.get(NOISE) if shown is not None else None
    if shown is None or not noise:
        return None
    # From where they were first written down, so that a row that was out meanwhile is named again once it is back.
    finding = Finding.objects.filter(run_id=noise.get("run", shown.pk), dataset=dataset, rule=NOISE).first()
    if finding is None:
        return None
    columns = ("example_id", "note", "suggestion", "judged_content", "example__content_id")
    kept = list(FindingRow.objects.filter(finding=finding).order_by("id").values_list(*columns))
    # Rows written before the text was kept are taken as they are.
    judged = {key: content or now for key, _, _, content, now in kept}
    same = still_as_judged(dataset, judged)
    renamed = dict(
        LabelChange.objects.filter(dataset=dataset, undone_at=None)
        .order_by("id")
        .values_list("from_label", "to_label")
    )
    rows, n_plain = [], 0
    for place, (key, note, suggestion, _, _) in enumerate(kept):
        rather, names = suggestion, dict(renamed)
        while rather not in dataset.label_counts and rather in names:
            rather = names.pop(rather)
        if key not in same or same[key] == rather:
            continue
        n_plain += place < finding.facts.get("plain", 0)
        rows.append(Row(key, note=note, suggestion=rather, content_id=judged[key]))
    return suspected(rows, n_plain, finding.facts)
