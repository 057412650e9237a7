"""Evaluating for programs: the same services as the pages."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.shortcuts import get_object_or_404
from ninja import Router, Schema

from datasets.models import CrossValidation, DatasetVersion
from decisions.models import UseCase
from evaluations import policies, services
from evaluations.closing import closer
from evaluations.domain.comparison import Margins
from evaluations.models import Candidate, Comparison, Evaluation, Result
from evaluations.services.candidates import as_plain
from evaluations.services.evaluations import plain_quote
from evaluations.services.folds import compare_folds
from foundation.llm.models import Connection

router = Router(tags=["evaluations"])
PAGE_ROWS = 200


class CandidateIn(Schema):
    """A model with a prompt."""

    name: str
    model: str
    connection: int | None = None
    system: str = ""
    few_shot_version: int | None = None
    n_few_shot: int = 0
    max_tokens: int = 512
    effort: str = ""


class EvaluateIn(Schema):
    """Candidates over the rows of one version. With `reason` and split "test" it is a counted claim."""

    candidates: list[int]
    split: str = "validation"
    sample: int | None = None
    scorers: list[str] | None = None
    judge: bool = False
    cap_microusd: int | None = None
    baseline: int | None = None
    reason: str = ""
    despite_wear: bool = False
    margin_points: float = 0.02
    margin_relative: float = 0.10


def evaluation_as_plain(e: Evaluation) -> dict[str, Any]:
    """An evaluation with its figures."""
    return {
        "id": e.pk,
        "candidate": as_plain(e.candidate),
        "version": e.version_id,
        "split": e.split,
        "n_rows": e.n_rows,
        "scorers": e.scorers,
        "state": e.state,
        "score": e.score,
        "low": e.low,
        "high": e.high,
        "n_scored": e.n_scored,
        "n_unscored": e.n_unscored,
        "aggregates": e.aggregates,
        "job": e.job_id,
        "error": e.error,
    }


def comparison_as_plain(c: Comparison) -> dict[str, Any]:
    """A comparison with its verdict."""
    return {
        "id": c.pk,
        "name": c.name,
        "use_case": c.use_case_id,
        "version": c.version_id,
        "split": c.split,
        "state": c.state,
        "verdict": c.verdict,
        "finding": c.finding,
        "look_number": c.look_number,
        "evaluations": [e.pk for e in c.evaluations.all()],
        "baseline": c.baseline_id,
        "result": c.result,
        "error": c.error,
    }


@router.get("/use-cases/{use_case_id}/candidates", url_name="candidate-list")
def list_candidates(request: HttpRequest, use_case_id: int) -> list[dict[str, Any]]:
    """Candidates of a use case, the newest first."""
    rows = Candidate.objects.of(request.team).current().filter(use_case=use_case_id)[:200]
    return [as_plain(c) for c in rows]


@router.post(
    "/use-cases/{use_case_id}/candidates", response={201: dict[str, Any]}, url_name="candidate-create"
)
def create_candidate(
    request: HttpRequest, use_case_id: int, payload: CandidateIn
) -> tuple[int, dict[str, Any]]:
    """Make a model with a prompt; the same one again is the one there is."""
    use_case = get_object_or_404(UseCase.objects.of(request.team).select_related("team"), pk=use_case_id)
    given = payload.dict(exclude={"connection", "few_shot_version"})
    connection = (
        get_object_or_404(Connection.objects.of(request.team), pk=payload.connection)
        if payload.connection
        else None
    )
    version = (
        get_object_or_404(DatasetVersion.objects.of(request.team), pk=payload.few_shot_version)
        if payload.few_shot_version
        else None
    )
    candidate = services.create_candidate(
        actor=request.user, use_case=use_case, connection=connection, few_shot_version=version, **given
    )
    return 201, as_plain(candidate)


@router.post("/versions/{version_id}/baselines", url_name="baselines-ensure")
def ensure_baselines(request: HttpRequest, version_id: int) -> list[dict[str, Any]]:
    """Floors and trained models of a version as candidates, made where they are missing."""
    version = _version(request, version_id)
    found = services.ensure_baselines(actor=request.user, use_case=version.dataset.use_case, version=version)
    return [as_plain(c) for c in found]


@router.post("/versions/{version_id}/quote", url_name="evaluation-quote")
def quote(request: HttpRequest, version_id: int, payload: EvaluateIn) -> dict[str, Any]:
    """What an evaluation would cost, before anything is paid."""
    version = _version(request, version_id)
    found = services.quote(
        version=version,
        candidates=_candidates(request, payload.candidates),
        split=payload.split,
        sample=payload.sample,
        judge=services.default_judge(request.team) if payload.judge else None,
    )
    return plain_quote(found)


@router.post(
    "/versions/{version_id}/evaluations", response={201: dict[str, Any]}, url_name="evaluation-create"
)
def create_evaluations(
    request: HttpRequest, version_id: int, payload: EvaluateIn
) -> tuple[int, dict[str, Any]]:
    """Start evaluations; of two or more candidates the answer is the comparison that waits for them."""
    version = _version(request, version_id)
    chosen = _candidates(request, payload.candidates)
    common: dict[str, Any] = {
        "actor": request.user,
        "version": version,
        "candidates": chosen,
        "sample": payload.sample,
        "scorers": payload.scorers,
        "judge": services.default_judge(request.team) if payload.judge else None,
        "cap_microusd": payload.cap_microusd,
        "baseline": next((c for c in chosen if c.pk == payload.baseline), None),
        "margins": Margins(points=payload.margin_points, relative=payload.margin_relative),
    }
    if payload.split == "test":
        found: Comparison | Evaluation = services.start_claim(
            reason=payload.reason, despite_wear=payload.despite_wear, **common
        )
    else:
        found = services.start_evaluations(split=payload.split, **common)
    if isinstance(found, Comparison):
        return 201, {"kind": "comparison", **comparison_as_plain(found)}
    return 201, {"kind": "evaluation", **evaluation_as_plain(found)}


@router.get("/evaluations/{evaluation_id}", url_name="evaluation")
def get_evaluation(request: HttpRequest, evaluation_id: int) -> dict[str, Any]:
    """One evaluation with its figures."""
    rows = Evaluation.objects.of(request.team).select_related("candidate")
    return evaluation_as_plain(get_object_or_404(rows, pk=evaluation_id))


@router.get("/evaluations/{evaluation_id}/rows", url_name="evaluation-rows")
def get_rows(request: HttpRequest, evaluation_id: int, after: int = -1) -> dict[str, Any]:
    """Two hundred rows of an evaluation after a position; sealed rows only for who opened them."""
    evaluation = get_object_or_404(Evaluation.objects.of(request.team), pk=evaluation_id)
    policies.check_can_read_rows(request.user, evaluation)
    rows = list(
        Result.objects.filter(evaluation=evaluation, position__gt=after)
        .select_related("content")
        .order_by("position")[:PAGE_ROWS]
    )
    closer(request.user, evaluation)(rows)
    return {
        "rows": [
            {
                "position": r.position,
                "sealed": r.is_closed,  # type: ignore[attr-defined]
                "prompt": r.content.prompt,
                "expected": r.expected_label or r.content.completion,
                "output": r.output,
                "scores": r.scores,
                "unscored": r.unscored,
                "latency_ms": r.latency_ms,
            }
            for r in rows
        ],
        "next": rows[-1].position if len(rows) == PAGE_ROWS else None,
    }


@router.get("/comparisons/{comparison_id}", url_name="comparison")
def get_comparison(request: HttpRequest, comparison_id: int) -> dict[str, Any]:
    """One comparison with its verdict and every measure."""
    return comparison_as_plain(get_object_or_404(Comparison.objects.of(request.team), pk=comparison_id))


def _version(request: HttpRequest, pk: int) -> DatasetVersion:
    rows = DatasetVersion.objects.of(request.team).select_related("dataset__use_case__team", "team")
    return get_object_or_404(rows, pk=pk)


def _candidates(request: HttpRequest, pks: list[int]) -> list[Candidate]:
    rows = {
        c.pk: c
        for c in Candidate.objects.of(request.team).filter(pk__in=pks).select_related("connection__team")
    }
    return [rows[pk] for pk in dict.fromkeys(pks) if pk in rows]


@router.get("/cross-validations/{pk}/comparison", url_name="cross-validation-comparison")
def compare_cross_validations(request: HttpRequest, pk: int, baseline: int) -> dict[str, Any]:
    """One cross-validation against another over the same folds, row by row: difference, interval, verdict."""
    mine = CrossValidation.objects.of(request.team)
    candidate = get_object_or_404(mine, pk=pk)
    other = get_object_or_404(mine, pk=baseline)
    found = compare_folds(baseline=other, candidate=candidate)
    return {
        "baseline": other.pk,
        "candidate": candidate.pk,
        "n": found.found.n,
        "difference": found.found.difference,
        "low": found.found.low,
        "high": found.found.high,
        "p": found.found.p,
        "verdict": found.verdict.value,
        "why": found.why,
        "margin": found.margin,
        "better": found.better,
        "worse": found.worse,
        "effective": found.effective,
        "method": found.found.method,
        "folds": [{"fold": one.fold, "n": one.n, "difference": one.difference} for one in found.folds],
    }
