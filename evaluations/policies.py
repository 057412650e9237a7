"""What must hold before something is evaluated, compared or read. Roles are asked at the routes."""

from __future__ import annotations

from collections.abc import Sequence

from django.db.models import Exists, OuterRef

from datasets.domain.statuses import Split
from datasets.models import DatasetVersion, VersionRow
from datasets.vault import wear_of
from evaluations.domain.statuses import CandidateKind, EvaluationState
from evaluations.errors import NotComparable, SealedRows, TestSplitNeedsReason, WornOut
from evaluations.models import Candidate, Comparison, Evaluation, TestLook
from foundation.teams.errors import BadInput, Conflict
from foundation.teams.models import User

MIN_REASON = 10
# Rows of versions whose texts are held against each other while somebody waits: about half a second.
COMPARED_BY_TEXT = 200_000


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
            raise Conflict(_why_not_fair(candidate, version, split, n_learnt))


def _why_not_fair(candidate: Candidate, version: DatasetVersion, split: str, n_learnt: int) -> str:
    is_final = _is_final(candidate)
    if is_final and split == Split.VALIDATION and candidate.version_id == version.pk:
        return (
            f"“{candidate.name}” learnt from validation rows too; its cross-validation tells what to expect of "
            "it. Evaluate it on test rows."
        )
    rows = f"1 {split} row" if n_learnt == 1 else f"{n_learnt:,} {split} rows"
    said = f"“{candidate.name}” learnt from {rows} of version {version.number}"
    if is_final:
        return (
            f"{said}. Evaluate it on a version whose {split} rows it never saw; a version frozen from now on keeps what "
            "it learnt from out of the test."
        )
    return (
        f"{said}, so its figures would be too good. Evaluate it on version {candidate.version.number}, which it learnt "  # type: ignore[union-attr]
        "from, or on one that is frozen with a fresh test."
    )


def _is_final(candidate: Candidate) -> bool:
    """Whether it was trained after a cross-validation: on validation rows as well."""
    run = candidate.training_run
    return run is not None and run.cross_validation_id is not None


def n_learnt_rows(candidate: Candidate, version: DatasetVersion, split: str) -> int:
    """How many rows of this split the candidate learnt from, or has among the examples of its prompt.

    Versions of another seed share rows, and so do those of datasets that were filled from one file. A majority knows
    no row by heart.
    """
    rows = VersionRow.objects.filter(version=version, split=split)
    if candidate.few_shot:
        return rows.filter(content__in=[shot["content_id"] for shot in candidate.few_shot]).count()
    is_final, learnt = _is_final(candidate), candidate.version
    if learnt is None or candidate.kind == CandidateKind.MAJORITY or (learnt == version and not is_final):
        return 0
    splits = [Split.TRAIN, Split.VALIDATION] if is_final else [Split.TRAIN]
    taught = VersionRow.objects.filter(version=learnt, split__in=splits)
    if learnt.dataset_id != version.dataset_id and max(learnt.n_rows, version.n_rows) <= COMPARED_BY_TEXT:
        # Each dataset holds its own copy of a text.
        asked = set(map(bytes, rows.values_list("content__digest", flat=True)))
        known = taught.values_list("content__digest", flat=True)
        return len(asked.intersection(map(bytes, known.iterator(chunk_size=10_000))))
    return rows.filter(Exists(taught.filter(content=OuterRef("content")))).count()


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
