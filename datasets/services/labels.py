"""Labels renamed and merged, with who, when and how many, and a way back while nothing was frozen with them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from django.db import transaction
from django.urls import reverse
from django.utils import timezone

from datasets import bulk
from datasets.domain.statuses import VersionState
from datasets.errors import NothingToDo
from datasets.models import Dataset, DatasetVersion, Example, Fix, LabelChange
from datasets.policies import check_can_change
from datasets.services.checks import relabelled, replace_contents
from datasets.services.undoing import undo_edit
from foundation.jobs.models import Job
from foundation.jobs.services import start_job
from foundation.teams import audit
from foundation.teams.errors import BadInput, Conflict
from foundation.teams.models import User

KIND = "datasets.relabel"
RULE = "labels"
# Some 15 ms of SQLite's one lock each; giving back writes the index and the counts row by row.
RENAMED_A_TRANSACTION = 60
UNDONE_A_TRANSACTION = 15


def start_rename(*, actor: User | None, dataset: Dataset, from_label: str, to_label: str) -> LabelChange:
    """A label on its way to another name; when rows carry that name already, the two are merged.

    Raises: BadInput naming the field, Conflict while another change of this dataset is under way.
    """
    check_can_change(dataset)
    dataset = Dataset.objects.select_related("team").get(pk=dataset.pk)
    to_label = " ".join(to_label.replace("\0", "").split())
    if from_label not in dataset.label_counts:
        raise BadInput("No active row carries this label.", field="from_label")
    if not to_label or len(to_label) > 200:
        raise BadInput("A label has 1 to 200 characters.", field="to_label")
    if to_label == from_label:
        raise BadInput("That is its name already.", field="to_label")
    with transaction.atomic():
        Dataset.objects.select_for_update().get(pk=dataset.pk)
        _check_is_quiet(dataset)
        if dataset.label_changes.filter(finished_at=None, undone_at=None).exists():
            raise Conflict("Another change of labels is under way. Wait until it is done.")
        fix = Fix.objects.create(
            team=dataset.team, dataset=dataset, rule=RULE, action="rename", by=actor, finding=None
        )
        change = LabelChange.objects.create(
            team=dataset.team,
            dataset=dataset,
            from_label=from_label,
            to_label=to_label,
            is_merge=to_label in dataset.label_counts,
            fix=fix,
            by=actor,
        )
        _start(change, actor, "rename")
        audit.record(
            actor=actor,
            team=dataset.team,
            verb="label.merged" if change.is_merge else "label.renamed",
            target=change,
        )
    change.refresh_from_db()
    return change


def undo_rename(*, actor: User | None, change: LabelChange) -> Job:
    """The job that gives the rows their old label back.

    Raises: Conflict when it is not done, undone already, or a version was frozen with the new labels.
    """
    check_can_change(change.dataset)
    if change.finished_at is None:
        raise Conflict("This change is still under way.")
    if change.undone_at is not None:
        raise Conflict("This change was undone already.")
    if why := why_not_undone(change):
        raise Conflict(why)
    with transaction.atomic():
        Dataset.objects.select_for_update().get(pk=change.dataset_id)
        _check_is_quiet(change.dataset, but=_key(change, "undo"))
        if why := why_not_undone(change):
            raise Conflict(why)  # frozen since it was asked
        job = _start(change, actor, "undo")
        audit.record(actor=actor, team=change.team, verb="label.change-undone", target=change)
    return job


def change_under_way(dataset: Dataset, *, but: str = "") -> bool:
    """Whether a job is renaming labels or giving them back; the job with the key `but` is left aside."""
    open_ones = Job.objects.about(dataset).open().filter(kind=KIND)
    return open_ones.exclude(dedupe_key=but).exists() if but else open_ones.exists()


def _check_is_quiet(dataset: Dataset, *, but: str = "") -> None:
    if change_under_way(dataset, but=but):
        raise Conflict("Another change of labels is under way. Wait until it is done.")
    if dataset.versions.filter(state=VersionState.BUILDING).exists():
        raise Conflict("A version is being frozen. Change labels when that is done.")


def why_not_undone(change: LabelChange) -> str:
    """Why a change stands for good; empty while it may be undone."""
    return why_they_stand(change.dataset_id, [change])[change.pk]


def why_they_stand(dataset_id: int, changes: Sequence[LabelChange]) -> dict[int, str]:
    """`why_not_undone` of many changes of one dataset, in one question."""
    frozen = list(
        DatasetVersion.objects.frozen()
        .filter(dataset=dataset_id)
        .order_by("number")
        .values_list("number", "frozen_at")
    )
    found = {}
    for change in changes:
        number = next((number for number, at in frozen if at > change.at), None)
        found[change.pk] = (
            f"Version {number} was frozen with these labels. Rename them back instead; the version stays."
            if number is not None
            else ""
        )
    return found


def _start(change: LabelChange, actor: User | None, what: str) -> Job:
    words = f"{change.from_label} → {change.to_label}"
    job = start_job(
        actor=actor,
        team=change.team,
        kind=KIND,
        title=f"Rename {words}" if what == "rename" else f"Undo {words}",
        recipe={"change": change.pk, "what": what},
        subject=change.dataset,
        url=reverse("datasets:labels", args=[change.dataset_id]),
        dedupe_key=_key(change, what),
    )
    LabelChange.objects.filter(pk=change.pk).update(job=job)
    return job


def _key(change: LabelChange, what: str) -> str:
    return f"relabel:{change.pk}:{what}"


# --- called by the job -------------------------------------------------------------------------------------------


def rename_rows(*, change: LabelChange, beat: Callable[[int, int], None]) -> int:
    """How many rows carry the new label. Goes on where it stopped: a renamed row is not found again."""
    dataset = Dataset.objects.select_related("team", "use_case").get(pk=change.dataset_id)
    mine = Example.objects.filter(dataset=dataset, label=change.from_label).active().order_by("id")
    done = change.fix.edits.count()
    total = mine.count() + done
    last = 0
    while part := list(mine.filter(pk__gt=last).select_related("content")[:RENAMED_A_TRANSACTION]):
        with transaction.atomic():
            edits = replace_contents(
                dataset,
                [(row, *relabelled(row, change.to_label)) for row in part],
                actor=change.by,
                fix=change.fix,
            )
        last = part[-1].pk
        done += len(edits)
        beat(done, total)
    n = change.fix.edits.count()
    now = timezone.now()
    with transaction.atomic():
        Fix.objects.filter(pk=change.fix_id).update(n_rows=n)
        LabelChange.objects.filter(pk=change.pk).update(n_rows=n, finished_at=now)
    return n


def give_back(*, change: LabelChange, beat: Callable[[int, int], None]) -> int:
    """How many rows have their old label again; rows a person changed since keep what they say. Safe to repeat."""
    dataset = Dataset.objects.select_related("team", "use_case").get(pk=change.dataset_id)
    total = change.fix.edits.count()
    n = 0
    waiting = list(change.fix.edits.filter(undone_at=None).select_related("example"))
    for part in bulk.chunks(waiting, UNDONE_A_TRANSACTION):
        with transaction.atomic():
            for edit in part:
                n += undo_edit(dataset, edit)
        beat(n, total)
    now = timezone.now()
    with transaction.atomic():
        Fix.objects.filter(pk=change.fix_id).update(undone_at=now)
        LabelChange.objects.filter(pk=change.pk).update(undone_at=now)
    return n


def close(*, change: LabelChange) -> None:
    """After a cancel or failure: what was renamed so far stands and is counted; it can be undone."""
    n = change.fix.edits.filter(undone_at=None).count()
    if change.finished_at is None and n == 0:
        change.fix.delete()  # the change goes with it: nothing happened
        return
    Fix.objects.filter(pk=change.fix_id).update(n_rows=n)
    LabelChange.objects.filter(pk=change.pk, finished_at=None).update(n_rows=n, finished_at=timezone.now())


__all__ = [
    "NothingToDo",
    "close",
    "give_back",
    "rename_rows",
    "start_rename",
    "undo_rename",
    "why_not_undone",
]
