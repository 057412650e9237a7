"""Stored figures turned into what a template formats. Reads models and values; writes nothing, decides nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import F, FloatField, OuterRef, Q, QuerySet, Subquery
from django.urls import reverse

from evaluations.closing import Close
from evaluations.domain import scoring
from evaluations.domain.findings import Advice
from evaluations.domain.statuses import ComparisonState, EvaluationState, Verdict
from evaluations.domain.telling import tell_evaluation
from evaluations.models import Candidate, Comparison, Evaluation, Result
from foundation.ui.charts import Bar, Bars, Confusion, bars_with_intervals, confusion, mixed_up
from foundation.ui.formats import as_unit, grouped, ms, percent, points, signed, usd

EVALUATION_TONES = {
    EvaluationState.RUNNING: "live",
    EvaluationState.DONE: "good",
    EvaluationState.FAILED: "bad",
    EvaluationState.CANCELLED: "warn",
}
COMPARISON_TONES = {ComparisonState.WAITING: "live", ComparisonState.DONE: "", ComparisonState.FAILED: "bad"}
# More columns than this make a heat table nobody reads; the class table and the worst pairs say it then.
MAX_CONFUSION = 24
UNITS = {"share": "share", "ms": "ms", "microusd": "usd"}


# -- lineage and lists -----------------------------------------------------------------------------------------


# Characters up to which an answer is marked as a whole.
SHORT_ANSWER = 80


def lineage(use_case: Any, version: Any = None, *rest: tuple[str, str] | tuple[str, str, bool]) -> list[Any]:
    """Use case → dataset → version → what follows."""
    found: list[Any] = [
        (f"Use case: {use_case.name}", reverse("decisions:use-case-detail", args=[use_case.pk]))
    ]
    if version is not None:
        found.append(
            (
                f"Dataset: {version.dataset.name}",
                reverse("datasets:dataset-detail", args=[version.dataset_id]),
            )
        )
        found.append((f"Version {version.number}", reverse("datasets:version-detail", args=[version.pk])))
    return [*found, *rest]


def candidate_lineage(candidate: Candidate, version: Any, *rest: Any) -> list[Any]:
    """Lineage through the training run a candidate came from."""
    run = candidate.training_run
    own = []
    if run is not None:
        own.append((f"Run {run.number}", reverse("training:run-detail", args=[run.pk])))
    own.append((candidate.name, reverse("evaluations:candidate-detail", args=[candidate.pk])))
    return lineage(candidate.use_case, version, *own, *rest)


def evaluation_row(evaluation: Evaluation) -> dict[str, Any]:
    """One line of a list of evaluations."""
    found = evaluation.aggregates
    return {
        "evaluation": evaluation,
        "tone": EVALUATION_TONES[EvaluationState(evaluation.state)],
        "primary": scoring.title_of(evaluation.scorers[0]) if evaluation.scorers else "",
        "p95": found.get("latency_p95"),
        "price": (found.get("price_mean") or 0) * 1000 if found.get("price_mean") is not None else None,
        "macro_f1": (found.get("classification") or {}).get("macro_f1"),
    }


def comparison_row(comparison: Comparison) -> dict[str, Any]:
    """One line of a list of comparisons."""
    advice = (comparison.result.get("finding") or {}).get("advice", "")
    return {
        "comparison": comparison,
        "tone": Verdict(comparison.verdict).tone
        if comparison.verdict
        else COMPARISON_TONES[ComparisonState(comparison.state)],
        "advice": advice,
        "headline": (comparison.result.get("finding") or {}).get("headline", ""),
    }


# -- one evaluation --------------------------------------------------------------------------------------------


def evaluation_page(evaluation: Evaluation) -> dict[str, Any]:
    """Everything the page of a finished evaluation shows above its rows."""
    found = evaluation.aggregates
    classes = found.get("classification")
    primary = evaluation.scorers[0]
    on = f"{evaluation.split} rows of version {evaluation.version.number}"
    headline, detail = tell_evaluation(
        name=evaluation.candidate.name,
        primary=scoring.title_of(primary),
        figure=found["scorers"][primary],
        classification=classes,
        on=on,
    )
    return {
        "headline": headline,
        "detail": detail,
        "facts": _facts(evaluation, found, classes),
        "scorers": [
            {"name": name, "title": scoring.title_of(name), **figure}
            for name, figure in found["scorers"].items()
        ],
        "overall": found.get("overall"),
        "classes": _classes(classes) if classes else [],
        "warning": classes["warning"] if classes else "",
        "confusion": _confusion(classes) if classes else "",
        "pairs": worst_pairs(classes) if classes else [],
        "class_chart": _class_chart(classes) if classes else "",
        "tasks": found.get("tasks") or [],
        "reasons": found.get("unscored_reasons") or [],
        "n_suspicious": found.get("n_suspicious", 0),
    }


def _facts(evaluation: Evaluation, found: Mapping[str, Any], classes: Mapping[str, Any] | None) -> list[Any]:
    note = (
        f"{percent(evaluation.low, 1)} to {percent(evaluation.high, 1)}, n = {grouped(evaluation.n_scored)}"
    )
    facts: list[Any] = [(scoring.title_of(evaluation.scorers[0]).lower(), percent(evaluation.score, 1), note)]
    if classes and classes["macro_f1"] is not None:
        facts.append(
            (
                "macro F1",
                grouped(classes["macro_f1"], 3),
                f"{sum(1 for c in classes['classes'] if c['support'])} labels",
            )
        )
    if found.get("latency_p95") is not None:
        n_timed = found.get("n_timed", 0)
        how = "95th percentile" if n_timed == found["n"] else f"one by one, first {grouped(n_timed)} rows"
        facts.append(("latency p95", ms(found["latency_p95"]), how))
    price = found.get("price_mean")
    if price is not None:
        cached = f", {grouped(found['n_cached'])} from the cache" if found.get("n_cached") else ""
        paid = (
            f"{usd(found['cost_microusd'])} paid{cached}"
            if found["cost_microusd"] or cached
            else "nothing was paid"
        )
        facts.append(("per 1,000 answers", usd(price * 1000), paid))
    if evaluation.n_unscored:
        facts.append(("unscored", grouped(evaluation.n_unscored), "left out, not counted as 0"))
    return facts


def _classes(classes: Mapping[str, Any]) -> list[dict[str, Any]]:
    rows = [c for c in classes["classes"] if c["support"] or c["predicted"]]
    return sorted(rows, key=lambda c: (c["f1"] if c["f1"] is not None else 2, c["label"]))


def _class_chart(classes: Mapping[str, Any]) -> Any:
    rows = [c for c in _classes(classes) if c["support"]]
    if not 2 <= len(rows) <= 14:
        return ""
    worst = rows[0]
    said = f"“{worst['label']}” is found least: {percent(worst['recall'], 0)} of its {worst['support']} rows"
    lowest = min(rows, key=lambda c: c["recall"] or 0)
    if lowest["label"] != worst["label"]:
        said = f"“{lowest['label']}” is found least: {percent(lowest['recall'], 0)} of its {lowest['support']} rows"
    bars = [
        Bar(
            c["label"],
            c["recall"],
            c["recall_low"],
            c["recall_high"],
            note=f"{c['right']} of {c['support']} rows",
        )
        for c in sorted(rows, key=lambda c: c["recall"] or 0)
    ]
    return bars_with_intervals(
        Bars(title=said, bars=bars, unit="percent", sub="Recall by label, 95% intervals (Wilson)")
    )


def worst_pairs(classes: Mapping[str, Any], limit: int = 6) -> list[dict[str, Any]]:
    """The confusions that happen most: expected label, answered label, how many rows."""
    labels = [c["label"] for c in classes["classes"]]
    found = [
        {
            "expected": labels[i],
            "predicted": labels[j] if j < len(labels) else "",
            "shown": labels[j] if j < len(labels) else "none of the labels",
            "n": count,
        }
        for i, row in enumerate(classes["confusion"])
        for j, count in enumerate(row)
        if i != j and count
    ]
    return sorted(found, key=lambda pair: (-pair["n"], pair["expected"]))[:limit]


def _confusion(classes: Mapping[str, Any]) -> Any:
    labels = [c["label"] for c in classes["classes"]]
    counts = [list(row) for row in classes["confusion"]]
    if len(labels) < 2 or len(labels) > MAX_CONFUSION:
        return ""
    pairs = worst_pairs(classes, 1)
    title = mixed_up((pairs[0]["expected"], pairs[0]["shown"], pairs[0]["n"]) if pairs else None)
    if any(row[-1] for row in counts):
        labels = [*labels, "none of them"]
        counts = [*counts, [0] * len(labels)]
    return confusion(
        Confusion(title=title, labels=labels, counts=counts, sub="Rows by expected and answered label")
    )


# -- rows of one evaluation ------------------------------------------------------------------------------------

SHOWS = {"wrong": "Wrong", "right": "Right", "unscored": "Unscored", "suspicious": "Speaks to the judge"}
PAGE_ROWS = 20


@dataclass(frozen=True, slots=True)
class Page:
    """One page of rows and the cursor of the next, "" at the end."""

    rows: list[dict[str, Any]]
    cursor: str


def result_page(
    evaluation: Evaluation, *, show: str, expected: str, predicted: str | None, after: str, close: Close
) -> Page:
    """Rows of an evaluation, worst first, twenty a page. Unknown filters are ignored; `close` is asked about each page."""
    rows: QuerySet[Result] = Result.objects.filter(evaluation=evaluation)
    if show == "wrong":
        rows = (
            rows.filter(score__lt=1)
            if scoring.is_binary(evaluation.scorers[0])
            else rows.filter(score__lt=0.5)
        )
    elif show == "right":
        rows = (
            rows.filter(score=1) if scoring.is_binary(evaluation.scorers[0]) else rows.filter(score__gte=0.5)
        )
    elif show == "unscored":
        rows = rows.filter(score=None)
    elif show == "suspicious":
        rows = rows.filter(is_suspicious=True)
    if expected:
        rows = rows.filter(expected_label=expected)
    if predicted is not None:
        rows = rows.filter(predicted=predicted, score__isnull=False)
    if show == "unscored":
        place = cursor_of(after)
        rows = rows.filter(position__gt=place[1]) if place else rows
        rows = rows.order_by("position")
    else:
        rows = rows.filter(score__isnull=False)
        place = cursor_of(after)
        if place:
            rows = rows.filter(Q(score__gt=place[0]) | Q(score=place[0], position__gt=place[1]))
        rows = rows.order_by("score", "position")
    page = list(rows.select_related("content")[: PAGE_ROWS + 1])
    more = len(page) > PAGE_ROWS
    page = page[:PAGE_ROWS]
    cursor = f"{page[-1].score or 0.0!r}|{page[-1].position}" if more else ""
    close(page)
    return Page([result_card(evaluation, row) for row in page], cursor)


def result_card(evaluation: Evaluation, row: Result) -> dict[str, Any]:
    """One row as a reader sees it."""
    binary = scoring.is_binary(evaluation.scorers[0])
    if row.score is None:
        tone, word = "warn", "unscored"
    elif binary:
        tone, word = ("good", "right") if row.score == 1 else ("bad", "wrong")
    else:
        tone, word = (
            ("good" if row.score >= 0.8 else "warn" if row.score >= 0.5 else "bad"),
            percent(row.score, 0),
        )
    return {
        "row": row,
        "tone": tone,
        "word": word,
        "prompt": "(erased)" if row.content.erased_at else row.content.prompt,
        "expected": row.expected_label or row.content.completion,
        "reason": row.unscored or row.error,
        "judge": row.judge,
        "scores": [(scoring.title_of(name), value) for name, value in row.scores.items()],
    }


def cursor_of(text: str) -> tuple[float, int] | None:
    """A keyset cursor "value|position" as numbers; None for anything else."""
    value, _, position = text.partition("|")
    try:
        found = float(value), int(position)
    except (ValueError, OverflowError):
        return None
    return found if abs(found[0]) < 1e9 and 0 <= found[1] < 2**31 else None


# -- one comparison --------------------------------------------------------------------------------------------


def comparison_page(comparison: Comparison, evaluations: Sequence[Evaluation], chosen: int) -> dict[str, Any]:
    """What the page of a decided comparison shows above its rows; `chosen` is the candidate beside the baseline."""
    found = comparison.result
    names = {p["key"]: p["name"] for p in found["people"]}
    by_key = {e.pk: e for e in evaluations}
    lines = [line for line in found["lines"] if line["candidate_key"] == chosen]
    spans = _spans(lines)
    finding = found["finding"]
    rows = (found["rows"] or {}).get(str(chosen)) or {}
    winners = {w["measure"]: w for w in found["winners"]}
    others = [key for key in names if key != found["baseline_key"]]
    return {
        "headline": finding["headline"],
        "detail": finding["detail"],
        "advice": finding["advice"],
        "advice_tone": Advice(finding["advice"]).tone,
        "chapter": finding["chapter_sentence"],
        "prompt_sentence": finding["prompt_sentence"],
        "lead": finding["lead_key"],
        "chosen": chosen,
        "chosen_name": names[chosen],
        "chosen_evaluation": by_key.get(chosen),
        "baseline_name": names[found["baseline_key"]],
        "lines": [line_view(line, spans, winners, names) for line in lines],
        "others": [{"key": key, "name": names[key]} for key in others],
        "figures": _figures(found, names) if len(names) > 2 else [],
        "figure_heads": [m["title"] for m in found["measures"]],
        "rows": rows,
        "weak": [
            {**change, "delta": change["candidate_right"] - change["baseline_right"]}
            for change in (found["labels"] or {}).get(str(chosen), [])
            if change["candidate_right"] < change["baseline_right"]
        ][:4],
        "family": found["family"],
        "margins": comparison.margins,
        "n_rows": found["n_rows"],
    }


def _spans(lines: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """One span a unit, so that whiskers of one unit can be read against each other."""
    spans: dict[str, float] = {}
    for line in lines:
        for value in (line["low"], line["high"]):
            if value is not None:
                spans[line["unit"]] = max(spans.get(line["unit"], 0.0), abs(value) * 1.05)
    return spans


def line_view(
    line: Mapping[str, Any], spans: Mapping[str, float], winners: Mapping[str, Any], names: Mapping[int, str]
) -> dict[str, Any]:
    """One measure as the table shows it: values, difference with its interval, Holm's p, the verdict."""
    verdict = Verdict(line["verdict"])
    unit = UNITS[line["unit"]]
    tone = {"better": "good", "worse": "bad"}.get(verdict.value, "")
    winner = winners.get(line["measure"])
    return {
        **line,
        "baseline_text": as_unit(line["baseline"], unit),
        "candidate_text": as_unit(line["candidate"], unit),
        "difference_text": difference_text(line),
        "span": spans.get(line["unit"]),
        "tone": tone,
        "pill": verdict.tone,
        "spoken": f"{line['title']}: {difference_text(line)}, {verdict.value}",
        "winner": _winner_text(winner) if winner else "",
        "wins": bool(winner and winner["key"] == line["candidate_key"]),
        "margin_text": _margin_text(line),
    }


def difference_text(line: Mapping[str, Any]) -> str:
    """A difference with its interval, in the measure's unit: "+9.6 pts (+3.2 to +16.2)"."""
    if line["difference"] is None:
        return "no row was scored in both"
    values = (line["difference"], line["low"], line["high"])
    if line["unit"] == "share":
        return f"{points(values[0])} ({signed(values[1] * 100, 1)} to {signed(values[2] * 100, 1)})"
    if line["unit"] == "ms":
        digits = 0 if max(map(abs, values)) >= 10 else 2
        return f"{signed(values[0], digits)} ms ({signed(values[1], digits)} to {signed(values[2], digits)})"
    plus = "+" if values[0] > 0 else ""
    return f"{plus}{usd(values[0])} ({usd(values[1])} to {usd(values[2])})"


def _winner_text(winner: Mapping[str, Any]) -> str:
    return winner["name"] + (" (a tie by these rows)" if winner["tied_with"] else "")


def _margin_text(line: Mapping[str, Any]) -> str:
    if line["margin"] is None:
        return "no margin: the baseline is 0"
    if line["unit"] == "share":
        return f"within {line['margin'] * 100:g} points counts as equal"
    return f"within {as_unit(line['margin'], UNITS[line['unit']])} (10 % of the baseline) counts as equal"


def _figures(found: Mapping[str, Any], names: Mapping[int, str]) -> list[dict[str, Any]]:
    winners = {w["measure"]: w["key"] for w in found["winners"]}
    tied = {w["measure"] for w in found["winners"] if w["tied_with"]}
    return [
        {
            "key": key,
            "name": name,
            "is_baseline": key == found["baseline_key"],
            "cells": [
                {
                    "title": m["title"],
                    "text": as_unit(found["figures"][str(key)][m["key"]], UNITS[m["unit"]]),
                    "wins": winners.get(m["key"]) == key,
                    "is_tie": m["key"] in tied,
                }
                for m in found["measures"]
            ],
        }
        for key, name in names.items()
    ]


COMPARED = {"worse": "Regressions", "better": "Improvements", "same": "Same", "": "All"}
PAGE_PAIRS = 10


def pair_page(
    baseline: Evaluation, candidate: Evaluation, *, show: str, label: str, after: str, close: Close
) -> Page:
    """Rows of two evaluations side by side, the worst change first, ten a page."""
    was = Result.objects.filter(evaluation=baseline, row_id=OuterRef("row_id")).values("score")[:1]
    rows = (
        Result.objects.filter(evaluation=candidate, score__isnull=False)
        .annotate(was=Subquery(was, output_field=FloatField()))
        .filter(was__isnull=False)
        .annotate(delta=F("score") - F("was"))
    )
    if show == "worse":
        rows = rows.filter(delta__lt=0)
    elif show == "better":
        rows = rows.filter(delta__gt=0)
    elif show == "same":
        rows = rows.filter(delta=0)
    if label:
        rows = rows.filter(expected_label=label)
    place = cursor_of(after)
    # Improvements begin with the greatest, everything else with the worst.
    if show == "better":
        if place:
            rows = rows.filter(Q(delta__lt=place[0]) | Q(delta=place[0], position__gt=place[1]))
        rows = rows.order_by("-delta", "position")
    else:
        if place:
            rows = rows.filter(Q(delta__gt=place[0]) | Q(delta=place[0], position__gt=place[1]))
        rows = rows.order_by("delta", "position")
    page = list(rows.select_related("content")[: PAGE_PAIRS + 1])
    more = len(page) > PAGE_PAIRS
    page = page[:PAGE_PAIRS]
    earlier = {
        r.row_id: r
        for r in Result.objects.filter(
            evaluation=baseline, row_id__in=[r.row_id for r in page]
        ).select_related("content")
    }
    cursor = f"{page[-1].delta!r}|{page[-1].position}" if more else ""
    close([*page, *earlier.values()])
    cards = [
        {
            "left": result_card(baseline, earlier[row.row_id]),
            "right": result_card(candidate, row),
            "delta": row.delta,
            "change": "worse" if row.delta < 0 else "better" if row.delta > 0 else "same",
            "same_text": earlier[row.row_id].output == row.output,
            # A label is right or wrong as a whole; only longer answers are told apart word by word.
            "is_short": max(len(earlier[row.row_id].output), len(row.output)) <= SHORT_ANSWER,
        }
        for row in page
        if row.row_id in earlier
    ]
    return Page(cards, cursor)
