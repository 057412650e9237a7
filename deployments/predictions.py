"""What the browser of predictions asks: filters as the address says them, pages by key, few queries."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from django.db.models import Exists, OuterRef, Q, QuerySet, Subquery, Value
from django.db.models.functions import Trim
from django.utils.dateparse import parse_date

from deployments.folding import FoldedCase
from deployments.models import Endpoint, Feedback, Prediction
from deployments.services.measuring import MOST, first_id_at, is_right

PAGE_SIZE = 50
ARMS = ("baseline", "candidate", "shadow")
FEEDBACK = {"any": "Judged", "right": "Right", "wrong": "Wrong", "none": "Not judged"}
TELLS = Q(is_correct__isnull=False) | ~Q(label="")


@dataclass(frozen=True, slots=True)
class Filters:
    """What is asked for; "" and None mean everything. Words nobody knows are left out."""

    arm: str = ""
    label: str = ""
    feedback: str = ""
    since: str = ""
    until: str = ""

    @classmethod
    def read(cls, query: Mapping[str, str]) -> Filters:
        """From the parameters of an address."""
        arm, feedback = query.get("arm", ""), query.get("feedback", "")
        return cls(
            arm=arm if arm in ARMS else "",
            label=query.get("label", "").strip()[:200],
            feedback=feedback if feedback in FEEDBACK else "",
            since=query.get("since", "") if _day(query.get("since", "")) else "",
            until=query.get("until", "") if _day(query.get("until", "")) else "",
        )

    @property
    def looks_through(self) -> bool:
        """Whether it asks for what no index knows, so that only the newest are looked through."""
        return bool(self.label or self.feedback)

    @property
    def is_any(self) -> bool:
        """Whether something is left out."""
        return bool(self.arm or self.label or self.feedback or self.since or self.until)


def _day(text: str) -> datetime | None:
    try:
        found = parse_date(text)
    except ValueError:
        return None
    return datetime.combine(found, time(), UTC) if found else None


def found(endpoint: Endpoint, filters: Filters) -> QuerySet[Prediction]:
    """The predictions that fit, newest first. Days are in UTC; `until` is included.

    No index knows answers or feedback, so those filters look at the newest `MOST` requests, or judgements, of the days.
    """
    days: dict[str, uuid.UUID] = {}
    if day := _day(filters.since):
        days["gte"] = first_id_at(day)
    # After the last day of the calendar there is nothing to leave out.
    if (day := _day(filters.until)) and day.date() < date.max:
        days["lt"] = first_id_at(day + timedelta(days=1))
    rows: QuerySet[Prediction] = Prediction.objects.filter(
        endpoint=endpoint, **{f"pk__{side}": limit for side, limit in days.items()}
    ).newest()
    if filters.arm:
        rows = rows.filter(arm=filters.arm)
    if filters.feedback in ("any", "right", "wrong"):
        telling = Feedback.objects.filter(
            TELLS, endpoint=endpoint, **{f"prediction_id__{side}": limit for side, limit in days.items()}
        )
        rows = rows.filter(pk__in=telling.order_by("-pk").values("prediction_id")[:MOST])
        rows = _right(rows, filters.feedback) if filters.feedback != "any" else rows
    elif filters.feedback or filters.label:
        oldest = rows.values_list("pk", flat=True)[MOST - 1 : MOST].first()
        rows = rows.filter(pk__gte=oldest) if oldest else rows
    if filters.feedback == "none":
        rows = rows.filter(~Exists(Feedback.objects.filter(TELLS, prediction=OuterRef("pk"))))
    if filters.label:
        # Not iexact: that is LIKE on SQLite, where an underscore stands for anything.
        rows = rows.alias(answered=_spelt("predicted")).filter(answered=_spelt(Value(filters.label)))
    return rows


def _spelt(text: str | Value) -> FoldedCase:
    """As `is_right` compares: case and outer spaces do not matter."""
    return FoldedCase(Trim(text))


def _right(rows: QuerySet[Prediction], wanted: str) -> QuerySet[Prediction]:
    """Judged rows by the newest feedback that tells right from wrong, as everywhere."""
    tells = Feedback.objects.filter(TELLS, prediction=OuterRef("pk")).order_by("-pk")
    said = rows.alias(
        said_correct=Subquery(tells.values("is_correct")[:1]),
        said_label=Subquery(tells.annotate(spelt=_spelt("label")).values("spelt")[:1]),
    )
    by_label = Q(said_correct=None) & ~Q(predicted="")
    same = Q(said_label=_spelt("predicted"))
    if wanted == "right":
        return said.filter(Q(said_correct=True) | by_label & same)
    return said.filter(Q(said_correct=False) | by_label & ~same)


def page_of(
    endpoint: Endpoint, filters: Filters, *, after: str = ""
) -> tuple[list[dict[str, Any]], uuid.UUID | None]:
    """One page with what feedback says of each, and the cursor of the next one. Two queries."""
    rows = found(endpoint, filters)
    with contextlib.suppress(ValueError):
        rows = rows.filter(pk__lt=uuid.UUID(after)) if after else rows
    some = list(rows.select_related("version").defer("features")[: PAGE_SIZE + 1])
    shown = some[:PAGE_SIZE]
    return judged(shown), shown[-1].pk if len(some) > PAGE_SIZE else None


def judged(rows: list[Prediction]) -> list[dict[str, Any]]:
    """Each prediction with its newest word of feedback. One query."""
    said: dict[uuid.UUID, tuple[str, bool | None]] = {}
    for pk, label, correct, predicted in (
        Feedback.objects.filter(prediction__in=[p.pk for p in rows])
        .order_by("pk")
        .values_list("prediction_id", "label", "is_correct", "prediction__predicted")
    ):
        right = is_right(correct, label, predicted)
        if right is not None or pk not in said:
            said[pk] = (label, right)
    return [
        {
            "p": p,
            "label": said.get(p.pk, ("", None))[0],
            "right": said.get(p.pk, ("", None))[1],
            "has_feedback": p.pk in said,
        }
        for p in rows
    ]
