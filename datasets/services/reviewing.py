"""People looking at rows one by one: the sample, a verdict, an edit, a way back."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.db.models import Count, F, QuerySet, Value
from django.db.models.lookups import Exact
from django.utils import timezone

from datasets.domain.cleaning import normalise
from datasets.domain.records import MAX_TAG
from datasets.domain.statuses import ExampleState, Verdict
from datasets.errors import EditedMeanwhile, NothingToDo
from datasets.models import Content, Dataset, Edit, Example, Fix, FixedRow, Reading, Review, ReviewItem
from datasets.models.examples import Plainly
from datasets.policies import check_can_change, check_can_edit, check_can_settle
from datasets.services.checks import move_counts, replace_contents
from datasets.services.undoing import undo_edit
from datasets.vault import check_not_sealed, sealed_contents
from foundation.teams import audit
from foundation.teams.domain.roles import Role
from foundation.teams.errors import BadInput
from foundation.teams.models import User

MAX_TEXT = 1_000_000


def edit_example(
    *,
    actor: User | None,
    example: Example,
    edition: int,
    prompt: str,
    completion: str,
    label: str | None = None,
    system: str | None = None,
) -> Edit | None:
    """The edit that gave the row new text; None when nothing changed. The old content stays.

    Raises: EditedMeanwhile when `edition` is not the row's any more, BadInput for empty text.
    """
    now = Example.objects.select_related("content", "dataset__team", "dataset__use_case")
    example = now.get(pk=example.pk)
    dataset = example.dataset
    check_can_edit(example)
    if example.edition != edition:
        raise EditedMeanwhile(example)
    check_not_sealed(dataset, [example.content_id], user=actor)
    new, label = _as_written(
        dataset, example, prompt=prompt, completion=completion, label=label, system=system
    )
    with transaction.atomic():
        return _write(dataset, example, new, label, actor=actor)


def _as_written(
    dataset: Dataset,
    example: Example,
    *,
    prompt: str,
    completion: str,
    label: str | None = None,
    system: str | None = None,
) -> tuple[tuple[str, str, str, str], str]:
    """The texts and the label that a person's edit gives a row. Raises BadInput naming the field."""
    old = example.content
    new = (
        old.system if system is None else _clean(system, "system", may_be_empty=True),
        old.turns,
        _clean(prompt, "prompt"),
        _clean(completion, "completion"),
    )
    is_labelled = dataset.use_case.task_kind == "classify"
    label = example.label if label is None else _clean(label, "label", may_be_empty=True)
    if is_labelled and new[3] != old.completion:
        label = new[3]  # the answer of a classification is its label
    if len(label) > MAX_TAG:
        raise BadInput(f"A label has at most {MAX_TAG} characters.", field="label")
    return new, label


def _write(
    dataset: Dataset, example: Example, new: tuple[str, str, str, str], label: str, *, actor: User | None
) -> Edit | None:
    """Write an edit of a row that may be edited; None where it changes nothing. Inside the caller's transaction.

    Raises EditedMeanwhile when the row is not as it was read.
    """
    old = example.content
    if new == (old.system, old.turns, old.prompt, old.completion) and label == example.label:
        return None
    edits = replace_contents(dataset, [(example, new, label)], actor=actor)
    if not edits:
        raise EditedMeanwhile(Example.objects.select_related("content").get(pk=example.pk))
    audit.record(
        actor=actor,
        team=dataset.team,
        verb="example.edited",
        target=example,
        fields=["content"],
        digests={"before": old.digest_hex, "after": edits[0].after.digest_hex},
    )
    return edits[0]


def _clean(text: str, field: str, *, may_be_empty: bool = False) -> str:
    if "\0" in text:
        raise BadInput("The text holds a NUL character. Remove it.", field=field)
    if len(text) > MAX_TEXT:
        raise BadInput(f"The text has more than {MAX_TEXT:,} characters.", field=field)
    try:
        text.encode()
    except UnicodeEncodeError:
        raise BadInput("The text holds half of a character. Remove it.", field=field) from None
    text = normalise(text)
    if not text and not may_be_empty:
        raise BadInput("Write something here.", field=field)
    return text


def undo_example_edit(*, actor: User | None, edit: Edit) -> bool:
    """Put back the text from before an edit; False when somebody changed it since. Raises Sealed as an edit does."""
    dataset = Dataset.objects.select_related("team").get(pk=edit.example.dataset_id)
    check_can_change(dataset)
    check_not_sealed(dataset, [edit.before_id, edit.after_id], user=actor)
    with transaction.atomic():
        moved = edit.undone_at is None and undo_edit(dataset, edit)
        if moved and edit.fix_id is not None:
            Fix.objects.filter(pk=edit.fix_id, undone_at=None, n_rows__gt=0).update(n_rows=F("n_rows") - 1)
            audit.record(actor=actor, team=dataset.team, verb="example.edit_undone", target=edit.example)
    return moved


def set_state(*, actor: User | None, example: Example, active: bool) -> Example:
    """Take one row out by hand, or bring it back. Raises Sealed for a test row that is closed to this person."""
    now = Example.objects.select_related("dataset__team").get(pk=example.pk)
    dataset = now.dataset
    check_can_change(dataset)
    check_not_sealed(dataset, [now.content_id], user=actor)
    before = [ExampleState.DROPPED, ExampleState.REJECTED] if active else [ExampleState.ACTIVE]
    with transaction.atomic():
        row = Example.objects.select_for_update().get(pk=example.pk)
        if row.state in before:
            other = "n_dropped" if active and row.state == ExampleState.DROPPED else "n_rejected"
            state = ExampleState.ACTIVE if active else ExampleState.REJECTED
            Example.objects.filter(pk=row.pk).update(state=state, edition=F("edition") + 1)
            move_counts(dataset, [row.pk], 1 if active else -1, other)
            if active:
                _leave_fixes(row)
            verb = "example.restored" if active else "example.rejected"
            audit.record(actor=actor, team=dataset.team, verb=verb, target=row)
    example.refresh_from_db()
    return example


def _leave_fixes(row: Example) -> None:
    """A row that a person brought back is no longer mended by the fix that took it out; its finding stands again."""
    for fixed in FixedRow.objects.filter(example=row, fix__undone_at=None):
        Fix.objects.filter(pk=fixed.fix_id, n_rows__gt=0).update(n_rows=F("n_rows") - 1)
        fixed.delete()


_COUNTER = {Verdict.ACCEPTED: "n_accepted", Verdict.EDITED: "n_edited", Verdict.REJECTED: "n_rejected"}


def review_example(
    *,
    actor: User | None,
    item: ReviewItem,
    verdict: Verdict | str,
    reviewer: str = "",
    reason: str = "",
    edition: int | None = None,
    prompt: str | None = None,
    completion: str | None = None,
    label: str | None = None,
) -> ReviewItem:
    """The judged row of the queue. An edit writes new content, a reject takes the row out.

    A row that two people read apart keeps both readings; the second one decides where it says the same, else the row
    waits for `settle`. A first reading of a text that was changed since goes. Raises: EditedMeanwhile when the row
    changed under the reviewer, NothingToDo when it was judged already, or read by this person, Sealed for a test row.
    """
    verdict = Verdict(verdict)
    given = {"prompt": prompt, "completion": completion, "label": label}
    if not item.is_double or actor is None:
        return _decide(
            actor=actor,
            item=item,
            verdict=verdict,
            reviewer=reviewer,
            reason=reason,
            edition=edition,
            **given,
        )
    example = Example.objects.select_related("content", "dataset").get(pk=item.example_id)
    check_not_sealed(example.dataset, [example.content_id], user=actor)
    if edition is not None and example.edition != edition:
        raise EditedMeanwhile(example)
    proposal = {"prompt": "", "completion": "", "label": ""}
    if verdict is Verdict.EDITED:
        text, answer = _clean(prompt or example.content.prompt, "prompt"), example.content.completion
        answer = _clean(completion, "completion") if completion is not None else answer
        proposal = {"prompt": text, "completion": answer, "label": (label or "").strip()[:MAX_TAG]}
        if (text, answer) == (example.content.prompt, example.content.completion) and label in (
            None,
            example.label,
        ):
            verdict, proposal = Verdict.ACCEPTED, dict.fromkeys(proposal, "")
    with transaction.atomic():
        held = ReviewItem.objects.select_for_update(of=("self",)).get(pk=item.pk)
        if held.verdict:
            raise NothingToDo("This row is settled already. Undo that first.")
        example = Example.objects.select_for_update(of=("self",)).select_related("content").get(pk=example.pk)
        if edition is not None and example.edition != edition:
            raise EditedMeanwhile(example)
        _drop_outdated(held, example, actor)
        readings = list(held.readings.all())
        if any(reading.reader_id == actor.pk for reading in readings):
            raise NothingToDo("You have read this row already.")
        if len(readings) >= 2:
            raise NothingToDo("Two people have read this row. It waits for somebody to settle it.")
        own = Reading.objects.create(
            team=example.team,
            item=held,
            reader=actor,
            verdict=verdict,
            reason=reason.strip()[:300],
            edition=example.edition,
            **proposal,
        )
        audit.record(
            actor=actor, team=example.team, verb="example.read", target=example, note="apart from the other"
        )
        if readings and readings[0].proposal == own.proposal:
            names = f"{readings[0].reader} and {actor}"
            return _take(held, own, actor=actor, reviewer=names)
    held.refresh_from_db()
    return held


def _drop_outdated(item: ReviewItem, example: Example, actor: User) -> None:
    """Take away a first reading of a text that is not the row's any more: that person reads again."""
    if item.readings.count() < 2:
        gone, _ = item.readings.exclude(edition=None).exclude(edition=example.edition).delete()
        if gone:
            audit.record(actor=actor, team=example.team, verb="example.reading_outdated", target=example)


def read_twice(review: Review) -> QuerySet[Any, Any]:
    """The items of a queue that two people have read, from their readings: there are fewer of these than rows."""
    readings = readings_of(review).order_by().values("item")
    return readings.annotate(n=Count("pk")).filter(n__gte=2).values("item")


def readings_of(review: Review) -> QuerySet[Reading, Reading]:
    """All readings of a queue, led by themselves: SQLite would walk its rows, most of which nobody read."""
    return Reading.objects.filter(Exact(Plainly("item__review_id"), review.pk))


def to_settle(review: Review) -> QuerySet[ReviewItem, ReviewItem]:
    """Rows that two people read and that wait for somebody to settle them, led by their readings."""
    waiting = Exact(Plainly("verdict"), Value(""))
    return ReviewItem.objects.filter(waiting, pk__in=read_twice(review), is_double=True)


def settle(
    *, actor: User, role: Role, item: ReviewItem, reading: Reading | None = None, **given: object
) -> ReviewItem:
    """The row two readers disagreed on, decided by a third person or an approver: one of the readings, or a verdict.

    `given` are the arguments of `review_example`. Raises: Conflict when there is nothing to settle or the person was one
    of the two readers and is no approver.
    """
    readings = list(item.readings.select_related("reader"))
    check_can_settle(item, readings, actor, role)
    with transaction.atomic():
        if reading is not None:
            done = _take(item, reading, actor=actor, reviewer=f"{actor} (settled)")
        else:
            done = _decide(actor=actor, item=item, reviewer=f"{actor} (settled)", **given)  # type: ignore[arg-type]
        ReviewItem.objects.filter(pk=item.pk).update(is_adjudicated=True)
        audit.record(actor=actor, team=readings[0].team, verb="example.review_settled", target=item.example)
    done.refresh_from_db()
    return done


def _take(item: ReviewItem, reading: Reading, *, actor: User, reviewer: str) -> ReviewItem:
    """Make a reading the verdict."""
    edited = reading.verdict == Verdict.EDITED
    return _decide(
        actor=actor,
        item=item,
        verdict=Verdict(reading.verdict),
        reviewer=reviewer,
        reason=reading.reason,
        edition=reading.edition,
        prompt=reading.prompt if edited else None,
        completion=reading.completion if edited else None,
        label=(reading.label or None) if edited else None,
    )


def _decide(
    *,
    actor: User | None,
    item: ReviewItem,
    verdict: Verdict | str,
    reviewer: str = "",
    reason: str = "",
    edition: int | None = None,
    prompt: str | None = None,
    completion: str | None = None,
    label: str | None = None,
) -> ReviewItem:
    verdict = Verdict(verdict)
    # All a verdict hangs on, as it is now, in one question.
    known = ReviewItem.objects.select_related("review__dataset__team", "review__dataset__use_case", "example")
    now = known.get(pk=item.pk)
    review, example, dataset = now.review, now.example, now.review.dataset
    check_can_change(dataset)
    # Queued before a freeze, sealed since: nobody judges what they may not read.
    check_not_sealed(dataset, [example.content_id], user=actor)
    if edition is not None and example.edition != edition:
        raise EditedMeanwhile(example)
    with transaction.atomic():
        name = reviewer or (str(actor) if actor else "")
        claimed = ReviewItem.objects.filter(pk=item.pk, verdict="").update(
            verdict=verdict,
            reason=reason.strip()[:300],
            reviewer=actor,
            reviewer_name=name[:200],
            at=timezone.now(),
        )
        if not claimed:
            raise NothingToDo("Somebody has judged this row already. Undo that first.")
        if verdict is Verdict.EDITED:
            # Held from here on: taken out, or edited, since it was read?
            held = Example.objects.select_for_update(of=("self",)).select_related("content", "dataset")
            row = held.get(pk=example.pk)
            check_can_edit(row)
            if row.edition != example.edition:
                raise EditedMeanwhile(row)
            new, label = _as_written(
                dataset,
                row,
                prompt=row.content.prompt if prompt is None else prompt,
                completion=row.content.completion if completion is None else completion,
                label=label,
            )
            if edit := _write(dataset, row, new, label, actor=actor):
                ReviewItem.objects.filter(pk=item.pk).update(edit=edit)
            Example.objects.filter(pk=example.pk).update(review=verdict)
        # An edit between the reading of the row and this transaction: nobody judges a text unseen.
        elif not Example.objects.filter(pk=example.pk, edition=example.edition).update(review=verdict):
            raise EditedMeanwhile(Example.objects.select_related("content").get(pk=example.pk))
        # A fix may have taken the row out since it was read: whoever moves its state moves the counts.
        elif verdict is Verdict.REJECTED and Example.objects.filter(
            pk=example.pk, state=ExampleState.ACTIVE
        ).update(state=ExampleState.REJECTED):
            move_counts(dataset, [example.pk], -1, "n_rejected")
        Review.objects.filter(pk=review.pk).update(**{_COUNTER[verdict]: F(_COUNTER[verdict]) + 1})
        audit.record(actor=actor, team=dataset.team, verb=f"example.review_{verdict}", target=example)
    item.refresh_from_db()
    return item


def undo_review(*, actor: User | None, item: ReviewItem) -> ReviewItem:
    """The row back in the queue, its text and state as before the verdict."""
    held = ReviewItem.objects.select_for_update(of=("self",))
    with transaction.atomic():
        item = held.select_related("review__dataset__team", "example", "edit").get(pk=item.pk)
        review, dataset = item.review, item.review.dataset
        check_can_change(dataset)
        own = item.readings.filter(reader=actor) if item.is_double else Reading.objects.none()
        if not item.verdict and not own.exists():
            raise NothingToDo("Nobody has judged this row yet.")
        # A settled row keeps its readings and waits to be settled anew; else a person takes back their own.
        if item.is_double and not item.is_adjudicated:
            own.delete()
        if not item.verdict:
            audit.record(actor=actor, team=dataset.team, verb="example.reading_undone", target=item.example)
            return item
        verdict = Verdict(item.verdict)
        if item.edit is not None:
            undo_edit(dataset, item.edit)
        example = item.example
        if verdict is Verdict.REJECTED and Example.objects.filter(
            pk=example.pk, state=ExampleState.REJECTED
        ).update(state=ExampleState.ACTIVE):
            move_counts(dataset, [example.pk], +1, "n_rejected")
        Example.objects.filter(pk=example.pk).update(review="")
        ReviewItem.objects.filter(pk=item.pk).update(
            verdict="",
            reason="",
            reviewer=None,
            reviewer_name="",
            at=None,
            edit=None,
            is_adjudicated=False,
        )
        Review.objects.filter(pk=review.pk).update(**{_COUNTER[verdict]: F(_COUNTER[verdict]) - 1})
        audit.record(actor=actor, team=dataset.team, verb="example.review_undone", target=example)
    item.refresh_from_db()
    return item


def accept_all(*, actor: User | None, review: Review, reviewer: str) -> int:
    """Accept every row of a queue that nobody has judged. For the demo workspace, whose reviewer is named so.

    Returns how many rows. Pages show `reviewer` beside each, so nobody takes it for a person's work.
    """
    if not reviewer.strip():
        raise BadInput("Say who looked at these rows.", field="reviewer")
    dataset = Dataset.objects.select_related("team").get(pk=review.dataset_id)
    done = last = 0
    waiting = review.items.filter(verdict="").order_by("position")
    columns = waiting.values_list("id", "example_id", "position", "example__content_id")
    while read := list(columns.filter(position__gt=last)[:500]):
        last = read[-1][2]
        # Rows that are closed to this person wait for somebody who opened them.
        closed = sealed_contents(dataset, [row[3] for row in read], user=actor) if actor else ()
        part = [(key, example) for key, example, _, content in read if content not in closed]
        with transaction.atomic():
            moved = ReviewItem.objects.filter(pk__in=[key for key, _ in part], verdict="").update(
                verdict=Verdict.ACCEPTED, reviewer=actor, reviewer_name=reviewer[:200], at=timezone.now()
            )
            Example.objects.filter(pk__in=[key for _, key in part]).update(review=Verdict.ACCEPTED)
            Review.objects.filter(pk=review.pk).update(n_accepted=F("n_accepted") + moved)
            done += moved
    with transaction.atomic():
        audit.record(
            actor=actor,
            team=dataset.team,
            verb="review.accepted_all",
            target=review,
            note=f"{done} rows by {reviewer}",
        )
    review.refresh_from_db()
    return done


def contents_of(example: Example) -> list[Content]:
    """Every text the row ever had, newest first."""
    ids = {example.content_id, *example.edits.values_list("before_id", flat=True)}
    return list(Content.objects.filter(pk__in=ids).order_by("-id"))
