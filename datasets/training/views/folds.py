"""Pages of cross-validations: find, ask, call a service, render."""

from __future__ import annotations

import re
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST

from datasets.domain.crossvalidation import APART_P
from datasets.domain.power import wilson
from datasets.domain.splitting import Strategy
from datasets.domain.training import RunState
from datasets.models import CrossValidation, Example, FoldAnswer
from datasets.training import crossvalidating as folding
from datasets.training import fold_exports
from datasets.training.contract import get_backend
from datasets.training.presenting import TONES, decimal, title_of
from datasets.vault import sealed_contents
from foundation.ui.charts import (
    Bar,
    Bars,
    Confusion,
    Dot,
    Dots,
    bars_with_intervals,
    confusion,
    dots_with_band,
    mixed_up,
)
from foundation.ui.downloads import Download
from foundation.ui.formats import duration, grouped, percent
from foundation.ui.htmx import redirect, render_page, toast

PAGE_ROWS = 20
# More columns make a table nobody reads; the pairs say it then.
MOST_CONFUSED = 24
MOST_BARS = 14
MOST_PAIRS = 8
# Others over the same folds that are offered to compare with.
MOST_OTHERS = 8
# What a final model is doing, or did; the rows are named between the two.
FINAL_WORDS = {
    RunState.QUEUED: "will be taught by",
    RunState.RUNNING: "is being taught by",
    RunState.SUCCEEDED: "is taught by",
    RunState.FAILED: "failed and left no model; try it again to teach it by",
    RunState.CANCELLED: "was cancelled and left no model; train another to have one taught by",
}


def cross_validation_detail(request: HttpRequest, found: CrossValidation) -> HttpResponse:
    """One cross-validation: progress while it goes on, then its finding, its folds, its labels and its wrong rows."""
    is_done = found.state == RunState.SUCCEEDED
    context: dict[str, Any] = {
        "found": found,
        "use_case": found.use_case,
        "backend": get_backend(found.backend),
        "tone": TONES[RunState(found.state)],
        "is_done": is_done,
        "is_cancelled": found.state == RunState.CANCELLED,
        "can_retry": found.state == RunState.FAILED,
        "settings": [*get_backend(found.backend).shown(found.settings), ("Seed", str(found.seed))],
        "lineage": _lineage(found),
    }
    if is_done:
        context |= _wrong_rows(request, found)
        if request.GET.get("part") != "rows":
            context |= _figures(found)
    return render_page(request, "training/cross_validation_detail.html", "training/_fold_rows.html", context)


def _lineage(found: CrossValidation) -> list[Any]:
    version = found.version
    return [
        (f"Use case: {found.use_case.name}", reverse("decisions:use-case-detail", args=[found.use_case_id])),
        (f"Dataset: {version.dataset.name}", reverse("datasets:dataset-detail", args=[version.dataset_id])),
        (f"Version {version.number}", reverse("datasets:version-detail", args=[version.pk])),
        (f"Cross-validation {found.number}", "", True),
    ]


def _figures(found: CrossValidation) -> dict[str, Any]:
    metrics = found.metrics
    share = f"{percent(metrics['accuracy'], 1)} right"
    between = f"{percent(metrics['low'], 1)} to {percent(metrics['high'], 1)}"
    final = getattr(found, "final_run", None)
    others = (
        CrossValidation.objects.succeeded()
        .filter(version=found.version_id)
        .exclude(pk=found.pk)
        .order_by("-pk")[:MOST_OTHERS]
    )
    labels = metrics.get("labels") or []
    return {
        "metrics": metrics,
        "headline": f"{share} ({between}) over {found.n_folds} folds, {grouped(metrics['n'])} rows.",
        "facts": _facts(found),
        "cautions": _cautions(found),
        "dots": _dots(found),
        "labels": sorted(map(_with_claimed, labels), key=lambda row: (row["f1"], row["label"])),
        "n_more_labels": metrics.get("n_labels", 0) - len(labels),
        "label_chart": _label_chart(labels),
        "confusion": _confusion(metrics),
        "pairs": metrics["confusion"][:MOST_PAIRS],
        "final": final,
        "needs_final": final is None or final.state == RunState.CANCELLED,
        "final_words": FINAL_WORDS[RunState(final.state)] if final else "",
        "final_is_done": final is not None and final.state == RunState.SUCCEEDED,
        "final_tone": TONES[RunState(final.state)] if final else "",
        "others": [(other, title_of(other.backend)) for other in others],
    }


def _with_claimed(row: dict[str, Any]) -> dict[str, Any]:
    """A label's figures with how many rows were answered so, and the interval of its precision by them."""
    if not row["precision"]:
        return row
    claimed = round(row["right"] / row["precision"])
    low, high = wilson(row["right"], claimed)
    return {**row, "claimed": claimed, "claimed_low": low, "claimed_high": high}


def _facts(found: CrossValidation) -> list[tuple[str, ...]]:
    metrics = found.metrics
    rows: list[tuple[str, ...]] = [
        (
            "right out of fold",
            percent(metrics["accuracy"], 1),
            f"{percent(metrics['low'], 1)} to {percent(metrics['high'], 1)}, n = {grouped(metrics['n'])}",
        ),
        (
            "folds from lowest to highest",
            f"{percent(metrics['lowest'], 0)} to {percent(metrics['highest'], 0)}",
            f"standard deviation {metrics['sd'] * 100:.1f} points, {found.n_folds} folds, n = {grouped(metrics['n'])}",
        ),
    ]
    if metrics.get("macro_f1") is not None:
        rows.append(
            (
                "macro F1",
                grouped(metrics["macro_f1"], 3),
                f"every label counts the same, n = {grouped(metrics['n'])}",
            )
        )
    if metrics.get("train") is not None:
        taught = sum(line["n_train"] for line in metrics["folds"]) // max(len(metrics["folds"]), 1)
        rows.append(
            (
                "on the rows they learnt from",
                percent(metrics["train"], 1),
                f"mean over {found.n_folds} models, n = {grouped(taught)} each",
            )
        )
    rows.append(("to train", duration(found.seconds), f"{found.n_folds} models, on this machine"))
    return rows


def _cautions(found: CrossValidation) -> list[tuple[str, str]]:
    """What must be known before the figure is believed: a title and a sentence each."""
    metrics, notes = found.metrics, []
    if metrics["apart_p"] < APART_P:
        notes.append(
            (
                "The folds lie further apart than chance explains.",
                "Which rows teach matters much here. Look for labels that only some folds know, or add rows.",
            )
        )
    if metrics.get("level") in ("bad", "warn") and (metrics.get("gap") or 0) > 0:
        notes.append(
            (
                "The models know the rows they learnt from better than new ones.",
                f"{metrics['gap'] * 100:.1f} points apart. More rows, or smaller values of C, narrow the gap.",
            )
        )
    if (found.version.recipe or {}).get("strategy") == Strategy.TIME:
        notes.append(
            (
                "The folds are not in order of time.",
                "Some models learnt from rows newer than those they were judged on, so later rows may go worse. The "
                "validation and test rows of this version are the newest and tell that.",
            )
        )
    if metrics.get("converged") is False:
        notes.append(
            (
                "Fitting stopped before it settled.",
                "Raise “Most iterations” under further settings to let it end.",
            )
        )
    return notes


def _dots(found: CrossValidation) -> Any:
    metrics = found.metrics
    lines = metrics["folds"]
    spread = metrics["highest"] - metrics["lowest"]
    return dots_with_band(
        Dots(
            title=f"The folds lie {spread * 100:.1f} points apart around {percent(metrics['accuracy'], 1)}",
            dots=[
                Dot(
                    f"Fold {line['fold']}",
                    line["accuracy"],
                    line["low"],
                    line["high"],
                    note=f"{line['right']} of {line['n']} rows, taught by {line['n_train']}",
                )
                for line in lines
            ],
            unit="percent",
            sub="Share of right answers of each fold, 95% intervals; the band is that of all rows together",
            whole=Dot(
                "All rows", metrics["accuracy"], metrics["low"], metrics["high"], note=f"{metrics['n']} rows"
            ),
        )
    )


def _label_chart(labels: list[dict[str, Any]]) -> Any:
    if not 2 <= len(labels) <= MOST_BARS:
        return ""
    rows = sorted(labels, key=lambda row: (row["accuracy"], row["label"]))
    worst = rows[0]
    return bars_with_intervals(
        Bars(
            title=f"“{worst['label']}” is found least: {percent(worst['accuracy'], 0)} of its {worst['n']} rows",
            bars=[
                Bar(
                    row["label"],
                    row["accuracy"],
                    row["low"],
                    row["high"],
                    note=f"{row['right']} of {row['n']} rows",
                )
                for row in rows
            ],
            unit="percent",
            sub="Rows of each label answered right out of fold, 95% intervals",
        )
    )


def _confusion(metrics: dict[str, Any]) -> Any:
    own = [row["label"] for row in metrics.get("labels") or []]
    pairs = metrics.get("confusion") or []
    names = [*own, *sorted({said for _, said, _ in pairs} - set(own))]
    if not 2 <= len(names) <= MOST_CONFUSED:
        return ""
    place = {name: i for i, name in enumerate(names)}
    counts = [[0] * len(names) for _ in names]
    for row in metrics["labels"]:
        counts[place[row["label"]]][place[row["label"]]] = row["right"]
    for expected, said, n in pairs:
        counts[place[expected]][place[said]] += n
    return confusion(
        Confusion(
            title=mixed_up(pairs[0] if pairs else None),
            labels=names,
            counts=counts,
            sub="Rows by expected and answered label, out of fold",
        )
    )


def _wrong_rows(request: HttpRequest, found: CrossValidation) -> dict[str, Any]:
    """One page of the rows that were wrong out of fold, in reading order; sealed ones of a newer test stay closed."""
    after = decimal(request.GET.get("after")) or 0
    label = request.GET.get("label", "")
    rows = FoldAnswer.objects.filter(cross_validation=found, is_right=False, row__gt=after)
    if label:
        # The figures by label count an answer without the blanks around it.
        rows = rows.annotate(expected=folding.expected_answer()).filter(
            expected__regex=rf"^\s*{re.escape(label.strip())}\s*$"
        )
    page = list(rows.select_related("row__content").order_by("row")[: PAGE_ROWS + 1])
    shown = page[:PAGE_ROWS]
    closed = sealed_contents(
        found.version.dataset, [answer.row.content_id for answer in shown], user=request.user
    )
    there = set(
        Example.objects.filter(
            dataset=found.version.dataset_id, pk__in=[a.row.example_id for a in shown if a.row.example_id]
        ).values_list("pk", flat=True)
    )
    return {
        "label": label,
        "n_wrong": found.metrics["n"] - found.metrics["right"],
        "cards": [
            {
                "answer": answer,
                "row": answer.row,
                "expected": answer.row.label or answer.row.content.completion,
                "is_closed": answer.row.content_id in closed,
                "example": answer.row.example_id if answer.row.example_id in there else None,
            }
            for answer in shown
        ],
        "next": shown[-1].row_id if len(page) > PAGE_ROWS else None,
    }


@require_POST
def cross_validation_retry(request: HttpRequest, found: CrossValidation) -> HttpResponse:
    """Try the folds again that failed."""
    folding.retry(actor=request.user, cross_validation=found)
    toast(request, f"Cross-validation {found.number} is tried again.")
    return redirect(request, "training:cross-validation-detail", found.pk)


@require_POST
def cross_validation_final(request: HttpRequest, found: CrossValidation) -> HttpResponse:
    """Train the one model on all rows outside the test. Pressed twice it is the same one."""
    run = folding.train_final(actor=request.user, cross_validation=found)
    return redirect(request, "training:run-detail", run.pk)


@require_GET
def cross_validation_export(request: HttpRequest, found: CrossValidation, form: str) -> Download:
    """Every row's out-of-fold answer as CSV or JSONL, streamed."""
    if form not in fold_exports.FORMS:
        raise Http404("There is no such format.")
    pieces = fold_exports.pieces(cross_validation=found, form=form, user=request.user)
    fold_exports.record(actor=request.user, cross_validation=found, form=form)
    return Download(pieces, name=f"cross-validation-{found.use_case_id}-{found.number}.{form}")
