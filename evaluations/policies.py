"""What must hold before something is evaluated, compared or read. Roles are asked at the routes."""

from __future__ import annotations

from collections.abc import Sequence

from django.db.models import Exists, OuterRef

from datasets.domain.statuses import Split
from datasets.models import DatasetVersion, VersionRow
from datasets.vault import wear_of
from evaluations.domain.statuses import EvaluationState
from evaluations.errors import NotComparable, SealedRows, TestSplitNeedsReason, WornOut
from evaluations.models import Candidate, Comparison, Evaluation, TestLook
from foundation.teams.errors import BadInput, Conflict
from foundation.teams.models import User

MIN_REASON = 10


def check_can_evaluate(version: DatasetVersion, candidates: Sequence[Candidate], split: str) -> None:
    """Raises Conflict or BadInput when these candidates cannot answer these rows."""
    if not version.is_frozen:
        raise Conflict(f"Version {version.number} is not frozen, so nothing can rest on it yet.")
    if split not in (Split.VALIDATION, Split.TEST):
        raise BadInput(
            "Evaluate on validation or test rows; a model knows the training rows by heart.", field="split"
        )
    n = version.n_test if split == Split.TEST else version.n_validation
    if not n:
        raise Conflict(f"Version {version.number} has no {split} rows. Freeze one that has.")
    if not candidates:
        raise BadInput("Choose at least one candidate.", field="candidates")
    for candidate in candidates:
        if candidate.use_case_id != version.dataset.use_case_id:
            raise BadInput(f"“{candidate.name}” belongs to another use case.", field="candidates")
        if candidate.archived_at is not None:
            raise Conflict(f"“{candidate.name}” is archived.")
        if n_learnt := n_learnt_rows(candidate, version, split):
            if split == Split.VALIDATION:
                raise Conflict(
                    f"“{candidate.name}” learnt from validation rows too; its cross-validation tells what to expect of "
                    "it. Evaluate it on test rows."
                )
            rows = "1 test row" if n_learnt == 1 else f"{n_learnt:,} test rows"
            raise Conflict(
                f"“{candidate.name}” learnt from {rows} of version {version.number}. Evaluate it on a version whose "
                "test rows it never saw; a version frozen from now on keeps what it learnt from out of the test."
            )


def n_learnt_rows(candidate: Candidate, version: DatasetVersion, split: str) -> int:
    """How many rows of this split taught a final model after a cross-validation; 0 for any other candidate."""
    run = candidate.training_run
    if run is None or run.cross_validation_id is None:
        return 0
    taught = VersionRow.objects.filter(
        version=run.version_id, split__in=[Split.TRAIN, Split.VALIDATION], content=OuterRef("content")
    )
    rows = VersionRow.objects.filter(version=version, split=split)
    return rows.filter(Exists(taught)).count()


def check_reason(split: str, reason: str) -> None:
    """Raises TestSplitNeedsReason for test rows without a sentence."""
    if split == Split.TEST and len(reason.strip()) < MIN_REASON:
        raise TestSplitNeedsReason


def check_vault(version: DatasetVersion, split: str, *, despite_wear: bool) -> None:
    """Raises WornOut when the test rows were looked at too often and nobody says that this is known."""
    if split == Split.TEST and not despite_wear and (wear := wear_of(version)).is_worn:
        raise WornOut(wear.sentence)


def check_comparable(evaluations: Sequence[Evaluation], baseline: Evaluation) -> None:
    """Raises NotComparable unless all are done and stand on the same version, split, rows and scorers."""
    if len({e.pk for e in evaluations}) < 2:
        raise NotComparable("A comparison needs two evaluations.", field="evaluations")
    if baseline.pk not in {e.pk for e in evaluations}:
        raise NotComparable("The baseline is not among the evaluations.", field="baseline")
    first = evaluations[0]
    for other in evaluations[1:]:
        if (other.version_id, other.split) != (first.version_id, first.split):
            raise NotComparable("These evaluations stand on different rows: another version or split.")
        if other.scorers[:1] != first.scorers[:1]:
            raise NotComparable("These evaluations were scored differently. Evaluate one of them again.")
    unfinished = [e for e in evaluations if e.state != EvaluationState.DONE]
    if unfinished:
        raise NotComparable(f"“{unfinished[0].candidate}” has no figures yet ({unfinished[0].state}).")


def can_read_rows(user: User, thing: Evaluation | Comparison) -> bool:
    """Whether the rows themselves may be shown: validation rows always, test rows once somebody opened them."""
    if not thing.is_sealed:
        return True
    key = "evaluation" if isinstance(thing, Evaluation) else "comparison"
    return TestLook.objects.filter(kind="rows", by=user, **{key: thing}).exists()


def check_can_read_rows(user: User, thing: Evaluation | Comparison) -> None:
    """Raises SealedRows while test rows are closed."""
    if not can_read_rows(user, thing):
        raise SealedRows
