"""Always the same answer? From the team's own use cases: what holds fine-tuning back, and what would turn it."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.http import HttpResponse
from django.urls import reverse

from decisions import reading
from decisions.domain.hindrances import SAID, Case, Hindrance, Overview, overview
from decisions.forms_what_if import as_query
from decisions.models import UseCase
from foundation.teams.models import Team
from foundation.teams.requests import TeamRequest
from foundation.ui import htmx
from foundation.ui.charts import Part, Shares, shares_chart

# The newest so many use cases are looked at, and so many are named a line.
MOST = 100
NAMED = 4


def same_answer(request: TeamRequest, team: Team) -> HttpResponse:
    """The answers of the team's active use cases as they stand today, and the facts that hold fine-tuning back."""
    rows = list(UseCase.objects.of(team).active().with_answers().order_by("-pk")[: MOST + 1])
    shown = rows[:MOST]
    cases = [Case(row.pk, reading.facts_of(row)[0], reading.answers_of(row)) for row in shown]
    found = overview(cases)
    names = {row.pk: row.name for row in shown}
    context = {
        "overview": found,
        "finding": _finding(found),
        "lines": [_line(each, names) for each in found.hindrances],
        "chart": _chart(found) if found.n else "",
        "is_cut": len(rows) > MOST,
        "most": MOST,
    }
    return htmx.render_page(request, "decisions/same_answer.html", None, context)


def what_if_url(pk: int, factor: str) -> str:
    """The what-if in which this factor counts for fine-tuning."""
    query = urlencode({name: as_query(value) for name, value in SAID[factor].items()})
    return f"{reverse('decisions:what-if', args=[pk])}?{query}"


def _line(each: Hindrance, names: dict[int, str]) -> dict[str, Any]:
    def links(keys: tuple[int, ...]) -> list[dict[str, str]]:
        return [{"name": names[pk], "url": what_if_url(pk, each.name)} for pk in keys[:NAMED]]

    return {
        "hindrance": each,
        "turns": links(each.turns_at),
        "n_more": max(0, len(each.turns_at) - NAMED),
        "try": links(each.missing_at[:2]) if not each.turns_at else [],
    }


def _finding(found: Overview) -> str:
    if found.most is None:
        return "There is no use case to look at yet"
    approach, n = found.most
    if n == found.n:
        return (
            f"All {n} use cases are answered alike: {approach.inline}"
            if n > 1
            else f"One use case: {approach.inline}"
        )
    return f"{n} of {found.n} use cases are answered with {approach.inline}"


def _chart(found: Overview) -> str:
    return shares_chart(
        Shares(
            title=f"{found.n_trained} of {found.n} are answered with training",
            parts=[Part(approach.label, n) for approach, n in found.by_answer],
            sub="Use cases by the answer their facts of today lead to",
        )
    )
