"""A comparison as a file: JSON exactly, CSV safe to open in a spreadsheet."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import orjson
from django.http import HttpResponse

from evaluations.closing import Close
from evaluations.models import Comparison, Result
from evaluations.services.candidates import as_plain
from foundation.teams.domain.csv_cells import safe_cell


def as_json(comparison: Comparison, *, close: Close | None) -> HttpResponse:
    """Everything the comparison rests on; its rows only where they may be read, which is asked of `close`."""
    data = {
        "id": comparison.pk,
        "name": comparison.name,
        "use_case": comparison.use_case.name,
        "version": {"number": comparison.version.number, "checksum": comparison.version.checksum},
        "split": comparison.split,
        "look_number": comparison.look_number,
        "reason": comparison.reason,
        "finding": comparison.finding,
        "seed": comparison.seed,
        "margins": comparison.margins,
        "candidates": [
            {"evaluation": e.pk, **as_plain(e.candidate)}
            for e in comparison.evaluations.select_related("candidate")
        ],
        "result": comparison.result,
        "rows": list(_rows(comparison, close)) if close else "sealed",
    }
    body = orjson.dumps(data, option=orjson.OPT_INDENT_2)
    return _download(body, f"comparison-{comparison.pk}.json")


def as_csv(comparison: Comparison, *, close: Close | None) -> HttpResponse:
    """One line a row with every candidate's answer and score; the measures where rows are sealed."""
    out = io.StringIO()
    writer = csv.writer(out)
    if close:
        names = [p["name"] for p in comparison.result["people"]]
        heads = [f"{what} of {name}" for name in names for what in ("answer", "score", "unscored because")]
        writer.writerow([safe_cell(head) for head in ["row", "prompt", "expected", *heads]])
        for row in _rows(comparison, close):
            cells = [row["row"], *(["sealed"] * 2 if row["sealed"] else [row["prompt"], row["expected"]])]
            for answer in row["answers"]:
                cells += [answer["output"], answer["score"], answer["unscored"]]
            writer.writerow([safe_cell(cell) for cell in cells])
    else:
        columns = [
            "title", "candidate_key", "n", "baseline", "candidate", "difference", "low", "high", "p", "p_holm", "verdict",
        ]  # fmt: skip
        writer.writerow(columns)
        for line in comparison.result["lines"]:
            writer.writerow([safe_cell(line[name]) for name in columns])
    return _download(out.getvalue().encode(), f"comparison-{comparison.pk}.csv")


WRITERS: dict[str, Callable[..., HttpResponse]] = {"json": as_json, "csv": as_csv}


def _rows(comparison: Comparison, close: Close) -> Iterator[dict[str, Any]]:
    keys = [p["key"] for p in comparison.result["people"]]
    found: dict[int, dict[int, Result]] = {}
    rows = Result.objects.filter(evaluation__in=keys).select_related("content").order_by("row_id")
    results = rows.iterator(chunk_size=2000)
    while block := list(islice(results, 2000)):
        close(block)
        for result in block:
            found.setdefault(result.row_id, {})[result.evaluation_id] = result
    for row_id, answers in found.items():
        if len(answers) < len(keys):
            continue
        first = answers[keys[0]]
        yield {
            "row": row_id,
            "sealed": first.is_closed,  # type: ignore[attr-defined]
            "prompt": first.content.prompt,
            "expected": first.expected_label or first.content.completion,
            "answers": [
                {"output": answers[k].output, "score": answers[k].score, "unscored": answers[k].unscored}
                for k in keys
            ],
        }


def _download(body: bytes, name: str) -> HttpResponse:
    response = HttpResponse(body, content_type="application/octet-stream")
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    response["X-Content-Type-Options"] = "nosniff"
    response["Cache-Control"] = "private, no-store"
    return response
