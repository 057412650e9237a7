"""The page that compares two cross-validations: find, ask, render."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse

from datasets.models import CrossValidation, FoldAnswer
from datasets.training.presenting import decimal, title_of
from datasets.vault import sealed_contents
from evaluations.domain.folds import OverFolds
from evaluations.domain.statuses import Verdict
from evaluations.presenting import lineage
from evaluations.services.folds import compare_folds
from foundation.ui.charts import Dot, Dots, dots_with_band
from foundation.ui.formats import grouped, p_value, points
from foundation.ui.htmx import render_page

PAGE_ROWS = 20


def fold_comparison(request: HttpRequest, candidate: CrossValidation, baseline: int) -> HttpResponse:
    """Two configurations over the same folds: the finding, both figures, each fold's difference, rows that changed."""
    other = get_object_or_404(
        CrossValidation.objects.of(candidate.team).filter(use_case=candidate.use_case_id), pk=baseline
    )
    found = compare_folds(baseline=other, candidate=candidate)
    names = [f"{title_of(one.backend)}, cross-validation {one.number}" for one in (other, candidate)]
    context: dict[str, Any] = {
        "candidate": candidate,
        "baseline": other,
        "baseline_name": names[0],
        "candidate_name": names[1],
        "use_case": candidate.use_case,
        "found": found,
        **_rows(request, candidate, other),
    }
    if request.GET.get("part") != "rows":
        context |= {
            "headline": _headline(found, *names),
            "p_text": p_value(found.found.p),
            "tone": found.verdict.tone,
            "dots": _dots(found),
            "told": _told(other, candidate),
            "lineage": lineage(
                candidate.use_case,
                candidate.version,
                (
                    f"Cross-validation {candidate.number}",
                    reverse("training:cross-validation-detail", args=[candidate.pk]),
                ),
                ("Comparison", "", True),
            ),
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
    """Settings in which the two differ: name, baseline's, candidate's."""
    names = sorted({*baseline.settings, *candidate.settings})
    rows = [("backend", title_of(baseline.backend), title_of(candidate.backend))]
    rows += [
        (name, _said(baseline.settings.get(name)), _said(candidate.settings.get(name))) for name in names
    ]
    rows.append(("seed", str(baseline.seed), str(candidate.seed)))
    return [row for row in rows if row[1] != row[2]]


def _said(value: Any) -> str:
    if value is None:
        return "not used"
    return ", ".join(f"{v:g}" for v in value) if isinstance(value, list) else str(value)


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
