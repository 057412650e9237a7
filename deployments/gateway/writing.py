"""Rows of the recorder into the tables, in batches that hold the lock for milliseconds. Doing it twice changes nothing."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from django.db import DataError, IntegrityError, InterfaceError, OperationalError, connection, transaction
from django.db.utils import DatabaseError

from deployments.gateway.recorder import Away, Row
from deployments.models import Feedback, Prediction

_TIMES = ("at", "text_until")
_IDS = ("id", "shadow_of", "prediction_id")
# SQLite is opened anew each time: an open file that was moved away would go on taking rows nobody finds.
BATCH = 100


def write(rows: list[Row]) -> int:
    """How many of the rows are in the database now; rows of things that were deleted meanwhile are left out.

    Raises: Away when the database cannot be reached or does not answer.
    """
    try:
        try:
            return _write(rows)
        except (IntegrityError, DataError):
            # One row of a deleted endpoint must not take the others with it.
            return sum(_write_one(row) for row in rows)
    except (OperationalError, InterfaceError) as error:
        raise Away(str(error).splitlines()[0] if str(error) else type(error).__name__) from None
    finally:
        let_go()


def let_go() -> None:
    """Close the connection of this thread, whatever state it is in."""
    try:
        connection.close()
    except DatabaseError:
        connection.connection = None


def _write_one(row: Row) -> int:
    try:
        return _write([row])
    except (IntegrityError, DataError):
        return 0


def _write(rows: list[Row]) -> int:
    predictions = [Prediction(**_values(row)) for row in rows if row["kind"] == "prediction"]
    feedback = [Feedback(**_values(row)) for row in rows if row["kind"] == "feedback"]
    n_written = 0
    for start in range(0, len(predictions), BATCH):
        with transaction.atomic():
            part = predictions[start : start + BATCH]
            Prediction.objects.bulk_create(part, ignore_conflicts=True)
            n_written += len(part)
    if feedback:
        with transaction.atomic():
            mine = _of_their_endpoint(feedback)
            Feedback.objects.bulk_create(mine, ignore_conflicts=True)
            n_written += len(mine)
    return n_written


def _of_their_endpoint(feedback: list[Feedback]) -> list[Feedback]:
    """Feedback about predictions of the same endpoint, or about none that is here yet: nobody speaks of others' rows."""
    wanted = {f.prediction_id for f in feedback}
    known = dict(Prediction.objects.filter(pk__in=wanted).values_list("pk", "endpoint_id"))
    return [f for f in feedback if known.get(f.prediction_id, f.endpoint_id) == f.endpoint_id]


def _values(row: Row) -> dict[str, Any]:
    values = {name: value for name, value in row.items() if name != "kind"}
    for name in _TIMES:
        if values.get(name):
            values[name] = datetime.fromisoformat(values[name])
    for name in _IDS:
        if values.get(name):
            values[name] = uuid.UUID(values[name])
    return values
