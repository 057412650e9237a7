"""Taking back a fix or an edit, and saying truly how many rows came back and why others did not."""

from __future__ import annotations

from collections.abc import Sequence

from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q
from django.utils import timezone

from datasets import bulk, searching
from datasets.domain.cleaning import digest
from datasets.domain.labels import merge_counts
from datasets.domain.statuses import ExampleState
from datasets.models import Content, Dataset, Edit, Example, Finding, Fix, FixedRow, LabelChange
from datasets.policies import check_can_change
from datasets.services.checks import Beat, move_counts, relabelled, replace_contents, silent
from foundation.teams import audit
from foundation.teams.errors import Conflict
from foundation.teams.models import User

# As many as a renaming gives new text in one transaction.
RENAMED_A_TRANSACTION = 60


def undo_fix(*, actor: User | None, fix: Fix, beat: Beat = silent) -> Fix:
    """The fix, taken back: dropped rows return, rewritten text is as it was unless somebody changed it since.

    A renaming of the label that came later is no such change: the row keeps its new label. A fix some of whose rows
    stay as they are stands on for these, and can be undone again. `undo_said` tells what became of the rows.
    """
    dataset = Dataset.objects.select_related("team", "use_case").get(pk=fix.dataset_id)
    check_can_change(dataset)
    if fix.undone_at is not None:
        return fix
    if LabelChange.objects.filter(fix=fix).exists():
        raise Conflict("This renamed a label. Undo it on the page of the dataset's labels.")
    n_out, n_renamed = _bring_back(fix, dataset, beat)
    n_done = fix.rows.count()
    n_restored = 0
    waiting = list(fix.edits.filter(undone_at=None).select_related("example"))
    for n, edit in enumerate(waiting):
        if n % 100 == 0:
            beat(n_done + n)
        with transaction.atomic():
            n_restored += undo_edit(dataset, edit) or _undo_beneath_renames(dataset, edit)
    n_changed = len(waiting) - n_restored
    said = _what_became(n_restored=n_restored, n_changed=n_changed, n_out=n_out, n_renamed=n_renamed)
    with transaction.atomic():
        if n_changed:
            Fix.objects.filter(pk=fix.pk).update(n_rows=n_changed)
        else:
            Fix.objects.filter(pk=fix.pk).update(undone_at=timezone.now())
        if n_restored or not n_changed:
            audit.record(actor=actor, team=dataset.team, verb="fix.undone", target=fix, note=said[:300])
    fix.refresh_from_db()
    fix.undo_said = said
    return fix


def standing_fixes(finding: Finding) -> list[Fix]:
    """The fixes of a finding that stand; `is_part` says that some rows of one were given back."""
    given_back = Edit.objects.filter(fix=OuterRef("pk")).exclude(undone_at=None)
    fixes = finding.fixes.filter(undone_at=None).annotate(is_part=Exists(given_back))
    # A page says who it was; the hash of a password need not leave the database for that.
    return list(fixes.select_related("by").defer("by__password"))


def _bring_back(fix: Fix, dataset: Dataset, beat: Beat) -> tuple[int, int]:
    """Dropped rows return, under the label that theirs was renamed to since; how many stay out, and how many have a
    new label."""
    changes = list(
        LabelChange.objects.filter(dataset=dataset, undone_at=None, at__gt=fix.at)
        .order_by("id")
        .select_related("fix", "by")
    )
    dropped = list(fix.rows.values_list("example_id", flat=True))
    pace = bulk.Pace(most=bulk.MOST_FAR_APART)
    done = n_out = n_renamed = 0
    while done < len(dropped):
        beat(done)
        part = dropped[done : done + (min(pace.n_rows, RENAMED_A_TRANSACTION) if changes else pace.n_rows)]
        done += len(part)
        # A row that a second fix dropped as well has that fix to bring it back.
        others = FixedRow.objects.filter(~Q(fix=fix), fix__undone_at=None, example__in=part).values("example")
        rows = Example.objects.filter(pk__in=part, state=ExampleState.DROPPED)
        with pace.transaction(len(part)):
            keys = list(
                rows.exclude(pk__in=others).select_for_update().order_by("id").values_list("id", flat=True)
            )
            if keys:
                Example.objects.filter(pk__in=keys).update(state=ExampleState.ACTIVE)
                move_counts(dataset, keys, +1, "n_dropped")
                n_renamed += _rename_too(dataset, keys, changes)
            n_out += rows.count()
    return n_out, n_renamed


def _rename_too(dataset: Dataset, example_ids: list[int], changes: Sequence[LabelChange]) -> int:
    """How many of the rows, away while their label was renamed, have the new one now; undoing the renaming undoes it."""
    renamed: set[int] = set()
    for change in changes:
        rows = list(
            Example.objects.filter(pk__in=example_ids, label=change.from_label).select_related("content")
        )
        if not rows:
            continue
        changed = [(row, *relabelled(row, change.to_label)) for row in rows]
        edits = replace_contents(dataset, changed, actor=change.by, fix=change.fix)
        Fix.objects.filter(pk=change.fix_id).update(n_rows=F("n_rows") + len(edits))
        LabelChange.objects.filter(pk=change.pk).update(n_rows=F("n_rows") + len(edits))
        renamed.update(edit.example_id for edit in edits)
    return len(renamed)


def _what_became(*, n_restored: int, n_changed: int, n_out: int, n_renamed: int) -> str:
    said = []
    if n_changed and n_restored:
        said.append(f"{_rows(n_restored, 'is', 'are')} as before.")
    elif n_changed:
        said.append("Nothing was undone.")
    elif n_out or n_renamed:
        said.append("Undone.")
    else:
        said.append("Undone. The rows are as they were.")
    if n_changed:
        said.append(
            f"{_rows(n_changed, 'was', 'were')} changed since and {'stays' if n_changed == 1 else 'stay'} so."
        )
    if n_renamed:
        said.append(f"{_rows(n_renamed, 'has', 'have')} the new name of a label that was renamed since.")
    if n_out:
        said.append(
            f"{_rows(n_out, 'stays', 'stay')} out: another fix took {'it' if n_out == 1 else 'them'}."
        )
    return " ".join(said)


def _rows(n: int, one: str, many: str) -> str:
    return f"1 row {one}" if n == 1 else f"{n:,} rows {many}"


def undo_edit(dataset: Dataset, edit: Edit) -> bool:
    """Put back the text from before an edit, if nobody changed it since. Inside the caller's transaction."""
    moved = Example.objects.filter(pk=edit.example_id, content_id=edit.after_id).update(
        content_id=edit.before_id, label=edit.label_before, edition=F("edition") + 1
    )
    if not moved:
        return False
    Edit.objects.filter(pk=edit.pk).update(undone_at=timezone.now())
    # The text may be older than the index.
    searching.add([edit.before_id])
    held = Dataset.objects.select_for_update().get(pk=dataset.pk)
    moved_label = edit.label_before != edit.label_after
    changes = {edit.label_after: -1, edit.label_before: 1} if moved_label else {}
    changes.pop("", None)
    Dataset.objects.filter(pk=dataset.pk).update(
        revision=F("revision") + 1,
        label_counts=merge_counts(held.label_counts, changes),
    )
    return True


def _undo_beneath_renames(dataset: Dataset, edit: Edit) -> bool:
    """Put back the text from before an edit whose row had nothing but its label renamed since; the new label stays.

    The renamings are told as if the edit had never been, so that undoing them leads back to the text from before it.
    """
    if edit.label_before != edit.label_after:
        return False
    later = list(
        Edit.objects.filter(example=edit.example_id, undone_at=None, pk__gt=edit.pk)
        .order_by("id")
        .select_related("before", "after")
    )
    are_renames = LabelChange.objects.filter(fix__in={one.fix_id for one in later if one.fix_id})
    renaming = set(are_renames.values_list("fix_id", flat=True))
    if not later or any(one.fix_id not in renaming for one in later):
        return False
    at = edit.after_id
    for one in later:
        if one.before_id != at:
            return False
        at = one.after_id
    text = edit.before
    ids = bulk.reserve_ids(Content, len(later))
    for key, one in zip(ids, later, strict=True):
        answer = one.label_after if text.completion == one.label_before else text.completion
        new = (text.system, text.turns, text.prompt, answer)
        bulk.insert(
            Content,
            ("id", "team_id", "digest", "system", "turns", "prompt", "completion", "extra", "n_chars"),
            [
                (
                    key,
                    dataset.team_id,
                    digest(*new, text.extra),
                    *new,
                    text.extra,
                    len(text.prompt) + len(answer),
                )
            ],
        )
        Edit.objects.filter(pk=one.pk).update(before_id=text.pk, after_id=key)
        text = Content.objects.get(pk=key)
    moved = Example.objects.filter(pk=edit.example_id, content_id=at).update(
        content_id=text.pk, edition=F("edition") + 1
    )
    if not moved:
        # Somebody wrote between the reading and now: nothing of this stays.
        transaction.set_rollback(True)
        return False
    Edit.objects.filter(pk=edit.pk).update(undone_at=timezone.now())
    searching.add(list(ids))
    held = Dataset.objects.select_for_update().get(pk=dataset.pk)
    Dataset.objects.filter(pk=dataset.pk).update(
        revision=F("revision") + 1, edited_content=max(held.edited_content or 0, *ids)
    )
    return True
