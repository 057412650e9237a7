"""The Evaluate stage of every use case, answered in bulk."""

from __future__ import annotations

from django.db.models import Exists, Max, OuterRef, Q
from django.urls import reverse

from datasets.reading import latest_frozen
from decisions.lifecycle import Stage, StageState
from decisions.models import UseCase
from evaluations.domain.statuses import ComparisonState, EvaluationState
from evaluations.models import Comparison, Evaluation
from foundation.ui.formats import percent


def states(use_cases: list[UseCase]) -> dict[int, StageState]:
    """How evaluating stands, by use case id. Three small queries at most, however many use cases."""
    ids = [u.pk for u in use_cases]
    compared = (
        Comparison.objects.filter(use_case__in=ids)
        .values("use_case")
        .annotate(last=Max("pk"), done=Max("pk", filter=Q(state=ComparisonState.DONE)))
        .order_by()
    )
    last: dict[int, Comparison] = {}
    decided: dict[int, Comparison] = {}
    wanted = Q(pk__in=compared.values("last")) | Q(pk__in=compared.values("done"))
    running = Evaluation.objects.filter(use_case=OuterRef("use_case"), state=EvaluationState.RUNNING)
    found_rows = Comparison.objects.filter(wanted).defer("result").annotate(is_answering=Exists(running))
    for row in found_rows.order_by("pk"):
        last[row.use_case_id] = row
        if row.state == ComparisonState.DONE:
            decided[row.use_case_id] = row
    # Behind a verdict an evaluation is only asked for while one is under way.
    asked = [pk for pk in ids if pk not in decided or decided[pk].is_answering]  # type: ignore[attr-defined]
    newest = (
        Evaluation.objects.filter(use_case__in=asked).values("use_case").annotate(last=Max("pk")).order_by()
    )
    evaluations = (
        {
            e.use_case_id: e
            for e in Evaluation.objects.filter(pk__in=newest.values("last")).defer(
                "aggregates", "row_ids", "plan"
            )
        }
        if asked
        else {}
    )
    versions = latest_frozen(use_cases)
    found = {
        u.pk: _state(decided.get(u.pk), last.get(u.pk), evaluations.get(u.pk), versions.get(u.pk))
        for u in use_cases
    }
    return found


def _state(
    decided: Comparison | None, last: Comparison | None, evaluation: Evaluation | None, version_id: int | None
) -> StageState:
    new = reverse("evaluations:evaluation-new", args=[version_id]) if version_id else ""
    if last is not None and last.state == ComparisonState.WAITING:
        return StageState(
            "now", "Candidates are answering", url=reverse("evaluations:comparison-detail", args=[last.pk])
        )
    if evaluation is not None and evaluation.state == EvaluationState.RUNNING:
        page = reverse("evaluations:evaluation-detail", args=[evaluation.pk])
        return StageState("now", "A candidate is answering", url=page)
    if decided is not None:
        page = reverse("evaluations:comparison-detail", args=[decided.pk])
        where = (
            f"on test rows, look {decided.look_number}" if decided.is_claim else f"on {decided.split} rows"
        )
        text = f"{decided.verdict.capitalize()} {where}"
        if version_id and decided.version_id < version_id:
            return StageState(
                "next", f"{text}, of an older version", url=new, action="Evaluate the new version"
            )
        if not decided.is_claim and decided.verdict == "better":
            return StageState("next", f"{text}; not claimed yet", url=page, action="See the comparison")
        return StageState("warn" if decided.verdict == "worse" else "done", text, url=page)
    if evaluation is not None:
        page = reverse("evaluations:evaluation-detail", args=[evaluation.pk])
        if evaluation.state != EvaluationState.DONE:
            return StageState("warn", f"An evaluation was {evaluation.state}", url=page, action="See why")
        text = f"{percent(evaluation.score, 1)} of {evaluation.n_scored:,} rows; nothing to compare it with"
        return StageState("next", text, url=new or page, action="Evaluate another")
    if version_id is None:
        return StageState("later", "Needs a frozen version", blocker="Freeze a dataset version first.")
    return StageState("next", "Nothing evaluated yet", url=new, action="Evaluate candidates")


STAGE = Stage("evaluate", "Evaluate", states)
