"""Comparing two cross-validations over the same frozen folds. Nothing is written: both sides never change."""

from __future__ import annotations

from datasets.domain.training import RunState
from datasets.models import CrossValidation, FoldAnswer
from evaluations.domain.folds import OverFolds, compare_over_folds
from evaluations.errors import NotComparable


def compare_folds(*, baseline: CrossValidation, candidate: CrossValidation) -> OverFolds:
    """Candidate against baseline, row by row. Raises NotComparable unless both are done over the same version."""
    if baseline.pk == candidate.pk:
        raise NotComparable("A comparison needs two cross-validations.")
    if baseline.version_id != candidate.version_id:
        raise NotComparable("These cross-validations stand on different versions, so on other folds.")
    for one in (baseline, candidate):
        if one.state != RunState.SUCCEEDED:
            raise NotComparable(f"Cross-validation {one.number} has no figures yet ({one.state}).")
    answers = FoldAnswer.objects.order_by("row")
    was = list(answers.filter(cross_validation=baseline).values_list("row", "is_right"))
    now = list(answers.filter(cross_validation=candidate).values_list("row", "is_right", "unit", "fold"))
    if [row for row, _ in was] != [row[0] for row in now]:
        raise NotComparable("These cross-validations answered different rows.")
    return compare_over_folds(
        [is_right for _, is_right in was],
        [row[1] for row in now],
        units=[row[2] for row in now],
        folds=[row[3] for row in now],
    )
