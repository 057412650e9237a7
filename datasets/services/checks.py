"""Checking a dataset and mending what was found, with a person's say and a way back."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import partial
from types import MappingProxyType

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Count, F
from django.urls import reverse

from datasets import bulk, searching
from datasets.active import BLOCK, active_rows, cuts, n_chars_of
from datasets.checking import Alike, Checker, Comparer
from datasets.domain.cleaning import digest
from datasets.domain.encoding import repair, strip_hidden
from datasets.domain.labels import merge_counts
from datasets.domain.pii import mask_pii, replace_pii
from datasets.domain.rewriting import rewrite
from datasets.domain.rules import RULES, Action
from datasets.domain.statuses import ExampleState
from datasets.errors import NothingToDo
from datasets.looking import Part, look
from datasets.models import (
    CheckPart,
    CheckRun,
    Content,
    Dataset,
    Edit,
    Example,
    Finding,
    Fix,
    FixedRow,
)
from datasets.policies import check_can_change
from datasets.vault import check_not_sealed
from foundation.jobs.models import Job
from foundation.jobs.services import start_job
from foundation.teams import audit
from foundation.teams.errors import BadInput
from foundation.teams.models import User

# Called between pieces of work with (done, total, step).
Progress = Callable[[int, int, str], None]
COMPARING = "Comparing rows"


def start_checks(*, actor: User | None, dataset: Dataset) -> Job:
    """The job that checks all active rows. One job for one state of the rows."""
    check_can_change(dataset)
    dataset.refresh_from_db(fields=["revision", "n_active"])
    if not dataset.n_active:
        raise NothingToDo("There are no rows to check yet. Import a file first.")
    # A report that stands already answers; a finished job without its report was cleared away and may run again.
    runs = CheckRun.objects.filter(dataset=dataset, revision=dataset.revision).count()
    return start_job(
        actor=actor,
        team=dataset.team,
        kind="datasets.checks",
        title=f"Check {dataset.name}",
        recipe={"dataset": dataset.pk, "revision": dataset.revision},
        subject=dataset,
        url=reverse("datasets:dataset-detail", args=[dataset.pk]),
        dedupe_key=f"checks:{dataset.pk}:{dataset.revision}:{runs}",
    )


def check_stretches(*, dataset: Dataset, after: int, most: int) -> tuple[list[tuple[int, int]], bool]:
    """The next stretches (after, up to and with) of example ids, and whether these are the last.

    BLOCK rows each, fewer where they are long; at most `most` stretches. Rows that come later are not in them: the report speaks about a revision that they have changed.
    """
    rows = Example.objects.filter(dataset=dataset, state=ExampleState.ACTIVE).order_by("id")
    sizes = rows.values_list("id", n_chars_of("content__"))
    found: list[tuple[int, int]] = []
    while len(found) < most:
        block = bulk.plain_rows(sizes.filter(id__gt=after)[:BLOCK])
        if not block:
            return found, True
        for _, end in cuts([n for _, n in block]):
            found.append((after, block[end - 1][0]))
            after = block[end - 1][0]
    return found[:most], False


def look_at(*, dataset: Dataset, after: int, upto: int) -> Part:
    """What is to be said about one stretch of rows, each by itself."""
    block = [row for part in active_rows(dataset, after=after, upto=upto) for row in part]
    use_case = dataset.use_case
    return look(block, task_kind=use_case.task_kind, labels=frozenset(use_case.task.label_names))


def find_alike(*, job: Job, dataset: Dataset, n_parts: int, progress: Progress) -> Alike:
    """Which of the rows in the first `n_parts` parts of a job are nearly the same. Raises NothingToDo if one is gone."""
    comparer = Comparer(dataset.use_case.task_kind, _parts(job, n_parts, progress))
    return comparer.alike(beat=lambda: progress(n_parts, n_parts + 1, COMPARING))


def join_parts(*, job: Job, dataset: Dataset, n_parts: int, progress: Progress) -> Checker:
    """Everything else the first `n_parts` parts of a job say. Raises NothingToDo if one is gone."""
    return Checker(dataset.use_case.task_kind, _parts(job, n_parts, progress))


def _parts(job: Job, n: int, progress: Progress) -> Iterator[Part]:
    kept = CheckPart.objects.filter(job=job, position__lt=n)
    if list(kept.order_by("position").values_list("position", flat=True)) != list(range(n)):
        raise NothingToDo("A part of this check is gone. Check again.")
    for position in range(n):
        # One at a time: each is about a megabyte.
        yield Part.from_bytes(kept.filter(position=position).values_list("data", flat=True).get())
        progress(position, n + 1, COMPARING)


def alike_at(*, job: Job, position: int) -> Alike | None:
    """What another worker found at that place of a job; None as long as it is not done."""
    data = CheckPart.objects.filter(job=job, position=position).values_list("data", flat=True).first()
    return None if data is None else Alike.from_bytes(data)


def clear_parts(job: Job) -> None:
    """Remove the parts of a job, one at a time: each is about a megabyte."""
    for key in list(CheckPart.objects.filter(job=job).values_list("id", flat=True)):
        CheckPart.objects.filter(pk=key).delete()


# --- fixes -------------------------------------------------------------------------------------------------------


# Called between slices with the rows done so far; raises to stop there.
Beat = Callable[[int], None]


def silent(done: int) -> None:
    """Nobody listens."""


def apply_fix(
    *,
    actor: User | None,
    finding: Finding,
    action: str = "",
    only: Collection[int] | None = None,
    beat: Beat = silent,
) -> Fix:
    """What one press of a fix button did. Pressed again, it goes on where it stopped and repeats nothing.

    Without `action` the rule's first (safest) one is taken. `only` narrows it to the examples a person ticked.
    Raises: BadInput for an action the rule does not offer, or one that wants ticked rows and got none.
    """
    dataset = Dataset.objects.select_related("team", "use_case").get(pk=finding.dataset_id)
    check_can_change(dataset)
    rule = RULES[finding.rule]
    chosen = rule.action(action) if action else (rule.actions[0] if rule.actions else None)
    if chosen is None:
        raise BadInput("This finding has no such fix.", field="action")
    if chosen.each and not only:
        raise BadInput("Tick the rows first: this is decided row by row.", field="rows")
    if only:
        contents = Example.objects.filter(dataset=dataset, pk__in=only).values_list("content_id", flat=True)
        check_not_sealed(dataset, contents, user=actor)
    fix = Fix.objects.filter(finding=finding, action=chosen.key, undone_at=None).first()
    if fix is None:
        try:
            with transaction.atomic():
                fix = Fix.objects.create(
                    team=dataset.team,
                    dataset=dataset,
                    finding=finding,
                    rule=finding.rule,
                    action=chosen.key,
                    by=actor,
                )
                audit.record(
                    actor=actor,
                    team=dataset.team,
                    verb="fix.applied",
                    target=fix,
                    note=f"{rule.title}: {chosen.label}",
                )
        except IntegrityError:
            fix = Fix.objects.get(finding=finding, action=chosen.key, undone_at=None)
    if chosen.drops:
        dropped, ticked = _to_drop(finding, chosen), None if only is None else set(only)
        _drop(fix, dataset, [key for key in dropped if ticked is None or key in ticked], beat)
    elif chosen.key == "relabel":
        _relabel(fix, dataset, finding, frozenset(only or ()), actor)
    else:
        _rewrite(fix, dataset, finding, _rewriter(chosen.key, dataset), actor, beat, only)
    fix.n_rows = fix.rows.count() if chosen.drops else fix.edits.filter(undone_at=None).count()
    fix.save(update_fields=["n_rows"])
    return fix


def _rewriter(action: str, dataset: Dataset) -> Callable[[str], str]:
    """What a rewriting action does to one text."""
    if action == "replace":
        # One value is one pseudonym all over the dataset; the portal's secret keeps the way back closed.
        key = hmac.digest(settings.SECRET_KEY.encode(), f"pii:{dataset.pk}".encode(), "sha256")
        return partial(replace_pii, key=key)
    return {"mask": mask_pii, "repair": repair, "strip": strip_hidden}[action]


def _to_drop(finding: Finding, action: Action) -> list[int]:
    """Examples the action takes out. In a group at least one row stays, even if the marked keeper went meanwhile."""
    rows = finding.rows.filter(example__state=ExampleState.ACTIVE).order_by("cluster", "id")
    if action.key == "drop":
        return list(rows.values_list("example_id", flat=True))
    groups: dict[int, list[tuple[int, bool]]] = {}
    for cluster, example, keep in rows.values_list("cluster", "example_id", "keep"):
        groups.setdefault(cluster, []).append((example, keep))
    out: list[int] = []
    for members in groups.values():
        kept = {example for example, keep in members if keep}
        if not kept:
            if action.key == "keep_majority":
                continue  # a tie has no majority: nothing is dropped
            kept = {members[0][0]}
        out += [example for example, _ in members if example not in kept]
    return out


def _drop(fix: Fix, dataset: Dataset, example_ids: list[int], beat: Beat) -> None:
    pace, done = bulk.Pace(most=bulk.MOST_FAR_APART), 0
    while done < len(example_ids):
        beat(done)
        part = example_ids[done : done + pace.n_rows]
        done += len(part)
        rows = Example.objects.filter(pk__in=part, state=ExampleState.ACTIVE)
        with pace.transaction(len(part)):
            # Held, so that what is counted is what moves: another fix may take out the same rows just now.
            keys = list(rows.select_for_update().order_by("id").values_list("id", flat=True))
            if keys:
                bulk.insert(FixedRow, ("fix_id", "example_id"), [(fix.pk, key) for key in keys], ignore=True)
                rows.update(state=ExampleState.DROPPED)
                move_counts(dataset, keys, -1, "n_dropped")


def move_counts(dataset: Dataset, example_ids: list[int], sign: int, other: str) -> None:
    """Keep the stored counts in step when rows leave (-1) or come back (+1). Inside the caller's transaction."""
    labels = dict(
        Example.objects.filter(pk__in=example_ids).values_list("label").annotate(n=Count("id")).order_by()
    )
    labels.pop("", None)
    held = Dataset.objects.select_for_update().get(pk=dataset.pk)
    Dataset.objects.filter(pk=dataset.pk).update(
        n_active=F("n_active") + sign * len(example_ids),
        revision=F("revision") + 1,
        label_counts=merge_counts(held.label_counts, {label: sign * n for label, n in labels.items()}),
        **{other: F(other) - sign * len(example_ids)},
    )


def _rewrite(
    fix: Fix,
    dataset: Dataset,
    finding: Finding,
    change: Callable[[str], str],
    actor: User | None,
    beat: Beat,
    only: Collection[int] | None,
) -> None:
    """Give the finding's rows (`only` these) new text; the old content stays and the edit remembers both."""
    # A row whose rewriting a person took back may be rewritten again.
    rewritten = fix.edits.order_by().filter(undone_at=None).values("example")
    rows = finding.rows.filter(example__state=ExampleState.ACTIVE).exclude(example__in=rewritten)
    if only is not None:
        rows = rows.filter(example__in=only)
    keys = list(rows.order_by("id").values_list("example_id", flat=True))
    is_labelled = dataset.use_case.task_kind == "classify"
    done = 0
    for part in bulk.chunks(keys, 100):
        beat(done)
        done += len(part)
        changed = []
        extras: dict[int, str] = {}
        for example in Example.objects.filter(pk__in=part).select_related("content"):
            old = example.content
            *new, extra = rewrite(old.system, old.turns, old.prompt, old.completion, old.extra, change)
            stood = [old.system, old.turns, old.prompt, old.completion, old.extra]
            if [*new, extra] == stood or not new[2] or not new[3]:
                continue
            label = new[3] if is_labelled and example.label == old.completion else example.label
            changed.append((example, (new[0], new[1], new[2], new[3]), label))
            extras[example.pk] = extra
        if not changed:
            continue
        with transaction.atomic():
            replace_contents(dataset, changed, actor=actor, fix=fix, extras=extras)


def relabelled(example: Example, label: str) -> tuple[tuple[str, str, str, str], str]:
    """The content and label of a row under another label; where the label is the answer, the answer follows."""
    old = example.content
    answer = label if example.label == old.completion else old.completion
    return (old.system, old.turns, old.prompt, answer), label


def _relabel(fix: Fix, dataset: Dataset, finding: Finding, only: frozenset[int], actor: User | None) -> None:
    """Give ticked rows the label the finding suggests."""
    rows = finding.rows.filter(example__in=only, example__state=ExampleState.ACTIVE).exclude(suggestion="")
    relabelled_now = fix.edits.order_by().filter(undone_at=None).values("example")
    suggested = dict(rows.exclude(example__in=relabelled_now).values_list("example_id", "suggestion"))
    for part in bulk.chunks(sorted(suggested), 60):
        changed = []
        for example in Example.objects.filter(pk__in=part).select_related("content"):
            if example.label != suggested[example.pk]:
                changed.append((example, *relabelled(example, suggested[example.pk])))
        if changed:
            with transaction.atomic():
                replace_contents(dataset, changed, actor=actor, fix=fix)


def replace_contents(
    dataset: Dataset,
    changed: list[tuple[Example, tuple[str, str, str, str], str]],
    *,
    actor: User | None,
    fix: Fix | None = None,
    extras: Mapping[int, str] = MappingProxyType({}),
) -> list[Edit]:
    """Give examples new content (system, turns, prompt, completion) and label. Inside the caller's transaction.

    `extras` has what stands beside the texts (tools, tool calls) by example id, where that changed too.

    An example that changed since it was read is left alone; the edits written are returned.
    """
    ids = bulk.reserve_ids(Content, len(changed))
    bulk.insert(
        Content,
        ("id", "team_id", "digest", "system", "turns", "prompt", "completion", "extra", "n_chars"),
        [
            # Tools and tool calls go along; a text that was edited stands against them when rows are written out.
            (
                key,
                dataset.team_id,
                digest(*new, extra := extras.get(example.pk, example.content.extra)),
                *new,
                extra,
                len(new[2]) + len(new[3]),
            )
            for key, (example, new, _) in zip(ids, changed, strict=True)
        ],
    )
    searching.add(ids)
    edits = []
    relabelled: dict[str, int] = {}
    for key, (example, _, label) in zip(ids, changed, strict=True):
        moved = Example.objects.filter(pk=example.pk, edition=example.edition).update(
            content_id=key, label=label, edition=F("edition") + 1
        )
        if not moved:
            continue
        if label != example.label:
            relabelled[example.label] = relabelled.get(example.label, 0) - 1
            relabelled[label] = relabelled.get(label, 0) + 1
        edits.append(
            Edit(
                team_id=dataset.team_id,
                example=example,
                before_id=example.content_id,
                after_id=key,
                label_before=example.label,
                label_after=label,
                fix=fix,
                by=actor,
            )
        )
    Edit.objects.bulk_create(edits)
    held = Dataset.objects.select_for_update().get(pk=dataset.pk)
    relabelled.pop("", None)
    Dataset.objects.filter(pk=dataset.pk).update(
        revision=F("revision") + 1,
        label_counts=merge_counts(held.label_counts, relabelled),
        edited_content=max(held.edited_content or 0, *ids),
    )
    return edits


def open_findings(dataset: Dataset) -> list[Finding]:
    """Findings of the shown report, worst first, each with its standing fix and whether it left nothing over."""
    if dataset.checks_id is None:
        return []
    order = {"error": 0, "warning": 1, "note": 2}
    found = list(Finding.objects.filter(run_id=dataset.checks_id).with_mended())
    standing = {
        fix.finding_id: fix
        for fix in Fix.objects.filter(finding__in=found, undone_at=None)
        .order_by("n_rows")
        .select_related("by")
    }
    for finding in found:
        finding.standing = standing.get(finding.pk)
        finding.title = RULES[finding.rule].title
        finding.actions = RULES[finding.rule].actions
    return sorted(found, key=lambda f: (f.is_mended, order[f.severity], -f.n_rows))
