"""The page that compares two cross-validations: find, ask, render."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse

from datasets.domain.training import RunState
from datasets.models import CrossValidation, FoldAnswer
from datasets.training.contract import get_backend
from datasets.training.presenting import decimal, title_of
from datasets.vault import sealed_contents
from evaluations.domain.folds import OverFolds
from evaluations.domain.statuses import Verdict
from evaluations.presenting import lineage
from evaluations.services.folds import compare_folds
from foundation.ui.charts import Dot, Dots, dots_with_band
from foundation.ui.formats import grouped, p_value, points
from foundation.ui.htmx import render_page, wants_fragment

PAGE_ROWS = 20
# Others over the same folds that are offered as the baseline.
MOST_OTHERS = 8


def fold_comparison(request: HttpRequest, candidate: CrossValidation) -> HttpResponse:
    """Two configurations over the same folds: the finding, both figures, each fold's difference, rows that changed.

    ?with= names the baseline; without it the newest other one over these folds.
    """
    others = list(
        CrossValidation.objects.succeeded()
        .filter(version=candidate.version_id)
        .exclude(pk=candidate.pk)
        .order_by("-pk")[:MOST_OTHERS]
    )
    wanted = decimal(request.GET.get("with"))
    other = others[0] if others else None
    if wanted is not None:
        mine = CrossValidation.objects.of(candidate.team).filter(use_case=candidate.use_case_id)
        other = get_object_or_404(mine, pk=wanted)
    path = (
        f"Cross-validation {candidate.number}",
        reverse("training:cross-validation-detail", args=[candidate.pk]),
    )
    shared = {
        "candidate": candidate,
        "use_case": candidate.use_case,
        "lineage": lineage(candidate.use_case, candidate.version, path, ("Comparison", "", True)),
    }
    # Without figures there is nothing to compare yet, whatever else was judged.
    waits = candidate.state != RunState.SUCCEEDED
    if other is None or waits:
        return render_page(request, "evaluations/fold_comparison.html", None, {**shared, "waits": waits})
    rows = _rows(request, candidate, other)
    is_part = request.GET.get("part") == "rows" and wants_fragment(request)
    if is_part and other.version_id == candidate.version_id and other.state == RunState.SUCCEEDED:
        # The next rows need no answer but their own.
        return render_page(
            request,
            "evaluations/fold_comparison.html",
            "evaluations/_fold_pair_rows.html",
            {**shared, "baseline": other, **rows, **_turned(candidate, other)},
        )
    found = compare_folds(baseline=other, candidate=candidate)
    names = [f"{title_of(one.backend)}, cross-validation {one.number}" for one in (other, candidate)]
    context: dict[str, Any] = {
        **shared,
        "baseline": other,
        "baseline_name": names[0],
        "candidate_name": names[1],
        "found": found,
        **rows,
        "n_worse": found.worse,
        "n_better": found.better,
        "headline": _headline(found, *names),
        "p_text": p_value(found.found.p),
        "tone": found.verdict.tone,
        "dots": _dots(found),
        "told": _told(other, candidate),
        "others": [(one, title_of(one.backend)) for one in others],
    }
    return render_page(
        request, "evaluations/fold_comparison.html", "evaluations/_fold_pair_rows.html", context
    )


def _headline(found: OverFolds, baseline: str, candidate: str) -> str:
    d = found.found
    between = f"({points(d.low)} to {points(d.high)}, n = {grouped(d.n)})"
    size = points(d.difference)
    if found.verdict is Verdict.BETTER:
        return f"{candidate} is better than {baseline}: {size} {between}."
    if found.verdict is Verdict.WORSE:
        return f"{candidate} is worse than {baseline}: {size} {between}."
    if found.verdict is Verdict.EQUIVALENT:
        return f"Both are as good: {size} {between}, within the margin of {points(found.margin)}."
    return f"These rows cannot tell the two apart: {size} {between}."


def _dots(found: OverFolds) -> Any:
    d = found.found
    same = sum(1 for fold in found.folds if fold.difference * (d.difference or 0) > 0)
    title = (
        f"{same} of {len(found.folds)} folds point the same way as all rows together"
        if d.difference
        else "All rows together show no difference"
    )
    return dots_with_band(
        Dots(
            title=title,
            dots=[Dot(f"Fold {fold.fold}", fold.difference, note=f"{fold.n} rows") for fold in found.folds],
            unit="points",
            sub="Candidate minus baseline in points; the band is the 95% interval over all rows",
            whole=Dot("All rows", d.difference, d.low, d.high, note=f"{d.n} rows"),
        )
    )


def _told(baseline: CrossValidation, candidate: CrossValidation) -> list[tuple[str, str, str]]:
    """Settings in which the two differ, in words: name, baseline's, candidate's."""
    was, now = (
        {
            "Backend": title_of(one.backend),
            **dict(get_backend(one.backend).shown(one.settings)),
            "Seed": str(one.seed),
        }
        for one in (baseline, candidate)
    )
    names = [*was, *(name for name in now if name not in was)]
    rows = [(name, was.get(name, "not used"), now.get(name, "not used")) for name in names]
    return [row for row in rows if row[1] != row[2]]


def _turned(candidate: CrossValidation, baseline: CrossValidation) -> dict[str, int]:
    """How many rows got worse and better, counted over the wrong ones alone: they have an index of their own."""
    was = FoldAnswer.objects.filter(cross_validation=baseline, is_right=False).values("row")
    both = FoldAnswer.objects.filter(cross_validation=candidate, is_right=False, row__in=was).count()
    n_wrong = [one.metrics["n"] - one.metrics["right"] for one in (candidate, baseline)]
    return {"n_worse": n_wrong[0] - both, "n_better": n_wrong[1] - both}


def _rows(request: HttpRequest, candidate: CrossValidation, baseline: CrossValidation) -> dict[str, Any]:
    """Rows that got worse, or better: one page in reading order, with both answers."""
    show = "better" if request.GET.get("show") == "better" else "worse"
    after = decimal(request.GET.get("after")) or 0
    turned = FoldAnswer.objects.filter(cross_validation=baseline, is_right=show == "worse").values("row")
    rows = FoldAnswer.objects.filter(
        cross_validation=candidate, is_right=show == "better", row__gt=after, row__in=turned
    )
    page = list(rows.select_related("row__content").order_by("row")[: PAGE_ROWS + 1])
    shown = page[:PAGE_ROWS]
    was = dict(
        FoldAnswer.objects.filter(
            cross_validation=baseline, row__in=[answer.row_id for answer in shown]
        ).values_list("row", "predicted")
    )
    closed = sealed_contents(
        candidate.version.dataset, [answer.row.content_id for answer in shown], user=request.user
    )
    return {
        "show": show,
        "cards": [
            {
                "answer": answer,
                "row": answer.row,
                "was": was.get(answer.row_id, ""),
                "expected": answer.row.label or answer.row.content.completion,
                "is_closed": answer.row.content_id in closed,
            }
            for answer in shown
        ],
        "next": shown[-1].row_id if len(page) > PAGE_ROWS else None,
    }
