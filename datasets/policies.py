"""Who may do what while preparing data. Roles are asked at the routes; here stands what depends on the row."""

from __future__ import annotations

from collections.abc import Sequence

from datasets.domain.statuses import IMPORT_MOVES, ExampleState, ImportState
from datasets.models import Dataset, DatasetVersion, Example, Import, Reading, ReviewItem
from foundation.teams.domain.roles import Role
from foundation.teams.errors import BadInput, Conflict
from foundation.teams.models import User


def check_can_change(dataset: Dataset) -> None:
    """Raises Conflict when the dataset is put away."""
    if dataset.archived_at is not None:
        raise Conflict("This dataset is archived. Restore it first.")


def can_change(dataset: Dataset) -> bool:
    """Whether rows may be added, mended or frozen."""
    return dataset.archived_at is None


def check_can_start(import_: Import, *, again: bool) -> None:
    """Raises Conflict when the import is on its way or done, BadInput for an unconfirmed repeat."""
    check_can_change(import_.dataset)
    if ImportState.RUNNING not in IMPORT_MOVES.get(ImportState(import_.state), frozenset()):
        raise Conflict("This import is already under way or finished.")
    if import_.repeats_id and not again:
        raise BadInput(
            "The same file was imported before. Tick “import it again” if the rows should stand twice.",
            field="again",
        )


def check_can_edit(example: Example) -> None:
    """Raises Conflict for a row that takes no part any more."""
    check_can_change(example.dataset)
    if example.state != ExampleState.ACTIVE:
        raise Conflict("This row was taken out. Bring it back first.")


def check_can_use(version: DatasetVersion) -> None:
    """Raises Conflict when the version is not frozen."""
    if not version.is_frozen:
        raise Conflict(f"Version {version.number} is not frozen, so nothing can rest on it yet.")


def check_can_settle(item: ReviewItem, readings: Sequence[Reading], user: User, role: Role) -> None:
    """Raises Conflict unless two readings of an open row wait and the person is a third one, or an approver."""
    if item.verdict or len(readings) < 2:
        raise Conflict("There is nothing to settle: two people must have read this row and disagreed.")
    if role < Role.APPROVER and any(reading.reader_id == user.pk for reading in readings):
        raise Conflict("You were one of the two readers. A third person or an approver settles this row.")


def can_settle(item: ReviewItem, readings: Sequence[Reading], user: User, role: Role) -> bool:
    """Whether this person may decide between the two readings."""
    try:
        check_can_settle(item, readings, user, role)
    except Conflict:
        return False
    return role >= Role.EDITOR
