"""Out-of-fold answers as files: CSV safe to open in a spreadsheet, JSONL exactly. Streamed; sealed rows keep their text."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import orjson
from django.utils import timezone

from datasets.domain.training import RunState
from datasets.models import CrossValidation, FoldAnswer
from datasets.vault import Vault
from foundation.teams import audit
from foundation.teams.domain.csv_cells import safe_cell
from foundation.teams.errors import Conflict
from foundation.teams.models import AuditEvent, User

FORMS = ("csv", "jsonl")
COLUMNS = (
    "row", "split", "position", "example", "fold", "prompt", "expected", "answered", "confidence", "right", "sealed",
)  # fmt: skip
AT_ONCE = 1000
# Pages that a program takes within so long are one reading.
ONE_READING = timedelta(hours=1)


def lines(
    *, cross_validation: CrossValidation, user: User | None, after: int = 0, most: int | None = None
) -> Iterator[list[dict[str, Any]]]:
    """Answers in reading order as plain values, in lists of at most AT_ONCE; `most` rows after row id `after`.

    A row that the newest version tests on is closed to people who have not opened its test: it shows that it was
    right or wrong, and no text. Raises: Conflict before every fold is judged.
    """
    if cross_validation.state != RunState.SUCCEEDED:
        raise Conflict("The answers are there when every fold is judged.")
    return _lines(cross_validation, user, after, most)


def _lines(
    cross_validation: CrossValidation, user: User | None, after: int, most: int | None
) -> Iterator[list[dict[str, Any]]]:
    vault = Vault(cross_validation.version.dataset, user)
    rows = FoldAnswer.objects.filter(cross_validation=cross_validation).select_related("row__content")
    left = most
    while left is None or left > 0:
        size = AT_ONCE if left is None else min(AT_ONCE, left)
        page = list(rows.filter(row__gt=after).order_by("row")[:size])
        if not page:
            return
        closed = vault.closed([answer.row.content_id for answer in page])
        yield [_plain(answer, is_closed=answer.row.content_id in closed) for answer in page]
        after = page[-1].row_id
        left = None if left is None else left - len(page)


def _plain(answer: FoldAnswer, *, is_closed: bool) -> dict[str, Any]:
    row = answer.row
    texts = (
        ("", "", "")
        if is_closed
        else (row.content.prompt, row.label or row.content.completion, answer.predicted)
    )
    return {
        "row": row.pk,
        "split": row.split,
        "position": row.position,
        "example": row.example_id,
        "fold": answer.fold,
        "prompt": texts[0],
        "expected": texts[1],
        "answered": texts[2],
        "confidence": answer.confidence,
        "right": answer.is_right,
        "sealed": is_closed,
    }


def pieces(*, cross_validation: CrossValidation, form: str, user: User | None) -> Iterator[bytes]:
    """The file in pieces of bytes. Raises: Conflict before every fold is judged."""
    found = lines(cross_validation=cross_validation, user=user)
    return _as_csv(found) if form == "csv" else _as_jsonl(found)


def _as_csv(found: Iterator[list[dict[str, Any]]]) -> Iterator[bytes]:
    def piece(rows: list[list[Any]]) -> bytes:
        out = io.StringIO(newline="")
        csv.writer(out).writerows([[safe_cell(cell) for cell in row] for row in rows])
        return out.getvalue().encode()

    yield piece([list(COLUMNS)])
    for part in found:
        yield piece([[line[name] for name in COLUMNS] for line in part])


def _as_jsonl(found: Iterator[list[dict[str, Any]]]) -> Iterator[bytes]:
    for part in found:
        yield b"".join(orjson.dumps(line) + b"\n" for line in part)


def record(*, actor: User | None, cross_validation: CrossValidation, form: str) -> None:
    """Keep who took the answers out."""
    audit.record(
        actor=actor,
        team=cross_validation.team,
        verb="crossvalidation.exported",
        target=cross_validation,
        note=form,
    )


def record_reading(*, actor: User | None, cross_validation: CrossValidation) -> None:
    """Keep who reads the answers page by page: one event an hour, not one a page."""
    told = AuditEvent.objects.of(cross_validation.team).filter(
        verb="crossvalidation.exported",
        target_type=CrossValidation._meta.label_lower,
        target_id=str(cross_validation.pk),
        actor=actor,
        note="api",
        at__gt=timezone.now() - ONE_READING,
    )
    if not told.exists():
        record(actor=actor, cross_validation=cross_validation, form="api")
